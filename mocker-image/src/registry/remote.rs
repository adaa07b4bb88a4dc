//! One repository as a place: requests put together, with threads that wait for them.
//!
//! Several threads may read and write at once; whoever waits drives the connections of all.

mod beside;
mod subject;

use std::future::Future;
use std::io::{self, Read};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Waker, Poll};

use reqwest::{Body, Response, Url};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use super::retry::{Backoff, is_broken};
use super::{Registry, Settings, starts_at};
use crate::digest::{Digest, Verified};
use crate::error::{Context, Error, Kind, Result};
use crate::image::{Blob, Descriptor, Document, Put, Sink, Source, Supply, Takes};
use crate::interrupt::heed;
use crate::media::is_document;
use crate::reference::Reference;
use crate::signature::Signature;

/// Blobs up to this size go in one request.
const SMALL: u64 = 1 << 20;
/// Bytes of a larger one that are read at once.
const PIECE: usize = 1 << 16;
/// Pieces that wait to be sent.
const WAITING: usize = 8;

/// A repository, and what stands under one name in it.
#[derive(Debug)]
pub struct Remote {
    inner: Arc<Inner>,
    reference: Reference,
    /// The most bytes of a blob that go in one request; `None` is all of them.
    pub part: Option<u64>,
    settings: Settings,
}

#[derive(Debug)]
struct Inner {
    runtime: Runtime,
    registry: Registry,
}

impl Inner {
    fn wait<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.runtime.block_on(heed(work))
    }

    /// Waits before a next try; the error if there were enough of them.
    fn pause(&self, backoff: &mut Backoff, e: Error) -> Result<()> {
        match backoff.next().filter(|_| e.kind() == Kind::Unreachable || is_broken(&e)) {
            Some(wait) => self.wait(async {
                tokio::time::sleep(wait).await;
                Ok(())
            }),
            None => Err(e),
        }
    }
}

impl Remote {
    /// Prepares to speak to a reference's repository; nothing is sent yet.
    pub fn new(reference: &Reference, settings: &Settings) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.while_doing(|| "prepare for input and output")?;
        let inner = Arc::new(Inner { runtime, registry: Registry::new(reference, settings)? });
        Ok(Self { inner, reference: reference.clone(), part: None, settings: settings.clone() })
    }

    /// All tags of the repository.
    pub fn tags(&self) -> Result<Vec<String>> {
        self.inner.wait(self.inner.registry.tags())
    }

    /// The index of what refers to a manifest.
    pub fn referrers(&self, digest: &Digest) -> Result<Vec<u8>> {
        self.inner.wait(self.inner.registry.referrers(digest))
    }

    /// The digest of what the name stands for, without asking for its bytes.
    pub fn digest(&self) -> Result<Option<String>> {
        self.inner.wait(self.inner.registry.digest(&self.reference.selector()))
    }

    /// Removes what the name stands for.
    pub fn delete(&self) -> Result<String> {
        let (registry, selector) = (&self.inner.registry, self.reference.selector());
        self.inner.wait(async {
            let missing = || Error::new(Kind::NotFound, registry.missing(&selector));
            let digest = registry.digest(&selector).await?.ok_or_else(missing)?;
            registry.delete(&digest).await?;
            Ok(digest)
        })
    }

    fn send(&self, url: Url, descriptor: &Descriptor, supply: &dyn Supply) -> Result<()> {
        let sent = match descriptor.size <= SMALL {
            true => self.send_whole(&url, descriptor, supply),
            false => self.send_parts(url.clone(), descriptor, supply),
        };
        if sent.is_err() {
            // What is told is why it failed.
            drop(self.inner.wait(self.inner.registry.cancel(&url)));
        }
        sent
    }

    fn send_whole(&self, url: &Url, descriptor: &Descriptor, supply: &dyn Supply) -> Result<()> {
        let mut bytes = Vec::new();
        supply.open()?.read_to_end(&mut bytes)?;
        self.complete(url, descriptor, bytes)
    }

    /// Ends an upload. Where its answer was lost and the same request came again, the blob is there.
    fn complete(&self, url: &Url, descriptor: &Descriptor, rest: Vec<u8>) -> Result<()> {
        match self.inner.wait(self.inner.registry.complete(url, &descriptor.digest, rest)) {
            Err(e) if e.kind() == Kind::NotFound && self.has(descriptor)? => Ok(()),
            ended => ended,
        }
    }

    /// One part after the other, going on where the registry says that it stopped.
    fn send_parts(&self, mut url: Url, descriptor: &Descriptor, supply: &dyn Supply) -> Result<()> {
        let registry = &self.inner.registry;
        let (mut at, mut backoff) = (0, Backoff::default());
        while at < descriptor.size {
            let end = descriptor.size.min(self.part.map_or(u64::MAX, |part| at.saturating_add(part)));
            match self.send_part(&url, (at, end), descriptor, supply) {
                Ok(next) => {
                    (url, at, backoff) = (next, end, Backoff::default());
                    continue;
                }
                Err(e) => self.inner.pause(&mut backoff, e)?,
            }
            let before = at;
            (url, at) = match self.inner.wait(registry.progress(&url)) {
                Ok((url, have)) if have <= descriptor.size => (url, have),
                _ => (self.inner.wait(registry.begin())?, 0),
            };
            if at > before {
                backoff = Backoff::default();
            }
        }
        self.complete(&url, descriptor, Vec::new())
    }

    /// Streams a part: a thread reads it while this one sends.
    fn send_part(
        &self,
        url: &Url,
        (from, to): (u64, u64),
        descriptor: &Descriptor,
        supply: &dyn Supply,
    ) -> Result<Url> {
        let (tx, rx) = mpsc::channel(WAITING);
        std::thread::scope(|scope| {
            let reader = scope.spawn(move || feed(supply, (from, to), descriptor.size, &tx));
            let body = Body::wrap_stream(Stream(rx));
            let sent = self.inner.wait(self.inner.registry.part(url, from, to, body));
            let read = reader.join().map_err(|_| Error::new(Kind::Internal, "the reader broke down"))?;
            // A source that is wrong says so itself; the request only broke off.
            read.and(sent)
        })
    }
}

/// Reads a blob to the end of a part and hands that part on; the last part ends with the blob's check.
fn feed(
    supply: &dyn Supply,
    (from, to): (u64, u64),
    size: u64,
    tx: &mpsc::Sender<io::Result<Vec<u8>>>,
) -> Result<()> {
    let read = || -> Result<()> {
        let mut blob = supply.open()?;
        io::copy(&mut blob.by_ref().take(from), &mut io::sink())?;
        let mut left = to - from;
        while left > 0 {
            let room = PIECE.min(usize::try_from(left).unwrap_or(PIECE));
            let mut piece = vec![0; room];
            blob.read_exact(&mut piece)?;
            left -= room as u64;
            if left == 0 && to == size {
                blob.read_to_end(&mut Vec::new())?;
            }
            if tx.blocking_send(Ok(piece)).is_err() {
                break;
            }
        }
        Ok(())
    };
    let done = read();
    if let Err(e) = &done {
        // Nobody listens where the request ended already.
        drop(tx.blocking_send(Err(e.clone().into())));
    }
    done
}

/// What another thread feeds, as a request's body.
pub(crate) struct Stream(pub(crate) mpsc::Receiver<io::Result<Vec<u8>>>);

impl futures_core::Stream for Stream {
    type Item = io::Result<Vec<u8>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Waker<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(cx)
    }
}

impl Source for Remote {
    fn name(&self) -> String {
        self.reference.to_string()
    }

    fn top(&self) -> Result<(Descriptor, Vec<u8>)> {
        let fetched = self.inner.wait(self.inner.registry.manifest(&self.reference.selector()))?;
        Document::parse(&fetched.bytes, &fetched.media_type)?;
        let mut descriptor = Descriptor::of(&fetched.media_type, &fetched.bytes);
        if let Some(want) = self.reference.digest() {
            let (bytes, size) = (&fetched.bytes[..], fetched.bytes.len() as u64);
            Verified::new(bytes, "the manifest", want, size).read_to_end(&mut Vec::new())?;
            descriptor.digest = want.clone();
        }
        Ok((descriptor, fetched.bytes))
    }

    fn blob(&self, descriptor: &Descriptor) -> Result<Blob> {
        let (digest, size) = (&descriptor.digest, descriptor.size);
        let reader: Box<dyn Read + Send> = match is_document(&descriptor.media_type) {
            true => {
                descriptor.is_document()?;
                let fetched = self.inner.wait(self.inner.registry.manifest(&digest.to_string()))?;
                Box::new(io::Cursor::new(fetched.bytes))
            }
            false => Box::new(Download {
                inner: Arc::clone(&self.inner),
                digest: digest.clone(),
                size,
                at: 0,
                skip: 0,
                response: None,
                piece: Vec::new(),
                used: 0,
                backoff: Backoff::default(),
            }),
        };
        Ok(Blob::new(reader, digest.to_string(), digest, size))
    }

    fn origins(&self, _: &Descriptor) -> Vec<Reference> {
        vec![self.reference.clone()]
    }

    fn signatures(&self, digest: &Digest) -> Result<Vec<Signature>> {
        self.signatures_beside(digest)
    }
}

/// A blob that is read while it arrives, over as many connections as it takes.
struct Download {
    inner: Arc<Inner>,
    digest: Digest,
    size: u64,
    /// The next byte that is not in `piece` yet.
    at: u64,
    /// Bytes that come again because the registry began anew.
    skip: u64,
    response: Option<Response>,
    piece: Vec<u8>,
    used: usize,
    backoff: Backoff,
}

impl Download {
    /// The next bytes; none at the end.
    fn next(&mut self) -> Result<Vec<u8>> {
        let registry = &self.inner.registry;
        while self.at < self.size {
            let (digest, at) = (&self.digest, self.at);
            let mut response = match self.response.take() {
                Some(response) => response,
                None => {
                    let response = self.inner.wait(registry.blob(digest, at))?;
                    self.skip = at - starts_at(&response, at);
                    response
                }
            };
            let got = self.inner.wait(async {
                let chunk = registry.chunk(&mut response).await?;
                Ok(chunk.map(|chunk| chunk.as_ref().to_vec()))
            });
            match got {
                Ok(Some(mut bytes)) => {
                    let known = bytes.len().min(usize::try_from(self.skip).unwrap_or(usize::MAX));
                    bytes.drain(..known);
                    self.skip -= known as u64;
                    self.at += bytes.len() as u64;
                    self.response = Some(response);
                    if !bytes.is_empty() {
                        self.backoff = Backoff::default();
                        return Ok(bytes);
                    }
                }
                // A blob that is shorter than its descriptor says is the check's affair.
                Ok(None) => break,
                Err(e) => self.inner.pause(&mut self.backoff, e)?,
            }
        }
        Ok(Vec::new())
    }
}

impl Read for Download {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.used == self.piece.len() && !buf.is_empty() {
            (self.piece, self.used) = (self.next()?, 0);
        }
        let n = (&self.piece[self.used..]).read(buf)?;
        self.used += n;
        Ok(n)
    }
}

impl Sink for Remote {
    fn name(&self) -> String {
        self.reference.to_string()
    }

    fn takes(&self) -> Takes {
        Takes { packs: true, leaves_foreign: true, ..Takes::ANYTHING }
    }

    fn has(&self, descriptor: &Descriptor) -> Result<bool> {
        self.inner.wait(self.inner.registry.has_blob(&descriptor.digest))
    }

    fn put_blob(&self, descriptor: &Descriptor, supply: &dyn Supply) -> Result<Put> {
        let elsewhere = supply.origins().into_iter().find(|origin| {
            origin.registry() == self.reference.registry() && origin.path() != self.reference.path()
        });
        let registry = &self.inner.registry;
        let url = match elsewhere {
            None => self.inner.wait(registry.begin())?,
            Some(other) => match self.inner.wait(registry.mount(&descriptor.digest, other.path()))? {
                None => return Ok(Put::Mounted),
                Some(url) => url,
            },
        };
        self.send(url, descriptor, supply).map(|()| Put::Sent)
    }

    fn put_child(&self, descriptor: &Descriptor, bytes: &[u8]) -> Result<()> {
        self.put_document(&descriptor.digest.to_string(), descriptor, bytes)
    }

    fn put_top(&self, descriptor: &Descriptor, bytes: &[u8]) -> Result<()> {
        let selector = self.reference.selector();
        if self.reference.digest().is_some_and(|wanted| *wanted != descriptor.digest) {
            let what = format!("the image is {}, not {selector}", descriptor.digest);
            return Err(Error::invalid(what).hint("name it by a tag"));
        }
        self.put_document(&selector, descriptor, bytes)
    }

    fn put_signatures(&self, digest: &Digest, signatures: &[Signature]) -> Result<()> {
        self.add_signatures_beside(digest, signatures)
    }
}
