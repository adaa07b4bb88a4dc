//! Images in one tar file: what `docker save` writes, and OCI layouts packed up.
//!
//! Reading, the file is indexed once and then read in place; one that is compressed is first unpacked
//! into a file without a name. Writing, everything goes to a file beside the target, which gets its
//! name when it is whole.

pub mod docker;
pub mod oci;

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::digest::Digest;
use crate::error::{Context, Error, Kind, Result};
use crate::image::DOCUMENT;
use crate::layer::pack::scratch;
use crate::layer::unpacked::decoder;
use crate::media::Compression;
use crate::place::file::{self, Temporary};

/// Where a member's bytes are, or what it is another name for.
#[derive(Debug, Clone)]
enum Member {
    Bytes { at: u64, size: u64 },
    Link(String),
}

/// A tar file that is read in place.
#[derive(Debug)]
pub(crate) struct Tar {
    file: Arc<File>,
    path: PathBuf,
    members: HashMap<String, Member>,
}

impl Tar {
    /// Opens and indexes a tar file, packed or not.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let step = || format!("read the archive {}", path.display());
        let file = File::open(path).while_doing(step)?;
        Self::index(file, path).while_doing(step)
    }

    /// The same with an opened file; `path` is what errors call it.
    pub(crate) fn index(mut file: File, path: &Path) -> Result<Self> {
        let mut first = [0; 6];
        let n = file.read_at(&mut first, 0)?;
        file.seek(SeekFrom::Start(0))?;
        let packed = Compression::sniff(&first[..n]);
        if packed != Compression::None {
            let plain = scratch()?;
            let mut unpacked = decoder(BufReader::new(file), packed)?;
            file::copy(&mut unpacked, &plain).while_doing(|| format!("unpack its {}", packed.name()))?;
            file = plain;
            file.seek(SeekFrom::Start(0))?;
        }
        let mut members = HashMap::new();
        let mut archive = tar::Archive::new(file.try_clone()?);
        for entry in archive.entries_with_seek()? {
            crate::interrupt::check()?;
            let entry = entry?;
            let name = clean(&String::from_utf8_lossy(&entry.path_bytes()));
            let kind = entry.header().entry_type();
            if kind.is_file() {
                members.insert(name, Member::Bytes { at: entry.raw_file_position(), size: entry.size() });
            } else if let Some(target) = entry.link_name_bytes() {
                let target = String::from_utf8_lossy(&target).into_owned();
                let target = if kind.is_symlink() { beside(&name, &target) } else { clean(&target) };
                members.insert(name, Member::Link(target));
            }
        }
        Ok(Self { file: Arc::new(file), path: path.to_owned(), members })
    }

    /// A member from its first byte, and its size.
    pub(crate) fn member(&self, name: &str) -> Result<(Box<dyn Read + Send>, u64)> {
        let (at, size) = self.find(name)?;
        Ok((Box::new(Range { file: Arc::clone(&self.file), at, end: at + size }), size))
    }

    /// The same, unpacked where it is packed in a way that no media type has a word for.
    pub(crate) fn plain(&self, name: &str) -> Result<Box<dyn Read + Send>> {
        let (reader, _) = self.member(name)?;
        let mut reader = BufReader::new(reader);
        match Compression::sniff(reader.fill_buf()?) {
            packed @ (Compression::Bzip2 | Compression::Xz) => decoder(reader, packed),
            _ => Ok(Box::new(reader)),
        }
    }

    /// A small member.
    pub(crate) fn document(&self, name: &str) -> Result<Vec<u8>> {
        let (reader, size) = self.member(name)?;
        if size > DOCUMENT {
            return Err(Error::invalid(format!("{name} has {size} bytes, more than {DOCUMENT}")));
        }
        let mut bytes = Vec::new();
        reader.take(DOCUMENT).read_to_end(&mut bytes).while_doing(|| format!("read {name}"))?;
        Ok(bytes)
    }

    fn find(&self, name: &str) -> Result<(u64, u64)> {
        let mut at = clean(name);
        for _ in 0..8 {
            match self.members.get(&at) {
                Some(Member::Bytes { at, size }) => return Ok((*at, *size)),
                Some(Member::Link(target)) => at.clone_from(target),
                None => break,
            }
        }
        let what = format!("the archive {} has no {name}", self.path.display());
        Err(Error::new(Kind::NotFound, what))
    }
}

struct Range {
    file: Arc<File>,
    at: u64,
    end: u64,
}

impl Read for Range {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let room = buf.len().min(usize::try_from(self.end - self.at).unwrap_or(usize::MAX));
        let n = self.file.read_at(&mut buf[..room], self.at)?;
        self.at += n as u64;
        Ok(n)
    }
}

/// A member's name without what different programs put before it.
fn clean(name: &str) -> String {
    name.split('/').filter(|part| !matches!(*part, "" | ".")).collect::<Vec<_>>().join("/")
}

/// Where a symbolic link leads, as a member's name.
fn beside(name: &str, target: &str) -> String {
    let mut parts: Vec<&str> = name.split('/').collect();
    parts.pop();
    for part in target.split('/').filter(|part| !matches!(*part, "" | ".")) {
        match part {
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// A tar file that is being written.
#[derive(Debug)]
pub(crate) struct Writer {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    open: Option<(tar::Builder<BufWriter<File>>, Temporary)>,
    written: HashSet<Digest>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("written", &self.written.len()).finish_non_exhaustive()
    }
}

impl Writer {
    /// Nothing is made until there is something to write.
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn has(&self, digest: &Digest) -> bool {
        self.state().written.contains(digest)
    }

    pub(crate) fn note(&self, digest: &Digest) {
        self.state().written.insert(digest.clone());
    }

    /// Appends a member; the same archive comes out of the same members.
    pub(crate) fn append(&self, name: &str, size: u64, from: &mut dyn Read) -> Result<()> {
        let mut state = self.state();
        let step = || format!("write the archive {}", self.path.display());
        if state.open.is_none() {
            let temporary = Temporary::beside(&self.path)?;
            let file = temporary.file.try_clone().while_doing(step)?;
            state.open = Some((tar::Builder::new(BufWriter::with_capacity(1 << 17, file)), temporary));
        }
        let Some((builder, _)) = state.open.as_mut() else {
            return Err(Error::new(Kind::Internal, "the archive is not open"));
        };
        let mut header = tar::Header::new_ustar();
        header.set_size(size);
        header.set_mode(0o644);
        header.set_entry_type(tar::EntryType::Regular);
        // To the end, so that a reader that verifies has its say.
        let mut whole = Whole { from, left: size };
        builder.append_data(&mut header, name, &mut whole).while_doing(step)
    }

    /// Ends the archive and gives it its name.
    pub(crate) fn finish(&self) -> Result<()> {
        let step = || format!("write the archive {}", self.path.display());
        let open = self.state().open.take();
        let (builder, temporary) = open.ok_or_else(|| Error::new(Kind::Internal, "nothing was written"))?;
        builder.into_inner().and_then(|mut file| file.flush()).while_doing(step)?;
        temporary.keep()
    }
}

/// Reads one byte more than there should be, which must be none.
struct Whole<'a> {
    from: &'a mut dyn Read,
    left: u64,
}

impl Read for Whole<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        crate::interrupt::check()?;
        let n = self.from.read(buf)?;
        let over = || Error::invalid("has another size than was said");
        self.left = self.left.checked_sub(n as u64).ok_or_else(over)?;
        match n {
            0 if self.left > 0 && !buf.is_empty() => Err(over().into()),
            n => Ok(n),
        }
    }
}
