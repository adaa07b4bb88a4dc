//! `tmpcopyup`: a new tmpfs that begins with what the image has at its place.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::error::{Result, WhileDoing};
use crate::sys::path;

/// Directories below directories, at most.
const DEPTH: usize = 256;

/// Copies the tree at `from` below the container's root into an empty file system.
pub(super) fn copy(root: BorrowedFd<'_>, from: &Path, to: BorrowedFd<'_>) -> Result<()> {
    let act = || format!("copy {} into the tmpfs", from.display());
    match path::open_in_root(root, from, OFlags::RDONLY | OFlags::DIRECTORY) {
        Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno).while_doing(act),
        Ok(source) => {
            let stat = rustix::fs::fstat(&source).while_doing(act)?;
            let to = rustix::fs::openat(
                to,
                c".",
                OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
                Mode::empty(),
            )
            .while_doing(act)?;
            copy_directory(&source, &to, DEPTH).and_then(|()| set_attributes(&to, &stat)).while_doing(act)
        }
    }
}

fn copy_directory(from: &OwnedFd, to: &OwnedFd, depth: usize) -> Result<()> {
    if depth == 0 {
        return Err(Errno::LOOP.into());
    }
    for entry in Dir::read_from(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if !matches!(name.to_bytes(), b"." | b"..") {
            copy_entry(from, to, name, depth).while_doing(|| name.to_string_lossy().into_owned())?;
        }
    }
    Ok(())
}

fn copy_entry(from: &OwnedFd, to: &OwnedFd, name: &std::ffi::CStr, depth: usize) -> Result<()> {
    let stat = rustix::fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
    let open = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => {
            rustix::fs::mkdirat(to, name, mode)?;
            let source = rustix::fs::openat(from, name, open | OFlags::DIRECTORY, Mode::empty())?;
            let target = rustix::fs::openat(to, name, open | OFlags::DIRECTORY, Mode::empty())?;
            copy_directory(&source, &target, depth - 1)?;
            set_attributes(&target, &stat)
        }
        FileType::RegularFile => {
            let source = std::fs::File::from(rustix::fs::openat(from, name, open, Mode::empty())?);
            let create = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            let target = rustix::fs::openat(to, name, create, mode)?;
            let mut target = std::fs::File::from(target);
            std::io::copy(&mut &source, &mut target)?;
            set_attributes(&target, &stat)
        }
        FileType::Symlink => {
            let link = rustix::fs::readlinkat(from, name, Vec::new())?;
            rustix::fs::symlinkat(&link, to, name)?;
            Ok(rustix::fs::chownat(to, name, Some(uid(&stat)), Some(gid(&stat)), AtFlags::SYMLINK_NOFOLLOW)?)
        }
        kind => {
            rustix::fs::mknodat(to, name, kind, mode, stat.st_rdev)?;
            Ok(rustix::fs::chownat(to, name, Some(uid(&stat)), Some(gid(&stat)), AtFlags::SYMLINK_NOFOLLOW)?)
        }
    }
}

fn uid(stat: &Stat) -> rustix::fs::Uid {
    rustix::fs::Uid::from_raw(stat.st_uid)
}

fn gid(stat: &Stat) -> rustix::fs::Gid {
    rustix::fs::Gid::from_raw(stat.st_gid)
}

/// Owner, then mode (which a change of owner would trim), then times.
fn set_attributes(to: impl AsFd, stat: &Stat) -> Result<()> {
    rustix::fs::fchown(&to, Some(uid(stat)), Some(gid(stat)))?;
    rustix::fs::fchmod(&to, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
    let time = |seconds: i64, nanos: u64| rustix::fs::Timespec { tv_sec: seconds, tv_nsec: nanos as i64 };
    let times = rustix::fs::Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
    };
    Ok(rustix::fs::futimens(&to, &times)?)
}
