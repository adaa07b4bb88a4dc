//! Writes a list. Of a large tree two threads list a half of a directory's directories each, and so on below: nearly all
//! of the work is the kernel's, a look at each file.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ffi::CString;
use std::fs::File;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicIsize, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::Builder;

use rustix::fs::{AtFlags, FileType, RawDir, Stat};

use super::{Block, DIGEST, DIRECTORY, NOTHING, digest, facts, mark};
use crate::error::{Context, Error, Kind, Result};
use crate::layer::diff::{is_directory, open};
use crate::layer::entry::text;

/// Directories in directories that are listed: each is a descriptor. A deeper tree gets no list.
const DEEPEST: usize = 256;
/// Bytes for the names that the kernel gives at once.
const NAMES: usize = 32 << 10;
/// The most bytes of a file that gets a digest.
const LARGEST: i64 = 16 << 20;
/// Files with several names that are remembered at once.
const LINKED: usize = 1 << 12;
/// Bytes that are written at once.
const PIECE: usize = 64 << 10;
/// Entries that one thread lists alone before it looks for help, and how often it does.
const ALONE: u64 = 1000;
const HELPERS: usize = 16;

/// A directory's directory: its name, and where its place in the file is to stand.
type Below = (CString, usize);

/// What is common to all threads.
struct Lister<'a> {
    file: &'a File,
    /// Bytes of the file that are somebody's.
    at: AtomicU64,
    entries: AtomicU64,
    /// Threads that may begin, and how many began.
    free: AtomicIsize,
    begun: AtomicUsize,
    /// Digests of files with several names, by their inodes.
    linked: Mutex<HashMap<u64, Option<String>>>,
}

/// What each thread has of its own.
struct Hand {
    names: [MaybeUninit<u8>; NAMES],
    /// Directories that are not written yet, and where they go.
    bytes: Vec<u8>,
    at: u64,
}

impl Hand {
    fn new() -> Self {
        Self { names: [const { MaybeUninit::uninit() }; NAMES], bytes: Vec::new(), at: 0 }
    }
}

/// Writes everything below a directory; where its own entries are, or `None` if it is too deep.
pub(super) fn all(file: &File, root: &OwnedFd) -> Result<Option<Block>> {
    let lister = Lister {
        file,
        at: AtomicU64::new(0),
        entries: AtomicU64::new(0),
        free: AtomicIsize::new(1),
        begun: AtomicUsize::new(0),
        linked: Mutex::new(HashMap::new()),
    };
    let mut hand = Hand::new();
    let block = lister.directory(&mut hand, root, 0)?;
    lister.flush(&mut hand)?;
    Ok(block)
}

impl Lister<'_> {
    fn directory(&self, hand: &mut Hand, dir: &OwnedFd, depth: usize) -> Result<Option<Block>> {
        if depth > DEEPEST {
            return Ok(None);
        }
        crate::interrupt::check()?;
        let (mut entries, below) = self.entries(hand, dir)?;
        let Some(blocks) = self.below(hand, dir, &below, depth + 1)? else { return Ok(None) };
        for (Block { at, len }, (_, place)) in blocks.into_iter().zip(below) {
            entries[place..place + 8].copy_from_slice(&at.to_le_bytes());
            entries[place + 8..place + 16].copy_from_slice(&len.to_le_bytes());
        }
        self.put(hand, &entries).map(Some)
    }

    /// The entries of a directory, and those of them that are directories.
    fn entries(&self, hand: &mut Hand, dir: &OwnedFd) -> Result<(Vec<u8>, Vec<Below>)> {
        let (mut entries, mut below, mut count) = (Vec::new(), Vec::new(), 0);
        let mut found = RawDir::new(dir, &mut hand.names);
        while let Some(entry) = found.next() {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            count += 1;
            let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
            entries.push(u8::try_from(name.count_bytes()).map_err(|_| Error::invalid("a name is too long"))?);
            entries.extend_from_slice(name.to_bytes());
            for word in facts(&stat).into_iter().chain(mark(&stat)) {
                entries.extend_from_slice(&word.to_le_bytes());
            }
            if is_directory(&stat) {
                entries.push(DIRECTORY);
                below.push((name.to_owned(), entries.len()));
                entries.extend_from_slice(&[0; 16]);
            } else if may_lose_a_name(&stat)
                && let Some(hex) = self.linked_digest((dir, name.to_bytes()), stat.st_ino)?
            {
                entries.push(DIGEST);
                entries.extend_from_slice(hex.as_bytes());
            } else {
                entries.push(NOTHING);
            }
        }
        self.entries.fetch_add(count, Ordering::Relaxed);
        Ok((entries, below))
    }

    /// Lists some of a directory's directories, one after the other until a thread is free for half of the rest.
    fn below(
        &self,
        hand: &mut Hand,
        dir: &OwnedFd,
        below: &[Below],
        depth: usize,
    ) -> Result<Option<Vec<Block>>> {
        let mut blocks = Vec::with_capacity(below.len());
        for (n, (name, _)) in below.iter().enumerate() {
            let rest = &below[n..];
            if rest.len() > 1 && self.may_begin() {
                let rest = self.halves(hand, dir, rest.split_at(rest.len() / 2), depth)?;
                return Ok(rest.map(|rest| [blocks, rest].concat()));
            }
            let step = || format!("list {}", text(name.to_bytes()));
            let child = open(dir, name.to_bytes()).while_doing(step)?;
            let Some(block) = self.directory(hand, &child, depth)? else { return Ok(None) };
            blocks.push(block);
        }
        Ok(Some(blocks))
    }

    /// Lists the second half on a thread of its own.
    fn halves(
        &self,
        hand: &mut Hand,
        dir: &OwnedFd,
        (first, second): (&[Below], &[Below]),
        depth: usize,
    ) -> Result<Option<Vec<Block>>> {
        let listed = std::thread::scope(|scope| {
            let list = || {
                let mut hand = Hand::new();
                let blocks = self.below(&mut hand, dir, second, depth);
                let flushed = self.flush(&mut hand);
                self.free.fetch_add(1, Ordering::Relaxed);
                flushed.and(blocks)
            };
            let helper = Builder::new().spawn_scoped(scope, list).ok()?;
            let first = self.below(hand, dir, first, depth);
            // While this one waits another may begin.
            self.free.fetch_add(1, Ordering::Relaxed);
            let second = helper.join();
            self.free.fetch_sub(1, Ordering::Relaxed);
            Some((first, second))
        });
        let (first, second) = match listed {
            Some((first, Ok(second))) => (first?, second?),
            Some((_, Err(_))) => return Err(Error::new(Kind::Internal, "the thread that lists broke down")),
            // No thread is to be had.
            None => (self.below(hand, dir, first, depth)?, self.below(hand, dir, second, depth)?),
        };
        Ok(first.zip(second).map(|(first, second)| [first, second].concat()))
    }

    /// Whether another thread is worth it and there is one.
    fn may_begin(&self) -> bool {
        self.entries.load(Ordering::Relaxed) > ALONE
            && self.begun.load(Ordering::Relaxed) < HELPERS
            && self
                .free
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |free| (free > 0).then(|| free - 1))
                .is_ok()
            && self.begun.fetch_add(1, Ordering::Relaxed) < HELPERS
    }

    /// Gives entries their place in the file; next to the thread's last ones they are written with those.
    fn put(&self, hand: &mut Hand, entries: &[u8]) -> Result<Block> {
        let block = Block { at: 0, len: entries.len() as u64 };
        let at = self.at.fetch_add(block.len, Ordering::Relaxed);
        if at != hand.at + hand.bytes.len() as u64 || hand.bytes.len() + entries.len() > PIECE {
            self.flush(hand)?;
            hand.at = at;
        }
        hand.bytes.extend_from_slice(entries);
        Ok(Block { at, ..block })
    }

    fn flush(&self, hand: &mut Hand) -> Result<()> {
        self.file.write_all_at(&hand.bytes, hand.at)?;
        hand.bytes.clear();
        Ok(())
    }

    /// The digest of a file that may have been seen under another name.
    fn linked_digest(&self, (dir, name): (&OwnedFd, &[u8]), inode: u64) -> Result<Option<String>> {
        let mut linked = self.linked.lock().unwrap_or_else(PoisonError::into_inner);
        if linked.len() > LINKED {
            linked.clear();
        }
        Ok(match linked.entry(inode) {
            Entry::Occupied(known) => known.get().clone(),
            Entry::Vacant(new) => new.insert(digest(dir, name)?).clone(),
        })
    }
}

/// Whether a file has several names and is worth a digest.
fn may_lose_a_name(stat: &Stat) -> bool {
    let file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    file && stat.st_nlink > 1 && stat.st_size <= LARGEST
}
