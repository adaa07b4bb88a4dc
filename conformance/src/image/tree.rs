//! What a tool has made on disk, as lstat and the xattrs tell it.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// A bundle: `config.json` and `rootfs`.
#[derive(Debug)]
pub struct Bundle {
    dir: PathBuf,
}

/// One path of a root file system, links not followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// file, directory, symlink, fifo, socket, char or block.
    pub kind: &'static str,
    /// Permission bits with setuid, setgid and sticky.
    pub mode: u32,
    /// Owner and group.
    pub owner: (u32, u32),
    /// Seconds since 1970.
    pub mtime: i64,
    /// Of a device.
    pub device: (u32, u32),
    /// Equal for hard links of one file.
    pub inode: u64,
    /// Where a symlink leads.
    pub target: String,
}

impl Bundle {
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// A path of the root file system.
    pub fn path(&self, path: &str) -> PathBuf {
        self.dir.join("rootfs").join(path)
    }

    /// config.json.
    pub fn config(&self) -> Result<Value> {
        let text = fs::read_to_string(self.dir.join("config.json")).context("read config.json")?;
        serde_json::from_str(&text).context("config.json is no JSON")
    }

    /// What is there.
    pub fn look(&self, path: &str) -> Result<Seen> {
        let place = self.path(path);
        let meta = place.symlink_metadata().with_context(|| format!("look at {path}"))?;
        let kind = meta.file_type();
        let kinds = [
            (kind.is_file(), "file"),
            (kind.is_dir(), "directory"),
            (kind.is_symlink(), "symlink"),
            (kind.is_fifo(), "fifo"),
            (kind.is_socket(), "socket"),
            (kind.is_char_device(), "char"),
        ];
        let device = meta.rdev();
        Ok(Seen {
            kind: kinds.iter().find(|(is, _)| *is).map_or("block", |(_, name)| name),
            mode: meta.mode() & 0o7777,
            owner: (meta.uid(), meta.gid()),
            mtime: meta.mtime(),
            device: (rustix::fs::major(device), rustix::fs::minor(device)),
            inode: meta.ino(),
            target: fs::read_link(&place).map(|to| to.display().to_string()).unwrap_or_default(),
        })
    }

    /// A file's content.
    pub fn text(&self, path: &str) -> Result<String> {
        let bytes = fs::read(self.path(path)).with_context(|| format!("read {path}"))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Fails if anything is there.
    pub fn lacks(&self, path: &str) -> Result<()> {
        ensure!(self.look(path).is_err(), "{path} is there");
        Ok(())
    }

    /// An extended attribute; nothing when it is not there.
    pub fn xattr(&self, path: &str, name: &str) -> Option<Vec<u8>> {
        xattr(&self.path(path), name)
    }
}

fn xattr(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut buffer = vec![0; 1024];
    let length = rustix::fs::lgetxattr(path, name, &mut buffer[..]).ok()?;
    buffer.truncate(length);
    Some(buffer)
}
