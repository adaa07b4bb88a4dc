//! Small files are finished by a thread of their own: the extractor makes a file under its name and goes on, and a
//! helper writes its bytes, dresses and closes it.
//!
//! ```text
//! extractor: open, note what is to do --batch--> helper: write, owner, mode, times, close
//!                                      ^-empty--
//! ```
//!
//! A file that is open needs its name no more: later entries may link to it, replace it or remove it meanwhile. So
//! batches are done in any order, and where the helper is behind the extractor does one itself: neither waits.
//! All are done when the layer is: the next one may copy what is in them.

use std::fs::File;
use std::io::Write;
use std::sync::mpsc::{Receiver, Sender, SyncSender, TrySendError, channel, sync_channel};
use std::thread::{Builder, JoinHandle};

use rustix::fs::{Gid, Mode, Uid};

use super::times;
use crate::error::{Context, Error, Kind, Result};
use crate::layer::archive::Archive;
use crate::layer::entry::text;

/// The most bytes of a file whose bytes are noted, a page: to take more from one processor to the other costs more than
/// it saves.
pub(super) const SMALL: u64 = 4 << 10;
/// Files and bytes that make a batch full.
const FILES: usize = 32;
const BYTES: usize = 64 << 10;
/// Full batches that may wait: one more is being filled and one finished, and each file in them is a descriptor.
const WAITING: usize = 3;

/// What a new file gets besides its bytes, in this order; what is none it has already.
#[derive(Debug)]
pub(super) struct Dress {
    pub(super) owner: Option<(u32, u32)>,
    pub(super) mode: Option<u32>,
    pub(super) mtime: (i64, u32),
}

impl Dress {
    /// Gives it the owner, and the mode.
    pub(super) fn owner_and_mode(&self, file: &File) -> Result<()> {
        if let Some((uid, gid)) = self.owner {
            rustix::fs::fchown(file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
                .while_doing(|| format!("give it to {uid}:{gid}"))?;
        }
        // Writing and a change of owner drop set-uid and set-gid: the mode comes after both.
        if let Some(mode) = self.mode {
            rustix::fs::fchmod(file, Mode::from_raw_mode(mode)).while_doing(|| "set its mode")?;
        }
        Ok(())
    }

    /// Nothing may change it after that.
    pub(super) fn times(&self, file: &File) -> Result<()> {
        rustix::fs::futimens(file, &times(self.mtime)).while_doing(|| "set its times")
    }
}

/// A file that was made, and what is still to be done.
#[derive(Debug)]
struct Job {
    file: File,
    /// How many bytes of the batch are its.
    len: usize,
    dress: Dress,
    /// Its name in the archive, for an error's text.
    name: Vec<u8>,
}

impl Job {
    fn finish(&self, bytes: &[u8]) -> Result<()> {
        if !bytes.is_empty() {
            (&self.file).write_all(bytes).while_doing(|| "write")?;
        }
        self.dress.owner_and_mode(&self.file)?;
        self.dress.times(&self.file)
    }
}

#[derive(Debug, Default)]
struct Batch {
    jobs: Vec<Job>,
    bytes: Vec<u8>,
}

impl Batch {
    /// Finishes all files and is empty then.
    fn finish(&mut self) -> Result<()> {
        let mut bytes = &self.bytes[..];
        for job in self.jobs.drain(..) {
            let (own, rest) = bytes.split_at(job.len);
            bytes = rest;
            job.finish(own).while_doing(|| format!("entry {}", text(&job.name)))?;
        }
        self.bytes.clear();
        Ok(())
    }
}

/// Files that are not finished yet.
#[derive(Debug, Default)]
pub(super) struct Finisher {
    batch: Batch,
    helper: Option<Helper>,
}

#[derive(Debug)]
struct Helper {
    full: SyncSender<Batch>,
    empty: Receiver<Batch>,
    thread: JoinHandle<Result<()>>,
}

impl Helper {
    /// None where no thread is to be had: it goes without, too.
    fn start() -> Option<Self> {
        let (full, take_full) = sync_channel(WAITING);
        let (give_empty, empty) = channel();
        let thread = Builder::new().spawn(move || finish(&take_full, &give_empty)).ok()?;
        Some(Self { full, empty, thread })
    }

    /// Waits until all is done.
    fn end(self) -> Result<()> {
        drop(self.full);
        self.thread
            .join()
            .map_err(|_| Error::new(Kind::Internal, "the thread that finishes files broke down"))?
    }
}

fn finish(full: &Receiver<Batch>, empty: &Sender<Batch>) -> Result<()> {
    while let Ok(mut batch) = full.recv() {
        batch.finish()?;
        // Nobody takes it where the extractor has ended.
        drop(empty.send(batch));
    }
    Ok(())
}

impl Finisher {
    /// Takes a file's bytes out of the archive; the rest is done later.
    pub(super) fn later(
        &mut self,
        file: File,
        dress: Dress,
        name: &[u8],
        archive: &mut Archive<'_>,
    ) -> Result<()> {
        let before = self.batch.bytes.len();
        loop {
            let data = archive.data()?;
            let n = data.len();
            if n == 0 {
                break;
            }
            self.batch.bytes.extend_from_slice(data);
            archive.consume(n);
        }
        let len = self.batch.bytes.len() - before;
        self.batch.jobs.push(Job { file, len, dress, name: name.to_vec() });
        Ok(())
    }

    /// Hands a full batch on. The error may be an earlier file's, and names it.
    pub(super) fn hand_on(&mut self) -> Result<()> {
        if self.batch.jobs.len() < FILES && self.batch.bytes.len() < BYTES {
            return Ok(());
        }
        if self.helper.is_none() {
            self.helper = Helper::start();
        }
        let Some(helper) = &self.helper else {
            return self.batch.finish();
        };
        match helper.full.try_send(std::mem::take(&mut self.batch)) {
            Ok(()) => {
                self.batch = helper.empty.try_recv().unwrap_or_default();
                Ok(())
            }
            Err(TrySendError::Full(batch)) => {
                self.batch = batch;
                self.batch.finish()
            }
            // It ends before its time only where a file was not to be finished.
            Err(TrySendError::Disconnected(_)) => self.end(),
        }
    }

    /// Finishes all that is left.
    pub(super) fn end(&mut self) -> Result<()> {
        let own = self.batch.finish();
        self.helper.take().map_or(Ok(()), Helper::end).and(own)
    }
}

impl Drop for Finisher {
    fn drop(&mut self) {
        // Where it was not ended before, why is being told already; no thread stays behind.
        drop(self.helper.take().map(Helper::end));
    }
}
