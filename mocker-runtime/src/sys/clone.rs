//! clone3(2): the one way in which this program makes a process of itself.
#![expect(unsafe_code, reason = "clone3 has no safe wrapper anywhere")]

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::rc::Rc;

use rustix::process::Pid;

use super::check;
use crate::error::{Error, Kind, Result, WhileDoing};

/// The new process as its parent sees it.
#[derive(Debug)]
pub(crate) struct Child {
    /// Its number in the parent's pid namespace
    pub(crate) pid: Pid,
    /// A handle that never comes to mean another process (Linux 5.2), shared with whoever would end it
    pub(crate) pidfd: Rc<OwnedFd>,
}

/// Which of the two processes this one is now.
#[derive(Debug)]
pub(crate) enum Side {
    /// The one that called
    Parent(Child),
    /// The new one
    Child,
}

/// `struct clone_args` of linux/sched.h, as long as CLONE_INTO_CGROUP needs it (Linux 5.7).
#[repr(C)]
#[derive(Default)]
struct Args {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// `CLONE_INTO_CGROUP`, which libc's constant is too narrow for.
const INTO_CGROUP: u64 = 0x2_0000_0000;

/// Makes a copy of this process in new namespaces (`CLONE_NEW*` in `flags`), born in `cgroup` if given.
///
/// The caller must have one thread only, as this program has by rule (`std::thread::spawn` is a
/// disallowed method).
pub(crate) fn clone3(flags: u64, cgroup: Option<BorrowedFd<'_>>) -> Result<Side> {
    let mut pidfd: RawFd = -1;
    let mut args = Args {
        flags: flags | libc::CLONE_PIDFD as u64,
        pidfd: std::ptr::from_mut(&mut pidfd) as u64,
        exit_signal: libc::SIGCHLD as u64,
        ..Args::default()
    };
    if let Some(cgroup) = cgroup {
        args.flags |= INTO_CGROUP;
        args.cgroup = cgroup.as_raw_fd() as u64;
    }
    // SAFETY: `args` is a whole clone_args that lives across the call, without a stack of its own, so
    // the child goes on with a copy of this one as after fork. There is only one thread, so no lock is
    // held by a thread that the child lacks.
    let pid = check(unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<Args>()) })
        .while_doing(|| format!("clone3 with flags {flags:#x}"))?;
    if pid == 0 {
        return Ok(Side::Child);
    }
    let pid = Pid::from_raw(pid as i32).ok_or_else(|| Error::new(Kind::Internal, "clone3 gave no pid"))?;
    // SAFETY: CLONE_PIDFD made the kernel store a descriptor of ours there, which nobody else knows.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Side::Parent(Child { pid, pidfd: Rc::new(pidfd) }))
}

/// Makes a copy of this process in new namespaces (`CLONE_NEW*` in `flags`) that is a child of this one's parent.
/// Gives its number to this process, and None to the copy.
pub(crate) fn clone_sibling(flags: u64) -> Result<Option<i32>> {
    let args = Args { flags: flags | libc::CLONE_PARENT as u64, ..Args::default() };
    // SAFETY: as in `clone3`; a sibling sends the signal that this process would send (none may be given).
    let pid = check(unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<Args>()) })
        .while_doing(|| format!("clone3 of a sibling with flags {flags:#x}"))?;
    Ok((pid != 0).then_some(pid as i32))
}

/// Leaves the process at once: no destructors, no flushing of what the parent has buffered.
pub(crate) fn exit_now(status: i32) -> ! {
    // SAFETY: _exit(2) takes any number and does not return.
    unsafe { libc::_exit(status) }
}
