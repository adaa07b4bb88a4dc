//! What the in-process registry holds.

use std::collections::{BTreeMap, HashMap};

use crate::blob::{Blob, Digest};
use crate::fixture::Artifact;

#[derive(Default)]
pub(super) struct Store {
    /// (name, tag or digest) -> (media type, bytes)
    manifests: BTreeMap<(String, String), (String, Vec<u8>)>,
    blobs: HashMap<String, Blob>,
    uploads: HashMap<u64, Vec<u8>>,
    next: u64,
}

impl Store {
    pub(super) fn put(&mut self, name: &str, tag: Option<&str>, artifact: &Artifact) {
        for child in &artifact.children {
            self.put(name, None, child);
        }
        for (digest, blob) in &artifact.blobs {
            self.blobs.insert(digest.to_string(), blob.clone());
        }
        let manifest = (artifact.media_type.clone(), artifact.manifest.clone());
        if let Some(tag) = tag {
            self.manifests.insert((name.to_owned(), tag.to_owned()), manifest.clone());
        }
        self.manifests.insert((name.to_owned(), artifact.digest.to_string()), manifest);
    }

    pub(super) fn put_manifest(
        &mut self,
        name: &str,
        reference: &str,
        media_type: &str,
        bytes: &[u8],
    ) -> Digest {
        let mut artifact = Artifact::raw(media_type, bytes);
        if reference.starts_with("sha512:") {
            artifact.digest = Digest::sha512_of(bytes);
        }
        let tag = (!reference.contains(':')).then_some(reference);
        self.put(name, tag, &artifact);
        artifact.digest
    }

    pub(super) fn manifest(&self, name: &str, reference: &str) -> Option<(String, Vec<u8>)> {
        self.manifests.get(&(name.to_owned(), reference.to_owned())).cloned()
    }

    /// What refers to a manifest of a repository: media type, digest and document of each.
    pub(super) fn referrers(&self, name: &str, subject: &str) -> Vec<(String, String, Vec<u8>)> {
        let of_name = self.manifests.iter().filter(|((held, key), _)| held == name && key.contains(':'));
        let refers = |bytes: &[u8]| {
            let document: serde_json::Value = serde_json::from_slice(bytes).unwrap_or_default();
            document["subject"]["digest"] == subject
        };
        let found = of_name.filter(|(_, (_, bytes))| refers(bytes));
        found.map(|((_, digest), (kind, bytes))| (kind.clone(), digest.clone(), bytes.clone())).collect()
    }

    pub(super) fn remove_manifest(&mut self, name: &str, reference: &str) -> bool {
        self.manifests.remove(&(name.to_owned(), reference.to_owned())).is_some()
    }

    pub(super) fn tags(&self, name: &str) -> Option<Vec<String>> {
        let mut of_name = self.manifests.keys().filter(|(held, _)| held == name).peekable();
        of_name.peek()?;
        Some(of_name.filter(|(_, tag)| !tag.contains(':')).map(|(_, tag)| tag.clone()).collect())
    }

    pub(super) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.manifests.keys().map(|(name, _)| name.clone()).collect();
        names.dedup();
        names
    }

    pub(super) fn blob(&self, digest: &str) -> Option<Blob> {
        self.blobs.get(digest).cloned()
    }

    pub(super) fn remove_blob(&mut self, digest: &str) {
        self.blobs.remove(digest);
    }

    pub(super) fn open_upload(&mut self) -> u64 {
        self.next += 1;
        self.uploads.insert(self.next, Vec::new());
        self.next
    }

    /// The new length, or nothing for an unknown upload.
    pub(super) fn append(&mut self, upload: u64, bytes: &[u8]) -> Option<usize> {
        let held = self.uploads.get_mut(&upload)?;
        held.extend_from_slice(bytes);
        Some(held.len())
    }

    /// Ends the upload; its bytes are kept only if they are what `digest` says.
    pub(super) fn commit(&mut self, upload: u64, digest: &str) -> bool {
        let bytes = self.uploads.remove(&upload).unwrap_or_default();
        let good = [Digest::of(&bytes), Digest::sha512_of(&bytes)].iter().any(|own| own.as_str() == digest);
        if good {
            self.blobs.insert(digest.to_owned(), bytes.into());
        }
        good
    }
}
