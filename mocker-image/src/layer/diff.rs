//! What differs between two trees: an image's and what a container made of it.
//!
//! Both are walked by opened directories, never by paths, so that a container that still runs cannot
//! lead the walk elsewhere.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::entry::text;
use super::tree::names;
use crate::error::{Context, Result};

/// What happened to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It was not there.
    Added,
    /// It is another thing, or has other content, owner, mode, time or attributes.
    Changed,
    /// It is gone.
    Removed,
}

impl Kind {
    /// docker's letter.
    pub fn letter(self) -> char {
        match self {
            Self::Added => 'A',
            Self::Changed => 'C',
            Self::Removed => 'D',
        }
    }
}

/// One difference; a directory comes before what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// From the root, without a slash before it.
    pub path: Vec<u8>,
    /// What happened.
    pub kind: Kind,
}

/// What is compared.
#[derive(Debug)]
pub struct Trees<'a> {
    /// The image's root.
    pub base: &'a OwnedFd,
    /// The root as it is now.
    pub now: &'a OwnedFd,
    /// An overlay's upper directory: only what is in there can have changed.
    pub upper: Option<&'a OwnedFd>,
}

struct Walk<'a> {
    masks: &'a [Vec<u8>],
    changes: Vec<Change>,
}

/// All differences, but for those at and below the masked paths.
pub fn changes(trees: &Trees<'_>, masks: &[Vec<u8>]) -> Result<Vec<Change>> {
    let mut walk = Walk { masks, changes: Vec::new() };
    let upper = trees.upper.map(|fd| open(fd, b".")).transpose()?;
    walk.directory(&[], Some(&open(trees.base, b".")?), &open(trees.now, b".")?, upper.as_ref())?;
    Ok(walk.changes)
}

impl Walk<'_> {
    fn directory(
        &mut self,
        path: &[u8],
        base: Option<&OwnedFd>,
        now: &OwnedFd,
        upper: Option<&OwnedFd>,
    ) -> Result<()> {
        crate::interrupt::check()?;
        let mut all: BTreeSet<Vec<u8>> = names(upper.unwrap_or(now))?.into_iter().collect();
        if let (Some(base), None) = (base, upper) {
            all.extend(names(base)?);
        }
        for name in all {
            let child = if path.is_empty() { name.clone() } else { [path, b"/", &name].concat() };
            if !self.masks.contains(&child) {
                let step = || format!("compare {}", text(&child));
                self.name(&child, &name, (base, now, upper)).while_doing(step)?;
            }
        }
        Ok(())
    }

    fn name(
        &mut self,
        path: &[u8],
        name: &[u8],
        (base, now, upper): (Option<&OwnedFd>, &OwnedFd, Option<&OwnedFd>),
    ) -> Result<()> {
        let was = base.map(|base| stat(base, name)).transpose()?.flatten();
        let Some(is) = stat(now, name)? else {
            if was.is_some() {
                self.changes.push(Change { path: path.to_vec(), kind: Kind::Removed });
            }
            return Ok(());
        };
        let kind = match (&was, base) {
            (Some(was), Some(base)) => {
                let same = same_facts(was, &is)
                    && (is_directory(&is) || upper.is_none())
                    && same_content((base, now), name, &is)?;
                (!same).then_some(Kind::Changed)
            }
            _ => Some(Kind::Added),
        };
        if let Some(kind) = kind {
            self.changes.push(Change { path: path.to_vec(), kind });
        }
        if !is_directory(&is) {
            return Ok(());
        }
        let below = was.filter(is_directory).and(base).map(|base| open(base, name)).transpose()?;
        let upper = match upper.map(|upper| open(upper, name)).transpose()? {
            // What the kernel hid or moved as a whole is compared as a whole.
            Some(fd) if whole(&fd) || below.is_none() => None,
            upper => upper,
        };
        self.directory(path, below.as_ref(), &open(now, name)?, upper.as_ref())
    }
}

/// Whether at this path, at which both trees have a thing of the same kind, the content is the same, too.
pub fn is_same(base: &OwnedFd, now: &OwnedFd, path: &[u8]) -> Result<bool> {
    let ((base, name), (now, _)) = (parent(base, path)?, parent(now, path)?);
    match stat(&now, name)? {
        Some(is) => same_content((&base, &now), name, &is),
        None => Ok(false),
    }
}

/// Whether attributes and, of a file or a link, the content are the same.
fn same_content((base, now): (&OwnedFd, &OwnedFd), name: &[u8], is: &Stat) -> Result<bool> {
    if attributes(base, name)? != attributes(now, name)? {
        return Ok(false);
    }
    match FileType::from_raw_mode(is.st_mode) {
        FileType::RegularFile => same_bytes(base, now, name),
        FileType::Symlink => {
            let target = |dir: &OwnedFd| rustix::fs::readlinkat(dir, os(name), Vec::new());
            Ok(target(base)? == target(now)?)
        }
        _ => Ok(true),
    }
}

fn same_bytes(base: &OwnedFd, now: &OwnedFd, name: &[u8]) -> Result<bool> {
    let open = |dir: &OwnedFd| {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        rustix::fs::openat(dir, os(name), flags, Mode::empty()).map(File::from)
    };
    let (mut a, mut b) = (open(base)?, open(now)?);
    let (mut x, mut y) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        let n = a.read(&mut x)?;
        if n == 0 {
            return Ok(b.read(&mut y)? == 0);
        }
        match b.read_exact(&mut y[..n]) {
            Ok(()) if x[..n] == y[..n] => {}
            Ok(()) => return Ok(false),
            Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(false),
            Err(e) => return Err(e.into()),
        }
    }
}

pub(super) fn os(name: &[u8]) -> &OsStr {
    OsStr::from_bytes(name)
}

pub(super) fn open(dir: impl AsFd, name: &[u8]) -> Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(dir, os(name), flags, Mode::empty())?)
}

/// Opens the directory of a clean path, following nothing.
pub(super) fn parent<'a>(root: &OwnedFd, path: &'a [u8]) -> Result<(OwnedFd, &'a [u8])> {
    let (mut dir, mut rest) = (open(root, b".")?, path);
    while let Some(at) = rest.iter().position(|&b| b == b'/') {
        dir = open(&dir, &rest[..at])?;
        rest = &rest[at + 1..];
    }
    Ok((dir, if rest.is_empty() { b"." } else { rest }))
}

/// What stands under a name, if anything does.
pub(super) fn stat(dir: &OwnedFd, name: &[u8]) -> Result<Option<Stat>> {
    match rustix::fs::statat(dir, os(name), AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => Ok(None),
        other => Ok(Some(other?)),
    }
}

pub(super) fn is_directory(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode).is_dir()
}

fn same_facts(was: &Stat, is: &Stat) -> bool {
    let size = |s: &Stat| if is_directory(s) { 0 } else { s.st_size };
    let facts = |s: &Stat| (s.st_mode, s.st_uid, s.st_gid, s.st_mtime, s.st_mtime_nsec, size(s), s.st_rdev);
    facts(was) == facts(is)
}

/// Name and value of an extended attribute.
type Attribute = (Vec<u8>, Vec<u8>);

/// Extended attributes of a name, sorted; the kernel's own of overlays are none.
pub(super) fn attributes(dir: &OwnedFd, name: &[u8]) -> Result<Vec<Attribute>> {
    // No system call lists attributes by handle and name: the handle goes through /proc.
    let mut path = format!("/proc/self/fd/{}/", dir.as_raw_fd()).into_bytes();
    path.extend_from_slice(name);
    let path = os(&path);
    collect(|list| rustix::fs::llistxattr(path, list), |key, value| rustix::fs::lgetxattr(path, key, value))
}

/// The same of an opened file.
pub(super) fn attributes_of(file: &File) -> Result<Vec<Attribute>> {
    collect(|list| rustix::fs::flistxattr(file, list), |key, value| rustix::fs::fgetxattr(file, key, value))
}

fn collect(
    list: impl Fn(&mut [u8]) -> rustix::io::Result<usize>,
    get: impl Fn(&OsStr, &mut [u8]) -> rustix::io::Result<usize>,
) -> Result<Vec<Attribute>> {
    // Most names have none: then no large buffer is filled with zeros for it.
    let (mut few, mut many) = ([0; 256], Vec::new());
    let keys = match list(&mut few[..]) {
        Err(Errno::OPNOTSUPP | Errno::ACCESS) => &[],
        Err(Errno::RANGE) => {
            many.resize(1 << 16, 0);
            let n = list(&mut many[..])?;
            &many[..n]
        }
        n => &few[..n?],
    };
    let mut all = Vec::new();
    for key in keys.split(|&b| b == 0).filter(|key| !key.is_empty()) {
        if key.starts_with(b"trusted.overlay.") || key.starts_with(b"user.overlay.") {
            continue;
        }
        let mut value = vec![0; 1 << 16];
        match get(os(key), &mut value[..]) {
            Err(Errno::NODATA | Errno::OPNOTSUPP) => {}
            n => {
                value.truncate(n?);
                all.push((key.to_vec(), value));
            }
        }
    }
    all.sort();
    Ok(all)
}

/// Whether a directory of an overlay's upper one hides or moves another as a whole.
fn whole(fd: &OwnedFd) -> bool {
    let mut value = [0; 4096];
    [c"trusted.overlay.opaque", c"trusted.overlay.redirect"]
        .iter()
        .any(|key| rustix::fs::fgetxattr(fd, *key, &mut value[..]).is_ok())
}
