//! What init and a process that `exec` brings in have in common: who they become and what they run.

use std::ffi::CString;
use std::os::fd::OwnedFd;

use rustix::process::DumpableBehavior;

use crate::error::{Error, Kind, Result, WhileDoing};
use crate::plan::process::Process;
use crate::sync::{End, FromInit};
use crate::sys::fd;
use crate::sys::proc::Proc;

/// What the command line adds to the process of the config.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Gets the master of the terminal
    pub(crate) console: Option<OwnedFd>,
    /// How many descriptors from 3 on the program keeps
    pub(crate) preserve_fds: u32,
    /// The container's id, to name a session keyring of its own; None leaves the caller's
    pub(crate) keyring: Option<String>,
}

/// A process on its way into a container.
pub(super) struct Task<'a> {
    pub(super) process: &'a Process,
    pub(super) sync: End,
    pub(super) console: Option<OwnedFd>,
    pub(super) preserve_fds: u32,
    pub(super) keyring: Option<String>,
    /// The host's, opened before its mounts are left behind, closed before the program is looked for
    pub(super) proc: Option<Proc>,
    pub(super) cwd: Cwd,
    /// The entry of the environment, where the config has none
    pub(super) home: Option<CString>,
    /// Once it has been found
    pub(super) program: Option<Program>,
}

/// Whether the process is in its working directory, once it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cwd {
    Entered,
    /// Root may not enter it, but the user perhaps may
    Pending,
}

/// What is executed: found with the container's own PATH, and the whole environment.
pub(super) struct Program {
    pub(super) file: CString,
    pub(super) env: Vec<CString>,
}

impl<'a> Task<'a> {
    /// Tells the parent itself when it cannot be made.
    pub(super) fn new(process: &'a Process, sync: End, settings: Settings) -> std::result::Result<Self, ()> {
        let Settings { console, preserve_fds, keyring } = settings;
        match Proc::open() {
            Ok(proc) => Ok(Self {
                process,
                sync,
                console,
                preserve_fds,
                keyring,
                proc: Some(proc),
                cwd: Cwd::Entered,
                home: None,
                program: None,
            }),
            Err(error) => {
                sync.send(&FromInit::Failed(error)).ok();
                Err(())
            }
        }
    }

    /// The host's /proc.
    pub(super) fn proc(&self) -> Result<&Proc> {
        self.proc.as_ref().ok_or_else(|| Error::new(Kind::Internal, "/proc is closed already"))
    }

    /// Tells the parent why it is over. If that fails too, nobody is left to tell.
    pub(super) fn fail(&self, error: Error) {
        self.sync.send(&FromInit::Failed(error)).ok();
    }

    /// A session of its own, nothing of the caller's open in the program but what it shall keep, and no way in for the
    /// container's processes (/proc/PID/exe would lead to this program's file, CVE-2019-5736). That the parent is gone
    /// the end of the socket tells; a signal at its death (PR_SET_PDEATHSIG) is not passed on to a new process.
    pub(super) fn leave_session(&mut self) -> Result<()> {
        // Now, since a seccomp filter may know nothing of close_range(2); what is opened from here on closes by itself.
        fd::close_on_exec_from(3 + self.preserve_fds)?;
        rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
            .while_doing(|| "become undumpable")?;
        rustix::process::setsid().map(drop).while_doing(|| "setsid")
    }
}
