//! `store:NAME`: an image of the local store as a place that others are copied from and to.

use std::io::Read;
use std::sync::Arc;

use super::partial::{Claim, Progress};
use super::{Record, Store};
use crate::digest::Digest;
use crate::error::{Context, Error, Kind, Result};
use crate::image::platform::Platform;
use crate::image::{Blob, Descriptor, Document, Image, Put, Sink, Source, Supply, Takes};
use crate::reference::Reference;
use crate::signature::Signature;

/// A name in a store.
#[derive(Debug)]
pub struct Named {
    store: Arc<Store>,
    reference: Reference,
    /// Which image of an index the name is listed as; `None` is this machine's.
    pub platform: Option<Platform>,
}

impl Named {
    /// A name, whether there is such an image or not.
    pub fn new(store: &Arc<Store>, reference: &Reference) -> Self {
        Self { store: Arc::clone(store), reference: reference.clone(), platform: None }
    }

    fn record(&self) -> Result<Record> {
        self.store.record(&self.reference)?.ok_or_else(|| {
            let e = Error::new(Kind::NotFound, "there is no such image in the store");
            e.hint(format!("get it with `mocker-image pull {}`", self.reference))
        })
    }

    /// The manifest that the name is listed as.
    fn listed(&self, top: &Descriptor, bytes: &[u8]) -> Result<Descriptor> {
        match Document::parse(bytes, &top.media_type)? {
            Document::Manifest(_) => Ok(top.clone()),
            Document::Index(index) => {
                match self.platform.as_ref().unwrap_or(&Platform::host()).choose(&index) {
                    // An image of other machines may well be kept here.
                    Err(e) if e.kind() == Kind::NotFound => {
                        let first = index.manifests().first().ok_or(e)?;
                        Descriptor::read(first)
                    }
                    chosen => chosen,
                }
            }
        }
    }
}

impl Store {
    /// Takes an image over without a name.
    pub fn keep(self: &Arc<Self>, source: &dyn Source, image: &Image) -> Result<()> {
        let reference = "localhost/nameless".parse()?;
        let sink = Named::new(self, &reference);
        for descriptor in image.manifest.layers.iter().chain([&image.manifest.config]) {
            if !sink.has(descriptor)? {
                sink.put_blob(descriptor, &Whole { source, descriptor })?;
            }
        }
        self.put(&image.descriptor.digest, &image.bytes)
    }
}

/// All blobs of a store, without a name.
#[derive(Debug)]
pub struct Held(Arc<Store>);

impl Held {
    /// Whatever is in the store.
    pub fn new(store: &Arc<Store>) -> Self {
        Self(Arc::clone(store))
    }
}

impl Source for Held {
    fn name(&self) -> String {
        format!("the store {}", self.0.root().display())
    }

    fn top(&self) -> Result<(Descriptor, Vec<u8>)> {
        Err(Error::new(Kind::Internal, "the store as a whole is no image"))
    }

    fn blob(&self, descriptor: &Descriptor) -> Result<Blob> {
        let gone = || Error::new(Kind::NotFound, format!("blob {descriptor} is not in the store"));
        self.0.blob(descriptor)?.ok_or_else(gone)
    }

    fn origins(&self, descriptor: &Descriptor) -> Vec<Reference> {
        self.0.names_of(&descriptor.digest).unwrap_or_default()
    }
}

struct Whole<'a> {
    source: &'a dyn Source,
    descriptor: &'a Descriptor,
}

impl Supply for Whole<'_> {
    fn open(&self) -> Result<Blob> {
        self.source.blob(self.descriptor)
    }
}

impl Source for Named {
    fn name(&self) -> String {
        format!("store:{}", self.reference)
    }

    fn top(&self) -> Result<(Descriptor, Vec<u8>)> {
        let top = self.record()?.top;
        let bytes = self.document(&top)?;
        Ok((top, bytes))
    }

    fn blob(&self, descriptor: &Descriptor) -> Result<Blob> {
        let gone = || Error::new(Kind::NotFound, format!("blob {descriptor} is not in the store"));
        self.store.blob(descriptor)?.ok_or_else(|| {
            gone().hint("an index is pulled for one platform: copy what there is without --all, or pull it with --all")
        })
    }

    fn origins(&self, descriptor: &Descriptor) -> Vec<Reference> {
        self.store.names_of(&descriptor.digest).unwrap_or_default()
    }
}

impl Sink for Named {
    fn name(&self) -> String {
        Source::name(self)
    }

    fn takes(&self) -> Takes {
        Takes::ANYTHING
    }

    fn has(&self, descriptor: &Descriptor) -> Result<bool> {
        Ok(self.store.blob(descriptor)?.is_some())
    }

    fn put_blob(&self, descriptor: &Descriptor, supply: &dyn Supply) -> Result<Put> {
        let progress = Arc::new(Progress::default());
        let mut partial = loop {
            match self.store.claim(descriptor, &progress)? {
                Claim::Mine(partial) => break partial,
                Claim::Done => return Ok(Put::Sent),
                // Another program writes it; a signal must not wait for that one's end.
                Claim::Busy => {
                    crate::interrupt::check()?;
                    std::thread::sleep(super::layers::POLL);
                }
            }
        };
        let mut blob = supply.open()?;
        let (mut buffer, mut known) = (vec![0; 1 << 17], partial.len());
        loop {
            crate::interrupt::check()?;
            let n = blob.read(&mut buffer)?;
            if n == 0 {
                break;
            }
            let skip = usize::try_from(known).unwrap_or(usize::MAX).min(n);
            known -= skip as u64;
            partial.write(&buffer[skip..n])?;
        }
        partial.commit(&self.store, descriptor)?;
        Ok(Put::Sent)
    }

    fn put_child(&self, descriptor: &Descriptor, bytes: &[u8]) -> Result<()> {
        self.store.put(&descriptor.digest, bytes)
    }

    fn put_top(&self, descriptor: &Descriptor, bytes: &[u8]) -> Result<()> {
        if self.reference.digest().is_some_and(|wanted| *wanted != descriptor.digest) {
            return Err(Error::invalid(format!("the image is {descriptor}, not what its name says")));
        }
        self.store.put(&descriptor.digest, bytes)?;
        let listed = self.listed(descriptor, bytes).while_doing(|| "choose the image to list")?;
        self.store.point(&self.reference, descriptor, &listed)
    }

    /// They are not kept: who wants them asks the registry of the name.
    fn put_signatures(&self, _: &Digest, _: &[Signature]) -> Result<()> {
        Ok(())
    }
}
