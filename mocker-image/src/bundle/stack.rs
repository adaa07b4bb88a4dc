//! Layers of an image as directories of the store, one over the other.
//!
//! The lowest is filled as it is. Each other one is filled through an overlay over those below it, so
//! that the kernel itself writes whiteouts, copies what is linked to, and merges directories.

use std::fs::Permissions;
use std::io::BufRead;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags};

use crate::digest::Digest;
use crate::error::{Context, Result};
use crate::layer::Layer;
use crate::layer::extract::{Extractor, Ownership};
use crate::overlay;
use crate::store::Store;
use crate::store::layers::chain;

/// The layers of one image, those that are there and those that are still to be filled.
#[derive(Debug)]
pub struct Stack<'a> {
    store: &'a Store,
    chain: Vec<Digest>,
}

impl<'a> Stack<'a> {
    /// Layers by their diffIDs, the lowest first.
    pub fn new(store: &'a Store, diff_ids: &[Digest]) -> Self {
        Self { store, chain: chain(diff_ids) }
    }

    /// Which layers are not there.
    pub fn missing(&self) -> Result<Vec<bool>> {
        self.chain.iter().map(|id| Ok(!self.store.has_layer(id)?)).collect()
    }

    /// Fills one layer; those below it are there.
    pub fn fill(&self, n: usize, layer: &Layer, blob: impl BufRead + Send + 'static) -> Result<()> {
        let Some(making) = self.store.begin_layer(&self.chain[n])? else {
            return layer.verify(blob);
        };
        let below = self.paths()[..n].to_vec();
        match below.last() {
            None => layer.apply(blob, &mut Extractor::new(&making.fs(), Ownership::Archive)?)?,
            Some(top) => {
                dress_like(&making.fs(), top)?;
                let merged = overlay::mount(&below, Some((&making.fs(), &making.work())))?;
                layer.apply(blob, &mut Extractor::over(overlay::open(&merged)?, Ownership::Archive))?;
            }
        }
        making.keep()
    }

    /// The layers' directories, the lowest first.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.chain.iter().map(|id| self.store.layer(id)).collect()
    }

    /// All layers at once, to be read.
    pub fn merged(&self) -> Result<OwnedFd> {
        let paths = self.paths();
        match paths.as_slice() {
            [only] => {
                let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
                let opened = rustix::fs::openat(CWD, only, flags, Mode::empty());
                opened.while_doing(|| format!("open {}", only.display()))
            }
            paths => overlay::mount(paths, None),
        }
    }

    /// Makes the directory that a container's changes go to, like the root of the image.
    pub fn make_upper(&self, upper: &Path) -> Result<()> {
        std::fs::create_dir(upper).while_doing(|| format!("make {}", upper.display()))?;
        self.paths().last().map_or(Ok(()), |top| dress_like(upper, top))
    }
}

/// Gives a new directory owner, mode and times of another: the root's are those of the topmost one.
fn dress_like(dir: &Path, like: &Path) -> Result<()> {
    let step = || format!("make {} like {}", dir.display(), like.display());
    let meta = like.metadata().while_doing(step)?;
    std::os::unix::fs::chown(dir, Some(meta.uid()), Some(meta.gid())).while_doing(step)?;
    std::fs::set_permissions(dir, Permissions::from_mode(meta.mode() & 0o7777)).while_doing(step)?;
    let time = |sec, nsec| rustix::fs::Timespec { tv_sec: sec, tv_nsec: nsec };
    let times = rustix::fs::Timestamps {
        last_access: time(meta.atime(), meta.atime_nsec()),
        last_modification: time(meta.mtime(), meta.mtime_nsec()),
    };
    rustix::fs::utimensat(CWD, dir, &times, rustix::fs::AtFlags::empty()).while_doing(step)
}
