//! Names in the store: which image was pulled under which name.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::{Store, remove, replace};
use crate::digest::Digest;
use crate::error::{Context, Error, Result};
use crate::image::Descriptor;
use crate::image::edit::Edit;
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

    /// Makes the store forget a name.
    pub fn unpoint(&self, reference: &Reference) -> Result<()> {
        remove(&self.record_path(reference))
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

    /// All blobs that some name needs, as far as that is known here, with those names.
    pub(super) fn needed(&self) -> Result<HashMap<Digest, Vec<String>>> {
        let mut needed: HashMap<_, Vec<String>> = HashMap::new();
        for record in self.records()? {
            let mut blobs = HashSet::new();
            self.gather(&record.top, false, &mut blobs)?;
            self.gather(&record.manifest, true, &mut blobs)?;
            for blob in blobs {
                needed.entry(blob).or_default().push(record.name.clone());
            }
        }
        for user in self.users()? {
            let mut blobs = HashSet::new();
            self.gather(&user.manifest, false, &mut blobs)?;
            for blob in blobs {
                needed.entry(blob).or_default().push(format!("bundle {}", user.dir.display()));
            }
        }
        Ok(needed)
    }

    /// A document and all that it names; what an index names is needed only if it is here.
    fn gather(&self, descriptor: &Descriptor, needed: bool, blobs: &mut HashSet<Digest>) -> Result<()> {
        let bytes = match descriptor.is_document() {
            Ok(()) => self.document(descriptor)?,
            Err(_) => None,
        };
        if needed || bytes.is_some() {
            blobs.insert(descriptor.digest.clone());
        }
        let Some(bytes) = bytes else { return Ok(()) };
        let document = Edit::new(&descriptor.media_type, &bytes)?;
        if document.is_index() {
            return document.manifests()?.iter().try_for_each(|child| self.gather(child, false, blobs));
        }
        blobs.extend(document.layers()?.into_iter().map(|layer| layer.digest));
        blobs.insert(document.config()?.digest);
        Ok(())
    }

    /// The repositories whose images have a blob. All names are looked through once, whatever number of blobs it is
    /// asked for.
    pub(super) fn names_of(&self, digest: &Digest) -> Result<Vec<Reference>> {
        let needed = match self.names.get() {
            Some(needed) => needed,
            None => {
                let needed = self.needed()?;
                self.names.get_or_init(|| needed)
            }
        };
        let names = needed.get(digest).into_iter().flatten();
        Ok(names.filter_map(|name| name.parse().ok()).collect())
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
