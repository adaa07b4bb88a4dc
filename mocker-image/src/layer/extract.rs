//! Applies the entries of layers to a root, one layer over the other.
//!
//! ```text
//! entry -> clean path -> whiteout?  remove below the parent
//!                     -> otherwise  make the parents, make the thing under its name, give it its owner,
//!                                   mode, attributes and times
//! end of a layer      -> directories get mode and times last: filling them changed them
//! ```
//!
//! Nothing is followed but parent directories, and those only inside the root (see `tree`). What
//! stands in the way is replaced, except that a directory stays a directory.

mod finish;
mod make;
mod whiteout;

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;
use std::io::BufRead;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::rc::Rc;

use rustix::fs::{Mode, Timespec, Timestamps};

use super::archive::Archive;
use super::attribute;
use super::entry::{Entry, Kind};
use super::ids::{Ids, To};
use super::tree::{Folder, Tree, components};
use crate::error::{Context, Error, Kind as ErrorKind, Result};
use finish::Finisher;

/// Whose files the archive's become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ownership {
    /// Those that the archive says; needs root.
    Archive,
    /// The same, by root of a user namespace: devices become empty files.
    Namespace,
    /// The caller's, whatever the archive says; devices become empty files.
    Caller,
}

impl Ownership {
    /// What whoever runs this can do.
    pub fn usual() -> Self {
        match (rustix::process::geteuid().is_root(), crate::userns::is_partial()) {
            (false, _) => Self::Caller,
            (true, true) => Self::Namespace,
            (true, false) => Self::Archive,
        }
    }
}

/// How layers become files.
#[derive(Debug, Clone)]
pub struct Manner {
    /// Whose files they become.
    pub ownership: Ownership,
    /// Which of the host's ids stand for the archive's; `None` is the same ones.
    pub ids: Option<Ids>,
    /// A directory of an archive leaves a link to a directory that stands in its place.
    pub keep_dirlinks: bool,
}

impl From<Ownership> for Manner {
    fn from(ownership: Ownership) -> Self {
        Self { ownership, ids: None, keep_dirlinks: false }
    }
}

/// What a directory gets when its layer is done.
#[derive(Debug)]
struct Last {
    path: Vec<u8>,
    mode: u32,
    mtime: (i64, u32),
}

/// A root that layers are applied to, from the lowest up.
#[derive(Debug)]
pub struct Extractor {
    tree: Tree,
    ownership: Ownership,
    ids: Option<Ids>,
    keep_dirlinks: bool,
    /// Inode -> what to do last; by inode, since links give a directory several paths.
    last: HashMap<u64, Last>,
    /// Hashes of the paths that the current layer made: an opaque directory keeps those.
    made: HashSet<u64>,
    seed: RandomState,
    lowest: bool,
    finisher: Finisher,
}

impl Extractor {
    /// Begins with an empty directory. The process's umask must be 0.
    pub fn new(root: &Path, manner: impl Into<Manner>) -> Result<Self> {
        let this = Self::at(Tree::open(root)?, manner.into(), true);
        if let (Some(ids), Some(folder)) = (&this.ids, this.tree.root()?) {
            make::give(&folder.fd, ids.owner((0, 0), To::Host)?)?;
        }
        Ok(this)
    }

    fn at(tree: Tree, manner: Manner, lowest: bool) -> Self {
        let (last, made, seed) = (HashMap::new(), HashSet::new(), RandomState::new());
        let Manner { ownership, ids, keep_dirlinks } = manner;
        Self { tree, ownership, ids, keep_dirlinks, last, made, seed, lowest, finisher: Finisher::default() }
    }

    /// Begins with a directory that has the content of lower layers.
    pub fn over(root: OwnedFd, ownership: Ownership) -> Self {
        Self::at(Tree::of(root), ownership.into(), false)
    }

    /// Applies one layer.
    pub fn layer(&mut self, input: &mut dyn BufRead) -> Result<()> {
        let mut archive = Archive::new(input);
        while let Some(mut entry) = archive.next_entry()? {
            if let Some(ids) = &self.ids {
                map(&mut entry, ids).while_doing(|| format!("entry {}", entry.display()))?;
            }
            self.entry(&entry, &mut archive).while_doing(|| format!("entry {}", entry.display()))?;
            self.finisher.hand_on()?;
        }
        self.finisher.end()?;
        self.lowest = false;
        self.made.clear();
        self.settle()
    }

    fn entry(&mut self, entry: &Entry, archive: &mut Archive<'_>) -> Result<()> {
        let path = components(&entry.path)?;
        let Some((name, parents)) = path.split_last() else {
            return self.root(entry);
        };
        let parent_path = parents.join(&b'/');
        if whiteout::is(name) {
            return self.whiteout(&parent_path, name);
        }
        let parent = self.parent(&parent_path, entry.mtime)?;
        let place = Place { path: path.join(&b'/'), parent, name };
        self.remember(&place.path);
        match entry.kind {
            Kind::File => self.file(entry, &place, archive),
            Kind::Directory => self.directory(entry, &place),
            Kind::Symlink => self.symlink(entry, &place),
            Kind::Hardlink => self.hardlink(entry, &place),
            Kind::CharDevice | Kind::BlockDevice | Kind::Fifo => self.node(entry, &place),
        }
    }

    /// The root's own entry, `./`.
    fn root(&mut self, entry: &Entry) -> Result<()> {
        match (entry.kind, self.tree.folder(b"")?) {
            (Kind::Directory, Some(root)) => {
                make::undress(&root, entry)?;
                self.dress_directory(entry, Vec::new(), &root)
            }
            _ => Err(Error::invalid("would replace the root file system's own directory")),
        }
    }

    /// The directory that an entry goes into, made with its parents where the archive forgot them.
    fn parent(&mut self, path: &[u8], mtime: (i64, u32)) -> Result<Rc<Folder>> {
        if let Some(folder) = self.tree.folder(path)? {
            self.keep_times(path, &folder);
            return Ok(folder);
        }
        let (above, name) = match path.iter().rposition(|&b| b == b'/') {
            Some(slash) => (&path[..slash], &path[slash + 1..]),
            None => (&path[..0], path),
        };
        let parent = self.parent(above, mtime)?;
        match rustix::fs::mkdirat(&parent.fd, os(name), Mode::from_raw_mode(0o755)) {
            Err(rustix::io::Errno::EXIST) => {
                let way = super::entry::text(path);
                return Err(Error::invalid(format!(
                    "climbs through the link {way}, which leads nowhere in the image"
                )));
            }
            made => made.while_doing(|| format!("make the directory {}", super::entry::text(path)))?,
        }
        let folder = self.tree.enter(path, &parent, name)?;
        make::inherit_nothing(&folder, &parent)?;
        if let Some(ids) = &self.ids {
            make::give(&folder.fd, ids.owner((0, 0), To::Host)?)?;
        }
        self.last.insert(folder.stat.st_ino, Last { path: path.to_vec(), mode: 0o755, mtime });
        Ok(folder)
    }

    /// What is put into a directory must not change the time that its own entry gave it.
    fn keep_times(&mut self, path: &[u8], folder: &Folder) {
        let stat = &folder.stat;
        self.last.entry(stat.st_ino).or_insert_with(|| Last {
            path: path.to_vec(),
            mode: stat.st_mode & 0o7777,
            mtime: (stat.st_mtime, u32::try_from(stat.st_mtime_nsec).unwrap_or(0)),
        });
    }

    /// Notes that this layer made a path, and so the directories above it.
    fn remember(&mut self, path: &[u8]) {
        if self.lowest {
            return;
        }
        let mut end = path.len();
        while self.made.insert(self.seed.hash_one(&path[..end])) {
            match path[..end].iter().rposition(|&b| b == b'/') {
                Some(slash) => end = slash,
                None => break,
            }
        }
    }

    fn was_made(&self, path: &[u8]) -> bool {
        self.made.contains(&self.seed.hash_one(path))
    }

    /// Gives the directories of a finished layer their mode and times.
    fn settle(&mut self) -> Result<()> {
        self.tree.forget();
        for (inode, last) in std::mem::take(&mut self.last) {
            let Some(folder) = self.tree.folder(&last.path).unwrap_or(None) else {
                continue;
            };
            if folder.stat.st_ino != inode {
                continue;
            }
            let mode = match self.ownership {
                Ownership::Archive | Ownership::Namespace => last.mode,
                Ownership::Caller => last.mode | 0o700,
            };
            let name = || format!("directory {}", super::entry::text(&last.path));
            if folder.stat.st_mode & 0o7777 != mode {
                rustix::fs::fchmod(&folder.fd, Mode::from_raw_mode(mode)).while_doing(name)?;
            }
            rustix::fs::futimens(&folder.fd, &times(last.mtime)).while_doing(name)?;
        }
        self.tree.forget();
        Ok(())
    }
}

/// Gives an entry the host's ids.
fn map(entry: &mut Entry, ids: &Ids) -> Result<()> {
    (entry.uid, entry.gid) = ids.owner((entry.uid, entry.gid), To::Host)?;
    for (name, value) in &mut entry.xattrs {
        *value = attribute::map(name, value, ids, To::Host)?;
    }
    Ok(())
}

/// Where an entry goes: a name in an opened directory.
struct Place<'a> {
    path: Vec<u8>,
    parent: Rc<Folder>,
    name: &'a [u8],
}

fn os(name: &[u8]) -> &std::ffi::OsStr {
    std::os::unix::ffi::OsStrExt::from_bytes(name)
}

fn times(mtime: (i64, u32)) -> Timestamps {
    let time = Timespec { tv_sec: mtime.0, tv_nsec: i64::from(mtime.1) };
    Timestamps { last_access: time, last_modification: time }
}

/// An entry that needs what only root can do.
fn privileged(what: &str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("{what} needs root"))
}
