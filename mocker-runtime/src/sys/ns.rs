//! setns(2) and unshare(2).
#![expect(unsafe_code, reason = "unshare may part file tables, which is unsafe in general")]

use std::os::fd::BorrowedFd;

use rustix::thread::{LinkNameSpaceType, UnshareFlags};

use crate::error::{Result, WhileDoing};

/// Leaves the parent's namespaces of these kinds (`CLONE_NEW*`) for new ones.
pub(crate) fn unshare(flags: u64) -> Result<()> {
    let flags = UnshareFlags::from_bits_retain(flags as u32);
    // SAFETY: only namespaces are named by callers here, never CLONE_FILES, which alone could let a
    // descriptor mean different things in two threads.
    unsafe { rustix::thread::unshare_unsafe(flags) }.while_doing(|| format!("unshare {flags:?}"))
}

/// Enters the namespace behind `fd`, which must be of the kind `flag` (`CLONE_NEW*`).
pub(crate) fn join(fd: BorrowedFd<'_>, flag: u64) -> Result<()> {
    let kind = match flag as i32 {
        libc::CLONE_NEWCGROUP => LinkNameSpaceType::ControlGroup,
        libc::CLONE_NEWIPC => LinkNameSpaceType::InterProcessCommunication,
        libc::CLONE_NEWNET => LinkNameSpaceType::Network,
        libc::CLONE_NEWNS => LinkNameSpaceType::Mount,
        libc::CLONE_NEWPID => LinkNameSpaceType::ProcessID,
        libc::CLONE_NEWTIME => LinkNameSpaceType::Time,
        libc::CLONE_NEWUSER => LinkNameSpaceType::User,
        _ => LinkNameSpaceType::HostNameAndNISDomainName,
    };
    rustix::thread::move_into_link_name_space(fd, Some(kind)).while_doing(|| format!("setns {kind:?}"))
}

/// Enters several namespaces (`CLONE_NEW*`) of a process at once (Linux 5.8).
pub(crate) fn join_all(process: BorrowedFd<'_>, flags: u64) -> Result<()> {
    use rustix::thread::ThreadNameSpaceType;
    let kinds = ThreadNameSpaceType::from_bits_retain(flags as u32);
    rustix::thread::move_into_thread_name_spaces(process, kinds).while_doing(|| format!("setns {kinds:?}"))
}
