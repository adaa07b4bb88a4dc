//! What refers to another manifest (`subject`): registries list it, or else whoever pushes does.
//!
//! A registry that knows referrers says so in its answer; for the others the distribution specification
//! has an index under a tag that is the subject's digest, which is brought up to date here.

use serde_json::{Value, json};

use super::Remote;
use crate::digest::Digest;
use crate::error::{Context, Result};
use crate::image::Descriptor;
use crate::image::edit::to_bytes;
use crate::media::OCI_INDEX;

/// The header by which a registry says that it lists the manifest as a referrer.
const LISTED: &str = "oci-subject";

impl Remote {
    /// Puts a manifest or an index, and sees to it that it is found by what it refers to.
    pub(super) fn put_document(&self, selector: &str, descriptor: &Descriptor, bytes: &[u8]) -> Result<()> {
        let registry = &self.inner.registry;
        let headers = self.inner.wait(registry.put_manifest(selector, &descriptor.media_type, bytes))?;
        let document: Value = crate::image::json(bytes)?;
        match document["subject"]["digest"].as_str() {
            Some(subject) if !headers.contains_key(LISTED) => {
                let subject: Digest = subject.parse()?;
                self.refer(&subject, descriptor, &document).while_doing(|| format!("refer to {subject}"))
            }
            _ => Ok(()),
        }
    }

    fn refer(&self, subject: &Digest, descriptor: &Descriptor, document: &Value) -> Result<()> {
        let tag = subject.stand_in();
        let beside = Self::new(&self.reference.with_tag(&tag)?, &self.settings)?;
        let mut index: Value = match beside.existing()? {
            Some(bytes) => crate::image::json(&bytes)?,
            None => crate::layout::empty_index(),
        };
        let digest = descriptor.digest.to_string();
        let mut entry =
            json!({ "mediaType": descriptor.media_type, "digest": digest, "size": descriptor.size });
        let kind = document.get("artifactType").or_else(|| document["config"].get("mediaType"));
        for (key, value) in [("artifactType", kind), ("annotations", document.get("annotations"))] {
            if let Some(value) = value {
                entry[key] = value.clone();
            }
        }
        let Some(list) = index["manifests"].as_array_mut() else {
            return Err(crate::error::Error::invalid(format!("{tag} is no index")));
        };
        if list.iter().any(|held| held["digest"] == digest) {
            return Ok(());
        }
        list.push(entry);
        let bytes = to_bytes(&index)?;
        beside.inner.wait(beside.inner.registry.put_manifest(&tag, OCI_INDEX, &bytes)).map(|_| ())
    }
}
