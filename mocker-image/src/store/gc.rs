//! What no name needs goes, as long as nobody else works in the store.
//!
//! Who adds blobs holds the store's lock (shared) until a name refers to them; whoever holds it
//! alone may therefore take every blob that no name needs for waste, and all of `partial/` with it.

use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::layers::Weight;
use super::users::Missing;
use super::{Store, remove};
use crate::error::{Context, Error, Kind, Result};
use crate::interrupt;

/// What was removed, and what was not.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Freed {
    /// Blobs, layers, and what killed programs left of them.
    pub gone: Weight,
    /// Bundles that are not where they were made, and keep layers still.
    pub missing: Vec<PathBuf>,
    /// Layers that nobody needs but these.
    pub kept: Weight,
}

impl Store {
    /// Removes every blob and layer that no name and no bundle needs, and what killed programs left.
    ///
    /// # Errors
    /// [`Kind::Busy`], with nothing removed, if another program works in the store.
    pub fn collect(&self, missing: Missing) -> Result<Freed> {
        match flock(&self.lock, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => {
                let what = format!("another program works in the store {}", self.root.display());
                return Err(Error::new(Kind::Busy, what).hint("try again when it is done"));
            }
            other => other.while_doing(|| format!("lock the store {}", self.root.display()))?,
        }
        let absent = self.look_for_users(missing)?;
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
        let (gone, kept) = self.collect_layers(&absent)?;
        freed.gone.add(&gone);
        (freed.kept, freed.missing) = (kept, absent.into_iter().map(|user| user.dir).collect());
        Ok(freed)
    }
}

impl Freed {
    fn take(&mut self, path: &Path) -> Result<()> {
        interrupt::check()?;
        let bytes = path.symlink_metadata().while_doing(|| format!("stat {}", path.display()))?.len();
        remove(path)?;
        self.gone.add(&Weight { files: 1, bytes });
        Ok(())
    }
}
