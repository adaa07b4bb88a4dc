//! A process that is stopped before each of its system calls, to be counted or killed there.

use std::process::Command;

use conformance::host::wait_until;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::common::{Bundle, LIMIT, RUNTIME};

/// What became of a traced call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Killed before the system call of that number
    Killed,
    /// Ended by itself with that status, after so many system calls
    Exited { code: i32, calls: usize },
}

/// Lets a child that has stopped itself go on, and counts the system calls of all that it and its children do.
#[allow(dead_code, reason = "each test executable uses its own part of this")]
pub(crate) fn count_all(mut child: std::process::Child) -> usize {
    let pid = Pid::from_raw(child.id() as i32);
    wait_until(LIMIT, "the stopped shell", || stat(pid).contains(") T ")).unwrap();
    let children = Options::PTRACE_O_TRACECLONE | Options::PTRACE_O_TRACEFORK | Options::PTRACE_O_TRACEVFORK;
    let options = Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_TRACEEXEC | children;
    ptrace::seize(pid, options).unwrap();
    kill(pid, Signal::SIGCONT).unwrap();
    let (mut begun, mut stops) = (false, 0);
    // Of this thread's children only: other tests have their own.
    let own = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
    while let Ok(status) = waitpid(None, Some(own)) {
        let pass = match status {
            WaitStatus::PtraceEvent(_, _, event) => {
                begun |= event == nix::libc::PTRACE_EVENT_EXEC;
                None
            }
            WaitStatus::PtraceSyscall(_) => {
                stops += usize::from(begun);
                None
            }
            WaitStatus::Stopped(_, signal) if signal != Signal::SIGTRAP && signal != Signal::SIGSTOP => {
                Some(signal)
            }
            _ => None,
        };
        if let Some(pid) = status.pid() {
            // One that has ended cannot go on.
            ptrace::syscall(pid, pass).ok();
        }
    }
    child.wait().ok();
    stops / 2
}

/// Calls the runtime, and kills it before its system call number `at`, counted from 1. Its children run on.
pub(crate) fn kill_at(bundle: &Bundle, words: &[&str], at: usize) -> End {
    let mut command = Command::new("sh");
    // It stops itself, so that it can be seized before it becomes the runtime.
    command.args(["-c", "kill -STOP $$; exec \"$@\"", "sh", RUNTIME, "--root"]);
    command.arg(bundle.state_root()).args(words).current_dir(bundle.path());
    let null = || std::process::Stdio::null();
    let mut child = command.stdin(null()).stdout(null()).stderr(null()).spawn().unwrap();
    let pid = Pid::from_raw(child.id() as i32);
    wait_until(LIMIT, "the stopped shell", || stat(pid).contains(") T ")).unwrap();
    ptrace::seize(pid, Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_TRACEEXEC).unwrap();
    kill(pid, Signal::SIGCONT).unwrap();
    let end = follow(pid, at);
    child.wait().ok();
    end
}

fn stat(pid: Pid) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default()
}

/// Counts from the execve that makes it the runtime; each call stops twice, before and after.
fn follow(pid: Pid, at: usize) -> End {
    let (mut begun, mut stops) = (false, 0);
    loop {
        let status = waitpid(pid, None).unwrap();
        let pass = match status {
            WaitStatus::Exited(_, code) => return End::Exited { code, calls: stops / 2 },
            WaitStatus::Signaled(..) => return End::Killed,
            WaitStatus::PtraceEvent(_, _, event) if event == nix::libc::PTRACE_EVENT_EXEC => {
                begun = true;
                None
            }
            WaitStatus::PtraceSyscall(_) if begun => {
                stops += 1;
                if stops == 2 * at {
                    kill(pid, Signal::SIGKILL).unwrap();
                }
                None
            }
            WaitStatus::Stopped(_, signal) if signal != Signal::SIGTRAP && signal != Signal::SIGSTOP => {
                Some(signal)
            }
            _ => None,
        };
        // A process that is being killed cannot go on, and says so when it is waited for.
        ptrace::syscall(pid, pass).ok();
    }
}
