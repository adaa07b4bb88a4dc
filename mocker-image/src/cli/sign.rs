//! `sign`, `generate-key`, and the words of other commands about signatures.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::login::{hidden, terminal};
use super::{Global, Remote, Teller, print};
use crate::digest::Digest;
use crate::error::{Context, Error, Kind, Result};
use crate::image::edit::Edit;
use crate::image::{Sink, Source};
use crate::place::Place;
use crate::progress::count;
use crate::reference::Reference;
use crate::registry::remote::Remote as Repository;
use crate::registry::{Actions, Settings};
use crate::signature::guard::{Guarded, Proof};
use crate::signature::identity::Identity;
use crate::signature::key::{PrivateKey, PublicKey};
use crate::signature::payload::{Payload, name_of};
use crate::signature::{Demand, Signature, carry};
use crate::{folder, interrupt, policy};

/// Which signatures an image must bear.
#[derive(Debug, clap::Args)]
pub(super) struct Signed {
    /// Take the image only if this key (PEM, cosign's or skopeo's) has signed it; may be repeated
    #[arg(long, value_name = "KEY")]
    require_signature: Vec<PathBuf>,
}

impl Signed {
    /// What the command line and the policy demand; an error where the policy lets no such image in.
    pub(super) fn demands(&self, global: &Global, place: &Place) -> Result<Vec<Demand>> {
        let mut demands = by_keys(&self.require_signature)?;
        if !global.insecure_policy {
            demands.extend(policy::demands(place, global.policy.as_deref())?);
        }
        Ok(demands)
    }

    /// The same, with whom to ask for the signatures.
    pub(super) fn witness(&self, global: &Global, place: &Place, settings: Settings) -> Result<Witness> {
        Witness::new(place, self.demands(global, place)?, settings)
    }
}

/// The demands for signatures by keys, whatever name they are for.
pub(super) fn by_keys(keys: &[PathBuf]) -> Result<Vec<Demand>> {
    let demand = |path: &PathBuf| {
        let keys = vec![PublicKey::read(path)?];
        Ok(Demand { origin: path.display().to_string(), keys, identity: Identity::Any })
    };
    keys.iter().map(demand).collect()
}

/// What is demanded, and who may prove it.
pub(super) struct Witness {
    pub(super) demands: Vec<Demand>,
    /// The registry of the name; elsewhere the place itself has the signatures.
    signed: Option<Repository>,
    name: Option<Reference>,
}

impl Witness {
    /// Nobody is asked before there is a demand.
    pub(super) fn new(place: &Place, demands: Vec<Demand>, settings: Settings) -> Result<Self> {
        let name = match place {
            Place::Registry(reference, _) | Place::Store(reference) => Some(reference.clone()),
            _ => None,
        };
        let asked = name.as_ref().filter(|_| !demands.is_empty());
        let signed = asked.map(|name| Repository::new(name, &settings)).transpose()?;
        Ok(Self { demands, signed, name })
    }

    /// A source that gives out only what is proven.
    pub(super) fn guard<'a>(&'a self, source: &'a dyn Source) -> Guarded<'a> {
        let signed = self.signed.as_ref().map_or(source, |signed| signed as &dyn Source);
        Guarded::new(source, Proof { demands: &self.demands, signed, name: self.name.as_ref() })
    }
}

/// Whether the signatures of a place are copied.
pub(super) fn carries(place: &Place) -> Result<bool> {
    match place {
        Place::Registry(reference, _) => carry::carries(reference),
        Place::Dir(_) => Ok(true),
        _ => Ok(false),
    }
}

/// The words for signing a copy.
#[derive(Debug, clap::Args)]
pub(super) struct Signing {
    /// Sign the copy with this key (cosign's or skopeo's private key)
    #[arg(long, value_name = "KEY")]
    sign_by_sigstore_private_key: Option<PathBuf>,
    /// The file with the key's passphrase [default: COSIGN_PASSWORD, or asked for]
    #[arg(long, value_name = "FILE", requires = "sign_by_sigstore_private_key")]
    sign_passphrase_file: Option<PathBuf>,
    /// The name to sign for [default: the destination's]
    #[arg(long, value_name = "NAME", requires = "sign_by_sigstore_private_key")]
    sign_identity: Option<Reference>,
}

impl Signing {
    /// The key, opened before anything is copied.
    pub(super) fn key(&self) -> Result<Option<PrivateKey>> {
        let file = self.sign_passphrase_file.as_deref();
        let key = self.sign_by_sigstore_private_key.as_ref();
        key.map(|key| PrivateKey::read(key, || passphrase(file))).transpose()
    }

    /// Signs what was copied, and each image of an index.
    pub(super) fn sign(&self, key: &PrivateKey, to: &dyn Sink, place: &Place, top: &[u8]) -> Result<()> {
        let name = self.sign_identity.as_ref().or_else(|| place.reference()).ok_or_else(|| {
            let e = Error::invalid(format!("{place} has no name that could be signed"));
            e.hint("say it with --sign-identity")
        })?;
        let mut digests = vec![Digest::of(top)];
        let document = Edit::new("", top)?;
        if document.is_index() {
            digests.extend(document.manifests()?.into_iter().map(|child| child.digest));
        }
        for digest in &digests {
            let signature = signature(key, digest, name, &[])?;
            to.put_signatures(digest, &[signature]).while_doing(|| format!("sign {digest}"))?;
        }
        Ok(())
    }
}

fn signature(
    key: &PrivateKey,
    digest: &Digest,
    name: &Reference,
    said: &[(String, String)],
) -> Result<Signature> {
    let payload = Payload { digest: digest.clone(), name: name_of(name) }.to_bytes(said)?;
    Ok(Signature { signature: key.sign(&payload)?, payload, annotations: Vec::new() })
}

#[derive(Debug, clap::Args)]
pub(super) struct Sign {
    /// The image: a name (at its registry), or `dir:DIR`
    #[arg(value_name = "IMAGE")]
    place: Place,
    /// The private key: cosign's or skopeo's, or a plain one of ECDSA on P-256 (PEM)
    #[arg(long, short, value_name = "KEY")]
    key: PathBuf,
    /// The file with the key's passphrase [default: COSIGN_PASSWORD, or asked for]
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// The name to sign for [default: IMAGE]
    #[arg(long, alias = "sign-identity", value_name = "NAME")]
    identity: Option<Reference>,
    /// Sign each image of an index, too
    #[arg(long, short)]
    recursive: bool,
    /// Say this in the signature, too; may be repeated
    #[arg(long, short, value_name = "KEY=VALUE", value_parser = pair)]
    annotation: Vec<(String, String)>,
    #[command(flatten)]
    remote: Remote,
}

impl Sign {
    /// Prints the digests that are signed now.
    pub(super) fn run(&self, global: &Global) -> Result<()> {
        interrupt::watch()?;
        let signed = self.sign(global).while_doing(|| format!("sign {}", self.place))?;
        if global.json {
            let digests: Vec<String> = signed.iter().map(Digest::to_string).collect();
            return print(format!("{:#}\n", json!({ "signed": digests })));
        }
        print(signed.iter().map(|digest| format!("{digest}\n")).collect::<String>())
    }

    fn sign(&self, global: &Global) -> Result<Vec<Digest>> {
        let key = PrivateKey::read(&self.key, || passphrase(self.passphrase_file.as_deref()))?;
        let settings = Settings { actions: Actions::Push, ..self.remote.settings() };
        match &self.place {
            Place::Registry(reference, _) => {
                let remote = Repository::new(reference, &settings)?;
                self.all(&key, &remote, &remote, global)
            }
            Place::Dir(dir) => {
                let folder = folder::Folder::new(dir);
                self.all(&key, &folder, &folder, global)
            }
            other => {
                let what = format!("{other} keeps no signatures");
                Err(Error::new(Kind::Unsupported, what).hint("push it, and sign it at its registry"))
            }
        }
    }

    fn all(
        &self,
        key: &PrivateKey,
        from: &dyn Source,
        to: &dyn Sink,
        global: &Global,
    ) -> Result<Vec<Digest>> {
        let (top, bytes) = from.top()?;
        let (_, bytes) = match &self.remote.platform {
            Some(platform) => crate::image::load::choose(from, Some(platform), top, bytes)?,
            None => (top, bytes),
        };
        let name = self.identity.as_ref().or_else(|| self.place.reference()).ok_or_else(|| {
            Error::invalid("a folder has no name that could be signed").hint("say it with --identity")
        })?;
        let mut digests = vec![Digest::of(&bytes)];
        let document = Edit::new("", &bytes)?;
        if self.recursive && document.is_index() {
            digests.extend(document.manifests()?.into_iter().map(|child| child.digest));
        }
        for digest in &digests {
            to.put_signatures(digest, &[signature(key, digest, name, &self.annotation)?])?;
        }
        global.tell(&format!("signed {} as {}", count(digests.len(), "document"), name_of(name)));
        Ok(digests)
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct GenerateKey {
    /// The files to make: PREFIX.private and PREFIX.pub
    #[arg(value_name = "PREFIX", required_unless_present = "output_prefix")]
    prefix: Option<PathBuf>,
    /// The same, skopeo's way
    #[arg(long, value_name = "PREFIX", hide = true)]
    output_prefix: Option<PathBuf>,
    /// The file with the passphrase for the private key [default: COSIGN_PASSWORD, or asked for]
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

impl GenerateKey {
    pub(super) fn run(&self, global: &Global) -> Result<()> {
        interrupt::watch()?;
        let prefix = super::author::either(self.prefix.as_ref(), self.output_prefix.as_ref(), "which files")?;
        let file = |end: &str| PathBuf::from(format!("{}.{end}", prefix.display()));
        let (private, public) = (file("private"), file("pub"));
        let make = || {
            for file in [&private, &public] {
                if file.symlink_metadata().is_ok() {
                    return Err(Error::new(Kind::Exists, format!("{} is there already", file.display())));
                }
            }
            PrivateKey::generate(&private, &public, &passphrase(self.passphrase_file.as_deref())?)
        };
        make().while_doing(|| format!("generate the key {}", prefix.display()))?;
        match global.json {
            true => print(format!("{:#}\n", json!({ "private": private, "public": public }))),
            false => print(format!("{}\n{}\n", private.display(), public.display())),
        }
    }
}

/// The passphrase of a private key: from a file, the environment, or the terminal.
fn passphrase(file: Option<&Path>) -> Result<Vec<u8>> {
    if let Some(file) = file {
        let text = std::fs::read(file).while_doing(|| format!("read the passphrase {}", file.display()))?;
        let end = text.iter().rposition(|b| !matches!(b, b'\n' | b'\r')).map_or(0, |at| at + 1);
        return Ok(text[..end].to_vec());
    }
    if let Some(value) = std::env::var_os("COSIGN_PASSWORD") {
        return Ok(std::os::unix::ffi::OsStringExt::into_vec(value));
    }
    let terminal =
        terminal("the passphrase", "give it in a file with --passphrase-file, or in COSIGN_PASSWORD")?;
    hidden(&terminal, "Passphrase of the key: ").map(String::into_bytes)
}

fn pair(text: &str) -> std::result::Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(key, _)| !key.is_empty());
    pair.map(|(key, value)| (key.to_owned(), value.to_owned())).ok_or_else(|| "not KEY=VALUE".to_owned())
}
