//! Descriptors: the socketpair between parent and init, fifos, and closing what a container must not see.
#![expect(unsafe_code, reason = "close_range has no safe wrapper")]

use std::cell::RefCell;
use std::ffi::CStr;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};

use super::check;
use crate::error::{Error, Kind, Result, WhileDoing};

/// A descriptor's number, for structures of the kernel that hold one.
pub(crate) fn number(fd: impl AsFd) -> u64 {
    u64::try_from(std::os::fd::AsRawFd::as_raw_fd(&fd.as_fd())).unwrap_or(u64::MAX)
}

/// Two ends that keep messages apart and know when the other end is gone.
pub(crate) fn socketpair() -> Result<(OwnedFd, OwnedFd)> {
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .while_doing(|| "socketpair")
}

/// A stream socket connected to a path of the host.
pub(crate) fn connect(path: &Path) -> Result<OwnedFd> {
    let socket =
        rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
            .while_doing(|| "make a socket")?;
    SocketAddrUnix::new(path)
        .and_then(|address| rustix::net::connect(&socket, &address))
        .while_doing(|| format!("connect to {}", path.display()))?;
    Ok(socket)
}

/// Sends `text` and one descriptor.
pub(crate) fn send_fd(socket: BorrowedFd<'_>, text: &[u8], fd: BorrowedFd<'_>) -> Result<()> {
    let fds = [fd];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&fds));
    rustix::net::sendmsg(socket, &[IoSlice::new(text)], &mut control, SendFlags::NOSIGNAL)
        .map(drop)
        .while_doing(|| "send a descriptor")
}

/// Receives one descriptor.
pub(crate) fn receive_fd(socket: BorrowedFd<'_>) -> Result<OwnedFd> {
    let (_, fd) = receive(socket, 256).while_doing(|| "receive a descriptor")?;
    fd.ok_or_else(|| Error::new(Kind::Internal, "receive a descriptor: the message holds none"))
}

/// Receives a message of at most `limit` bytes, with the descriptor that comes with it. The end is an empty one.
pub(crate) fn receive(socket: BorrowedFd<'_>, limit: usize) -> Result<(Vec<u8>, Option<OwnedFd>)> {
    let mut bytes = vec![0_u8; limit];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let n = loop {
        let buffers = &mut [IoSliceMut::new(&mut bytes)];
        match rustix::net::recvmsg(socket, buffers, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(Errno::INTR) => {}
            Err(Errno::CONNRESET) => break 0,
            result => break result?.bytes,
        }
    };
    bytes.truncate(n);
    let fd = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    Ok((bytes, fd))
}

/// Lets a descriptor live on in the program that this process becomes.
pub(crate) fn keep_on_exec(fd: impl AsFd) -> Result<()> {
    rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::empty())
        .while_doing(|| "keep a descriptor for the program")
}

/// Takes over a descriptor that the caller of this program has opened for it to write to.
pub(crate) fn adopt_writable(number: i32) -> Result<OwnedFd> {
    let act = || format!("descriptor {number}");
    if number < 3 {
        return Err(Error::invalid("it is none of those that a caller hands over")).while_doing(act);
    }
    // SAFETY: the number is borrowed for one question only, which fails where it is not open.
    let flags = rustix::fs::fcntl_getfl(unsafe { BorrowedFd::borrow_raw(number) }).while_doing(act)?;
    if flags.intersection(OFlags::RWMODE) == OFlags::RDONLY {
        return Err(Error::invalid("it is not open for writing")).while_doing(act);
    }
    // SAFETY: it is open, as was just seen, and this program opens none of its own before it looks at its words.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Makes a fifo for its owner alone and opens both of its ends, so that neither open nor read meets an end.
pub(crate) fn make_fifo(dir: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd> {
    rustix::fs::mknodat(dir, name, rustix::fs::FileType::Fifo, Mode::from_raw_mode(0o600), 0)
        .and_then(|()| {
            rustix::fs::openat(dir, name, OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty())
        })
        .while_doing(|| format!("make the fifo {name:?}"))
}

/// Marks all descriptors from `first` on to be closed by execve (Linux 5.11).
pub(crate) fn close_on_exec_from(first: u32) -> Result<()> {
    close_range(first, libc::CLOSE_RANGE_CLOEXEC).while_doing(|| format!("close_range from {first} on exec"))
}

/// Closes all descriptors from `first` on (Linux 5.9); for the very beginning, when none is this program's own.
pub(crate) fn close_from(first: u32) -> Result<()> {
    close_range(first, 0).while_doing(|| format!("close_range from {first}"))
}

fn close_range(first: u32, flags: libc::c_uint) -> std::result::Result<(), Errno> {
    // SAFETY: it takes three numbers. Whoever closes for good does so before any descriptor of this program
    // is open, so none is closed that somebody still owns.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, flags) }).map(drop)
}

/// Descriptors that have served and are closed together: one call for a row of numbers, where mounting makes three
/// descriptors for each mount.
#[derive(Debug, Default)]
pub(crate) struct Later(RefCell<Vec<OwnedFd>>);

impl Later {
    /// More than that do not wait: a limit of open files may be low.
    const MOST: usize = 48;

    /// Closes it at the end, or when there are many.
    pub(crate) fn close(&self, fd: OwnedFd) {
        let mut waiting = self.0.borrow_mut();
        waiting.push(fd);
        if waiting.len() >= Self::MOST {
            close_all(&mut waiting);
        }
    }
}

impl Drop for Later {
    fn drop(&mut self) {
        close_all(self.0.get_mut());
    }
}

fn close_all(fds: &mut Vec<OwnedFd>) {
    let mut numbers: Vec<u32> = fds.drain(..).map(|fd| fd.into_raw_fd().cast_unsigned()).collect();
    numbers.sort_unstable();
    for row in numbers.chunk_by(|a, b| a + 1 == *b) {
        let (Some(first), Some(last)) = (row.first(), row.last()) else { continue };
        // SAFETY: it takes three numbers. Each of them in between was an owned descriptor just now.
        unsafe { libc::syscall(libc::SYS_close_range, *first, *last, 0) };
    }
}

/// Takes the lock of an open directory, waiting for its holder.
pub(crate) fn lock(dir: impl AsFd) -> Result<()> {
    loop {
        match rustix::fs::flock(&dir, FlockOperation::LockExclusive) {
            Err(Errno::INTR) => {}
            result => return result.while_doing(|| "lock the container's directory"),
        }
    }
}

/// Gives the lock back.
pub(crate) fn unlock(dir: impl AsFd) -> Result<()> {
    rustix::fs::flock(&dir, FlockOperation::Unlock).while_doing(|| "unlock the container's directory")
}

/// True if nobody held the lock; it is taken then.
pub(crate) fn try_lock(dir: impl AsFd) -> Result<bool> {
    match rustix::fs::flock(dir, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(errno) => Err(errno).while_doing(|| "lock the container's directory"),
    }
}
