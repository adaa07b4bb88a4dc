//! Bundles: a directory with `config.json` and `rootfs`, made whole or not at all.
//!
//! ```text
//! DIR/.mocker-unpack/       0700 while it is filled: nobody runs a set-uid program from half a tree;
//!                           flock: held by the program that fills it
//! DIR/.mocker               where the bundle comes from, and an overlay's own directories: see `note`
//! DIR/rootfs                moved here when every layer was verified
//! DIR/config.json           moved here last: with it the bundle is complete
//! ```
//!
//! A killed program leaves `.mocker-unpack`; the next unpack into DIR clears it away.

pub mod base;
pub mod config;
pub mod note;
pub mod stack;
mod user;

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::error::{Context, Error, Kind, Result};
use note::FOLDER;

const STAGE: &str = ".mocker-unpack";

/// A bundle that is being made. Dropped before [`Stage::finish`], it leaves nothing.
#[derive(Debug)]
pub struct Stage {
    dir: PathBuf,
    stage: PathBuf,
    made_dir: bool,
    done: bool,
    _lock: File,
}

impl Stage {
    /// Begins a bundle in a directory that is missing or empty.
    pub fn open(dir: &Path) -> Result<Self> {
        let step = || format!("make the bundle {}", dir.display());
        let made_dir = match DirBuilder::new().mode(0o755).create(dir) {
            Ok(()) => true,
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                reclaim(dir)?;
                false
            }
            Err(e) => return Err(e).while_doing(step),
        };
        let stage = dir.join(STAGE);
        let staged = DirBuilder::new().mode(0o700).create(&stage).and_then(|()| lock(&stage));
        let lock = match staged {
            Ok(lock) => lock,
            Err(e) => {
                drop(std::fs::remove_dir(&stage));
                if made_dir {
                    drop(std::fs::remove_dir(dir));
                }
                return Err(e).while_doing(step);
            }
        };
        let this = Self { dir: dir.to_owned(), stage, made_dir, done: false, _lock: lock };
        DirBuilder::new().mode(0o755).create(this.rootfs()).while_doing(step)?;
        DirBuilder::new().mode(0o700).create(this.folder()).while_doing(step)?;
        Ok(this)
    }

    /// The bundle's place, from the root on.
    pub fn dir(&self) -> Result<PathBuf> {
        std::path::absolute(&self.dir).while_doing(|| format!("find {}", self.dir.display()))
    }

    /// Where the bundle's note and an overlay's directories go.
    pub fn folder(&self) -> PathBuf {
        self.stage.join(FOLDER)
    }

    /// Where the root file system is filled.
    pub fn rootfs(&self) -> PathBuf {
        self.stage.join("rootfs")
    }

    /// Completes the bundle.
    pub fn finish(mut self, config: &[u8]) -> Result<()> {
        let step = || format!("complete the bundle {}", self.dir.display());
        let staged = self.stage.join("config.json");
        let file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(&staged);
        file.and_then(|mut file| file.write_all(config)).while_doing(step)?;
        for name in [FOLDER, "rootfs", "config.json"] {
            if let Err(e) = std::fs::rename(self.stage.join(name), self.dir.join(name)) {
                for name in [FOLDER, "rootfs"] {
                    drop(std::fs::rename(self.dir.join(name), self.stage.join(name)));
                }
                return Err(e).while_doing(step);
            }
        }
        self.done = true;
        std::fs::remove_dir(&self.stage).while_doing(step)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        // Nobody to tell: why the bundle was not finished is being reported already.
        drop(std::fs::remove_dir_all(&self.stage));
        if self.made_dir {
            drop(std::fs::remove_dir(&self.dir));
        }
    }
}

fn lock(stage: &Path) -> io::Result<File> {
    let lock = File::open(stage)?;
    flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
    Ok(lock)
}

/// Makes sure that an existing directory is empty, but for what a killed unpack left.
fn reclaim(dir: &Path) -> Result<()> {
    let step = || format!("list {}", dir.display());
    let names = std::fs::read_dir(dir).while_doing(step)?.map(|found| found.map(|f| f.file_name()));
    let names = names.collect::<io::Result<Vec<_>>>().while_doing(step)?;
    if names.is_empty() {
        return Ok(());
    }
    let ours = |name: &std::ffi::OsString| [STAGE, FOLDER, "rootfs", "config.json"].iter().any(|n| name == n);
    if !names.iter().any(|name| name == STAGE) || !names.iter().all(ours) {
        let e = Error::new(Kind::Exists, format!("directory {} is not empty", dir.display()));
        return Err(e.hint("name one that does not exist yet"));
    }
    let busy = |_| {
        Error::new(Kind::Exists, format!("another mocker-image unpacks into {} right now", dir.display()))
    };
    let _lock = lock(&dir.join(STAGE)).map_err(busy)?;
    for name in ["rootfs", "config.json", FOLDER, STAGE] {
        let path = dir.join(name);
        let removed = match std::fs::symlink_metadata(&path) {
            Ok(m) if m.is_dir() => std::fs::remove_dir_all(&path),
            Ok(_) => std::fs::remove_file(&path),
            Err(_) => Ok(()),
        };
        removed.while_doing(|| format!("remove {}, left by an unpack that was killed", path.display()))?;
    }
    Ok(())
}
