//! Names in the store: which image was pulled under which name.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::{Store, replace};
use crate::digest::Digest;
use crate::error::{Context, Error, Result};
use crate::image::{Descriptor, Document};
use crate::reference::Reference;

/// One name: what it stands for, and when it was asked for last.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// The complete name, with tag or digest.
    pub name: String,
    /// What the registry gave for it: a manifest or an index.
    pub top: Descriptor,
    /// The manifest that was chosen for the platform.
    pub manifest: Descriptor,
    /// When, in seconds since the epoch.
    pub pulled: u64,
}

impl Store {
    /// Points a name at an image; what was added is kept from now on.
    pub fn point(&self, reference: &Reference, top: &Descriptor, manifest: &Descriptor) -> Result<()> {
        let pulled = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        let record =
            Record { name: reference.to_string(), top: top.clone(), manifest: manifest.clone(), pulled };
        let json = serde_json::to_vec(&record).map_err(|e| Error::invalid(e.to_string()))?;
        replace(&self.root.join("partial"), &self.record_path(reference), &json)?;
        self.keep_added();
        Ok(())
    }

    /// What a name stands for, if it was pulled.
    pub fn record(&self, reference: &Reference) -> Result<Option<Record>> {
        read(&self.record_path(reference))
    }

    /// All names, sorted.
    pub fn records(&self) -> Result<Vec<Record>> {
        let dir = self.root.join("refs");
        let step = || format!("list {}", dir.display());
        let mut records = Vec::new();
        for found in std::fs::read_dir(&dir).while_doing(step)? {
            records.extend(read(&found.while_doing(step)?.path())?);
        }
        records.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(records)
    }

    /// All blobs that some name refers to, as far as they are here.
    pub(super) fn needed(&self) -> Result<HashSet<Digest>> {
        let mut needed = HashSet::new();
        for record in self.records()? {
            if let Some(bytes) = self.document(&record.manifest)?
                && let Document::Manifest(manifest) = Document::parse(&bytes, &record.manifest.media_type)?
            {
                needed.extend(manifest.layers.into_iter().map(|layer| layer.digest));
                needed.insert(manifest.config.digest);
            }
            needed.extend([record.top.digest, record.manifest.digest]);
        }
        Ok(needed)
    }

    fn record_path(&self, reference: &Reference) -> PathBuf {
        self.root.join("refs").join(Digest::of(reference.to_string().as_bytes()).hex())
    }
}

fn read(path: &Path) -> Result<Option<Record>> {
    let step = || format!("read {}", path.display());
    let bytes = match std::fs::read(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other.while_doing(step)?,
    };
    let record = serde_json::from_slice(&bytes).map_err(|e| Error::invalid(e.to_string()));
    record.while_doing(step).map(Some)
}
