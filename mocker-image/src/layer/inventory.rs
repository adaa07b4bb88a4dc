//! What every file of a bundle's own root was when the bundle was made, so that `diff` and `commit` know what was
//! changed without unpacking the image once more.
//!
//! ```text
//! file       directories, in any order
//! directory  its entries, in the order in which the file system has them
//! entry      length of the name (u8), name, facts and mark (u64 each), then 0, or 1 and the place and the length of
//!            what is in this directory, or 2 and the digest (hexadecimal) of attributes and content
//! ```
//!
//! A file with other facts is another one. With the same facts it is the same if its mark is, too: the inode, and the
//! time of its last change (ctime), which the kernel sets at every change of content, owner, mode, attributes or names,
//! and no program can choose. So content that was exchanged behind the same size and time of modification is not missed,
//! and nothing has to be read for it. That time is only as fine as a tick of the clock, though, on older kernels: what
//! was made in the tick in which the list was written is in doubt, as is what was touched; then the image has to say.
//! A file with several names is touched when one of them goes, so it has a digest, which says the same with less work.

mod list;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, Stat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::diff::{Change, Kind, attributes_of, is_directory, open, os, stat};
use super::entry::text;
use super::tree::names;
use crate::digest::Hasher;
use crate::error::{Context, Error, Result};

/// What an entry ends with.
const NOTHING: u8 = 0;
const DIRECTORY: u8 = 1;
const DIGEST: u8 = 2;
/// Bytes of a digest.
const HEX: usize = 64;

/// Mode, owner, size (none of a directory), device, time of modification.
type Facts = [u64; 6];
/// Inode and time of the last change.
type Mark = [u64; 3];

/// A list's beginning, which the bundle's note has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// When the list was done, by the clock that marks have: seconds, nanoseconds.
    since: [u64; 2],
    root: Block,
}

/// Where the entries of a directory are in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Block {
    at: u64,
    len: u64,
}

/// Lists everything below a root that nobody else knows yet; `None` where the tree is too deep.
pub fn write(root: &Path, to: &Path) -> Result<Option<Head>> {
    let step = || format!("write {}", to.display());
    let file = File::options().write(true).create_new(true).mode(0o644).open(to).while_doing(step)?;
    let root = rustix::fs::openat(CWD, root, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let listed = list::all(&file, &root.while_doing(step)?).while_doing(step)?;
    let Some(root) = listed else {
        std::fs::remove_file(to).while_doing(step)?;
        return Ok(None);
    };
    // Since Linux 6.13 whoever looks at a file's times makes those of its next change exact.
    file.metadata().while_doing(step)?;
    rustix::fs::fchmod(&file, Mode::from_raw_mode(0o644)).while_doing(step)?;
    let done = file.metadata().while_doing(step)?;
    Ok(Some(Head { since: [done.ctime().cast_unsigned(), done.ctime_nsec().cast_unsigned()], root }))
}

/// Of a file's attributes and content; `None` where its mode closes it to whoever asks.
fn digest(dir: &OwnedFd, name: &[u8]) -> Result<Option<String>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut file = match rustix::fs::openat(dir, os(name), flags, Mode::empty()) {
        Err(Errno::ACCESS | Errno::PERM) => return Ok(None),
        opened => File::from(opened?),
    };
    let mut hasher = Hasher::sha256();
    for (key, value) in attributes_of(&file)? {
        for part in [key, value] {
            hasher.update(&part.len().to_le_bytes());
            hasher.update(&part);
        }
    }
    hasher.update(&usize::MAX.to_le_bytes());
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(Some(hasher.finish().hex().to_owned())),
            n => hasher.update(&buffer[..n]),
        }
    }
}

fn facts(stat: &Stat) -> Facts {
    let size = if is_directory(stat) { 0 } else { stat.st_size.cast_unsigned() };
    let owner = u64::from(stat.st_uid) << 32 | u64::from(stat.st_gid);
    [u64::from(stat.st_mode), owner, size, stat.st_rdev, stat.st_mtime.cast_unsigned(), stat.st_mtime_nsec]
}

fn mark(stat: &Stat) -> Mark {
    [stat.st_ino, stat.st_ctime.cast_unsigned(), stat.st_ctime_nsec]
}

/// A list that was written.
#[derive(Debug)]
pub struct Inventory {
    file: File,
    head: Head,
}

/// What a list says of a name.
struct Was {
    facts: Facts,
    mark: Mark,
    below: Option<Block>,
    digest: Option<Vec<u8>>,
}

/// What a list says of a tree.
#[derive(Debug, Default)]
pub struct Found {
    /// All differences.
    pub changes: Vec<Change>,
    /// Those of them, by their places, that are none if content and attributes are the image's.
    pub doubtful: BTreeSet<usize>,
}

impl Inventory {
    /// Opens a list; `None` if there is none.
    pub fn open(path: &Path, head: Head) -> Result<Option<Self>> {
        match File::open(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            file => Ok(Some(Self { file: file.while_doing(|| format!("open {}", path.display()))?, head })),
        }
    }

    /// All differences to a tree, but for those at and below the masked paths.
    pub fn compare(&self, now: &OwnedFd, masks: &[Vec<u8>]) -> Result<Found> {
        let mut found = Found::default();
        self.directory(&[], Some(self.head.root), (&open(now, b".")?, masks), &mut found)?;
        Ok(found)
    }

    fn directory(
        &self,
        path: &[u8],
        block: Option<Block>,
        (now, masks): (&OwnedFd, &[Vec<u8>]),
        found: &mut Found,
    ) -> Result<()> {
        crate::interrupt::check()?;
        let mut all: BTreeMap<Vec<u8>, Option<Was>> = match block {
            Some(block) => self.entries(block)?.into_iter().map(|(name, was)| (name, Some(was))).collect(),
            None => BTreeMap::new(),
        };
        for name in names(now)? {
            all.entry(name).or_default();
        }
        for (name, was) in all {
            let child = if path.is_empty() { name.clone() } else { [path, b"/", &name].concat() };
            if masks.contains(&child) {
                continue;
            }
            let step = || format!("compare {}", text(&child));
            let is = stat(now, &name).while_doing(step)?;
            self.name(&child, (now, &name), (was.as_ref(), is.as_ref()), found).while_doing(step)?;
            if is.as_ref().is_some_and(is_directory) {
                let below = open(now, &name).while_doing(step)?;
                self.directory(&child, was.and_then(|was| was.below), (&below, masks), found)?;
            }
        }
        Ok(())
    }

    fn name(
        &self,
        path: &[u8],
        (now, name): (&OwnedFd, &[u8]),
        both: (Option<&Was>, Option<&Stat>),
        found: &mut Found,
    ) -> Result<()> {
        let kind = match both {
            (None, None) => return Ok(()),
            (Some(_), None) => Kind::Removed,
            (None, Some(_)) => Kind::Added,
            (Some(was), Some(is)) if was.facts != facts(is) => Kind::Changed,
            (Some(was), Some(is)) if was.mark == mark(is) && was.mark[1..] < self.head.since[..] => {
                return Ok(());
            }
            (Some(Was { digest: Some(was), .. }), Some(_)) => match digest(now, name)? {
                Some(is) if is.as_bytes() == was => return Ok(()),
                _ => Kind::Changed,
            },
            (Some(_), Some(_)) => {
                found.doubtful.insert(found.changes.len());
                Kind::Changed
            }
        };
        found.changes.push(Change { path: path.to_vec(), kind });
        Ok(())
    }

    fn entries(&self, block: Block) -> Result<Vec<(Vec<u8>, Was)>> {
        let bad = || {
            let e = Error::invalid("the bundle's list of files is damaged");
            e.hint("without the file `files` beside bundle.json the image itself is asked")
        };
        let end = block.at.checked_add(block.len).ok_or_else(bad)?;
        if end > self.file.metadata().while_doing(|| "read the bundle's list of files")?.len() {
            return Err(bad());
        }
        let word = |rest: &mut &[u8]| -> Result<u64> {
            let (word, after) = rest.split_first_chunk().ok_or_else(bad)?;
            *rest = after;
            Ok(u64::from_le_bytes(*word))
        };
        let mut bytes = vec![0; usize::try_from(block.len).map_err(|_| bad())?];
        self.file.read_exact_at(&mut bytes, block.at).while_doing(|| "read the bundle's list of files")?;
        let (mut rest, mut all) = (&bytes[..], Vec::new());
        while let Some((len, after)) = rest.split_first() {
            let (name, after) = after.split_at_checked(usize::from(*len)).ok_or_else(bad)?;
            rest = after;
            let (mut facts, mut mark): (Facts, Mark) = Default::default();
            for to in facts.iter_mut().chain(&mut mark) {
                *to = word(&mut rest)?;
            }
            let (kind, after) = rest.split_first().ok_or_else(bad)?;
            rest = after;
            let (mut below, mut digest) = (None, None);
            match *kind {
                NOTHING => {}
                DIRECTORY => below = Some(Block { at: word(&mut rest)?, len: word(&mut rest)? }),
                DIGEST => {
                    let (hex, after) = rest.split_at_checked(HEX).ok_or_else(bad)?;
                    (digest, rest) = (Some(hex.to_vec()), after);
                }
                _ => return Err(bad()),
            }
            all.push((name.to_vec(), Was { facts, mark, below, digest }));
        }
        Ok(all)
    }
}
