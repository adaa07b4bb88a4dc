//! Signatures, which stand beside an image under a tag of their own.

use super::Remote;
use crate::digest::Digest;
use crate::error::{Kind, Result};
use crate::image::{Descriptor, Sink, Source};
use crate::media::OCI_MANIFEST;
use crate::signature::{Signature, attachment};

impl Remote {
    /// The signatures of a manifest or an index.
    pub(super) fn signatures_beside(&self, digest: &Digest) -> Result<Vec<Signature>> {
        let beside = self.beside(digest)?;
        match beside.existing()? {
            None => Ok(Vec::new()),
            Some(manifest) => attachment::read(&manifest, |descriptor| beside.blob(descriptor)),
        }
    }

    /// Adds signatures to those that are there.
    pub(super) fn add_signatures_beside(&self, digest: &Digest, signatures: &[Signature]) -> Result<()> {
        let beside = self.beside(digest)?;
        let (manifest, config) = attachment::write(beside.existing()?.as_deref(), signatures)?;
        signatures.iter().try_for_each(|signature| beside.put_bytes(&signature.payload))?;
        beside.put_bytes(&config)?;
        let (registry, tag) = (&beside.inner.registry, beside.reference.selector());
        beside.inner.wait(registry.put_manifest(&tag, OCI_MANIFEST, &manifest)).map(|_| ())
    }

    /// Where the signatures of a manifest are, asked for on their own: a mirror may have the image without them.
    fn beside(&self, digest: &Digest) -> Result<Self> {
        Self::new(&self.reference.with_tag(&attachment::tag(digest))?, &self.settings)
    }

    /// The manifest that stands under the name, if there is one.
    pub(super) fn existing(&self) -> Result<Option<Vec<u8>>> {
        match self.inner.wait(self.inner.registry.manifest(&self.reference.selector())) {
            Err(e) if e.kind() == Kind::NotFound => Ok(None),
            other => Ok(Some(other?.bytes)),
        }
    }

    fn put_bytes(&self, bytes: &[u8]) -> Result<()> {
        let descriptor = Descriptor::of("", bytes);
        match self.has(&descriptor)? {
            true => Ok(()),
            false => {
                let url = self.inner.wait(self.inner.registry.begin())?;
                self.complete(&url, &descriptor, bytes.to_vec())
            }
        }
    }
}
