//! A supervisor of system calls: answers what a seccomp filter leaves open (seccomp_unotify(2)).
#![expect(unsafe_code, reason = "ioctl takes a structure of the caller's word for it")]

use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::{Context, Result};

/// `struct seccomp_notif` of linux/seccomp.h.
#[repr(C)]
#[derive(Debug, Default)]
struct Notification {
    id: u64,
    pid: u32,
    flags: u32,
    number: i32,
    arch: u32,
    instruction_pointer: u64,
    args: [u64; 6],
}

/// `struct seccomp_notif_resp`.
#[repr(C)]
#[derive(Debug, Default)]
struct Response {
    id: u64,
    val: i64,
    error: i32,
    flags: u32,
}

mod ioctl {
    use super::{Notification, Response};
    nix::ioctl_readwrite!(receive, b'!', 0, Notification);
    nix::ioctl_readwrite!(send, b'!', 1, Response);
}

/// Waits for one system call and answers it with an error number; gives the number of the call.
pub fn refuse(listener: &OwnedFd, errno: i32) -> Result<i32> {
    let mut notification = Notification::default();
    // SAFETY: the descriptor is open, and the structure is the kernel's, zeroed as it asks for.
    unsafe { ioctl::receive(listener.as_raw_fd(), &raw mut notification) }
        .context("receive a notification")?;
    let mut response = Response { id: notification.id, error: -errno, ..Response::default() };
    // SAFETY: as above.
    unsafe { ioctl::send(listener.as_raw_fd(), &raw mut response) }.context("answer a notification")?;
    Ok(notification.number)
}
