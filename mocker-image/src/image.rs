//! Images: the documents that describe them, OCI's and Docker's alike, and the places that hold them.
//!
//! ```text
//! Source  registry, store, OCI layout, archives, folder ──copy──> Sink  the same
//! ```
//!
//! A source can only hand out bytes that are verified when their end is reached.

pub mod copy;
mod download;
pub mod draft;
pub mod edit;
pub mod load;
pub mod platform;
pub mod pull;
pub mod tree;
pub mod view;

use std::fmt;
use std::io::Read;

use oci_spec::image::{ImageConfiguration, ImageIndex, ImageManifest};
use serde::{Deserialize, Serialize};

use crate::digest::{Digest, Verified};
use crate::error::{Context, Error, Kind, Result};
use crate::media::{DOCKER_LIST, DOCKER_MANIFEST, Family, OCI_INDEX, OCI_MANIFEST};
use crate::reference::Reference;
use crate::signature::Signature;

/// The most bytes that a manifest, an index or a config may have.
pub const DOCUMENT: u64 = 4 << 20;

/// What a blob is, how large, and its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptor {
    /// Its media type.
    pub media_type: String,
    /// Its digest.
    #[serde(with = "text")]
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
}

/// The bytes of a blob; their end of file means that size and digest were right.
pub type Blob = Verified<Box<dyn Read + Send>>;

/// A place that an image comes from.
pub trait Source: Sync {
    /// What errors and people call it.
    fn name(&self) -> String;

    /// What it holds: a manifest or an index, and its bytes, which are what the descriptor says.
    fn top(&self) -> Result<(Descriptor, Vec<u8>)>;

    /// A blob, or a manifest that an index names.
    fn blob(&self, descriptor: &Descriptor) -> Result<Blob>;

    /// Whether the manifest is nobody's: made up here, since the place has none.
    fn is_made_up(&self) -> bool {
        false
    }

    /// Repositories that are known to hold a blob, too.
    fn origins(&self, _descriptor: &Descriptor) -> Vec<Reference> {
        Vec::new()
    }

    /// The signatures that are kept beside a manifest or an index.
    fn signatures(&self, _digest: &Digest) -> Result<Vec<Signature>> {
        Ok(Vec::new())
    }

    /// A small document in memory.
    fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        descriptor.is_document()?;
        let mut bytes = Vec::new();
        let read = self.blob(descriptor)?.read_to_end(&mut bytes);
        read.while_doing(|| format!("read {descriptor}"))?;
        Ok(bytes)
    }
}

/// What a place can hold.
#[derive(Debug, Clone, Copy)]
pub struct Takes {
    /// Indexes, and so several images.
    pub indexes: bool,
    /// Only documents of this family; `None` is both.
    pub family: Option<Family>,
    /// Only layers that are not packed.
    pub plain: bool,
    /// Layers that are not packed are packed on their way here, where that breaks nobody's digest.
    pub packs: bool,
    /// Layers that lie elsewhere, at the URLs of their descriptors, stay there: nobody may hand them on.
    pub leaves_foreign: bool,
    /// Blobs that may be on their way at once.
    pub lanes: usize,
}

impl Takes {
    /// Whatever there is, as it is.
    pub const ANYTHING: Self =
        Self { indexes: true, family: None, plain: false, packs: false, leaves_foreign: false, lanes: 3 };
}

/// Where a blob comes from, as often as it takes.
pub trait Supply: Sync {
    /// The blob from its first byte.
    fn open(&self) -> Result<Blob>;

    /// Repositories that are known to hold it, too.
    fn origins(&self) -> Vec<Reference> {
        Vec::new()
    }
}

/// How a blob came to be where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// Its bytes were sent.
    Sent,
    /// The place took it from another of its repositories.
    Mounted,
}

/// A place that an image goes to.
pub trait Sink: Sync {
    /// What errors and people call it.
    fn name(&self) -> String;

    /// What it can hold.
    fn takes(&self) -> Takes;

    /// Whether the blob is there already.
    fn has(&self, descriptor: &Descriptor) -> Result<bool>;

    /// Takes a blob; it is there only when all of it was verified.
    fn put_blob(&self, descriptor: &Descriptor, supply: &dyn Supply) -> Result<Put>;

    /// Takes a manifest that an index will name.
    fn put_child(&self, descriptor: &Descriptor, bytes: &[u8]) -> Result<()>;

    /// Takes what the place stands for from now on; everything that it names is there.
    fn put_top(&self, descriptor: &Descriptor, bytes: &[u8]) -> Result<()>;

    /// Adds signatures to those of a manifest or an index that is here.
    ///
    /// # Errors
    /// The place keeps none.
    fn put_signatures(&self, _digest: &Digest, _signatures: &[Signature]) -> Result<()> {
        let what = format!("{} keeps no signatures", self.name());
        Err(Error::new(Kind::Unsupported, what).hint("copy without them: --remove-signatures"))
    }
}

impl Descriptor {
    /// The descriptor of some bytes.
    pub fn of(media_type: &str, bytes: &[u8]) -> Self {
        Self { media_type: media_type.to_owned(), digest: Digest::of(bytes), size: bytes.len() as u64 }
    }

    /// A descriptor as a document has it.
    pub fn parse(value: &serde_json::Value) -> Result<Self> {
        let descriptor: oci_spec::image::Descriptor = serde_json::from_value(value.clone())
            .map_err(|e| Error::invalid(format!("a descriptor of the manifest is none: {e}")))?;
        Self::read(&descriptor)
    }

    /// Whether it is small enough for a document.
    pub fn is_document(&self) -> Result<()> {
        match self.size > DOCUMENT {
            true => {
                let size = self.size;
                Err(Error::invalid(format!("{self} would have {size} bytes, more than {DOCUMENT}")))
            }
            false => Ok(()),
        }
    }

    pub(crate) fn read(descriptor: &oci_spec::image::Descriptor) -> Result<Self> {
        let digest = descriptor.digest().to_string().parse()?;
        Ok(Self { media_type: descriptor.media_type().to_string(), digest, size: descriptor.size() })
    }
}

impl fmt::Display for Descriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.digest.fmt(f)
    }
}

mod text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use crate::digest::Digest;

    pub(super) fn serialize<S: Serializer>(digest: &Digest, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(digest)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Digest, D::Error> {
        String::deserialize(d)?.parse().map_err(D::Error::custom)
    }
}

/// A manifest: the config and the layers of one platform.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// The image's configuration.
    pub config: Descriptor,
    /// Its layers, the lowest first.
    pub layers: Vec<Descriptor>,
}

/// An image whose documents are at hand.
#[derive(Debug)]
pub struct Image {
    /// What the name stands for: the manifest or an index.
    pub top: Descriptor,
    /// The manifest for the platform.
    pub descriptor: Descriptor,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its content.
    pub manifest: Manifest,
    /// The configuration.
    pub config: Config,
    /// Its bytes.
    pub config_bytes: Vec<u8>,
}

/// What a manifest request may give.
#[derive(Debug, Clone)]
pub enum Document {
    /// An image.
    Manifest(Manifest),
    /// A choice of images.
    Index(Box<ImageIndex>),
}

/// Just enough of any document to tell what it is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    schema_version: Option<u32>,
    media_type: Option<String>,
    layers: Option<serde::de::IgnoredAny>,
    manifests: Option<serde::de::IgnoredAny>,
    #[serde(rename = "fsLayers")]
    fs_layers: Option<serde::de::IgnoredAny>,
}

impl Document {
    /// Reads a manifest or an index; `media_type` is what the registry said it is.
    pub fn parse(bytes: &[u8], media_type: &str) -> Result<Self> {
        let shape: Shape = json(bytes)?;
        if shape.fs_layers.is_some()
            || shape.schema_version == Some(1)
            || media_type.contains("docker.distribution.manifest.v1")
        {
            let what = "the manifest is of Docker's schema 1, which is no longer read";
            return Err(Error::new(Kind::Unsupported, what).hint("push the image again with a current tool"));
        }
        if let Some(version) = shape.schema_version.filter(|version| *version != 2) {
            let what = format!("the manifest is of schema version {version}, not 2");
            return Err(Error::new(Kind::Unsupported, what));
        }
        let said = media_type.split(';').next().unwrap_or_default().trim();
        let own = shape.media_type.as_deref().unwrap_or(said);
        // A document that is both could be one thing to us and another to the next reader (CVE-2021-41190).
        match (own, shape.layers.is_some(), shape.manifests.is_some()) {
            (_, true, true) => Err(Error::invalid("the manifest has both layers and manifests")),
            (OCI_INDEX | DOCKER_LIST, true, _) | (OCI_MANIFEST | DOCKER_MANIFEST, _, true) => {
                Err(Error::invalid(format!("the manifest is not the {own} that it says")))
            }
            (_, false, true) => Ok(Self::Index(Box::new(json(bytes)?))),
            (_, true, false) => Self::manifest(bytes),
            (_, false, false) => {
                Err(Error::new(Kind::Unsupported, format!("a {own} is not the manifest of an image")))
            }
        }
    }

    fn manifest(bytes: &[u8]) -> Result<Self> {
        let manifest: ImageManifest = json(bytes)?;
        let config = Descriptor::read(manifest.config())?;
        let layers = manifest.layers().iter().map(Descriptor::read).collect::<Result<_>>()?;
        Ok(Self::Manifest(Manifest { config, layers }))
    }
}

/// Reads a JSON document; an error has line and column.
pub fn json<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|e| Error::invalid(format!("not the JSON that it should be: {e}")))
}

/// An image's configuration and the diffIDs of its layers.
#[derive(Debug, Clone)]
pub struct Config {
    /// The document.
    pub document: ImageConfiguration,
    /// One digest for each layer, of its unpacked archive.
    pub diff_ids: Vec<Digest>,
}

impl Config {
    /// Reads a configuration that must have a diffID for each of the manifest's layers.
    pub fn parse(bytes: &[u8], manifest: &Manifest) -> Result<Self> {
        let document: ImageConfiguration = json(bytes)?;
        let kind = document.rootfs().typ();
        if kind != "layers" {
            return Err(Error::new(
                Kind::Unsupported,
                format!("the config's rootfs is of type {kind:?}, not layers"),
            ));
        }
        let parsed =
            document.rootfs().diff_ids().iter().map(|id| id.parse()).collect::<Result<Vec<Digest>>>();
        let diff_ids = parsed.while_doing(|| "the config's diff_ids")?;
        let (layers, ids) = (manifest.layers.len(), diff_ids.len());
        match layers == ids {
            true => Ok(Self { document, diff_ids }),
            false => {
                Err(Error::invalid(format!("the manifest has {layers} layers, but the config {ids} diffIDs")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schema_1_and_documents_of_two_kinds_are_refused() {
        for (json, want) in [
            (
                r#"{"schemaVersion":1,"fsLayers":[]}"#,
                "the manifest is of Docker's schema 1, which is no longer read",
            ),
            (
                r#"{"schemaVersion":2,"layers":[],"manifests":[]}"#,
                "the manifest has both layers and manifests",
            ),
            (r#"{"schemaVersion":2}"#, "a application/x is not the manifest of an image"),
        ] {
            assert_eq!(Document::parse(json.as_bytes(), "application/x").unwrap_err().to_string(), want);
        }
        let e = Document::parse(b"{\n  \"a\": }", OCI_MANIFEST).unwrap_err().to_string();
        assert!(e.contains("line 2 column 8"), "{e}");
    }
}
