//! What no name needs goes, as long as nobody else works in the store.
//!
//! Who adds blobs holds the store's lock (shared) until a name refers to them; whoever holds it
//! alone may therefore take every blob that no name needs for waste, and all of `partial/` with it.

use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::{Store, remove};
use crate::error::{Context, Error, Kind, Result};
use crate::interrupt;

/// How much was removed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Freed {
    /// Files: blobs, and what killed programs left of them.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Store {
    /// Removes every blob that no name needs, and what killed programs left.
    ///
    /// # Errors
    /// [`Kind::Busy`], with nothing removed, if another program works in the store.
    pub fn collect(&self) -> Result<Freed> {
        match flock(&self.lock, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => {
                let what = format!("another program works in the store {}", self.root.display());
                return Err(Error::new(Kind::Busy, what).hint("try again when it is done"));
            }
            other => other.while_doing(|| format!("lock the store {}", self.root.display()))?,
        }
        let needed = self.needed()?;
        let mut freed = Freed::default();
        for (path, digest) in self.blobs()? {
            if !digest.is_some_and(|digest| needed.contains_key(&digest)) {
                freed.take(&path)?;
            }
        }
        for path in super::list(&self.root.join("partial"))? {
            freed.take(&path)?;
        }
        let (files, bytes) = self.collect_layers()?;
        (freed.files, freed.bytes) = (freed.files + files, freed.bytes + bytes);
        Ok(freed)
    }
}

impl Freed {
    fn take(&mut self, path: &Path) -> Result<()> {
        interrupt::check()?;
        let size = path.symlink_metadata().while_doing(|| format!("stat {}", path.display()))?.len();
        remove(path)?;
        (self.files, self.bytes) = (self.files + 1, self.bytes + size);
        Ok(())
    }
}
