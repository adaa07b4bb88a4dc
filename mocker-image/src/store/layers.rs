//! Unpacked layers, shared by all bundles.
//!
//! A layer's directory holds what it changes in those below it, so its name is the chain ID of the image
//! specification: a digest of its own diffID and all of those. It is filled under another name, with
//! a lock on that, and renamed when its diffID was found to be right.

use std::collections::HashSet;
use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::users::User;
use super::{Store, list, remove};
use crate::digest::Digest;
use crate::error::{Context, Result};
use crate::image::{Config, Document};
use crate::interrupt;

/// How long to wait before looking again whether another program is done with a layer.
pub(super) const POLL: Duration = Duration::from_millis(20);

/// A layer that is being filled. Dropped before [`Making::keep`], it is removed.
#[derive(Debug)]
pub struct Making {
    dir: PathBuf,
    target: PathBuf,
    lock: PathBuf,
    _held: File,
}

/// The chain IDs of an image's layers, the lowest first.
pub fn chain(diff_ids: &[Digest]) -> Vec<Digest> {
    let mut chain: Vec<Digest> = Vec::new();
    for id in diff_ids {
        chain.push(match chain.last() {
            None => id.clone(),
            Some(below) => Digest::of(format!("{below} {id}").as_bytes()),
        });
    }
    chain
}

impl Store {
    /// Where an unpacked layer is, or would be.
    pub fn layer(&self, chain: &Digest) -> PathBuf {
        self.layer_dir(chain.hex()).join("fs")
    }

    /// Whether a layer is there.
    pub fn has_layer(&self, chain: &Digest) -> Result<bool> {
        let path = self.layer(chain);
        path.try_exists().while_doing(|| format!("look for {}", path.display()))
    }

    /// Begins to fill a layer; `None` if it is there, maybe because another program was faster.
    pub fn begin_layer(&self, chain: &Digest) -> Result<Option<Making>> {
        let lock = self.root.join("partial").join(format!("layer-{}", chain.hex()));
        let step = || format!("lock {}", lock.display());
        let held = loop {
            if self.has_layer(chain)? {
                return Ok(None);
            }
            let open = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&lock);
            let file = open.while_doing(step)?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Err(Errno::WOULDBLOCK) => {
                    interrupt::check()?;
                    std::thread::sleep(POLL);
                }
                other => {
                    other.while_doing(step)?;
                    break file;
                }
            }
        };
        if self.has_layer(chain)? {
            return Ok(None);
        }
        let dir = self.root.join("layers").join(format!("new-{}", chain.hex()));
        // Whoever held the lock before was killed.
        clear(&dir)?;
        for part in ["fs", "work"] {
            let made = DirBuilder::new().recursive(true).mode(0o755).create(dir.join(part));
            made.while_doing(|| format!("make {}", dir.display()))?;
        }
        Ok(Some(Making { dir, target: self.layer_dir(chain.hex()), lock, _held: held }))
    }

    /// The chain IDs that images and bundles need, but for those bundles.
    fn needed_layers(&self, but: &[User]) -> Result<HashSet<String>> {
        let is_counted =
            |user: &User| !but.iter().any(|other| other.dir == user.dir && other.layers == user.layers);
        let users = self.users()?.into_iter().filter(is_counted);
        let mut needed: HashSet<String> = users.flat_map(|user| user.layers).collect();
        for record in self.records()? {
            if let Some(bytes) = self.document(&record.manifest)?
                && let Document::Manifest(manifest) = Document::parse(&bytes, &record.manifest.media_type)?
                && let Some(bytes) = self.document(&manifest.config)?
                && let Ok(config) = Config::parse(&bytes, &manifest)
            {
                needed.extend(chain(&config.diff_ids).iter().map(|id| id.hex().to_owned()));
            }
        }
        Ok(needed)
    }

    /// Removes the layers that nobody needs; to be called with the store's lock held alone. Those that only
    /// missing bundles need stay, and are weighed.
    pub(super) fn collect_layers(&self, missing: &[User]) -> Result<(Weight, Weight)> {
        let (needed, mut gone, mut kept) =
            (self.needed_layers(missing)?, Weight::default(), Weight::default());
        for path in list(&self.root.join("layers"))? {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if needed.contains(&name) {
                continue;
            }
            if missing.iter().any(|user| user.layers.contains(&name)) {
                kept.add(&weigh(&path)?);
                continue;
            }
            gone.add(&weigh(&path)?);
            let away = self.root.join("layers").join(format!("new-gone-{name}"));
            // Away at once, so that a killed gc leaves no half of a layer under its name.
            if !name.starts_with("new-") {
                std::fs::rename(&path, &away).while_doing(|| format!("remove {}", path.display()))?;
            }
            clear(if name.starts_with("new-") { &path } else { &away })?;
        }
        Ok((gone, kept))
    }

    fn layer_dir(&self, name: &str) -> PathBuf {
        self.root.join("layers").join(name)
    }
}

impl Making {
    /// Where the layer's files go.
    pub fn fs(&self) -> PathBuf {
        self.dir.join("fs")
    }

    /// The work directory that an overlay needs.
    pub fn work(&self) -> PathBuf {
        self.dir.join("work")
    }

    /// The layer is whole and right: it gets its name.
    pub fn keep(self) -> Result<()> {
        clear(&self.work())?;
        let moved = std::fs::rename(&self.dir, &self.target);
        moved.while_doing(|| format!("rename {} to {}", self.dir.display(), self.target.display()))
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        // Nobody to tell: what stopped the work is being reported already.
        drop(clear(&self.dir));
        drop(remove(&self.lock));
    }
}

/// Removes a directory that may be gone already.
fn clear(dir: &Path) -> Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other.while_doing(|| format!("remove {}", dir.display())),
    }
}

/// Files and their bytes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Weight {
    /// How many.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Weight {
    /// The sum.
    pub(super) fn add(&mut self, other: &Self) {
        (self.files, self.bytes) = (self.files + other.files, self.bytes + other.bytes);
    }
}

/// What is below a directory.
fn weigh(dir: &Path) -> Result<Weight> {
    let mut sum = Weight::default();
    let mut todo = vec![dir.to_owned()];
    while let Some(dir) = todo.pop() {
        interrupt::check()?;
        for path in list(&dir)? {
            let meta = path.symlink_metadata().while_doing(|| format!("stat {}", path.display()))?;
            match meta.is_dir() {
                true => todo.push(path),
                false => sum.add(&Weight { files: 1, bytes: meta.len() }),
            }
        }
    }
    Ok(sum)
}
