//! A source that hands out only what bears the signatures that are demanded.

use std::collections::HashSet;
use std::io;
use std::sync::{Mutex, PoisonError};

use super::payload::Payload;
use super::{Demand, Signature, denied};
use crate::digest::Digest;
use crate::error::{Context, Kind, Result};
use crate::image::edit::Edit;
use crate::image::{Blob, Descriptor, Source};
use crate::reference::Reference;

/// What an image must prove, and who is asked for the proof.
pub struct Proof<'a> {
    /// All of these must be met.
    pub demands: &'a [Demand],
    /// Who has the signatures.
    pub signed: &'a dyn Source,
    /// What the image is asked for by.
    pub name: Option<&'a Reference>,
}

impl Proof<'_> {
    /// What the signatures of a document say, the first that meets each demand.
    ///
    /// # Errors
    /// A demand is not met.
    pub fn of(&self, document: &[u8]) -> Result<Vec<Payload>> {
        if self.demands.is_empty() {
            return Ok(Vec::new());
        }
        let digest = Digest::of(document);
        let signatures =
            self.signed.signatures(&digest).while_doing(|| format!("look for signatures of {digest}"))?;
        self.demands.iter().map(|demand| self.meet(demand, &digest, &signatures)).collect()
    }

    fn meet(&self, demand: &Demand, digest: &Digest, signatures: &[Signature]) -> Result<Payload> {
        let mut why = "it has no signature".to_owned();
        for signature in signatures {
            match demand.met_by(signature, digest, self.name) {
                Err(e) => why = e.to_string(),
                met => return met,
            }
        }
        let e = denied(format!("{digest} is not signed as {} demands: {why}", demand.origin));
        Err(e.hint("see what there is with `mocker-image inspect --referrers`, or ask who makes the image"))
    }
}

/// A source behind a proof.
pub struct Guarded<'a> {
    inner: &'a dyn Source,
    proof: Proof<'a>,
    /// What an index names that is not signed itself: each of these has to be.
    open: Mutex<HashSet<Digest>>,
}

impl<'a> Guarded<'a> {
    /// Nothing is asked yet.
    pub fn new(inner: &'a dyn Source, proof: Proof<'a>) -> Self {
        Self { inner, proof, open: Mutex::default() }
    }

    /// An index may go unsigned; then each image that it names must be signed.
    fn prove(&self, media_type: &str, bytes: &[u8]) -> Result<()> {
        let Err(e) = self.proof.of(bytes) else {
            return Ok(());
        };
        let document = Edit::new(media_type, bytes)?;
        if e.kind() != Kind::Denied || !document.is_index() {
            return Err(e);
        }
        let named = document.manifests()?.into_iter().map(|child| child.digest);
        self.open.lock().unwrap_or_else(PoisonError::into_inner).extend(named);
        Ok(())
    }

    fn is_open(&self, descriptor: &Descriptor) -> bool {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).contains(&descriptor.digest)
    }
}

impl Source for Guarded<'_> {
    fn name(&self) -> String {
        self.inner.name()
    }

    fn top(&self) -> Result<(Descriptor, Vec<u8>)> {
        let (top, bytes) = self.inner.top()?;
        self.prove(&top.media_type, &bytes)?;
        Ok((top, bytes))
    }

    fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        let bytes = self.inner.document(descriptor)?;
        if self.is_open(descriptor) {
            self.prove(&descriptor.media_type, &bytes)?;
        }
        Ok(bytes)
    }

    fn blob(&self, descriptor: &Descriptor) -> Result<Blob> {
        if !self.is_open(descriptor) {
            return self.inner.blob(descriptor);
        }
        let reader: Box<dyn io::Read + Send> = Box::new(io::Cursor::new(self.document(descriptor)?));
        Ok(Blob::new(reader, descriptor.to_string(), &descriptor.digest, descriptor.size))
    }

    fn is_made_up(&self) -> bool {
        self.inner.is_made_up()
    }

    fn origins(&self, descriptor: &Descriptor) -> Vec<Reference> {
        self.inner.origins(descriptor)
    }

    fn signatures(&self, digest: &Digest) -> Result<Vec<Signature>> {
        self.inner.signatures(digest)
    }
}
