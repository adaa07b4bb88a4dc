//! What `copy`, `push` and `sync` share: the words for both ends and for the way between them.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;

use super::sign::{Signed, Signing, carries};
use super::{Global, credentials};
use crate::archive::docker::Form;
use crate::error::{Context, Error, Result};
use crate::image::copy::{self, Choice, Options, Packing};
use crate::image::platform::Platform;
use crate::image::{Descriptor, Sink};
use crate::media::{Compression, Family};
use crate::place::{Opening, Place};
use crate::reference::Reference;
use crate::registry::Settings;
use crate::store::Store;

/// How the registry at one end is spoken to, where it is not as at the other.
macro_rules! end {
    ($name:ident, $prefix:literal, $alias:literal, $what:literal) => {
        #[doc = $what]
        #[derive(Debug, clap::Args)]
        pub(super) struct $name {
            #[doc = concat!("User and password for the ", $what)]
            #[arg(id = concat!($prefix, "creds"), long = concat!($prefix, "creds"), alias = $alias, value_name = "USER:PASSWORD",
                  value_parser = credentials)]
            creds: Option<(String, String)>,
            /// The same, skopeo's other way
            #[arg(id = concat!($prefix, "username"), long = concat!($prefix, "username"), value_name = "USER", hide = true,
                  requires = concat!($prefix, "password"), conflicts_with = concat!($prefix, "creds"))]
            username: Option<String>,
            /// With the user
            #[arg(id = concat!($prefix, "password"), long = concat!($prefix, "password"), value_name = "PASSWORD",
                  hide = true, requires = concat!($prefix, "username"))]
            password: Option<String>,
            #[doc = concat!("Say nobody's name to the ", $what)]
            #[arg(id = concat!($prefix, "no-creds"), long = concat!($prefix, "no-creds"))]
            no_creds: bool,
            #[doc = concat!("A token for the ", $what)]
            #[arg(id = concat!($prefix, "registry-token"), long = concat!($prefix, "registry-token"),
                  value_name = "TOKEN")]
            token: Option<String>,
            #[doc = concat!("The file of credentials for the ", $what)]
            #[arg(id = concat!($prefix, "authfile"), long = concat!($prefix, "authfile"), value_name = "FILE")]
            authfile: Option<PathBuf>,
            #[doc = concat!("With false: the ", $what, " needs no valid certificate, nor TLS")]
            #[arg(id = concat!($prefix, "tls-verify"), long = concat!($prefix, "tls-verify"), value_name = "BOOL",
                  num_args = 0..=1, default_missing_value = "true", require_equals = true)]
            tls_verify: Option<bool>,
            #[doc = concat!("A folder with authorities and a client certificate for the ", $what)]
            #[arg(id = concat!($prefix, "cert-dir"), long = concat!($prefix, "cert-dir"), value_name = "DIR")]
            cert_dir: Option<PathBuf>,
            #[doc = concat!("The docker daemon's socket, where it is the ", $what)]
            #[arg(id = concat!($prefix, "daemon-host"), long = concat!($prefix, "daemon-host"),
                  value_name = "unix://PATH")]
            daemon_host: Option<String>,
        }

        impl $name {
            /// How that registry is spoken to.
            pub(super) fn settings(&self, common: &Common) -> Settings {
                Settings {
                    credentials: self.creds.clone().or_else(|| self.username.clone().zip(self.password.clone())),
                    anonymous: self.no_creds,
                    token: self.token.clone(),
                    authfile: self.authfile.clone().or_else(|| common.authfile.clone()),
                    insecure: common.insecure_registry.clone(),
                    any_insecure: !self.tls_verify.unwrap_or(common.tls_verify),
                    cert_dir: self.cert_dir.clone(),
                    ..Settings::default()
                }
            }

            fn daemon(&self) -> Option<PathBuf> {
                let host = self.daemon_host.as_deref()?;
                Some(host.strip_prefix("unix://").unwrap_or(host).into())
            }
        }
    };
}

end!(SourceEnd, "src-", "screds", "source");
end!(DestinationEnd, "dest-", "creds", "destination");

/// What both ends have in common.
#[derive(Debug, clap::Args)]
pub(super) struct Common {
    /// The file of credentials [default: REGISTRY_AUTH_FILE, else podman's and docker's]
    #[arg(long, value_name = "FILE")]
    authfile: Option<PathBuf>,
    /// A registry (host or host:port) that needs no valid certificate, nor TLS; may be repeated
    #[arg(long, value_name = "HOST")]
    insecure_registry: Vec<String>,
    /// With false: every registry is insecure
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1,
          default_missing_value = "true", require_equals = true)]
    tls_verify: bool,
}

/// Which images of an index are copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum MultiArch {
    /// This machine's, or that of --platform
    System,
    /// All of them
    All,
}

/// Whose words the documents are to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// The OCI's
    Oci,
    /// Docker's schema 2
    #[value(alias = "docker")]
    V2s2,
}

/// How layers are to be packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Pack {
    Gzip,
    Zstd,
    None,
}

/// What happens to the image on its way.
#[derive(Debug, clap::Args)]
pub(super) struct Way {
    /// Copy all images of an index
    #[arg(long, short)]
    all: bool,
    /// Copy these images of an index
    #[arg(long, value_name = "WHICH", conflicts_with = "all")]
    multi_arch: Option<MultiArch>,
    /// Of an index, copy the image for this platform: os/architecture or os/architecture/variant
    #[arg(long, value_name = "PLATFORM", conflicts_with = "all")]
    platform: Option<Platform>,
    /// Fail where the copy could not have the same digest
    #[arg(long)]
    preserve_digests: bool,
    /// Rewrite the documents in this format
    #[arg(long, short, value_name = "FORMAT")]
    format: Option<Format>,
    /// Pack all layers in gzip, or as --dest-compress-format says
    #[arg(long)]
    dest_compress: bool,
    /// Pack all layers so
    #[arg(long, alias = "compress-format", value_name = "FORMAT")]
    dest_compress_format: Option<Pack>,
    /// How hard to pack: gzip 0 to 9, zstd 1 to 22
    #[arg(long, alias = "compress-level", value_name = "LEVEL", allow_hyphen_values = true)]
    dest_compress_level: Option<i32>,
    /// Unpack all layers
    #[arg(long, conflicts_with_all = ["dest_compress", "dest_compress_format"])]
    dest_decompress: bool,
    /// Leave signatures behind; else they go along where registries.d has `use-sigstore-attachments`
    #[arg(long)]
    remove_signatures: bool,
    #[command(flatten)]
    signed: Signed,
    #[command(flatten)]
    signing: Signing,
    /// One more tag for the destination; may be repeated
    #[arg(long, value_name = "TAG")]
    additional_tag: Vec<String>,
    /// Write the copy's digest into this file
    #[arg(long, value_name = "FILE")]
    digestfile: Option<PathBuf>,
    /// The form of a docker archive
    #[arg(long, value_name = "FORM", default_value = "new")]
    archive_form: Form,
    /// The most bytes of a blob that a registry gets in one request [default: all]
    #[arg(long, value_name = "BYTES")]
    chunk_size: Option<std::num::NonZeroU64>,
    /// Refused: there is no encryption here
    #[arg(long, hide = true, aliases = ["encrypt-layer", "decryption-key"], value_name = "KEY")]
    encryption_key: Option<String>,
}

impl Way {
    pub(super) fn options(&self) -> Result<Options> {
        if self.encryption_key.is_some() {
            let what = "images are neither encrypted nor decrypted here";
            return Err(Error::new(crate::error::Kind::Unsupported, what));
        }
        let compression = match (self.dest_compress_format, self.dest_compress, self.dest_decompress) {
            (Some(Pack::None), ..) | (None, _, true) => Some(Compression::None),
            (Some(Pack::Gzip), ..) | (None, true, _) => Some(Compression::Gzip),
            (Some(Pack::Zstd), ..) => Some(Compression::Zstd),
            (None, false, false) => None,
        };
        let level = self.dest_compress_level;
        let choice = match self.all || self.multi_arch == Some(MultiArch::All) {
            true => Choice::All,
            false => Choice::One(self.platform.clone()),
        };
        let family = self.format.map(|format| match format {
            Format::Oci => Family::Oci,
            Format::V2s2 => Family::Docker,
        });
        if level.is_some() && compression.is_none() {
            let e = Error::invalid("a level says how hard to pack, but nothing is packed anew");
            return Err(e.hint("say also --dest-compress-format"));
        }
        let packing = compression.map(|compression| Packing { compression, level }.checked()).transpose()?;
        Ok(Options { choice, preserve_digests: self.preserve_digests, family, packing, signatures: false })
    }

    /// The names that the copy is to have beside its own.
    fn more_names(&self, place: &Place) -> Result<Vec<Reference>> {
        let of = |tag: &String| match place.reference() {
            Some(reference) if !tag.contains(['/', ':']) => reference.with_tag(tag),
            _ => tag.parse(),
        };
        self.additional_tag.iter().map(of).collect()
    }
}

/// Both ends of a copy.
pub(super) struct Ends<'a> {
    pub(super) common: &'a Common,
    pub(super) source: Option<&'a SourceEnd>,
    pub(super) destination: Option<&'a DestinationEnd>,
}

/// Copies as the words say; gives what the destination stands for.
pub(super) fn transfer(
    global: &Global,
    ends: &Ends<'_>,
    way: &Way,
    source: &Place,
    destination: &Place,
) -> Result<Descriptor> {
    let store = std::cell::OnceCell::<Arc<Store>>::new();
    let open = || {
        let opened = store.get().cloned().map_or_else(|| global.store(), Ok)?;
        Ok(Arc::clone(store.get_or_init(|| opened)))
    };
    let settings = ends.source.map_or_else(Settings::default, |end| end.settings(ends.common));
    let (daemon, names) = (ends.source.and_then(SourceEnd::daemon), way.more_names(destination)?);
    let mut opening = Opening {
        daemon: daemon.as_deref(),
        platform: way.platform.as_ref(),
        more_names: &names,
        form: way.archive_form,
        part: way.chunk_size.map(std::num::NonZeroU64::get),
        ..Opening::new(&open, &settings)
    };
    let witness = way.signed.witness(global, source, settings.clone())?;
    let from = source.source(&opening)?;
    let settings = ends.destination.map_or_else(Settings::default, |end| end.settings(ends.common));
    let daemon = ends.destination.and_then(DestinationEnd::daemon);
    (opening.settings, opening.daemon) = (&settings, daemon.as_deref());
    let to = destination.sink(&opening)?;
    let mut options = way.options()?;
    options.signatures = !way.remove_signatures && carries(source)?;
    let key = way.signing.key()?;
    let copied =
        copy::copy(&witness.guard(&*from), &*to, &options, global).and_then(|(descriptor, bytes)| {
            for name in &names {
                if let Some(sink) = beside(destination, name, &opening)? {
                    sink.put_top(&descriptor, &bytes).while_doing(|| format!("name it {name}"))?;
                }
            }
            if let Some(key) = key {
                way.signing.sign(&key, &*to, destination, &bytes)?;
            }
            Ok(descriptor)
        });
    if let (Err(_), Some(store)) = (&copied, store.get()) {
        store.undo_added()?;
    }
    copied
}

/// The same place under another name, where that is a thing of its own.
fn beside(place: &Place, name: &Reference, opening: &Opening<'_>) -> Result<Option<Box<dyn Sink>>> {
    let other = match place {
        Place::Registry(..) => Place::Registry(name.clone(), true),
        Place::Store(_) => Place::Store(name.clone()),
        Place::Oci(dir, _) => Place::Oci(dir.clone(), name.tag().map(str::to_owned)),
        _ => return Ok(None),
    };
    other.sink(opening).map(Some)
}

/// Tells what came of it: the digest on standard output, and in a file where that was asked for.
pub(super) fn report(global: &Global, way: &Way, copied: &Descriptor) -> Result<()> {
    if let Some(file) = &way.digestfile {
        let written = std::fs::write(file, copied.digest.to_string());
        written.while_doing(|| format!("write {}", file.display()))?;
    }
    global.answer(|| json!(copied), || format!("{}\n", copied.digest))
}
