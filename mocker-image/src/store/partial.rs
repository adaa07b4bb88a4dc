//! Blobs that are arriving: one writer, and a reader that follows it.
//!
//! ```text
//! download -> Partial (digest, file) --commit--> blobs/...
//!                 | Progress: how far, and how it ended
//!                 v
//!               Tail -> inflation
//! ```
//!
//! The file is the buffer between the two: as large as it must be when the reader is busy with an
//! earlier layer, and in the page cache when it is not. So downloads never wait for extraction, and
//! memory does not grow with the image.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::{Store, remove};
use crate::digest::Check;
use crate::error::{Context, Error, Result};
use crate::image::Descriptor;

/// After this long nobody comes back for what a killed program left.
const STALE: Duration = Duration::from_secs(24 * 3600);

/// Bytes of the file that the reader takes at once.
const READ: usize = 128 << 10;

/// What asking to write a blob gives.
#[derive(Debug)]
pub enum Claim {
    /// The blob is the caller's to write.
    Mine(Box<Partial>),
    /// Another program writes it.
    Busy,
    /// It is whole; another program was faster.
    Done,
}

/// A blob being written. Dropped before [`Partial::commit`], it is removed.
#[derive(Debug)]
pub struct Partial {
    file: Arc<File>,
    path: PathBuf,
    check: Check,
    progress: Arc<Progress>,
    committed: bool,
}

impl Store {
    /// Asks to write a blob; what a killed program left of it is taken over.
    pub fn claim(&self, descriptor: &Descriptor, progress: &Arc<Progress>) -> Result<Claim> {
        let digest = &descriptor.digest;
        let path = self.root.join("partial").join(format!("{}-{}", digest.algorithm(), digest.hex()));
        let step = || format!("open {}", path.display());
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = file.while_doing(step)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => return Ok(Claim::Busy),
            other => other.while_doing(step)?,
        }
        if self.blob(descriptor)?.is_some() {
            remove(&path)?;
            let blob = File::open(self.path(digest)).while_doing(step)?;
            progress.begin(Arc::new(blob), descriptor.size);
            progress.end(Ok(()));
            return Ok(Claim::Done);
        }
        // Between open and lock its last writer may have moved or removed it.
        let same = std::fs::metadata(&path).is_ok_and(|m| file.metadata().is_ok_and(|f| f.ino() == m.ino()));
        if !same {
            return Ok(Claim::Busy);
        }
        let check = Check::new(digest, descriptor.size);
        let mut partial =
            Partial { file: Arc::new(file), path, check, progress: Arc::clone(progress), committed: false };
        partial.take_over(descriptor)?;
        Ok(Claim::Mine(Box::new(partial)))
    }

    /// Removes what killed programs left and nobody came back for.
    pub fn sweep(&self) -> Result<()> {
        let dir = self.root.join("partial");
        for found in std::fs::read_dir(&dir).while_doing(|| format!("list {}", dir.display()))?.flatten() {
            let old = found
                .metadata()
                .and_then(|m| m.modified())
                .is_ok_and(|t| SystemTime::now().duration_since(t).is_ok_and(|age| age > STALE));
            if let (true, Ok(file)) = (old, File::open(found.path()))
                && flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok()
            {
                remove(&found.path())?;
            }
        }
        Ok(())
    }
}

impl Partial {
    /// How many bytes are there.
    pub fn len(&self) -> u64 {
        self.check.seen()
    }

    /// Whether nothing is there.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Hashes what is already there and goes on behind it.
    fn take_over(&mut self, descriptor: &Descriptor) -> Result<()> {
        let step = || format!("read {}", self.path.display());
        let mut file = &*self.file;
        if file.metadata().while_doing(step)?.len() > descriptor.size {
            file.set_len(0).while_doing(step)?;
        }
        let mut buffer = vec![0; 1 << 16];
        loop {
            let n = file.read(&mut buffer).while_doing(step)?;
            if n == 0 {
                break;
            }
            self.check.update(&buffer[..n])?;
        }
        self.progress.begin(Arc::clone(&self.file), self.check.seen());
        Ok(())
    }

    /// Appends bytes and lets the reader have them.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.check.update(bytes)?;
        (&*self.file).write_all(bytes).while_doing(|| format!("write {}", self.path.display()))?;
        self.progress.grow(self.check.seen());
        Ok(())
    }

    /// Verifies the blob and gives it its final name.
    pub fn commit(mut self, store: &Store, descriptor: &Descriptor) -> Result<()> {
        self.check.finish()?;
        let target = store.path(&descriptor.digest);
        store.make_parent(&target)?;
        let moved = std::fs::rename(&self.path, &target);
        moved.while_doing(|| format!("rename {} to {}", self.path.display(), target.display()))?;
        self.committed = true;
        store.note(&descriptor.digest);
        self.progress.end(Ok(()));
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.committed {
            // Nobody to tell: whatever stopped the download is being reported already.
            drop(std::fs::remove_file(&self.path));
        }
    }
}

/// How far a blob has come, shared between its writer and its reader.
#[derive(Debug, Default)]
pub struct Progress {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    file: Option<Arc<File>>,
    len: u64,
    end: Option<Result<()>>,
    /// Whether the reader waits: waking nobody is a system call, too.
    waits: bool,
}

impl Progress {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, file: Arc<File>, len: u64) {
        let mut state = self.state();
        (state.file, state.len) = (Some(file), len);
        self.tell(state);
    }

    fn grow(&self, len: u64) {
        let mut state = self.state();
        state.len = len;
        self.tell(state);
    }

    fn tell(&self, mut state: MutexGuard<'_, State>) {
        if std::mem::take(&mut state.waits) {
            drop(state);
            self.changed.notify_all();
        }
    }

    /// How the writer ended; the first word counts.
    pub fn end(&self, how: Result<()>) {
        let mut state = self.state();
        state.end.get_or_insert(how);
        self.tell(state);
    }

    /// A reader that begins at the first byte and waits for the last.
    pub fn tail(self: &Arc<Self>) -> Tail {
        Tail { progress: Arc::clone(self), at: 0, buffer: Vec::new(), start: 0, end: 0 }
    }
}

/// Reads a blob while it arrives; its end of file means that the blob was verified.
#[derive(Debug)]
pub struct Tail {
    progress: Arc<Progress>,
    /// The first byte that it does not have.
    at: u64,
    buffer: Vec<u8>,
    /// What of the buffer is still to be read.
    start: usize,
    end: usize,
}

impl Tail {
    /// Waits for bytes behind `at`: the file and how far it may be read, or its end.
    fn wait(&self) -> io::Result<Option<(Arc<File>, u64)>> {
        let mut state = self.progress.state();
        loop {
            match (&state.end, &state.file) {
                (Some(Err(e)), _) => return Err(e.clone().into()),
                (_, Some(file)) if state.len > self.at => return Ok(Some((Arc::clone(file), state.len))),
                (Some(Ok(())), _) => return Ok(None),
                (None, _) => {
                    state.waits = true;
                    state = self.progress.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
                }
            }
        }
    }
}

impl BufRead for Tail {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.start == self.end
            && let Some((file, len)) = self.wait()?
        {
            self.buffer.resize(READ, 0);
            let room = READ.min(usize::try_from(len - self.at).unwrap_or(READ));
            let n = file.read_at(&mut self.buffer[..room], self.at)?;
            if n == 0 {
                return Err(Error::invalid("a blob's file became shorter while it was read").into());
            }
            (self.start, self.end) = (0, n);
            self.at += n as u64;
        }
        Ok(&self.buffer[self.start..self.end])
    }

    fn consume(&mut self, n: usize) {
        self.start = self.end.min(self.start + n);
    }
}

impl Read for Tail {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.fill_buf()?.read(buf)?;
        self.consume(n);
        Ok(n)
    }
}
