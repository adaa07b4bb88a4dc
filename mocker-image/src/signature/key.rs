//! Keys: ECDSA on P-256 to sign with; to prove, also P-384, RSA and Ed25519.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use rustls::pki_types::{SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer};
use webpki::RawPublicKeyEntity;

use super::secretbox::{armour, disarm, open, seal};
use crate::error::{Context, Error, Kind, Result};

/// The most bytes of a key file.
const LIMIT: u64 = 1 << 16;
/// cosign's first name for its files, which every version reads.
const SEALED: &str = "ENCRYPTED COSIGN PRIVATE KEY";
const SEALED_TOO: &str = "ENCRYPTED SIGSTORE PRIVATE KEY";

/// SubjectPublicKeyInfo of a P-256 key, without its last 65 bytes: the point (RFC 5480).
const P256: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

static ALGORITHMS: [&dyn SignatureVerificationAlgorithm; 4] = [
    webpki::ring::ECDSA_P256_SHA256,
    webpki::ring::ECDSA_P384_SHA256,
    webpki::ring::RSA_PKCS1_2048_8192_SHA256,
    webpki::ring::ED25519,
];

/// A key that proves signatures.
#[derive(Debug, Clone)]
pub struct PublicKey(Vec<u8>);

impl PublicKey {
    /// Reads a PEM file.
    pub fn read(path: &Path) -> Result<Self> {
        let step = || format!("read the key {}", path.display());
        Self::parse(&text(path).while_doing(step)?).while_doing(step)
    }

    /// Reads PEM.
    pub fn parse(pem: &str) -> Result<Self> {
        let (kind, der) = disarm(pem)?;
        if kind != "PUBLIC KEY" {
            return Err(Error::invalid(format!("is PEM of the kind {kind:?}, not \"PUBLIC KEY\"")));
        }
        let der = SubjectPublicKeyInfoDer::from(der);
        match RawPublicKeyEntity::try_from(&der) {
            Ok(_) => Ok(Self(der.to_vec())),
            Err(_) => Err(Error::invalid("is no public key")),
        }
    }

    /// Whether this key made a signature (base64) of these bytes.
    pub fn has_signed(&self, bytes: &[u8], signature: &str) -> bool {
        let der = SubjectPublicKeyInfoDer::from(self.0.as_slice());
        match (RawPublicKeyEntity::try_from(&der), STANDARD.decode(signature.trim())) {
            (Ok(key), Ok(signature)) => {
                ALGORITHMS.iter().any(|algorithm| key.verify_signature(*algorithm, bytes, &signature).is_ok())
            }
            _ => false,
        }
    }
}

/// A key that signs.
pub struct PrivateKey(EcdsaKeyPair);

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PrivateKey")
    }
}

impl PrivateKey {
    /// Reads a PEM file: cosign's under a passphrase, which is asked for only then, or a plain one.
    pub fn read(path: &Path, passphrase: impl FnOnce() -> Result<Vec<u8>>) -> Result<Self> {
        let step = || format!("read the key {}", path.display());
        let (kind, der) = text(path).and_then(|text| disarm(&text)).while_doing(step)?;
        let der = match kind.as_str() {
            SEALED | SEALED_TOO => open(&der, &passphrase()?).while_doing(step)?,
            "PRIVATE KEY" => der,
            "EC PRIVATE KEY" => wrapped(&der).while_doing(step)?,
            other => {
                let what = format!("is PEM of the kind {other:?}, which is not known here");
                return Err(Error::new(Kind::Unsupported, what)).while_doing(step);
            }
        };
        Self::of(&der).while_doing(step)
    }

    fn of(der: &[u8]) -> Result<Self> {
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der, &SystemRandom::new());
        key.map(Self).map_err(|e| Error::new(Kind::Unsupported, format!("is no ECDSA key on P-256 ({e})")))
    }

    /// Makes a new one and writes both halves, the private one under a passphrase.
    pub fn generate(private: &Path, public: &Path, passphrase: &[u8]) -> Result<()> {
        let failed = |_| Error::new(Kind::Internal, "the kernel gives no random numbers");
        let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new());
        let der = der.map_err(failed)?;
        let key = Self::of(der.as_ref())?;
        write(private, 0o600, &armour(SEALED, &seal(der.as_ref(), passphrase)?))?;
        write(public, 0o644, &key.public())
    }

    /// The other half, as PEM.
    fn public(&self) -> String {
        armour("PUBLIC KEY", &[&P256, self.0.public_key().as_ref()].concat())
    }

    /// The signature of some bytes, in base64.
    pub fn sign(&self, bytes: &[u8]) -> Result<String> {
        let failed = |_| Error::new(Kind::Internal, "the key does not sign");
        let signature = self.0.sign(&SystemRandom::new(), bytes).map_err(failed)?;
        Ok(STANDARD.encode(signature.as_ref()))
    }
}

/// PKCS #8 around an ECPrivateKey of P-256 (RFC 5915, RFC 5958).
fn wrapped(key: &[u8]) -> Result<Vec<u8>> {
    let part = |tag: u8, body: &[u8]| -> Result<Vec<u8>> {
        let length = u8::try_from(body.len()).map_err(|_| Error::invalid("is no ECDSA key on P-256"))?;
        let head: &[u8] = if length < 0x80 { &[tag, length] } else { &[tag, 0x81, length] };
        Ok([head, body].concat())
    };
    let version_and_algorithm = [&[0x02, 0x01, 0x00], &P256[2..23]].concat();
    part(0x30, &[version_and_algorithm, part(0x04, key)?].concat())
}

fn text(path: &Path) -> Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?.take(LIMIT).read_to_string(&mut text)?;
    Ok(text)
}

/// Writes a file that is not there yet.
fn write(path: &Path, mode: u32, text: &str) -> Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
    written.while_doing(|| format!("write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by `openssl ecparam -name prime256v1 -genkey -noout`, and its public half by `openssl ec -pubout`.
    const PLAIN: &str = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIF8i1iQoyCSn17EgNIM4tM07hVbhvU02WbfDhpsQozj7oAoGCCqGSM49\nAwEHoUQDQgAE4vX2/yQ9XvKKRjY62L1QdwD5f1Ifebns6H2M5QVVtO4bGwzh4VFl\n1WYgKWoyLlEpUIpEklM4pXMLn/pjg7B6ew==\n-----END EC PRIVATE KEY-----\n";
    const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE4vX2/yQ9XvKKRjY62L1QdwD5f1If\nebns6H2M5QVVtO4bGwzh4VFl1WYgKWoyLlEpUIpEklM4pXMLn/pjg7B6ew==\n-----END PUBLIC KEY-----\n";

    /// Made by skopeo 1.22, `generate-sigstore-key` and `copy --sign-by-sigstore-private-key`.
    const SKOPEO: [&str; 4] = [
        concat!(
            "-----BEGIN ENCRYPTED COSIGN PRIVATE KEY-----\n",
            "eyJrZGYiOnsibmFtZSI6InNjcnlwdCIsInBhcmFtcyI6eyJOIjo2NTUzNiwiciI6\n",
            "OCwicCI6MX0sInNhbHQiOiJjWVA1VFRPZjF5YVJGa3UvdnNDU1U2ZjRUdlJaMWQz\n",
            "WktacXVkZktEVGxnPSJ9LCJjaXBoZXIiOnsibmFtZSI6Im5hY2wvc2VjcmV0Ym94\n",
            "Iiwibm9uY2UiOiI4TFpxa1VCRm9zRFppKzlLMEJnNWVBczI4Wkt4V2NOciJ9LCJj\n",
            "aXBoZXJ0ZXh0IjoibE1OQU8xVjJKNE82amEyWEh5WElJS1JGUmQveWwrWHRSNzN3\n",
            "dnp1VHQ0R2hScTFHcUFHSGFDODF0bllOUi8wOVEvQU1XbnVIb0NJMXhuOTFrdk5G\n",
            "ZUhCK0gxUFZJSEdmTG4vM1RWNTZjZVZxWThYQlN5cGs5SEpxdTlXdUJpMytVMWZK\n",
            "MWdRRVhPTHlnTVE5bkxrcmg0cHZQS2FuZGJTQk9iYXkwdmpWMjYxOHVMQmJQU3RY\n",
            "cVRxOUUvdXNCVlZDeTExWkxvd0JlQ1o3d1E9PSJ9\n",
            "-----END ENCRYPTED COSIGN PRIVATE KEY-----\n"
        ),
        concat!(
            "-----BEGIN PUBLIC KEY-----\n",
            "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEZH8d4JXKuLDtrfmw50InN7454lwI\n",
            "lRIKkqjLff+sZ0/6ugofC0Se8uhnWnG+63IGsQWXuwS/j83IUrtUyUO5jg==\n",
            "-----END PUBLIC KEY-----\n"
        ),
        concat!(
            r#"{"critical":{"identity":{"docker-reference":"127.0.0.1:38777/theirs:v1"},"image":{"#,
            r#""docker-manifest-digest":"sha256:eae6945e89f7b90984432ab2178e6a46c8e7347f81bd65bc324de78b74e0b2bc"},"#,
            r#""type":"cosign container image signature"},"optional":{"creator":"containers/image 5.39.1","#,
            r#""timestamp":1795341994}}"#
        ),
        "MEUCIQCrzJqOMeiOFg/x1cUnzV7ZMGuFPV4UgVqLfVRVZXsPmwIgemlOenwedtJ7IYku3w9oXw8pi0F51vDeorxFeojyC4M=",
    ];

    #[test]
    fn what_skopeo_made_is_read_and_proven() {
        let [private, public, payload, signature] = SKOPEO;
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("k");
        std::fs::write(&file, private).unwrap();
        let key = PrivateKey::read(&file, || Ok(b"x".to_vec())).unwrap();
        assert_eq!(key.public(), public);
        assert!(PublicKey::parse(public).unwrap().has_signed(payload.as_bytes(), signature));
        let e = PrivateKey::read(&file, || Ok(b"y".to_vec())).unwrap_err();
        assert!(e.to_string().ends_with("the passphrase is wrong"), "{e}");
    }

    #[test]
    fn a_key_proves_what_its_other_half_signed_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let (private, public) = (dir.path().join("k"), dir.path().join("k.pub"));
        PrivateKey::generate(&private, &public, b"pass").unwrap();
        let none = || panic!("nobody is asked for a passphrase of a plain key");
        let key = PrivateKey::read(&private, || Ok(b"pass".to_vec())).unwrap();
        let signature = key.sign(b"words").unwrap();
        let public = PublicKey::read(&public).unwrap();
        assert!(public.has_signed(b"words", &signature));
        assert!(!public.has_signed(b"word", &signature));
        assert!(!public.has_signed(b"words", "AAAA"));
        std::fs::write(&private, PLAIN).unwrap();
        let plain = PrivateKey::read(&private, none).unwrap();
        assert_eq!(plain.public(), PUBLIC);
        assert!(!public.has_signed(b"words", &plain.sign(b"words").unwrap()));
    }
}
