//! Writes layers: tar archives that are the same for the same tree.
//!
//! Entries come sorted, with numbers for owners and without access times. What does not fit into a
//! POSIX header goes into PAX records. SOURCE_DATE_EPOCH is the latest time that anything may have.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use tar::{EntryType, Header};

use super::attribute;
use super::diff::{Change, Kind, attributes, open, os, parent};
use super::entry::text;
use super::ids::{Ids, To};
use super::owner;
use crate::error::{Context, Error, Result};

/// The most that an octal field of seven digits holds.
const OCTAL7: u64 = 0o7_777_777;
/// The most that a size field holds.
const OCTAL11: u64 = 0o77_777_777_777;

/// A layer that is being written.
pub struct Creator<W: Write> {
    builder: tar::Builder<W>,
    /// Files with several names that were written: device and inode to the first name.
    links: HashMap<(u64, u64), Vec<u8>>,
    epoch: Option<i64>,
    /// Whether the files are an ordinary user's, and say in an attribute whose they should be.
    rootless: bool,
    /// Which of the host's ids stand for the archive's.
    ids: Option<Ids>,
}

/// What SOURCE_DATE_EPOCH says.
pub fn epoch() -> Result<Option<i64>> {
    let Some(value) = std::env::var_os("SOURCE_DATE_EPOCH").filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    let seconds = value.to_str().and_then(|value| value.parse().ok());
    let bad = || Error::invalid(format!("SOURCE_DATE_EPOCH={} is not a number of seconds", value.display()));
    seconds.map(Some).ok_or_else(bad)
}

impl<W: Write> Creator<W> {
    /// Nothing is written yet.
    pub fn new(to: W, rootless: bool) -> Result<Self> {
        let builder = tar::Builder::new(to);
        Ok(Self { builder, links: HashMap::new(), epoch: epoch()?, rootless, ids: None })
    }

    /// The same, from files whose owners are mapped.
    #[must_use]
    pub fn mapped(mut self, ids: Option<Ids>) -> Self {
        self.ids = ids;
        self
    }

    /// Writes all changes of a tree.
    pub fn changes(&mut self, root: &OwnedFd, changes: &[Change]) -> Result<()> {
        for change in changes {
            crate::interrupt::check()?;
            let step = || format!("pack {}", text(&change.path));
            match change.kind {
                Kind::Removed => self.whiteout(&change.path),
                Kind::Added | Kind::Changed => self.entry(root, &change.path, &change.path),
            }
            .while_doing(step)?;
        }
        Ok(())
    }

    /// Writes everything below a directory, the directory itself as `to`.
    pub fn tree(&mut self, root: &OwnedFd, path: &[u8], to: &[u8]) -> Result<()> {
        crate::interrupt::check()?;
        self.entry(root, path, to).while_doing(|| format!("pack {}", text(path)))?;
        let (dir, name) = parent(root, path)?;
        let stat = rustix::fs::statat(&dir, os(name), AtFlags::SYMLINK_NOFOLLOW)?;
        if !FileType::from_raw_mode(stat.st_mode).is_dir() {
            return Ok(());
        }
        let mut names = super::tree::names(open(&dir, name)?)?;
        names.sort();
        for name in names {
            let below = |path: &[u8]| match path {
                b"" | b"." => name.clone(),
                path => [path, b"/", &name].concat(),
            };
            self.tree(root, &below(path), &below(to))?;
        }
        Ok(())
    }

    /// Hides a path of the layers below.
    pub fn whiteout(&mut self, path: &[u8]) -> Result<()> {
        let at = path.iter().rposition(|&b| b == b'/').map_or(0, |at| at + 1);
        self.marker(&[&path[..at], b".wh.", &path[at..]].concat())
    }

    /// Hides what the layers below have in a directory.
    pub fn opaque(&mut self, path: &[u8]) -> Result<()> {
        self.marker(&[path, b"/.wh..wh..opq"].concat())
    }

    /// Ends the archive.
    pub fn finish(self) -> Result<W> {
        self.builder.into_inner().while_doing(|| "end the layer")
    }

    fn marker(&mut self, name: &[u8]) -> Result<()> {
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(0);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(0);
        header.set_mtime(self.epoch.and_then(|epoch| u64::try_from(epoch).ok()).unwrap_or(0));
        self.append(header, (name, None), Vec::new(), &mut io::empty())
    }

    fn entry(&mut self, root: &OwnedFd, path: &[u8], to: &[u8]) -> Result<()> {
        let (dir, name) = parent(root, path)?;
        let stat = rustix::fs::statat(&dir, os(name), AtFlags::SYMLINK_NOFOLLOW)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind == FileType::Socket {
            // Nothing listens there when the image is run.
            return Ok(());
        }
        if stat.st_nlink > 1 && !kind.is_dir() {
            if let Some(first) = self.links.get(&(stat.st_dev, stat.st_ino)).cloned() {
                let mut stat = stat;
                if let Some(ids) = &self.ids {
                    (stat.st_uid, stat.st_gid) = ids.owner((stat.st_uid, stat.st_gid), To::Container)?;
                }
                let header = self.header(&stat, EntryType::Link);
                return self.append(header, (to, Some(&first)), Vec::new(), &mut io::empty());
            }
            self.links.insert((stat.st_dev, stat.st_ino), to.to_vec());
        }
        let (mut records, mut stat) = (Vec::new(), stat);
        if let Some(ids) = &self.ids {
            (stat.st_uid, stat.st_gid) = ids.owner((stat.st_uid, stat.st_gid), To::Container)?;
        }
        for (key, value) in attributes(&dir, name)? {
            match key.as_slice() {
                owner::ATTRIBUTE if self.rootless => (stat.st_uid, stat.st_gid) = owner::decode(&value)?,
                key => records.push(self.attribute(key, value)?),
            }
        }
        self.times(&stat, &mut records);
        match kind {
            FileType::Directory => {
                let to = if to.ends_with(b"/") { to.to_vec() } else { [to, b"/"].concat() };
                let header = self.header(&stat, EntryType::Directory);
                self.append(header, (&to, None), records, &mut io::empty())
            }
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(&dir, os(name), Vec::new())?.into_bytes();
                let header = self.header(&stat, EntryType::Symlink);
                self.append(header, (to, Some(&target)), records, &mut io::empty())
            }
            FileType::RegularFile => {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
                let file = File::from(rustix::fs::openat(&dir, os(name), flags, Mode::empty())?);
                let size = file.metadata()?.len();
                let mut header = self.header(&stat, EntryType::Regular);
                set_size(&mut header, size, &mut records);
                self.append(header, (to, None), records, &mut Exactly { file, left: size })
            }
            kind => {
                let kind = match kind {
                    FileType::CharacterDevice => EntryType::Char,
                    FileType::BlockDevice => EntryType::Block,
                    _ => EntryType::Fifo,
                };
                let mut header = self.header(&stat, kind);
                header.set_device_major(rustix::fs::major(stat.st_rdev))?;
                header.set_device_minor(rustix::fs::minor(stat.st_rdev))?;
                self.append(header, (to, None), records, &mut io::empty())
            }
        }
    }

    /// An attribute's record, with the image's ids.
    fn attribute(&self, key: &[u8], value: Vec<u8>) -> Result<(String, Vec<u8>)> {
        let value = match &self.ids {
            Some(ids) => attribute::map(key, &value, ids, To::Container)?,
            None => value,
        };
        Ok((format!("SCHILY.xattr.{}", String::from_utf8_lossy(key)), value))
    }

    fn header(&self, stat: &Stat, kind: EntryType) -> Header {
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(stat.st_mode & 0o7777);
        header.set_size(0);
        // Whose an ordinary user's files are is told elsewhere, or they are root's.
        let own = |id: u32, me: u32| if self.rootless && id == me { 0 } else { id };
        header.set_uid(own(stat.st_uid, rustix::process::geteuid().as_raw()).into());
        header.set_gid(own(stat.st_gid, rustix::process::getegid().as_raw()).into());
        header.set_mtime(u64::try_from(self.clamp(stat).0).unwrap_or(0));
        header
    }

    fn clamp(&self, stat: &Stat) -> (i64, i64) {
        let nanos = i64::try_from(stat.st_mtime_nsec).unwrap_or(0);
        match self.epoch {
            Some(epoch) if stat.st_mtime >= epoch => (epoch, 0),
            _ => (stat.st_mtime, nanos),
        }
    }

    fn times(&self, stat: &Stat, records: &mut Vec<(String, Vec<u8>)>) {
        let (seconds, nanos) = self.clamp(stat);
        let text = match (seconds, nanos) {
            (0.., 0) => return,
            (0.., nanos) => format!("{seconds}.{nanos:09}"),
            (seconds, 0) => seconds.to_string(),
            // -1.25 is two seconds before, and 750 milliseconds on.
            (seconds, nanos) => format!("-{}.{:09}", -(seconds + 1), 1_000_000_000 - nanos),
        };
        records.push(("mtime".to_owned(), text.into_bytes()));
    }

    fn append(
        &mut self,
        mut header: Header,
        (path, link): (&[u8], Option<&[u8]>),
        mut records: Vec<(String, Vec<u8>)>,
        data: &mut dyn Read,
    ) -> Result<()> {
        fit(&mut header, "path", path, &mut records);
        if let Some(link) = link {
            fit(&mut header, "linkpath", link, &mut records);
        }
        for (key, id) in [("uid", header.uid()?), ("gid", header.gid()?)] {
            if id > OCTAL7 {
                records.push((key.to_owned(), id.to_string().into_bytes()));
                if key == "uid" { header.set_uid(0) } else { header.set_gid(0) }
            }
        }
        records.sort();
        let records: Vec<_> = records.iter().map(|(key, value)| (key.as_str(), &value[..])).collect();
        self.builder.append_pax_extensions(records)?;
        header.set_cksum();
        Ok(self.builder.append(&header, data)?)
    }
}

/// Puts a path into a header, or as much of it as fits and all of it into a record.
fn fit(header: &mut Header, key: &str, path: &[u8], records: &mut Vec<(String, Vec<u8>)>) {
    let field = match (header.as_ustar_mut(), key) {
        (Some(ustar), "path") => &mut ustar.name,
        (Some(ustar), _) => &mut ustar.linkname,
        (None, _) => return,
    };
    let n = path.len().min(field.len());
    field.fill(0);
    field[..n].copy_from_slice(&path[..n]);
    if n < path.len() || !path.is_ascii() {
        records.push((key.to_owned(), path.to_vec()));
    }
}

fn set_size(header: &mut Header, size: u64, records: &mut Vec<(String, Vec<u8>)>) {
    header.set_size(size);
    if size > OCTAL11 {
        records.push(("size".to_owned(), size.to_string().into_bytes()));
    }
}

/// A file that is as long as its header says, or an error.
struct Exactly {
    file: File,
    left: u64,
}

impl Read for Exactly {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let room = buf.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let n = self.file.read(&mut buf[..room])?;
        self.left -= n as u64;
        match n == 0 && room > 0 {
            true => Err(Error::invalid("became shorter while it was read").into()),
            false => Ok(n),
        }
    }
}
