//! Signals to processes by handle, and signals to this one as data.
#![expect(unsafe_code, reason = "pidfd_send_signal of rustix knows no real-time signals")]

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions};

use super::check;
use crate::error::{Error, Kind, Result, WhileDoing};

/// A handle on a process.
pub(crate) fn open_pid(pid: i32) -> std::result::Result<OwnedFd, rustix::io::Errno> {
    let pid = Pid::from_raw(pid).ok_or(rustix::io::Errno::SRCH)?;
    rustix::process::pidfd_open(pid, PidfdFlags::empty())
}

/// Sends a signal by number (1 to 64) to exactly the process that the handle means.
pub(crate) fn send(pidfd: BorrowedFd<'_>, signal: i32) -> std::result::Result<(), rustix::io::Errno> {
    // SAFETY: no siginfo is given; the rest are numbers.
    check(unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, std::ptr::null::<()>(), 0)
    })
    .map(drop)
}

/// Waits for a child by handle, at most `milliseconds` (None: for ever); false if the time ran out.
pub(crate) fn wait_gone(pidfd: BorrowedFd<'_>, milliseconds: Option<i64>) -> Result<bool> {
    let mut fds = [rustix::event::PollFd::new(&pidfd, rustix::event::PollFlags::IN)];
    let timeout = milliseconds
        .map(|ms| rustix::event::Timespec { tv_sec: ms / 1000, tv_nsec: (ms % 1000) * 1_000_000 });
    loop {
        match rustix::event::poll(&mut fds, timeout.as_ref()) {
            Err(rustix::io::Errno::INTR) => {}
            result => return Ok(result.while_doing(|| "wait for the process to end")? > 0),
        }
    }
}

/// Takes a dead child's status: its exit code, or 128 and the signal that ended it.
pub(crate) fn reap(pidfd: BorrowedFd<'_>) -> Result<u8> {
    let status = rustix::process::waitid(WaitId::PidFd(pidfd), WaitIdOptions::EXITED)
        .while_doing(|| "waitid")?
        .ok_or_else(|| Error::new(Kind::Internal, "waitid: the child has no status"))?;
    let code = match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => code,
        (None, Some(signal)) => 128 + signal,
        (None, None) => 255,
    };
    Ok(code as u8)
}

/// Blocks all signals and reads them as data instead.
pub(crate) fn catch_all() -> Result<SignalFd> {
    let all = SigSet::all();
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&all), None).while_doing(|| "block the signals")?;
    SignalFd::with_flags(&all, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).while_doing(|| "signalfd")
}

/// Unblocks all signals, and gives those that a program may have been started with ignored their default back.
pub(crate) fn restore_all() -> Result<()> {
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)
        .while_doing(|| "unblock the signals")?;
    // SAFETY: SIG_DFL is no handler, so nothing of ours runs in signal context.
    // Rust's start-up ignores SIGPIPE; the container's program must not inherit that.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    Ok(())
}

/// Takes the status of every dead child but one.
pub(crate) fn reap_others(keep: Pid) {
    let look = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG;
    // Another dead child behind the one that is kept is found when that one has been taken.
    while let Ok(status) = waitid(Id::All, look | WaitPidFlag::WNOWAIT) {
        let Some(pid) = status.pid().filter(|pid| pid.as_raw() != keep.as_raw_nonzero().get()) else {
            return;
        };
        if waitid(Id::Pid(pid), look).is_err() {
            return;
        }
    }
}
