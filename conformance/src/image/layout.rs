//! OCI layouts on disk.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::blob::Digest;
use crate::fixture::Artifact;

/// A directory in the form of image-layout.md.
#[derive(Debug)]
pub struct Layout {
    dir: PathBuf,
}

impl Layout {
    /// Writes the artifact, with all that belongs to it, under this name.
    pub fn write(dir: &Path, tag: &str, image: &Artifact) -> io::Result<Self> {
        let layout = Self { dir: dir.to_owned() };
        fs::create_dir_all(dir.join("blobs/sha256"))?;
        fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
        layout.add(image)?;
        let index = json!({ "schemaVersion": 2, "manifests": [{
            "mediaType": image.media_type, "digest": image.digest.as_str(), "size": image.manifest.len(),
            "annotations": { "org.opencontainers.image.ref.name": tag },
        }] });
        fs::write(dir.join("index.json"), index.to_string())?;
        Ok(layout)
    }

    fn add(&self, image: &Artifact) -> io::Result<()> {
        for child in &image.children {
            self.add(child)?;
        }
        fs::write(self.path(image.digest.as_str()), &image.manifest)?;
        for (digest, blob) in &image.blobs {
            let mut bytes = Vec::new();
            blob.open()?.read_to_end(&mut bytes)?;
            fs::write(self.path(digest.as_str()), bytes)?;
        }
        Ok(())
    }

    /// One that a tool has written.
    pub fn open(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where the blob of a digest lies.
    pub fn path(&self, digest: &str) -> PathBuf {
        self.dir.join("blobs").join(digest.replace(':', "/"))
    }

    /// The bytes of a blob.
    pub fn blob(&self, digest: &str) -> Result<Vec<u8>> {
        let path = self.path(digest);
        fs::read(&path).with_context(|| format!("read {}", path.display()))
    }

    /// A file of the layout as JSON: `index.json`, `oci-layout`.
    pub fn json(&self, file: &str) -> Result<Value> {
        let text = fs::read_to_string(self.dir.join(file)).with_context(|| format!("read {file}"))?;
        serde_json::from_str(&text).with_context(|| format!("{file} is no JSON: {text:?}"))
    }

    /// Changes `index.json`.
    pub fn edit_index(&self, edit: impl FnOnce(&mut Value)) -> Result<()> {
        let mut index = self.json("index.json")?;
        edit(&mut index);
        Ok(fs::write(self.dir.join("index.json"), index.to_string())?)
    }

    /// The digest that the first entry of `index.json` names.
    pub fn first(&self) -> Result<String> {
        let index = self.json("index.json")?;
        index["manifests"][0]["digest"].as_str().map(str::to_owned).context("index.json names nothing")
    }

    /// Fails unless every blob is what its name says; the number of blobs otherwise.
    pub fn check(&self) -> Result<usize> {
        let mut count = 0;
        for entry in fs::read_dir(self.dir.join("blobs/sha256")).context("read blobs/sha256")? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            let digest = Digest::of(&self.blob(&format!("sha256:{name}"))?);
            ensure!(digest.hex() == name, "blobs/sha256/{name} has the digest {digest}");
            count += 1;
        }
        Ok(count)
    }
}
