//! seccomp(2).
#![expect(
    unsafe_code,
    reason = "seccomp(2) has no safe wrapper that takes flags and leaves no_new_privs alone"
)]

use std::os::fd::{FromRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use seccompiler::sock_filter;

use super::check;
use crate::error::{Result, WhileDoing};

/// `struct sock_fprog` of linux/filter.h.
#[repr(C)]
struct Program {
    length: u16,
    filter: *const sock_filter,
}

/// Puts a filter with a listener on this thread for ever; `courier` gets the listener on another thread, since the
/// filter may stop whatever this one would hand it over with. A thread, since it shares the descriptors and leaves no
/// zombie: it is under no filter, and ends at the latest with execve.
pub(crate) fn load_watched(
    program: &[sock_filter],
    flags: u64,
    courier: impl FnOnce(OwnedFd) + Send + 'static,
) -> Result<()> {
    const FAILED: i32 = -1;
    const UNKNOWN: i32 = -2;
    let listener = Arc::new(AtomicI32::new(UNKNOWN));
    let known = Arc::clone(&listener);
    let wait = move || {
        let number = loop {
            match known.load(Ordering::Acquire) {
                UNKNOWN => std::thread::yield_now(),
                FAILED => return,
                number => break number,
            }
        };
        // SAFETY: the kernel has just given this number to the other thread, which leaves it to this one.
        courier(unsafe { OwnedFd::from_raw_fd(number) });
    };
    std::thread::Builder::new().spawn(wait).while_doing(|| "make a thread")?;
    let result = install(program, flags);
    // Not a system call: from here on there may be none.
    listener.store(result.as_ref().map_or(FAILED, |number| *number as i32), Ordering::Release);
    result.map(drop)
}

/// Puts a filter on this thread for ever. Needs no_new_privs or CAP_SYS_ADMIN.
pub(crate) fn load(program: &[sock_filter], flags: u64) -> Result<()> {
    install(program, flags).map(drop)
}

/// Gives the descriptor of a listener, if the flags ask for one.
fn install(program: &[sock_filter], flags: u64) -> Result<libc::c_long> {
    const SET_MODE_FILTER: libc::c_uint = 1;
    let fprog = Program { length: program.len() as u16, filter: program.as_ptr() };
    // SAFETY: `fprog` tells the length of the instructions that it points to; both live across the call,
    // and the kernel copies them. seccompiler's sock_filter is the kernel's (repr(C), 8 bytes).
    check(unsafe { libc::syscall(libc::SYS_seccomp, SET_MODE_FILTER, flags, &raw const fprog) }).while_doing(
        || format!("load the seccomp filter of {} instructions with flags {flags:#x}", program.len()),
    )
}
