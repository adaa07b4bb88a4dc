//! seccomp(2).
#![expect(
    unsafe_code,
    reason = "seccomp(2) has no safe wrapper that takes flags and leaves no_new_privs alone"
)]

use seccompiler::sock_filter;

use super::check;
use crate::error::{Result, WhileDoing};

/// `struct sock_fprog` of linux/filter.h.
#[repr(C)]
struct Program {
    length: u16,
    filter: *const sock_filter,
}

/// Puts a filter on this thread for ever. Needs no_new_privs or CAP_SYS_ADMIN.
pub(crate) fn load(program: &[sock_filter], flags: u64) -> Result<()> {
    const SET_MODE_FILTER: libc::c_uint = 1;
    let fprog = Program { length: program.len() as u16, filter: program.as_ptr() };
    // SAFETY: `fprog` tells the length of the instructions that it points to; both live across the call,
    // and the kernel copies them. seccompiler's sock_filter is the kernel's (repr(C), 8 bytes).
    check(unsafe { libc::syscall(libc::SYS_seccomp, SET_MODE_FILTER, flags, &raw const fprog) })
        .map(drop)
        .while_doing(|| {
            format!("load the seccomp filter of {} instructions with flags {flags:#x}", program.len())
        })
}
