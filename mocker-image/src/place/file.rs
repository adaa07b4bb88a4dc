//! Files of places that are folders: written whole or not at all, read with a check.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Context, Error, Kind, Result};
use crate::image::{Blob, Descriptor};

static NEXT: AtomicU64 = AtomicU64::new(0);

/// Whether there is anything under a name.
pub(crate) fn is_there(path: &Path) -> Result<bool> {
    path.try_exists().while_doing(|| format!("look for {}", path.display()))
}

/// A blob that lies in a file of its own.
pub(crate) fn blob(path: &Path, descriptor: &Descriptor) -> Result<Blob> {
    let file = match File::open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            return Err(Error::new(Kind::NotFound, format!("{} is missing", path.display())));
        }
        other => other.while_doing(|| format!("open {}", path.display()))?,
    };
    let name = path.display().to_string();
    Ok(Blob::new(Box::new(file), name, &descriptor.digest, descriptor.size))
}

/// Whether a file is there with a blob's size.
pub(crate) fn has(path: &Path, descriptor: &Descriptor) -> Result<bool> {
    match std::fs::metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        other => Ok(other.while_doing(|| format!("stat {}", path.display()))?.len() == descriptor.size),
    }
}

/// Makes the folder of a file.
pub(crate) fn make_parent(path: &Path) -> Result<()> {
    let parent = path.parent().unwrap_or(Path::new("."));
    let made = DirBuilder::new().recursive(true).mode(0o755).create(parent);
    made.while_doing(|| format!("make the folder {}", parent.display()))
}

/// Writes a file so that its name has the old content or all of the new.
pub(crate) fn replace(path: &Path, mut bytes: &[u8]) -> Result<()> {
    put(path, &mut bytes)
}

/// The same with what a reader gives; a reader's error leaves everything as it was.
pub(crate) fn put(path: &Path, from: &mut dyn Read) -> Result<()> {
    let temporary = Temporary::beside(path)?;
    copy(from, &temporary.file)?;
    temporary.keep()
}

/// Copies with errors that say which side failed.
pub(crate) fn copy(from: &mut dyn Read, mut to: &File) -> Result<u64> {
    let (mut buffer, mut sum) = (vec![0; 1 << 17], 0);
    loop {
        crate::interrupt::check()?;
        let n = match from.read(&mut buffer) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        if n == 0 {
            return Ok(sum);
        }
        to.write_all(&buffer[..n]).while_doing(|| "write")?;
        sum += n as u64;
    }
}

/// A file that gets its name when it is whole. Dropped before that, it is removed.
#[derive(Debug)]
pub(crate) struct Temporary {
    pub(crate) file: File,
    temporary: PathBuf,
    path: PathBuf,
    kept: bool,
}

impl Temporary {
    /// A new file that is to become `path`.
    pub(crate) fn beside(path: &Path) -> Result<Self> {
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let temporary = path.with_file_name(format!(".{name}.{}-{n}", std::process::id()));
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true).mode(0o644);
        let file = options.open(&temporary).while_doing(|| format!("write {}", path.display()))?;
        Ok(Self { file, temporary, path: path.to_owned(), kept: false })
    }

    /// Gives it its name.
    pub(crate) fn keep(mut self) -> Result<()> {
        let moved = std::fs::rename(&self.temporary, &self.path);
        moved.while_doing(|| format!("write {}", self.path.display()))?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.kept {
            // Nobody to tell: what stopped the writing is being reported already.
            drop(std::fs::remove_file(&self.temporary));
        }
    }
}
