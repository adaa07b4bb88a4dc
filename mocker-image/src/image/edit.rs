//! Manifests, indexes and configurations as JSON that keeps what we do not know.
//!
//! A document that nothing changes keeps its bytes; one that changes is written anew, with its keys
//! sorted, so that the same change gives the same digest.

use serde_json::{Value, json};

use super::{Descriptor, json};
use crate::digest::Digest;
use crate::error::{Error, Kind, Result};
use crate::media::{Compression, Family};

/// A manifest or an index to be changed.
#[derive(Debug, Clone)]
pub struct Edit {
    /// The document.
    pub value: Value,
    media_type: String,
    original: Vec<u8>,
    before: Value,
}

impl Edit {
    /// Reads a document.
    pub fn new(media_type: &str, bytes: &[u8]) -> Result<Self> {
        let value: Value = json(bytes)?;
        let own = value.get("mediaType").and_then(Value::as_str).unwrap_or(media_type).to_owned();
        Ok(Self { before: value.clone(), value, media_type: own, original: bytes.to_vec() })
    }

    /// The digest of the document as it was read.
    pub fn digest_before(&self) -> Digest {
        Digest::of(&self.original)
    }

    /// Whether it names manifests.
    pub fn is_index(&self) -> bool {
        self.value.get("manifests").is_some_and(Value::is_array)
    }

    /// Whose words it speaks.
    pub fn family(&self) -> Family {
        Family::of(&self.media_type)
    }

    /// What an index names.
    pub fn manifests(&self) -> Result<Vec<Descriptor>> {
        self.list("manifests")
    }

    /// The layers of a manifest.
    pub fn layers(&self) -> Result<Vec<Descriptor>> {
        self.list("layers")
    }

    /// Whether a layer is not to be handed on: its descriptor names the places to get it from.
    pub fn is_foreign(&self, layer: usize) -> bool {
        self.value["layers"][layer]["urls"].as_array().is_some_and(|urls| !urls.is_empty())
    }

    /// The configuration of a manifest.
    pub fn config(&self) -> Result<Descriptor> {
        Descriptor::parse(&self.value["config"])
    }

    /// Puts another descriptor in the place of one of a list, with its annotations and platform.
    pub fn replace(&mut self, list: &str, at: usize, descriptor: &Descriptor) {
        set(&mut self.value[list][at], descriptor);
    }

    /// Puts another configuration in.
    pub fn replace_config(&mut self, descriptor: &Descriptor) {
        set(&mut self.value["config"], descriptor);
    }

    /// Appends a layer.
    pub fn push_layer(&mut self, descriptor: &Descriptor) {
        let mut value = json!({});
        set(&mut value, descriptor);
        if let Some(layers) = self.value["layers"].as_array_mut() {
            layers.push(value);
        }
    }

    /// Makes the document speak the words of a family; what only the other one has is dropped.
    pub fn speak(&mut self, family: Family) -> Result<()> {
        if self.family() == family {
            return Ok(());
        }
        let index = self.is_index();
        self.media_type = if index { family.index() } else { family.manifest() }.to_owned();
        self.value["mediaType"] = json!(self.media_type);
        if family == Family::Docker
            && let Some(object) = self.value.as_object_mut()
        {
            for only_oci in ["annotations", "subject", "artifactType"] {
                object.remove(only_oci);
            }
        }
        if index {
            return Ok(());
        }
        let config = self.config()?;
        if !config.media_type.contains("image.config") && !config.media_type.contains("container.image") {
            let what = format!("a {} is not the configuration of an image", config.media_type);
            return Err(Error::new(Kind::Unsupported, what));
        }
        self.value["config"]["mediaType"] = json!(family.config());
        for (n, layer) in self.layers()?.iter().enumerate() {
            let compression = Compression::of(&layer.media_type)?;
            if (family, compression) == (Family::Docker, Compression::Zstd) {
                let what = "Docker's schema 2 has no layers in zstd";
                return Err(Error::new(Kind::Unsupported, what).hint("add --dest-compress-format gzip"));
            }
            self.value["layers"][n]["mediaType"] = json!(family.layer(compression));
        }
        Ok(())
    }

    /// Descriptor and bytes as they are now.
    pub fn done(self) -> Result<(Descriptor, Vec<u8>)> {
        let bytes = match self.value == self.before {
            true => self.original,
            false => to_bytes(&self.value)?,
        };
        Ok((Descriptor::of(&self.media_type, &bytes), bytes))
    }

    /// Whether something changed.
    pub fn is_changed(&self) -> bool {
        self.value != self.before
    }

    fn list(&self, name: &str) -> Result<Vec<Descriptor>> {
        self.value[name].as_array().into_iter().flatten().map(Descriptor::parse).collect()
    }
}

/// A document's bytes.
pub fn to_bytes(value: &Value) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|e| Error::new(Kind::Internal, e.to_string()))
}

fn set(value: &mut Value, descriptor: &Descriptor) {
    value["mediaType"] = json!(descriptor.media_type);
    value["digest"] = json!(descriptor.digest.to_string());
    value["size"] = json!(descriptor.size);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_changed_keeps_its_bytes_and_what_is_keeps_what_it_knows() {
        let digest = format!("sha256:{}", "0".repeat(64));
        let layer = json!({"mediaType": Family::Oci.layer(Compression::Gzip), "digest": digest, "size": 1,
            "annotations": {"a": "b"}});
        let config = json!({"mediaType": Family::Oci.config(), "digest": digest, "size": 2});
        let text = json!({"schemaVersion": 2, "layers": [layer], "config": config, "odd": 1,
            "annotations": {"c": "d"}});
        let bytes = format!(" {text} ").into_bytes();
        let mut edit = Edit::new(Family::Oci.manifest(), &bytes).unwrap();
        assert_eq!(edit.clone().done().unwrap().1, bytes);
        edit.replace("layers", 0, &Descriptor::of(&Family::Oci.layer(Compression::Zstd), b"x"));
        assert_eq!(edit.value["layers"][0]["annotations"], json!({"a": "b"}));
        assert!(edit.clone().speak(Family::Docker).is_err());
        let mut edit = Edit::new(Family::Oci.manifest(), &bytes).unwrap();
        edit.speak(Family::Docker).unwrap();
        let (descriptor, bytes) = edit.done().unwrap();
        assert_eq!(descriptor.media_type, Family::Docker.manifest());
        let value: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(value["layers"][0]["mediaType"], Family::Docker.layer(Compression::Gzip));
        assert_eq!((&value["odd"], value.get("annotations")), (&json!(1), None));
    }
}
