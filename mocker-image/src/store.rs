//! The local store: what was pulled, verified, and nothing else.
//!
//! ```text
//! ROOT/                     0700
//!   lock                    flock: shared while a program works here, exclusive to delete blobs
//!   blobs/<algorithm>/<hex> manifests, configs and layers, as they came; only verified ones
//!   partial/<algorithm>-<hex>
//!                           a blob that is still arriving; flock: held by the program that writes it.
//!                           One that nobody holds is left from a killed program: the next pull of
//!                           that blob goes on where it ends
//!   layers/<chain>/fs       an unpacked layer: a lower directory of overlays; see `layers`
//!   bundles/<id>            JSON: a bundle, and the layers that it keeps; see `users`
//!   refs/<hex>              JSON, one file a name (the hex is the name's SHA-256): see [`Record`]
//! ```
//!
//! A blob appears by rename, so it is whole or not there. Nothing is synced to the disk: after a
//! power cut a blob may be short or wrong, and since everything is checked again whenever it is
//! read, it is fetched again then. Two programs may work here at once.

mod gc;
pub mod layers;
pub mod partial;
pub mod place;
pub mod refs;
pub mod users;
mod verify;

use std::collections::HashMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use rustix::fs::{FlockOperation, flock};

use crate::digest::Digest;
use crate::error::{Context, Error, Kind, Result};
use crate::image::{Blob, Descriptor};
pub use gc::Freed;
pub use refs::Record;
pub use verify::{Bad, Verdict};

/// A store on disk.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    lock: File,
    /// What this program added and nothing refers to yet.
    added: Mutex<Vec<Digest>>,
    /// Which names need a blob, as far as it was known when that was first asked.
    names: OnceLock<HashMap<Digest, Vec<String>>>,
}

impl Store {
    /// Opens a store, made where there is none.
    pub fn open(root: &Path) -> Result<Self> {
        for dir in ["", "blobs", "bundles", "layers", "partial", "refs"] {
            let dir = root.join(dir);
            let made = DirBuilder::new().recursive(true).mode(0o700).create(&dir);
            made.while_doing(|| format!("make the store's directory {}", dir.display()))?;
        }
        let path = root.join("lock");
        let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let lock = lock.while_doing(|| format!("open {}", path.display()))?;
        flock(&lock, FlockOperation::LockShared).while_doing(|| format!("lock {}", path.display()))?;
        Ok(Self { root: root.to_owned(), lock, added: Mutex::default(), names: OnceLock::new() })
    }

    /// Where the store is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The blob, unless it is missing or has another size than it should: then it is fetched anew.
    pub fn blob(&self, descriptor: &Descriptor) -> Result<Option<Blob>> {
        let path = self.path(&descriptor.digest);
        let file = match File::open(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.while_doing(|| format!("open {}", path.display()))?,
        };
        let size = file.metadata().while_doing(|| format!("stat {}", path.display()))?.len();
        if size != descriptor.size {
            return Ok(None);
        }
        let name = format!("blob {} in the store", descriptor.digest);
        Ok(Some(Blob::new(Box::new(file), name, &descriptor.digest, descriptor.size)))
    }

    /// A document in memory, unless it is missing; one that went bad counts as missing.
    pub fn document(&self, descriptor: &Descriptor) -> Result<Option<Vec<u8>>> {
        let Some(mut blob) = self.blob(descriptor)? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        match blob.read_to_end(&mut bytes).map_err(Error::from) {
            Ok(_) => Ok(Some(bytes)),
            Err(e) if e.kind() == Kind::Invalid => Ok(None),
            Err(e) => Err(e.step(format!("read blob {}", descriptor.digest))),
        }
    }

    /// Puts a document in by the digest that others name it by, which was found to be its own.
    pub fn put(&self, digest: &Digest, bytes: &[u8]) -> Result<()> {
        let path = self.path(digest);
        self.make_parent(&path)?;
        replace(&self.root.join("partial"), &path, bytes)?;
        self.note(digest);
        Ok(())
    }

    /// Removes a blob that turned out to be bad.
    pub fn discard(&self, digest: &Digest) -> Result<()> {
        remove(&self.path(digest))
    }

    /// What was added is referred to now.
    pub fn keep_added(&self) {
        self.added.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Removes what was added, unless a name refers to it or another program works here and may rely on it.
    pub fn undo_added(&self) -> Result<()> {
        let added = std::mem::take(&mut *self.added.lock().unwrap_or_else(PoisonError::into_inner));
        if flock(&self.lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Ok(());
        }
        let needed = self.needed()?;
        added.iter().filter(|digest| !needed.contains_key(digest)).try_for_each(|digest| self.discard(digest))
    }

    /// The files below `blobs`, each with the digest that its path spells.
    fn blobs(&self) -> Result<Vec<(PathBuf, Option<Digest>)>> {
        let mut blobs = Vec::new();
        for dir in list(&self.root.join("blobs"))? {
            let algorithm = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
            for path in list(&dir)? {
                let hex = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                blobs.push((path, format!("{algorithm}:{hex}").parse().ok()));
            }
        }
        Ok(blobs)
    }

    fn note(&self, digest: &Digest) {
        self.added.lock().unwrap_or_else(PoisonError::into_inner).push(digest.clone());
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs").join(digest.algorithm()).join(digest.hex())
    }

    fn make_parent(&self, path: &Path) -> Result<()> {
        let parent = path.parent().unwrap_or(&self.root);
        let made = DirBuilder::new().recursive(true).mode(0o700).create(parent);
        made.while_doing(|| format!("make the store's directory {}", parent.display()))
    }
}

/// The entries of a folder, sorted.
fn list(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(dir).and_then(|entries| {
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>()
    });
    let mut entries = entries.while_doing(|| format!("list {}", dir.display()))?;
    entries.sort();
    Ok(entries)
}

/// Removes a file that may be gone already.
fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.while_doing(|| format!("remove {}", path.display())),
    }
}

/// Writes a file so that its name has either the old content or all of the new.
fn replace(scratch: &Path, path: &Path, bytes: &[u8]) -> Result<()> {
    let step = || format!("write {}", path.display());
    let temporary = scratch.join(format!("new-{}-{}", std::process::id(), Digest::of(bytes).short()));
    let written = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary);
    let written =
        written.and_then(|mut file| file.write_all(bytes)).and_then(|()| std::fs::rename(&temporary, path));
    if written.is_err() {
        remove(&temporary).while_doing(step)?;
    }
    written.while_doing(step)
}
