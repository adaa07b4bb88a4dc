//! TLS: which certificates count, read when the first one has to be judged.
//!
//! A pull over plain HTTP never opens the store of authorities, and a machine without one can still
//! do it; a pull over TLS there says which files were looked for.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme,
};

use crate::error::{Context, Error, Kind, Result};

/// Where distributions keep their authorities.
const BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// A configuration for one client. `lax` is the host (with its port) whose certificate does not matter.
pub(super) fn config(lax: Option<&str>, cert_dir: Option<PathBuf>) -> Result<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions().map_err(|e| told(&e))?;
    let lax = lax.and_then(|host| ServerName::try_from(bare(host).to_owned()).ok());
    let own = cert_dir.as_deref().map(client_certificate).transpose()?.flatten();
    let place = cert_dir.as_deref().unwrap_or(Path::new("")).display().to_string();
    let verifier = Arc::new(Lazy { provider, lax, cert_dir, roots: OnceLock::new() });
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
    match own {
        Some((chain, key)) => builder
            .with_client_auth_cert(chain, key)
            .map_err(|e| told(&e).step(format!("use the client certificate in {place}"))),
        None => Ok(builder.with_no_client_auth()),
    }
}

/// The folder that podman or docker would read for a host (with its port).
pub(super) fn own_dir(host: &str) -> Option<PathBuf> {
    let own = crate::home::variable("XDG_CONFIG_HOME");
    let own = own.or_else(|| crate::home::directory().ok().map(|home| home.join(".config")));
    let own = own.map(|dir| dir.join("containers/certs.d"));
    let system = ["/etc/containers/certs.d", "/etc/docker/certs.d"].map(PathBuf::from);
    own.into_iter().chain(system).map(|dir| dir.join(host)).find(|dir| dir.is_dir())
}

/// A TLS error in our words.
pub(super) fn told(e: &rustls::Error) -> Error {
    match e {
        rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(inner))) => {
            match inner.downcast_ref::<Error>() {
                Some(ours) => ours.clone(),
                None => Error::invalid(inner.to_string()),
            }
        }
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => Error::new(
            Kind::Denied,
            "its certificate is signed by an authority that this machine does not know",
        )
        .hint("give the authority with --cert-dir DIR (DIR/*.crt) or SSL_CERT_FILE"),
        rustls::Error::InvalidCertificate(why) => {
            Error::new(Kind::Denied, format!("its certificate is not valid: {why}"))
        }
        other => Error::new(Kind::Unreachable, format!("TLS: {other}")),
    }
}

/// The host without its port and without the brackets of IPv6.
fn bare(host: &str) -> &str {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    name.trim_matches(['[', ']'])
}

/// Judges certificates by roots that it reads when it first has to.
#[derive(Debug)]
struct Lazy {
    provider: Arc<CryptoProvider>,
    lax: Option<ServerName<'static>>,
    cert_dir: Option<PathBuf>,
    roots: OnceLock<Result<Arc<WebPkiServerVerifier>>>,
}

impl Lazy {
    fn verifier(&self) -> std::result::Result<&Arc<WebPkiServerVerifier>, rustls::Error> {
        let read = || {
            let roots = Arc::new(roots(self.cert_dir.as_deref())?);
            let builder = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&self.provider));
            builder.build().map_err(|e| Error::invalid(format!("the authorities: {e}")))
        };
        let verifier = self.roots.get_or_init(read).as_ref();
        verifier.map_err(|e| CertificateError::Other(OtherError(Arc::new(e.clone()))).into())
    }
}

impl ServerCertVerifier for Lazy {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        if self.lax.as_ref().is_some_and(|lax| lax == name) {
            return Ok(ServerCertVerified::assertion());
        }
        self.verifier()?.verify_server_cert(end_entity, intermediates, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The authorities: the user's, and the first of the machine's bundles that is there.
fn roots(cert_dir: Option<&Path>) -> Result<RootCertStore> {
    let mut store = RootCertStore::empty();
    for file in cert_dir.map(|dir| files(dir, "crt")).transpose()?.unwrap_or_default() {
        add(&mut store, &file)?;
    }
    let given = !store.is_empty();
    match std::env::var_os("SSL_CERT_FILE").filter(|v| !v.is_empty()) {
        Some(file) => add(&mut store, Path::new(&file)).while_doing(|| "SSL_CERT_FILE")?,
        None => {
            for bundle in BUNDLES.map(Path::new) {
                if std::fs::metadata(bundle).is_ok() {
                    add(&mut store, bundle)?;
                    break;
                }
            }
        }
    }
    match store.is_empty() && !given {
        false => Ok(store),
        true => Err(Error::new(
            Kind::NotFound,
            format!("there is no store of authorities (looked for {})", BUNDLES.join(", ")),
        )
        .hint("install ca-certificates, or give one with --cert-dir DIR (DIR/*.crt) or SSL_CERT_FILE")),
    }
}

/// Adds a file's certificates; those that rustls cannot read are passed by, as everybody does.
fn add(store: &mut RootCertStore, file: &Path) -> Result<()> {
    let step = || format!("read the authorities in {}", file.display());
    let bytes = std::fs::read(file).while_doing(step)?;
    store.add_parsable_certificates(CertificateDer::pem_slice_iter(&bytes).flatten());
    Ok(())
}

/// `*.cert` with the `*.key` beside it, as docker and podman lay them out.
fn client_certificate(dir: &Path) -> Result<Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>> {
    let Some(cert) = files(dir, "cert")?.into_iter().next() else {
        return Ok(None);
    };
    let step = |file: &Path| format!("read the client certificate {}", file.display());
    let bytes = std::fs::read(&cert).while_doing(|| step(&cert))?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&bytes).flatten().collect();
    let key_file = cert.with_extension("key");
    let bytes = std::fs::read(&key_file).while_doing(|| step(&key_file))?;
    let key = PrivateKeyDer::from_pem_slice(&bytes).map_err(|e| Error::invalid(e.to_string()));
    Ok(Some((chain, key.while_doing(|| step(&key_file))?)))
}

fn files(dir: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let step = || format!("list {}", dir.display());
    let mut files = Vec::new();
    for found in std::fs::read_dir(dir).while_doing(step)? {
        let path = found.while_doing(step)?.path();
        if path.extension().is_some_and(|e| e == extension) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
