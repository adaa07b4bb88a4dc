//! Images made by a test: every byte chosen, true or lying.
//!
//! ```text
//! Layer ──pack──> Packed   blob, digest, size, diffID
//! Image ──build─> Artifact manifest + config + layers
//! Index ──build─> Artifact index + the images that it names
//! ```
//!
//! Nothing is checked: a hostile name, a wrong digest and a size that lies are what this is for.

mod image;
mod index;
mod layer;
mod sample;

pub use image::{Family, Image, Lie, Platform};
pub use index::Index;
pub use layer::{Compression, Layer, Packed};
pub use sample::{sample, scratch};

use crate::blob::{Blob, Digest};

/// What a registry holds under one name: a manifest or an index, and all that it refers to.
#[derive(Debug, Clone)]
pub struct Artifact {
    /// Media type of `manifest`.
    pub media_type: String,
    /// The manifest's or index's own bytes.
    pub manifest: Vec<u8>,
    /// Digest of `manifest`.
    pub digest: Digest,
    /// Config and layers, under the digest by which the manifest calls them (which may be a lie).
    pub blobs: Vec<(Digest, Blob)>,
    /// The manifests that an index names.
    pub children: Vec<Artifact>,
}

impl Artifact {
    /// A manifest of any bytes, with nothing that it refers to.
    pub fn raw(media_type: &str, manifest: impl Into<Vec<u8>>) -> Self {
        let manifest = manifest.into();
        let digest = Digest::of(&manifest);
        Self { media_type: media_type.to_owned(), manifest, digest, blobs: Vec::new(), children: Vec::new() }
    }

    /// The manifest as JSON; an index's or image's own bytes always parse, raw ones may give null.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.manifest).unwrap_or_default()
    }

    /// Digest of the config blob, as the manifest says it (empty for an index).
    pub fn config_digest(&self) -> String {
        self.json()["config"]["digest"].as_str().unwrap_or_default().to_owned()
    }

    /// Digests of the layer blobs, as the manifest says them, lowest layer first (none for an index).
    pub fn layer_digests(&self) -> Vec<String> {
        let manifest = self.json();
        let layers = manifest["layers"].as_array().cloned().unwrap_or_default();
        layers.iter().filter_map(|layer| layer["digest"].as_str().map(str::to_owned)).collect()
    }
}
