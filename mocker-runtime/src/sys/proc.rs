//! /proc, through a handle that is proved to be procfs, and what it says of processes.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use super::path;
use crate::error::{Error, Kind, Result, WhileDoing};

/// `PROC_SUPER_MAGIC` of linux/magic.h.
pub(crate) const MAGIC: i64 = 0x9fa0;

/// An open /proc.
#[derive(Debug)]
pub(crate) struct Proc(OwnedFd);

impl Proc {
    /// Opens the host's /proc and proves that it is the root of a procfs.
    pub(crate) fn open() -> Result<Self> {
        let fd = path::open(Path::new("/proc"), OFlags::PATH | OFlags::DIRECTORY)?;
        if !is_root_of_procfs(&fd)? {
            return Err(
                Error::new(Kind::Unsupported, "/proc is not a procfs").with_hint("mount proc at /proc")
            );
        }
        Ok(Self(fd))
    }

    /// Writes `text` in one call to a file below /proc that no symlink may stand for.
    pub(crate) fn write(&self, file: &str, text: &str) -> Result<()> {
        path::open_without_symlinks(&self.0, Path::new(file), OFlags::WRONLY)
            .and_then(|fd| rustix::io::write(fd, text.as_bytes()))
            .map(drop)
            .while_doing(|| format!("write {text:?} to /proc/{file}"))
    }

    /// Writes to a file of this process. `self` is a symlink, but one of procfs itself.
    pub(crate) fn write_self(&self, file: &str, text: &str) -> Result<()> {
        let path = format!("self/{file}");
        rustix::fs::openat(&self.0, path.as_str(), OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
            .and_then(|fd| rustix::io::write(fd, text.as_bytes()))
            .map(drop)
            .while_doing(|| format!("write {text:?} to /proc/{path}"))
    }

    /// Enters this process's own mount namespace again, which makes its root the namespace's, and the working
    /// directory too.
    pub(crate) fn enter_own_mounts(&self) -> Result<()> {
        let own = rustix::fs::openat(&self.0, "self/ns/mnt", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .while_doing(|| "open /proc/self/ns/mnt")?;
        super::ns::join(own.as_fd(), libc::CLONE_NEWNS as u64)
    }

    /// Opens for real what was opened for its path only, and was proved since: opening a device can do things.
    pub(crate) fn reopen(
        &self,
        place: impl AsFd,
        flags: OFlags,
    ) -> std::result::Result<OwnedFd, rustix::io::Errno> {
        let path = format!("self/fd/{}", super::fd::number(place));
        rustix::fs::openat(&self.0, path.as_str(), flags | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())
    }

    /// Reads a small file below /proc.
    pub(crate) fn read(&self, file: &str) -> std::result::Result<String, rustix::io::Errno> {
        let fd = rustix::fs::openat(&self.0, file, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        read_all(fd)
    }
}

/// Whether it lies in a procfs.
pub(crate) fn is_procfs(fd: impl AsFd) -> Result<bool> {
    Ok(rustix::fs::fstatfs(fd).while_doing(|| "statfs")?.f_type as i64 == MAGIC)
}

/// Whether it is the root of a procfs: `PROC_ROOT_INO` of linux/proc_ns.h, which nothing bound from inside one has.
pub(crate) fn is_root_of_procfs(fd: impl AsFd) -> Result<bool> {
    Ok(is_procfs(&fd)? && rustix::fs::fstat(fd).while_doing(|| "stat")?.st_ino == 1)
}

/// Reads an open file to its end.
pub(crate) fn read_all(fd: impl AsFd) -> std::result::Result<String, rustix::io::Errno> {
    read_up_to(fd, usize::MAX)
}

/// Reads a file to its end, of a kind whose text is there as a whole when it is read first: of a file system, of
/// cgroups, or of procfs where one line or one function makes all of it. The end is where a read gives less than there
/// was room for, so most need no second one.
pub(crate) fn read_whole(fd: impl AsFd) -> std::result::Result<String, rustix::io::Errno> {
    let mut text = Vec::with_capacity(1024);
    loop {
        text.reserve(512);
        let room = text.capacity() - text.len();
        if rustix::io::read(&fd, rustix::buffer::spare_capacity(&mut text))? < room {
            return Ok(String::from_utf8_lossy(&text).into_owned());
        }
    }
}

/// Reads a file of any kind, which usually has fewer bytes than that, to its end.
pub(crate) fn read_bytes(fd: impl AsFd, usual: usize) -> std::result::Result<Vec<u8>, rustix::io::Errno> {
    let mut bytes = Vec::with_capacity(usual);
    loop {
        bytes.reserve(512);
        match rustix::io::read(&fd, rustix::buffer::spare_capacity(&mut bytes)) {
            Ok(0) => return Ok(bytes),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// The same, but an error if it has more bytes than that: a file of procfs may have no end worth waiting for.
pub(crate) fn read_up_to(fd: impl AsFd, limit: usize) -> std::result::Result<String, rustix::io::Errno> {
    let mut text = Vec::with_capacity(1024);
    while text.len() <= limit {
        text.reserve(1024);
        if rustix::io::read(&fd, rustix::buffer::spare_capacity(&mut text))? == 0 {
            return Ok(String::from_utf8_lossy(&text).into_owned());
        }
    }
    Err(rustix::io::Errno::FBIG)
}

/// What /proc/PID/stat says of a process: its state letter and the clock tick after boot at which it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    /// `R`, `S`, `Z` ... (proc_pid_stat(5))
    pub(crate) state: char,
    /// Field 22, in clock ticks since boot
    pub(crate) start_time: u64,
}

/// Looks a process up; None if there is none of that number.
pub(crate) fn stat(pid: i32) -> Result<Option<Stat>> {
    let name = format!("/proc/{pid}/stat");
    let text = match rustix::fs::open(name.as_str(), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .and_then(read_whole)
    {
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::SRCH) => return Ok(None),
        text => text.while_doing(|| format!("read {name}"))?,
    };
    parse_stat(&text)
        .map(Some)
        .ok_or_else(|| Error::new(Kind::Internal, format!("{name} is not as proc_pid_stat(5) says")))
}

/// The name in parentheses may hold anything, so count from the last one.
fn parse_stat(text: &str) -> Option<Stat> {
    let (_, rest) = text.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let state = fields.next()?.chars().next()?;
    // state is field 3, so 18 lie between it and field 22
    let start_time = fields.nth(18)?.parse().ok()?;
    Some(Stat { state, start_time })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_name_with_parentheses_and_spaces_does_not_shift_the_fields() {
        let text = "7 (a) Z 1) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 12345 1 2 3\n";
        assert_eq!(parse_stat(text), Some(Stat { state: 'S', start_time: 12345 }));
    }

    #[test]
    fn this_process_is_seen_and_one_that_cannot_be_is_not() {
        assert!(stat(std::process::id() as i32).expect("readable").is_some());
        assert_eq!(stat(i32::MAX).expect("readable"), None);
    }
}
