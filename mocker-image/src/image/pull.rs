//! From a name to an image in the store, layer by layer.
//!
//! ```text
//! name -> top document -> (index: platform) -> manifest -> config        one thread, small documents
//! layers: I/O thread   registry -> digest -> Partial                     up to LANES at once
//!         main thread  Tail -> inflate -> diffID -> (extract)            in order, while they arrive
//! ```

use std::collections::HashMap;
use std::future::Future;
use std::io::{self, BufRead, Read};
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::task::Poll;

use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;

use super::download::{download, whole};
use super::load::load;
use super::platform::Platform;
use super::{Blob, Descriptor, Document, Image, Source};
use crate::digest::{Check, Digest};
use crate::error::{Context, Error, Kind, Result};
use crate::interrupt::heed;
use crate::layer::Layer;
use crate::layer::unpacked::buffered;
use crate::media::{Compression, is_document};
use crate::progress::{Teller, size};
use crate::reference::Reference;
use crate::registry::remote::Remote as Repository;
use crate::registry::{Registry, Settings};
use crate::signature::Demand;
use crate::signature::guard::{Guarded, Proof};
use crate::store::Store;
use crate::store::partial::Progress;

/// Layers that are downloaded at once; docker's number.
const LANES: usize = 3;

/// Whether the registry is asked what a name stands for today.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// Always.
    Ask,
    /// Only for a name that was never pulled.
    Keep,
}

/// Which layers of those that are in the store are to be read; those that arrive always are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which<'a> {
    /// Every layer.
    All,
    /// None.
    Missing,
    /// Those whose number says so.
    Some(&'a [bool]),
}

/// One name, to be pulled into a store.
pub struct Pull<'a> {
    /// Where to.
    pub store: &'a Arc<Store>,
    /// What.
    pub reference: &'a Reference,
    /// How to speak to its registry.
    pub settings: &'a Settings,
    /// For which platform; `None` is this machine's.
    pub platform: Option<&'a Platform>,
    /// Who hears about it.
    pub teller: &'a dyn Teller,
    /// Which signatures the image must bear.
    pub demands: &'a [Demand],
    remote: OnceLock<Remote>,
}

/// The registry and what drives it; made when something is missing.
struct Remote {
    runtime: Runtime,
    registry: Arc<Registry>,
}

impl Remote {
    /// Waits for an answer, or for a signal.
    fn wait<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.runtime.block_on(heed(work))
    }
}

impl<'a> Pull<'a> {
    /// Prepares a pull; nothing is read or sent yet.
    pub fn new(
        store: &'a Arc<Store>,
        reference: &'a Reference,
        settings: &'a Settings,
        teller: &'a dyn Teller,
    ) -> Self {
        Self { store, reference, settings, platform: None, teller, demands: &[], remote: OnceLock::new() }
    }

    /// Gets the documents of the image.
    pub fn image(&self, freshness: Freshness) -> Result<Image> {
        let asked = Asked { pull: self, freshness };
        if self.demands.is_empty() {
            return load(&asked, self.platform, self.teller);
        }
        let signed = Repository::new(self.reference, self.settings)?;
        let proof = Proof { demands: self.demands, signed: &signed, name: Some(self.reference) };
        load(&Guarded::new(&asked, proof), self.platform, self.teller)
    }

    /// Downloads the missing layers and hands them on in order, while they arrive.
    pub fn layers(
        &self,
        image: &Image,
        which: Which<'_>,
        mut each: impl FnMut(usize, &Layer, Box<dyn BufRead + Send>) -> Result<()>,
    ) -> Result<()> {
        let mut arriving: HashMap<Digest, Arc<Progress>> = HashMap::new();
        let mut missing = Vec::new();
        for layer in &image.manifest.layers {
            Compression::of(&layer.media_type).while_doing(|| format!("layer {layer}"))?;
            if !arriving.contains_key(&layer.digest) && self.store.blob(layer)?.is_none() {
                let progress = Arc::new(Progress::default());
                arriving.insert(layer.digest.clone(), Arc::clone(&progress));
                missing.push((layer.clone(), progress));
            }
        }
        let mut read = || {
            let layers = image.manifest.layers.iter().zip(&image.config.diff_ids);
            for (n, (descriptor, diff_id)) in layers.enumerate() {
                let compression = Compression::of(&descriptor.media_type)?;
                let layer =
                    Layer { name: format!("layer {descriptor}"), compression, diff_id: diff_id.clone() };
                match (arriving.get(&descriptor.digest), which) {
                    (Some(progress), _) => each(n, &layer, Box::new(progress.tail()))?,
                    (None, Which::Missing) => {}
                    (None, Which::Some(wanted)) if !wanted[n] => {}
                    (None, _) => self.stored(descriptor, |blob| each(n, &layer, blob))?,
                }
            }
            Ok(())
        };
        match missing.is_empty() {
            true => read(),
            false => self.download_beside(missing, read),
        }
    }

    /// Points the name at the image.
    pub fn record(&self, image: &Image) -> Result<()> {
        self.store.point(self.reference, &image.top, &image.descriptor)
    }

    /// A layer from the store; one that turns out to be bad is removed, so that the next pull gets it anew.
    fn stored(
        &self,
        descriptor: &Descriptor,
        each: impl FnOnce(Box<dyn BufRead + Send>) -> Result<()>,
    ) -> Result<()> {
        let gone = || Error::new(Kind::NotFound, format!("blob {descriptor} vanished from the store"));
        let read = each(Box::new(buffered(self.store.blob(descriptor)?.ok_or_else(gone)?)));
        if read.as_ref().is_err_and(|e| e.kind() == Kind::Invalid) {
            self.store.discard(&descriptor.digest)?;
        }
        read
    }

    /// Runs the downloads on a thread of their own while `read` follows them.
    fn download_beside(
        &self,
        missing: Vec<(Descriptor, Arc<Progress>)>,
        mut read: impl FnMut() -> Result<()>,
    ) -> Result<()> {
        let remote = self.remote()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let all: Vec<_> = missing.iter().map(|(_, progress)| Arc::clone(progress)).collect();
        std::thread::scope(|scope| {
            let downloads = scope.spawn(|| {
                let ended = remote.wait(until(stopped, self.download_all(remote, missing)));
                let why = match &ended {
                    Err(e) => e.clone(),
                    Ok(_) => Error::new(Kind::Internal, "the download ended early"),
                };
                // Whoever still waits for a blob learns why it does not come.
                all.iter().for_each(|progress| progress.end(Err(why.clone())));
                ended
            });
            let read = read();
            drop(stop);
            let downloaded =
                downloads.join().map_err(|_| Error::new(Kind::Internal, "the download broke down"))?;
            // A download that failed says so itself; its reader would only repeat it.
            downloaded.and(read)
        })
    }

    async fn download_all(&self, remote: &Remote, missing: Vec<(Descriptor, Arc<Progress>)>) -> Result<()> {
        let lanes = Arc::new(Semaphore::new(LANES));
        let mut downloads = JoinSet::new();
        for (descriptor, progress) in missing {
            let (store, registry) = (Arc::clone(self.store), Arc::clone(&remote.registry));
            let (lanes, bar) =
                (Arc::clone(&lanes), self.teller.follow(descriptor.digest.short(), descriptor.size));
            downloads.spawn(async move {
                let _lane = lanes.acquire().await;
                let name = || format!("layer {descriptor}");
                download(&store, &registry, &descriptor, &progress, &bar)
                    .await
                    .while_doing(name)
                    .map(|()| descriptor.clone())
            });
        }
        while let Some(joined) = downloads.join_next().await {
            let layer = joined.map_err(|e| Error::new(Kind::Internal, e.to_string()))??;
            self.teller.tell(&format!("pulled {} ({})", layer.digest.short(), size(layer.size)));
        }
        Ok(())
    }

    /// All tags of the repository at its registry.
    pub fn tags(&self) -> Result<Vec<String>> {
        let remote = self.remote()?;
        remote.wait(remote.registry.tags())
    }

    /// What the name stands for, and its bytes.
    pub fn top(&self, freshness: Freshness) -> Result<(Descriptor, Vec<u8>)> {
        if freshness == Freshness::Keep
            && let Some(record) = self.store.record(self.reference)?
        {
            let bytes = self.document(&record.top)?;
            return Ok((record.top, bytes));
        }
        let remote = self.remote()?;
        let fetched = remote.wait(remote.registry.manifest(&self.reference.selector()))?;
        let mut digest = Digest::of(&fetched.bytes);
        if let Some(want) = self.reference.digest() {
            let mut check = Check::new(want, fetched.bytes.len() as u64);
            check.update(&fetched.bytes).and_then(|()| check.finish()).while_doing(|| "the manifest")?;
            digest.clone_from(want);
        }
        // What it is must be clear before it is kept.
        Document::parse(&fetched.bytes, &fetched.media_type)?;
        self.store.put(&digest, &fetched.bytes)?;
        let size = fetched.bytes.len() as u64;
        Ok((Descriptor { media_type: fetched.media_type, digest, size }, fetched.bytes))
    }

    /// A small document, from the store or from the registry.
    fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        descriptor.is_document()?;
        if let Some(bytes) = self.store.document(descriptor)? {
            return Ok(bytes);
        }
        let remote = self.remote()?;
        let bytes = remote.wait(async {
            match is_document(&descriptor.media_type) {
                false => whole(&remote.registry, descriptor).await,
                true => remote
                    .registry
                    .manifest(&descriptor.digest.to_string())
                    .await
                    .map(|fetched| fetched.bytes),
            }
        })?;
        let mut check = Check::new(&descriptor.digest, descriptor.size);
        check.update(&bytes).and_then(|()| check.finish())?;
        self.store.put(&descriptor.digest, &bytes)?;
        Ok(bytes)
    }

    fn remote(&self) -> Result<&Remote> {
        if let Some(remote) = self.remote.get() {
            return Ok(remote);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.while_doing(|| "prepare for input and output")?;
        let registry = Arc::new(Registry::new(self.reference, self.settings)?);
        Ok(self.remote.get_or_init(|| Remote { runtime, registry }))
    }
}

/// A pull as a source of documents; its layers go another way.
struct Asked<'a> {
    pull: &'a Pull<'a>,
    freshness: Freshness,
}

impl Source for Asked<'_> {
    fn name(&self) -> String {
        self.pull.reference.to_string()
    }

    fn top(&self) -> Result<(Descriptor, Vec<u8>)> {
        self.pull.top(self.freshness)
    }

    fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        self.pull.document(descriptor)
    }

    fn blob(&self, descriptor: &Descriptor) -> Result<Blob> {
        let bytes: Box<dyn Read + Send> = Box::new(io::Cursor::new(self.document(descriptor)?));
        Ok(Blob::new(bytes, "", &descriptor.digest, descriptor.size))
    }
}

/// Runs a future until it is done or, which is no error, the other side of `stopped` is gone.
async fn until(stopped: oneshot::Receiver<()>, work: impl Future<Output = Result<()>>) -> Result<()> {
    let (mut stopped, mut work) = (pin!(stopped), pin!(work));
    std::future::poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(done),
        Poll::Pending => stopped.as_mut().poll(cx).map(|_| Ok(())),
    })
    .await
}
