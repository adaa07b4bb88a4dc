//! The parent's half of an exec: one more process in a container.

use std::os::fd::AsFd;

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::Container;
use super::create::{send_pidfd, set_oom_score, write_pid_file};
use super::status::{Status, Verb, allow};
use super::switched;
use super::watch;
use crate::bundle::Bundle;
use crate::cgroup::Cgroup;
use crate::error::{Error, Kind, Result, WhileDoing};
use crate::init::enter::{self, Target};
use crate::init::{self, Keyring, Settings};
use crate::plan::namespaces::Namespaces;
use crate::plan::process::Process;
use crate::sync::{self, End, FromInit, FromParent};
use crate::sys::clone::{self, Child, Side};
use crate::sys::{path, sched, signal};

/// What the command line adds to the process.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) console: Option<std::os::fd::OwnedFd>,
    pub(crate) pid_file: Option<std::path::PathBuf>,
    /// Gets a handle on the process
    pub(crate) pidfd_socket: Option<std::os::fd::OwnedFd>,
    pub(crate) preserve_fds: u32,
    /// Below the container's cgroup: controller (empty for all) and path
    pub(crate) cgroups: Vec<(String, String)>,
    pub(crate) paused: Paused,
}

/// Whether a paused container is entered; the process then waits for the resume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paused {
    Refuse,
    Enter,
}

impl Container {
    /// The config as it was when the container was made; the bundle may be gone by now.
    pub(crate) fn config(&self) -> Result<Bundle> {
        Bundle::read(&self.home.path, None)
    }

    /// Starts a process in the container; returns when it is about to run, with what tells of its fate.
    /// `namespaces` are the container's, as its config has them.
    pub(crate) fn exec(
        &self,
        process: &Process,
        mut namespaces: Namespaces,
        options: Options,
    ) -> Result<Running> {
        let status = self.status()?;
        if status != Status::Paused || options.paused == Paused::Refuse {
            allow(Verb::Exec, status)?;
        }
        init::check_labels(process)?;
        let init = self.open_init()?.ok_or_else(|| Error::new(Kind::WrongState, "container not running"))?;
        let record = self.record()?;
        if record.restored && !namespaces.has(libc::CLONE_NEWTIME) && has_time_namespaces() {
            // criu has made one, so that clocks go on from where they were.
            namespaces.new |= libc::CLONE_NEWTIME as u64;
        }
        let cgroup = record.cgroup.below(&options.cgroups)?;
        let settings = Settings {
            console: options.console,
            preserve_fds: options.preserve_fds,
            keyring: (record.keyring == Keyring::New).then(|| self.id.to_string()),
        };
        let init_pid = record.init.map_or(0, |init| init.pid);
        let state = record.state(status);
        let entry = Entry { process, namespaces, cgroup, init_pid, state };
        let running = entry.spawn(init, settings)?;
        entry.converse(&running, options.pid_file.as_deref(), options.pidfd_socket.as_ref()).inspect_err(
            |_| {
                // It ends by itself when it has failed; only its status is left to take.
                signal::send(running.child.pidfd.as_fd(), libc::SIGKILL).ok();
                signal::reap(running.child.pidfd.as_fd()).ok();
            },
        )?;
        Ok(running)
    }
}

/// Linux 5.6, where it was built with them.
fn has_time_namespaces() -> bool {
    rustix::fs::lstat("/proc/self/ns/time").is_ok()
}

/// A process that is about to run.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) child: Child,
    sync: End,
}

impl Running {
    /// Waits until it runs.
    pub(crate) fn wait_running(&self) -> Result<()> {
        match self.sync.receive()? {
            None => Ok(()),
            Some(FromInit::Failed(error)) => Err(error),
            Some(_) => Err(Error::new(Kind::Internal, "the process spoke out of turn")),
        }
    }
}

/// Everything that the steps share.
struct Entry<'a> {
    process: &'a Process,
    namespaces: Namespaces,
    cgroup: Cgroup,
    init_pid: i32,
    /// Of the container
    state: serde_json::Value,
}

impl Entry<'_> {
    fn spawn(&self, init: std::os::fd::OwnedFd, settings: Settings) -> Result<Running> {
        let (ours, theirs) = sync::pair()?;
        let entered = switched::follow(&init, &self.namespaces)?;
        let user = self.namespaces.has(libc::CLONE_NEWUSER);
        let root = self.foreign_root()?;
        let tasks = self.cgroup.open_task_files()?;
        let target = Target { init, namespaces: self.namespaces.all() & !entered, user, root, tasks };
        if let Some(processors) = &self.process.affinity.initial {
            sched::set_affinity(processors)?;
        }
        let cgroup = self.cgroup.open_unified()?;
        let side = match clone::clone3(0, cgroup.as_ref().map(AsFd::as_fd)) {
            // The container has handed controllers down, so its processes are below; join its init there.
            Err(error) if error.is_errno(Errno::BUSY) => {
                let beside = self.cgroup.open_unified_of(self.init_pid)?;
                clone::clone3(0, beside.as_ref().map(AsFd::as_fd))?
            }
            Err(error) if self.cgroup.can_be_joined_later(&error) => clone::clone3(0, None)?,
            side => side?,
        };
        match side {
            Side::Parent(child) => Ok(Running { child, sync: ours }),
            Side::Child => {
                drop((ours, cgroup));
                enter::run(self.process, target, theirs, settings)
            }
        }
    }

    /// Init's root, where it is not that of a mount namespace.
    fn foreign_root(&self) -> Result<Option<std::os::fd::OwnedFd>> {
        if self.namespaces.has(libc::CLONE_NEWNS) {
            return Ok(None);
        }
        let root = format!("/proc/{}/root", self.init_pid);
        path::open(root.as_ref(), OFlags::PATH | OFlags::DIRECTORY).map(Some)
    }

    fn converse(
        &self,
        running: &Running,
        pid_file: Option<&std::path::Path>,
        pidfd_socket: Option<&std::os::fd::OwnedFd>,
    ) -> Result<()> {
        let Running { child, sync } = running;
        let pid = child.pid.as_raw_nonzero().get();
        self.cgroup.add_to_scope(pid)?;
        set_oom_score(pid, self.process)?;
        sync.send(&FromParent::Begin(pid))?;
        let watched = watch::is_wanted(self.process);
        let mut awaited = 1 + usize::from(watched);
        while awaited > 0 {
            let message = match watched {
                true => sync.receive_all()?,
                false => sync.receive()?.map(|message| (message, None)),
            };
            match message {
                Some((FromInit::Ready, _)) => awaited -= 1,
                Some((FromInit::Failed(error), _)) => return Err(error),
                Some((FromInit::Listener, listener)) => {
                    watch::hand_over(self.process, pid, &self.state, listener)?;
                    awaited -= 1;
                }
                Some((FromInit::RunHooks, _)) | None => {
                    return Err(Error::new(Kind::Internal, "the process died without a word"));
                }
            }
        }
        if let Some(file) = pid_file {
            write_pid_file(file, pid)?;
        }
        if let Some(socket) = pidfd_socket {
            send_pidfd(socket, child)?;
        }
        sync.send(&FromParent::Go).while_doing(|| "let the process run")
    }
}
