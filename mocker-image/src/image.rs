//! Images: the documents that describe them, OCI's and Docker's alike.

mod download;
pub mod platform;
pub mod pull;
pub mod view;

use std::fmt;

use oci_spec::image::{ImageConfiguration, ImageIndex, ImageManifest};
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::error::{Context, Error, Kind, Result};
use crate::media::{DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST};

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

impl Descriptor {
    fn read(descriptor: &oci_spec::image::Descriptor) -> Result<Self> {
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
