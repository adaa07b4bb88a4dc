//! The child's half of a create: from a copy of the runtime to the container's program.
//!
//! The order is the design, so it is data: [`STEPS`] before the parent saves the record, [`LAST`] after
//! the word to start. An error names the step in which it happened and crosses to the parent as it is.

mod console;
mod device;
pub(crate) mod enter;
mod execve;
mod group;
mod join;
mod lsm;
mod mask;
mod mount;
mod rootfs;
mod settings;
mod stdio;
mod task;
mod user;

use std::os::fd::OwnedFd;

use serde::{Deserialize, Serialize};

use crate::cgroup::TaskFiles;
use crate::container::record::{Init as InitRecord, Record};
use crate::container::source::Sources;
use crate::container::start::Gate;
use crate::container::status::Status;
use crate::error::{Error, Kind, Result, WhileDoing};
use crate::hooks;
use crate::log;
use crate::plan::Plan;
use crate::plan::numa::ANY_PROCESSOR;
use crate::sync::{End, FromInit, FromParent};
use crate::sys::{clone, sched};
pub(crate) use lsm::{check as check_labels, check_container as check_all_labels};
pub(crate) use mount::{clone_source, mount_at};
pub(crate) use rootfs::{c_path, tree as root_tree};
pub(crate) use task::Settings;
use task::Task;

/// Whether the container gets a session keyring of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Keyring {
    #[default]
    New,
    Inherited,
}

/// How the root directory changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Switch {
    /// pivot_root(2)
    Pivot,
    /// The root file system is moved over "/", for an initramfs, which cannot be pivoted away from
    Move,
}

/// Everything that the steps share.
pub(crate) struct Init<'a> {
    plan: &'a Plan,
    record: Record,
    gate: Option<Gate>,
    switch: Switch,
    /// What the parent has opened of the host
    sources: Sources,
    /// Its cgroups of version 1
    tasks: TaskFiles,
    /// The new network namespace, where it was made ahead
    network: Option<OwnedFd>,
    /// Where hooks write
    output: hooks::Output,
    /// What is the same for a process that `exec` brings in
    task: Task<'a>,
    /// The root of the container's root mount
    root: Option<OwnedFd>,
    /// Whether the runtime was started in a chroot
    chrooted: bool,
}

/// A step's name, as errors tell it, and what it does.
type Step = (&'static str, fn(&mut Init<'_>) -> Result<()>);

/// What `create` does.
const STEPS: &[Step] = &[
    ("begin", begin),                                         // id maps are the parent's work
    ("join the namespaces", join::namespaces),                // before anything is changed in them
    ("become root of the user namespace", join::become_root), // needs the id maps
    ("leave the parent's session", |init| init.task.leave_session()), // before the terminal
    ("prepare the root file system", rootfs::prepare),        // nothing reaches the host from here on
    ("mount the filesystems", mount::mount_all),              // needs the host's paths
    ("make the devices", device::make_all),                   // needs the mounts on /dev
    ("turn streams that lead nowhere inside", stdio::reopen_null), // needs the null device
    ("set up the terminal", console::set_up),                 // needs devpts
    ("run the hooks outside", run_outer_hooks),               // namespaces are there, the root is not changed
    ("run the hooks inside", run_create_container_hooks),     // likewise
    ("set the sysctls", settings::sysctls),                   // needs the host's /proc, writable
    ("set the names", settings::names),
    ("set the security labels", |init| init.task.set_labels()), // needs the host's /proc
    ("enter the root file system", rootfs::enter),              // the host's paths end here
    ("enter the working directory", |init| init.task.enter_cwd()), // it is made as root, while it can be made
    ("mask the paths", mask::mask),                             // after the last write below /proc
    ("make the root file system read-only", rootfs::make_readonly), // after the last mkdir
    ("join a session keyring", |init| init.task.join_keyring()),
    ("set the limits", |init| init.task.set_limits()), // needs the host's capabilities
    ("look up the home", |init| init.task.find_home()), // while files can be opened
    ("let go of the host", let_go),                    // after the last use of what is open of it
    ("become the user", |init| init.task.become_user()), // after all that needs a capability
    ("find the program", |init| init.task.find_program()), // as the user
    ("load the seccomp filter that is watched", |init| init.task.load_watched_filter()),
    ("get ready", ready),
];

/// What happens when the word to start has come.
const LAST: &[Step] = &[
    ("run the startContainer hooks", run_start_container_hooks),
    ("restore the signals", |init| init.task.settle()),
    ("load the seccomp filter", |init| init.task.load_late_filter()),
    ("run the program", |init| init.task.execve()),
];

/// What the parent gives its child.
pub(crate) struct Birth {
    pub(crate) record: Record,
    pub(crate) sync: End,
    /// Where to wait for `start`; None: nowhere
    pub(crate) gate: Option<Gate>,
    pub(crate) switch: Switch,
    pub(crate) sources: Sources,
    pub(crate) tasks: TaskFiles,
    pub(crate) network: Option<OwnedFd>,
    pub(crate) output: hooks::Output,
    /// The root's mount, for a container without a mount namespace of its own
    pub(crate) root: Option<OwnedFd>,
    pub(crate) settings: Settings,
}

/// Runs all steps; comes back never.
pub(crate) fn run(plan: &Plan, birth: Birth) -> ! {
    let Birth { record, sync, gate, switch, sources, tasks, network, output, root, settings } = birth;
    if let Ok(task) = Task::new(&plan.process, sync, settings) {
        let mut init =
            Init { plan, record, gate, switch, sources, tasks, network, output, task, root, chrooted: false };
        if let Err(error) = run_steps(&mut init, STEPS) {
            init.task.fail(error);
        } else if let Err(error) = run_steps(&mut init, LAST) {
            init.tell_starter(error);
        }
    }
    clone::exit_now(1)
}

fn run_steps(init: &mut Init<'_>, steps: &[Step]) -> Result<()> {
    steps.iter().try_for_each(|(name, step)| {
        log::debug(|| format!("init: {name}"));
        step(init).while_doing(|| *name)
    })
}

impl Init<'_> {
    /// The container's root mount, once it is there.
    fn root(&self) -> Result<&OwnedFd> {
        self.root.as_ref().ok_or_else(|| Error::new(Kind::Internal, "the root file system is not there yet"))
    }

    /// A failure after the record was saved goes to whoever said to start.
    fn tell_starter(&self, error: Error) {
        match &self.gate {
            Some(gate) => gate.report(&error),
            None => self.task.fail(error),
        }
    }

    /// For hooks in the container's namespaces, who are told the pid that is true there (runtime.md "State").
    fn state(&self, status: Status) -> String {
        let mut state = self.record.state(status);
        state["pid"] = std::process::id().into();
        state.to_string()
    }
}

/// Goes to its cgroups, waits for the parent's first word.
fn begin(init: &mut Init<'_>) -> Result<()> {
    init.tasks.enter()?;
    match init.task.sync.wait_go()? {
        FromParent::Begin(pid) => {
            init.record.init = Some(InitRecord { pid, start_time: 0 });
            // A cpuset that has none of them is the kernel's to judge.
            sched::set_affinity(&ANY_PROCESSOR).ok();
            group::unshare(init)
        }
        FromParent::Go => Err(Error::new(Kind::Internal, "the parent spoke out of turn")),
    }
}

fn run_outer_hooks(init: &mut Init<'_>) -> Result<()> {
    let hooks = &init.plan.hooks;
    let outside = [&hooks.prestart, &hooks.create_runtime, &hooks.poststop];
    // For those inside the parent has something to do before them, too.
    if outside.into_iter().chain([&hooks.create_container]).all(Vec::is_empty) {
        return Ok(());
    }
    init.task.sync.send(&FromInit::RunHooks)?;
    init.task.sync.wait_go().map(drop)
}

fn run_create_container_hooks(init: &mut Init<'_>) -> Result<()> {
    match &init.plan.hooks.create_container[..] {
        [] => Ok(()),
        hooks => hooks::run_all("createContainer", hooks, &init.state(Status::Creating), &init.output),
    }
}

/// Closes what leads to the host, or to the container's mounts before they were masked: the image says by which path
/// its program is found, and that may begin at a descriptor (CVE-2024-21626).
fn let_go(init: &mut Init<'_>) -> Result<()> {
    init.root = None;
    init.sources.clear();
    Ok(())
}

/// Tells the parent, waits until the record is saved, then for the word to start.
fn ready(init: &mut Init<'_>) -> Result<()> {
    init.task.sync.send(&FromInit::Ready)?;
    init.task.sync.wait_go()?;
    init.gate.as_ref().map_or(Ok(()), Gate::wait)
}

fn run_start_container_hooks(init: &mut Init<'_>) -> Result<()> {
    match &init.plan.hooks.start_container[..] {
        [] => Ok(()),
        hooks => hooks::run_all("startContainer", hooks, &init.state(Status::Created), &init.output),
    }
}
