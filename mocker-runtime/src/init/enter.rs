//! The child's half of an exec: into a container that is there already.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::OFlags;

use super::rootfs;
use super::task::{Settings, Task};
use crate::cgroup::TaskFiles;
use crate::error::{Error, Kind, Result, WhileDoing};
use crate::log;
use crate::plan::numa::{ANY_PROCESSOR, Affinity};
use crate::plan::process::Process;
use crate::sync::{End, FromInit, FromParent};
use crate::sys::{clone, ids, ns, path, sched, tty};

/// Where the process goes.
#[derive(Debug)]
pub(crate) struct Target {
    /// The container's init
    pub(crate) init: OwnedFd,
    /// `CLONE_NEW*` of the namespaces that are still to be joined
    pub(crate) namespaces: u64,
    /// Whether the container has a user namespace, whose root the process has to become
    pub(crate) user: bool,
    /// The container's root, where it shares the runtime's mount namespace
    pub(crate) root: Option<OwnedFd>,
    /// Its cgroups of version 1
    pub(crate) tasks: TaskFiles,
}

/// Everything that the steps share.
struct Enter<'a> {
    task: Task<'a>,
    target: Target,
}

/// A step's name, as errors tell it, and what it does.
type Step = (&'static str, fn(&mut Enter<'_>) -> Result<()>);

const STEPS: &[Step] = &[
    ("begin", begin), // with the cgroups of version 1
    ("leave the parent's session", |enter| enter.task.leave_session()),
    ("set the security labels", |enter| enter.task.set_labels()), // needs the host's /proc
    ("join the namespaces", join),
    ("set up the terminal", set_up_terminal), // of the container's devpts
    ("join a session keyring", |enter| enter.task.join_keyring()),
    ("set the limits", |enter| enter.task.set_limits()), // needs the host's capabilities
    ("enter the working directory", |enter| enter.task.enter_cwd()),
    ("look up the home", |enter| enter.task.find_home()), // while files can be opened
    ("become the user", |enter| enter.task.become_user()), // after all that needs a capability
    ("find the program", |enter| enter.task.find_program()), // as the user
    ("load the seccomp filter that is watched", |enter| enter.task.load_watched_filter()),
    ("get ready", ready),
    ("restore the signals", |enter| enter.task.settle()),
    ("load the seccomp filter", |enter| enter.task.load_late_filter()),
    ("run the program", |enter| enter.task.execve()),
];

/// Runs all steps; comes back never.
pub(crate) fn run(process: &Process, target: Target, sync: End, settings: Settings) -> ! {
    if let Ok(task) = Task::new(process, sync, settings) {
        let mut enter = Enter { task, target };
        let result = STEPS.iter().try_for_each(|(name, step)| {
            log::debug(|| format!("exec: {name}"));
            step(&mut enter).while_doing(|| *name)
        });
        if let Err(error) = result {
            enter.task.fail(error);
        }
    }
    clone::exit_now(255)
}

/// Affinity comes after the cgroups, which decide on what the process's processors may be.
fn begin(enter: &mut Enter<'_>) -> Result<()> {
    enter.target.tasks.enter()?;
    match enter.task.sync.wait_go()? {
        FromParent::Begin(_) => match &enter.task.process.affinity {
            Affinity { last: Some(processors), .. } => sched::set_affinity(processors),
            Affinity { initial: Some(_), .. } => Ok(()),
            Affinity { .. } => {
                // A cpuset that has none of them is the kernel's to judge.
                sched::set_affinity(&ANY_PROCESSOR).ok();
                Ok(())
            }
        },
        FromParent::Go => Err(Error::new(Kind::Internal, "the parent spoke out of turn")),
    }
}

fn join(enter: &mut Enter<'_>) -> Result<()> {
    let Target { init, namespaces, user, root, .. } = &enter.target;
    if *namespaces != 0 {
        ns::join_all(init.as_fd(), *namespaces)?;
    }
    if let Some(root) = root {
        rootfs::change_root(root)?;
    }
    if *user { ids::set_ids(0, 0) } else { Ok(()) }
}

fn set_up_terminal(enter: &mut Enter<'_>) -> Result<()> {
    let root = path::open(Path::new("/"), OFlags::PATH | OFlags::DIRECTORY)?;
    match enter.task.open_terminal(root)? {
        Some(slave) => tty::become_console(&slave),
        None => Ok(()),
    }
}

/// Tells the parent, which writes the pid file before the program can end.
fn ready(enter: &mut Enter<'_>) -> Result<()> {
    enter.task.sync.send(&FromInit::Ready)?;
    enter.task.sync.wait_go().map(drop)
}
