//! Documents that a case wants otherwise than the fixtures make them; every digest stays true.

use serde_json::{Value, json};

use crate::blob::{Blob, Digest};
use crate::fixture::Artifact;

/// The same image or index with a changed manifest.
pub fn remade(image: &Artifact, edit: impl FnOnce(&mut Value)) -> Artifact {
    let mut manifest = image.json();
    edit(&mut manifest);
    let mut changed = Artifact::raw(&image.media_type, manifest.to_string());
    (changed.blobs, changed.children) = (image.blobs.clone(), image.children.clone());
    changed
}

/// The same image with a changed configuration.
pub fn reconfigured(image: &Artifact, edit: impl FnOnce(&mut Value)) -> Artifact {
    let mut config = config_of(image);
    edit(&mut config);
    let bytes = config.to_string().into_bytes();
    let digest = Digest::of(&bytes);
    let mut changed = remade(image, |manifest| {
        manifest["config"]["digest"] = json!(digest.as_str());
        manifest["config"]["size"] = json!(bytes.len());
    });
    changed.blobs.push((digest, Blob::from(bytes)));
    changed
}

fn config_of(image: &Artifact) -> Value {
    let digest = image.config_digest();
    let blob = image.blobs.iter().find(|(held, _)| held.as_str() == digest).map(|(_, blob)| blob);
    blob.and_then(|blob| serde_json::from_reader(blob.open().ok()?).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Image;

    #[test]
    fn a_changed_configuration_is_what_the_manifest_names() {
        let image = Image::new().cmd(["/a"]).build().unwrap();
        let changed = reconfigured(&image, |config| config["author"] = json!("somebody"));
        assert_eq!(config_of(&changed)["author"], "somebody");
        assert_eq!(config_of(&changed)["config"], config_of(&image)["config"]);
        assert_ne!(changed.digest, image.digest);
    }
}
