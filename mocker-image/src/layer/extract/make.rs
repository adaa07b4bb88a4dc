//! Makes one entry under one name, and dresses it: owner, mode, attributes, times.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::rc::Rc;

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid, XattrFlags};
use rustix::io::Errno;

use super::finish::{Dress, SMALL};
use super::{Extractor, Last, Ownership, Place, os, privileged, times};
use crate::error::{Context, Error, Result};
use crate::layer::archive::Archive;
use crate::layer::attribute;
use crate::layer::entry::{Entry, Kind, text};
use crate::layer::owner;
use crate::layer::tree::{Folder, components};

impl Extractor {
    pub(super) fn file(&mut self, entry: &Entry, place: &Place<'_>, archive: &mut Archive<'_>) -> Result<()> {
        let file = self.create(entry.mode, place).while_doing(|| "create the file")?;
        let says_owner = self.ownership == Ownership::Caller && (entry.uid, entry.gid) != (0, 0);
        if entry.size <= SMALL && entry.runs.is_none() && entry.xattrs.is_empty() && !says_owner {
            return self.finisher.later(file, self.dress(entry, place), &entry.path, archive);
        }
        match &entry.runs {
            None => copy(archive, &file)?,
            Some(runs) => copy_runs(archive, &file, runs, entry.size)?,
        }
        self.dress_file(entry, place, &file)
    }

    /// A new file; what stood there before is removed first.
    fn create(&mut self, mode: u32, place: &Place<'_>) -> Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(mode & 0o777);
        let fd: OwnedFd = self.make(place, |p| rustix::fs::openat(&p.parent.fd, os(p.name), flags, mode))?;
        if place.parent.gives_its_list() {
            unlist(|list| rustix::fs::fremovexattr(&fd, list))?;
            rustix::fs::fchmod(&fd, mode).while_doing(|| "set its mode")?;
        }
        Ok(File::from(fd))
    }

    /// Tries, and tries once more without what stands in the way.
    fn make<T>(
        &mut self,
        place: &Place<'_>,
        make: impl Fn(&Place<'_>) -> rustix::io::Result<T>,
    ) -> Result<T> {
        match make(place) {
            Err(Errno::EXIST) => {
                self.tree.remove(&place.parent, place.name)?;
                Ok(make(place)?)
            }
            other => Ok(other?),
        }
    }

    pub(super) fn directory(&mut self, entry: &Entry, place: &Place<'_>) -> Result<()> {
        let mode = Mode::from_raw_mode(entry.mode & 0o777 | 0o700);
        let make = |p: &Place<'_>| rustix::fs::mkdirat(&p.parent.fd, os(p.name), mode);
        let folder = match make(place) {
            Err(Errno::EXIST) if self.keep_dirlinks && self.is_dirlink(place)? => return Ok(()),
            Err(Errno::EXIST) if is_directory(place)? => {
                let folder = self.tree.enter(&place.path, &place.parent, place.name)?;
                undress(&folder, entry)?;
                folder
            }
            Err(Errno::EXIST) => {
                self.make(place, make).while_doing(|| "make the directory")?;
                self.enter_new(place)?
            }
            made => {
                made.while_doing(|| "make the directory")?;
                self.enter_new(place)?
            }
        };
        self.dress_directory(entry, place.path.clone(), &folder)
    }

    fn enter_new(&mut self, place: &Place<'_>) -> Result<Rc<Folder>> {
        let folder = self.tree.enter(&place.path, &place.parent, place.name)?;
        inherit_nothing(&folder, &place.parent)?;
        Ok(folder)
    }

    /// Whether a link to a directory of the image stands there.
    fn is_dirlink(&mut self, place: &Place<'_>) -> Result<bool> {
        let stat = rustix::fs::statat(&place.parent.fd, os(place.name), AtFlags::SYMLINK_NOFOLLOW)?;
        let link = FileType::from_raw_mode(stat.st_mode) == FileType::Symlink;
        Ok(link && self.tree.folder(&place.path).is_ok_and(|folder| folder.is_some()))
    }

    /// Owner and attributes at once, mode and times when the layer is done.
    pub(super) fn dress_directory(
        &mut self,
        entry: &Entry,
        path: Vec<u8>,
        folder: &Rc<Folder>,
    ) -> Result<()> {
        let (uid, gid) = (folder.stat.st_uid, folder.stat.st_gid);
        if self.ownership != Ownership::Caller && (uid, gid) != (entry.uid, entry.gid) {
            rustix::fs::fchown(&folder.fd, Some(Uid::from_raw(entry.uid)), Some(Gid::from_raw(entry.gid)))
                .while_doing(|| format!("give it to {}:{}", entry.uid, entry.gid))?;
        }
        self.xattrs(entry, |name, value| {
            rustix::fs::fsetxattr(&folder.fd, name, value, XattrFlags::empty())
        })?;
        self.say_owner(entry, &*folder.fd)?;
        self.last.insert(folder.stat.st_ino, Last { path, mode: entry.mode, mtime: entry.mtime });
        Ok(())
    }

    fn dress_file(&self, entry: &Entry, place: &Place<'_>, file: &File) -> Result<()> {
        let dress = self.dress(entry, place);
        dress.owner_and_mode(file)?;
        self.xattrs(entry, |name, value| rustix::fs::fsetxattr(file, name, value, XattrFlags::empty()))?;
        self.say_owner(entry, file)?;
        dress.times(file)
    }

    /// What a new file lacks.
    fn dress(&self, entry: &Entry, place: &Place<'_>) -> Dress {
        let root = (entry.uid, entry.gid) == (0, 0) && !place.parent.gives_its_group();
        let chown = self.ownership != Ownership::Caller && !root;
        Dress {
            owner: chown.then_some((entry.uid, entry.gid)),
            mode: (entry.mode & 0o7000 != 0).then_some(entry.mode),
            mtime: entry.mtime,
        }
    }

    pub(super) fn symlink(&mut self, entry: &Entry, place: &Place<'_>) -> Result<()> {
        self.make(place, |p| rustix::fs::symlinkat(os(&entry.link), &p.parent.fd, os(p.name)))
            .while_doing(|| format!("make the symlink to {}", text(&entry.link)))?;
        self.dress_name(entry, place)
    }

    pub(super) fn hardlink(&mut self, entry: &Entry, place: &Place<'_>) -> Result<()> {
        let step = || format!("hard link to {}", text(&entry.link));
        let target = components(&entry.link).while_doing(step)?;
        if target.join(&b'/') == place.path {
            return Err(Error::invalid("links to itself")).while_doing(step);
        }
        let Some((name, parents)) = target.split_last() else {
            return Err(Error::invalid("is a directory")).while_doing(step);
        };
        let missing = || Error::invalid("is not in the image").step(step());
        let folder = self.tree.folder(&parents.join(&b'/')).while_doing(step)?.ok_or_else(missing)?;
        let link = |p: &Place<'_>| {
            rustix::fs::linkat(&folder.fd, os(name), &p.parent.fd, os(p.name), AtFlags::empty())
        };
        match self.make(place, link) {
            Err(e) if e.kind() == crate::error::Kind::Os(Errno::NOENT.raw_os_error()) => Err(missing()),
            other => other.while_doing(step),
        }
    }

    pub(super) fn node(&mut self, entry: &Entry, place: &Place<'_>) -> Result<()> {
        let kind = match entry.kind {
            Kind::CharDevice => FileType::CharacterDevice,
            Kind::BlockDevice => FileType::BlockDevice,
            _ => FileType::Fifo,
        };
        if self.ownership != Ownership::Archive && kind != FileType::Fifo {
            return self.create(entry.mode, place).map(drop);
        }
        let (mode, device) =
            (Mode::from_raw_mode(entry.mode), rustix::fs::makedev(entry.device.0, entry.device.1));
        self.make(place, |p| rustix::fs::mknodat(&p.parent.fd, os(p.name), kind, mode, device))
            .while_doing(|| "make the special file")?;
        self.dress_name(entry, place)
    }

    /// For what cannot be opened: everything by name, never followed.
    fn dress_name(&self, entry: &Entry, place: &Place<'_>) -> Result<()> {
        let (folder, name) = (&place.parent.fd, os(place.name));
        let root = (entry.uid, entry.gid) == (0, 0) && !place.parent.gives_its_group();
        if self.ownership != Ownership::Caller && !root {
            let (uid, gid) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
            rustix::fs::chownat(folder, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
                .while_doing(|| format!("give it to {}:{}", entry.uid, entry.gid))?;
            if entry.kind != Kind::Symlink && entry.mode & 0o7000 != 0 {
                rustix::fs::chmodat(folder, name, Mode::from_raw_mode(entry.mode), AtFlags::empty())
                    .while_doing(|| "set its mode")?;
            }
        }
        let listed = entry.kind != Kind::Symlink && place.parent.gives_its_list();
        if listed || !entry.xattrs.is_empty() {
            // No system call sets an attribute by handle and name: the handle goes through /proc.
            let mut path = format!("/proc/self/fd/{}/", folder.as_fd().as_raw_fd()).into_bytes();
            path.extend_from_slice(place.name);
            if listed {
                unlist(|list| rustix::fs::lremovexattr(os(&path), list))?;
                rustix::fs::chmodat(folder, name, Mode::from_raw_mode(entry.mode), AtFlags::empty())
                    .while_doing(|| "set its mode")?;
            }
            self.xattrs(entry, |name, value| {
                rustix::fs::lsetxattr(os(&path), name, value, XattrFlags::empty())
            })?;
        }
        rustix::fs::utimensat(folder, name, &times(entry.mtime), AtFlags::SYMLINK_NOFOLLOW)
            .while_doing(|| "set its times")
    }

    /// Notes whose a file should be, where it can only be the caller's.
    fn say_owner(&self, entry: &Entry, file: impl AsFd) -> Result<()> {
        if self.ownership != Ownership::Caller || (entry.uid, entry.gid) == (0, 0) {
            return Ok(());
        }
        let value = owner::encode(entry.uid, entry.gid);
        match rustix::fs::fsetxattr(file, os(owner::ATTRIBUTE), &value, XattrFlags::empty()) {
            // A file that its mode closes to its owner, or a file system without attributes.
            Err(Errno::OPNOTSUPP | Errno::ACCESS | Errno::PERM) => Ok(()),
            other => other.while_doing(|| "note its owner"),
        }
    }

    fn xattrs(
        &self,
        entry: &Entry,
        set: impl Fn(&std::ffi::OsStr, &[u8]) -> rustix::io::Result<()>,
    ) -> Result<()> {
        for (name, value) in &entry.xattrs {
            match (set(os(name), value), self.ownership) {
                (Ok(()), _) => {}
                (Err(Errno::PERM), Ownership::Caller | Ownership::Namespace) => {}
                // The file system has no place for them; the peers go on as well.
                (Err(Errno::OPNOTSUPP), _) => {}
                (Err(Errno::PERM), Ownership::Archive) => {
                    return Err(privileged(&format!("the attribute {}", text(name))));
                }
                (failed, _) => failed.while_doing(|| format!("set the attribute {}", text(name)))?,
            }
        }
        Ok(())
    }
}

/// Gives something opened its owner.
pub(super) fn give(fd: impl AsFd, (uid, gid): (u32, u32)) -> Result<()> {
    let given = rustix::fs::fchown(fd, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    given.while_doing(|| format!("give it to {uid}:{gid}"))
}

/// Takes off something new the lists that its directory gave it: what its entry says is all of it.
fn unlist(remove: impl Fn(&std::ffi::OsStr) -> rustix::io::Result<()>) -> Result<()> {
    for list in [attribute::ACCESS, attribute::DEFAULT] {
        match remove(os(list)) {
            Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::INVAL) => {}
            other => other.while_doing(|| format!("remove the attribute {}", text(list)))?,
        }
    }
    Ok(())
}

/// The same for a directory that was just made; its mode is set when the layer is done.
pub(super) fn inherit_nothing(folder: &Folder, parent: &Folder) -> Result<()> {
    match parent.gives_its_list() {
        true => unlist(|list| rustix::fs::fremovexattr(&folder.fd, list)),
        false => Ok(()),
    }
}

/// Takes off a directory what a lower layer's entry gave it: the newer entry says all.
pub(super) fn undress(folder: &Folder, entry: &Entry) -> Result<()> {
    let mut list = vec![0; 1 << 16];
    let n = match rustix::fs::flistxattr(&folder.fd, &mut list[..]) {
        Err(Errno::OPNOTSUPP) => 0,
        other => other.while_doing(|| "list its attributes")?,
    };
    for name in list[..n].split(|&b| b == 0).filter(|name| !name.is_empty()) {
        let kept = name.starts_with(b"trusted.overlay.") || name == b"security.selinux";
        if !kept && !entry.xattrs.iter().any(|(held, _)| held == name) {
            match rustix::fs::fremovexattr(&folder.fd, os(name)) {
                Err(Errno::NODATA | Errno::PERM | Errno::OPNOTSUPP) => {}
                other => other.while_doing(|| format!("remove the attribute {}", text(name)))?,
            }
        }
    }
    Ok(())
}

fn is_directory(place: &Place<'_>) -> Result<bool> {
    let stat = rustix::fs::statat(&place.parent.fd, os(place.name), AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(FileType::from_raw_mode(stat.st_mode).is_dir())
}

fn copy(archive: &mut Archive<'_>, mut file: &File) -> Result<()> {
    loop {
        let data = archive.data()?;
        let n = data.len();
        if n == 0 {
            return Ok(());
        }
        file.write_all(data).while_doing(|| "write")?;
        archive.consume(n);
    }
}

/// Writes each run at its place and leaves the holes to the file system.
fn copy_runs(archive: &mut Archive<'_>, file: &File, runs: &[(u64, u64)], size: u64) -> Result<()> {
    for &(mut offset, length) in runs {
        let end = offset + length;
        while offset < end {
            let data = archive.data()?;
            let n = data.len().min(usize::try_from(end - offset).unwrap_or(usize::MAX));
            file.write_all_at(&data[..n], offset).while_doing(|| "write")?;
            archive.consume(n);
            offset += n as u64;
        }
    }
    file.set_len(size).while_doing(|| "set its size")
}
