//! A root file system under construction, and the only way to touch it.
//!
//! Every directory is opened below the root by openat2 with `RESOLVE_IN_ROOT`, so a symlink planted
//! by an earlier entry leads where it would lead a process inside the container, never outside.
//! Everything else is done to one name in an opened directory, without following. Opened
//! directories are kept: an archive comes sorted, and reopening costs more than the files do.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::rc::Rc;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use super::attribute;
use super::entry::text;
use crate::error::{Context, Error, Result};

/// How many directories are kept open; half of the usual limit of 1024 is left to others.
const KEPT: usize = 256;
/// Flags of every directory handle.
const DIRECTORY: OFlags = OFlags::DIRECTORY.union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW);

/// A directory below the root, opened.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) fd: Rc<OwnedFd>,
    pub(super) stat: Stat,
    gives_list: OnceCell<bool>,
}

impl Folder {
    fn new(fd: Rc<OwnedFd>) -> Result<Self> {
        let stat = rustix::fs::fstat(&fd).while_doing(|| "stat a directory")?;
        Ok(Self { fd, stat, gives_list: OnceCell::new() })
    }

    /// Whether what is made in here gets an access control list, and other mode bits than it asks for.
    pub(super) fn gives_its_list(&self) -> bool {
        // Of what is larger than this one byte the kernel says that it is.
        let ask = || rustix::fs::fgetxattr(&self.fd, OsStr::from_bytes(attribute::DEFAULT), &mut [0_u8][..]);
        *self.gives_list.get_or_init(|| matches!(ask(), Ok(_) | Err(Errno::RANGE)))
    }

    /// Whether what is made in here gets the directory's group.
    pub(super) fn gives_its_group(&self) -> bool {
        self.stat.st_mode & 0o2000 != 0
    }
}

/// The root and its opened directories.
#[derive(Debug)]
pub(super) struct Tree {
    root: Rc<OwnedFd>,
    open: HashMap<Vec<u8>, Rc<Folder>>,
}

impl Tree {
    /// Opens the directory that everything is to stay below.
    pub(super) fn open(root: &Path) -> Result<Self> {
        let fd = rustix::fs::openat(CWD, root, DIRECTORY, Mode::empty())
            .while_doing(|| format!("open {}", root.display()))?;
        Ok(Self::of(fd))
    }

    /// The same with a directory that is open.
    pub(super) fn of(root: OwnedFd) -> Self {
        Self { root: Rc::new(root), open: HashMap::new() }
    }

    /// The root itself.
    pub(super) fn root(&self) -> Result<Option<Folder>> {
        Folder::new(Rc::clone(&self.root)).map(Some)
    }

    /// The directory at a clean path, or `None` if something on the way is missing.
    pub(super) fn folder(&mut self, path: &[u8]) -> Result<Option<Rc<Folder>>> {
        if path.is_empty() {
            // Never kept: layers change the root's own mode and time.
            return Folder::new(Rc::clone(&self.root)).map(|root| Some(Rc::new(root)));
        }
        if let Some(folder) = self.open.get(path) {
            return Ok(Some(Rc::clone(folder)));
        }
        match self.resolve(path) {
            Ok(fd) => self.keep(path, fd).map(Some),
            Err(Errno::NOENT) => Ok(None),
            Err(e) => Err(e).while_doing(|| format!("open the directory {} below the root", text(path))),
        }
    }

    /// Opens the directory that was just made under this name, and keeps it.
    pub(super) fn enter(&mut self, path: &[u8], parent: &Folder, name: &[u8]) -> Result<Rc<Folder>> {
        let fd = rustix::fs::openat(&parent.fd, OsStr::from_bytes(name), DIRECTORY, Mode::empty())
            .while_doing(|| format!("open the directory {}", text(path)))?;
        self.keep(path, fd)
    }

    /// Forgets every opened directory: a path may now lead elsewhere.
    pub(super) fn forget(&mut self) {
        self.open.clear();
    }

    fn keep(&mut self, path: &[u8], fd: OwnedFd) -> Result<Rc<Folder>> {
        if self.open.len() >= KEPT {
            self.open.clear();
        }
        let folder = Rc::new(Folder::new(Rc::new(fd))?);
        self.open.insert(path.to_vec(), Rc::clone(&folder));
        Ok(folder)
    }

    fn resolve(&self, path: &[u8]) -> rustix::io::Result<OwnedFd> {
        let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        loop {
            match rustix::fs::openat2(&self.root, OsStr::from_bytes(path), flags, Mode::empty(), how) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                other => return other,
            }
        }
    }

    /// Removes what stands under a name, with everything below it; whether there was anything.
    pub(super) fn remove(&mut self, folder: &Folder, name: &[u8]) -> Result<bool> {
        let os_name = OsStr::from_bytes(name);
        let stat = match rustix::fs::statat(&folder.fd, os_name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(false),
            other => other.while_doing(|| format!("stat {}", text(name)))?,
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                self.forget();
                empty(folder.fd.as_fd(), name)?;
                rustix::fs::unlinkat(&folder.fd, os_name, AtFlags::REMOVEDIR)
            }
            kind => {
                if kind == FileType::Symlink {
                    self.forget();
                }
                rustix::fs::unlinkat(&folder.fd, os_name, AtFlags::empty())
            }
        }
        .while_doing(|| format!("remove {}", text(name)))?;
        Ok(true)
    }
}

/// The names in an opened directory.
pub(super) fn names(fd: impl AsFd) -> Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for found in Dir::read_from(fd).while_doing(|| "list a directory")? {
        let found = found.while_doing(|| "list a directory")?;
        if !matches!(found.file_name().to_bytes(), b"." | b"..") {
            names.push(found.file_name().to_bytes().to_vec());
        }
    }
    Ok(names)
}

/// Removes everything in the directory under a name, and nothing else: links are not followed.
fn empty(parent: std::os::fd::BorrowedFd<'_>, name: &[u8]) -> Result<()> {
    let fd = rustix::fs::openat(parent, OsStr::from_bytes(name), DIRECTORY, Mode::empty())
        .while_doing(|| format!("open {}", text(name)))?;
    for child in names(&fd)? {
        let os_name = OsStr::from_bytes(&child);
        let removed = match rustix::fs::unlinkat(&fd, os_name, AtFlags::empty()) {
            Err(Errno::ISDIR | Errno::PERM) => {
                empty(fd.as_fd(), &child)?;
                rustix::fs::unlinkat(&fd, os_name, AtFlags::REMOVEDIR)
            }
            other => other,
        };
        removed.while_doing(|| format!("remove {}", text(&child)))?;
    }
    Ok(())
}

/// Takes a path apart into clean components; an archive's `..` has no meaning that is not an attack.
pub(super) fn components(path: &[u8]) -> Result<Vec<&[u8]>> {
    let clean: Vec<&[u8]> = path.split(|&b| b == b'/').filter(|c| !matches!(*c, b"" | b".")).collect();
    if clean.contains(&&b".."[..]) {
        return Err(Error::invalid("climbs out of the root file system with `..`"));
    }
    match path.contains(&0) {
        true => Err(Error::invalid("has a NUL byte in its name")),
        false => Ok(clean),
    }
}
