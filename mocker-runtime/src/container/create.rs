//! The parent's half of a create: directory, cgroups, clone, hooks, record.
//!
//! Each step that leaves something on the machine puts what takes it back on the undo list.

use std::cell::Cell;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::SystemTime;

use super::ahead::Ahead;
use super::id::ContainerId;
use super::notify::{Listener, Notify};
use super::rdt::Group;
use super::record::{Init as InitRecord, Record};
use super::start::Gate;
use super::status::Status;
use super::switched::Switched;
use super::undo::Undo;
use super::{Container, Home, Root, adopt, network, source};
use crate::bundle::Bundle;
use crate::bundle::config::Hooks;
use crate::cgroup::{Cgroup, Placeholder};
use crate::checkpoint::stdio;
use crate::error::{Error, Kind, Result, WhileDoing};
use crate::hooks::{self, Output};
use crate::init::{self, Birth, Settings};
use crate::plan::Plan;
use crate::plan::process::Process;
use crate::sync::{self, End, FromInit, FromParent};
use crate::sys::clone::{Child, Side};
use crate::sys::{clone, fd, mount, proc, signal};
use crate::{log, time};

/// What the container's program waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// The command `start`
    Start,
    /// Nothing: it runs at once
    Ready,
}

/// What the command line adds to the config.
#[derive(Debug)]
pub(crate) struct Options {
    /// Gets the master of the container's terminal
    pub(crate) console: Option<OwnedFd>,
    pub(crate) pid_file: Option<PathBuf>,
    /// Gets a handle on init
    pub(crate) pidfd_socket: Option<OwnedFd>,
    /// How many descriptors from 3 on the container keeps
    pub(crate) preserve_fds: u32,
    pub(crate) keyring: init::Keyring,
    pub(crate) switch: init::Switch,
    pub(crate) notify: Notify,
    pub(crate) until: Until,
    pub(crate) ahead: Ahead,
}

/// Who is told of init besides the record.
#[derive(Debug)]
pub(crate) struct Outlets {
    pub(crate) pid_file: Option<PathBuf>,
    pub(crate) pidfd_socket: Option<OwnedFd>,
}

impl Options {
    fn outlets(&mut self) -> Outlets {
        Outlets { pid_file: self.pid_file.take(), pidfd_socket: self.pidfd_socket.take() }
    }
}

impl Outlets {
    pub(super) fn tell(self, child: &Child) -> Result<()> {
        if let Some(file) = &self.pid_file {
            write_pid_file(file, child.pid.as_raw_nonzero().get())?;
        }
        self.pidfd_socket.map_or(Ok(()), |socket| send_pidfd(&socket, child))
    }
}

/// A container whose init is this process's child.
#[derive(Debug)]
pub(crate) struct Created {
    pub(crate) container: Container,
    pub(crate) child: Child,
    /// Where its program says that it is ready, of one that waits for no `start`
    pub(crate) listener: Option<Listener>,
    /// None: it runs already
    sync: Option<End>,
}

/// What init takes over by being a copy of this process.
struct Inherited {
    options: Options,
    gate: Option<Gate>,
    /// The root's mount, for a container without a mount namespace of its own
    root: Option<OwnedFd>,
}

/// Everything that the steps share.
pub(super) struct Creation<'a> {
    pub(super) root: &'a Root,
    pub(super) id: &'a ContainerId,
    pub(super) bundle: &'a Bundle,
    pub(super) plan: &'a Plan,
}

impl Root {
    /// Makes a container; on failure nothing of it stays.
    pub(crate) fn create(
        &self,
        id: &ContainerId,
        bundle: &Bundle,
        plan: &Plan,
        options: Options,
    ) -> Result<Created> {
        let creation = Creation { root: self, id, bundle, plan };
        creation.run(options).while_doing(|| format!("create container {id}"))
    }
}

impl Creation<'_> {
    fn run(&self, mut options: Options) -> Result<Created> {
        init::check_all_labels(self.plan)?;
        let root = source::open_root(self.plan)?;
        let mut record = self.record(Cgroup::locate(&self.plan.cgroup, self.id.as_str())?);
        record.keyring = options.keyring;
        record.root_mount = root.as_ref().map(|root| mount::number(root.as_fd())).transpose()?;
        record.rdt = self.plan.rdt.as_ref().map(|rdt| Group::locate(rdt, self.id.as_str())).transpose()?;
        let hooked = Rc::new(Cell::new(false));
        let mut undo = Undo::default();
        let (home, placeholder) = self.begin(&mut record, root.as_ref(), &hooked, &mut undo)?;
        if options.notify == Notify::Yes {
            super::notify::make_directory(&home)?;
        }
        record.cgroup.delegate(&self.plan.cgroup, self.plan.cgroup_owner())?;

        let (until, outlets) = (options.until, options.outlets());
        let gate = (until == Until::Start).then(|| Gate::make(&home)).transpose()?;
        let container = Container { id: self.id.clone(), home, record: Some(record) };
        let (mut container, child, sync) =
            self.spawn(container, Inherited { options, gate, root }, &mut undo)?;
        let handle = Rc::clone(&child.pidfd);
        undo.push(move || {
            // It may be dead already; then there is only its status to take.
            signal::send(handle.as_fd(), libc::SIGKILL).ok();
            signal::reap(handle.as_fd()).map(drop)
        });

        let pid = child.pid.as_raw_nonzero().get();
        let Container { home, record: Some(record), .. } = &mut container else {
            return Err(Error::new(Kind::Internal, "the record is gone"));
        };
        let stat = proc::stat(pid)?.ok_or_else(|| Error::new(Kind::Internal, "init is gone"))?;
        record.init = Some(InitRecord { pid, start_time: stat.start_time });
        log::debug(|| format!("container {}: init is process {pid}", self.id));
        self.prepare(pid, record)?;
        placeholder.map_or(Ok(()), |placeholder| record.cgroup.relieve(placeholder))?;
        let moved = network::move_in(&self.plan.net_devices, &self.plan.namespaces, pid)?;
        undo.push(move || moved.take_back());
        sync.send(&FromParent::Begin(pid))?;
        // Init has much to do now, and so has this process, on another processor.
        self.bundle.copy_to(&home.path)?;
        let devices = record.cgroup.load_devices(&self.plan.cgroup)?;
        self.converse(&sync, record, devices, &hooked)?;
        record.save(home)?;
        outlets.tell(&child)?;
        let listener = (until == Until::Ready).then(|| Listener::open(&container)).transpose()?.flatten();
        sync.send(&FromParent::Go)?;
        undo.keep();
        Ok(Created { container, child, listener, sync: Some(sync) })
    }

    /// The record before init is there.
    pub(super) fn record(&self, cgroup: Cgroup) -> Record {
        Record {
            version: Record::VERSION,
            oci_version: self.plan.oci_version.clone(),
            id: self.id.to_string(),
            init: None,
            root_mount: None,
            rdt: None,
            bundle: self.bundle.dir().to_owned(),
            rootfs: self.plan.rootfs.path.clone(),
            created: time::rfc3339(SystemTime::now()),
            annotations: self.plan.annotations.clone(),
            cgroup,
            hooks: Hooks {
                poststart: self.plan.hooks.poststart.clone(),
                poststop: self.plan.hooks.poststop.clone(),
                ..Hooks::default()
            },
            stdio: match self.plan.process.terminal {
                Some(_) => stdio::of_terminal(),
                None => stdio::own(),
            },
            restored: false,
            keyring: init::Keyring::New,
        }
    }

    /// What a container has before its first process: a directory, a record, cgroups, and what lies elsewhere.
    pub(super) fn begin(
        &self,
        record: &mut Record,
        root: Option<&OwnedFd>,
        hooked: &Rc<Cell<bool>>,
        undo: &mut Undo<'_>,
    ) -> Result<(Home, Option<Placeholder>)> {
        // Once a hook has run, a failure ends the life cycle properly: with the poststop hooks, last of all.
        let (ran, poststop) = (Rc::clone(hooked), record.hooks.poststop.clone());
        let stopped = record.state(Status::Stopped).to_string();
        let annotations = self.plan.annotations.clone();
        undo.push(move || match ran.get() {
            true => hooks::run_all("poststop", &poststop, &stopped, &Output::open(&annotations)?),
            false => Ok(()),
        });
        let home = self.root.make(self.id)?;
        let dir = home.path.clone();
        undo.push(move || std::fs::remove_dir_all(&dir).while_doing(|| format!("remove {}", dir.display())));
        record.save_first(&home)?;
        let placeholder = record.cgroup.make(&self.plan.cgroup, self.id.as_str())?;
        let made = record.cgroup.clone();
        undo.push(move || made.kill_all().and_then(|()| made.remove()));
        if placeholder.is_some() {
            // If this process is killed now, what it has asked systemd for can be found.
            record.save(&home)?;
        }
        self.make_places(record, root, undo)?;
        Ok((home, placeholder))
    }

    /// What is outside of the container's directory and its cgroups.
    fn make_places(&self, record: &Record, root: Option<&OwnedFd>, undo: &mut Undo<'_>) -> Result<()> {
        if let (Some(tree), Some(number)) = (root, record.root_mount) {
            source::attach_root(self.plan, tree)?;
            let path = record.rootfs.clone();
            undo.push(move || source::detach_root(&path, number));
        }
        if let (Some(group), Some(rdt)) = (&record.rdt, &self.plan.rdt) {
            let made = group.clone();
            undo.push(move || made.remove());
            group.make(rdt)?;
        }
        Ok(())
    }

    /// Clones; the child becomes init and never returns.
    fn spawn(
        &self,
        container: Container,
        mut inherited: Inherited,
        undo: &mut Undo<'_>,
    ) -> Result<(Container, Child, End)> {
        let (sources, output) = (source::open(self.plan)?, Output::open(&self.plan.annotations)?);
        let (ours, theirs) = sync::pair()?;
        let in_cgroup = &container.record()?.cgroup;
        let (cgroup, tasks) = (in_cgroup.open_unified()?, in_cgroup.open_task_files()?);
        let namespaces = &self.plan.namespaces;
        let network = std::mem::take(&mut inherited.options.ahead).finish();
        // The cgroup namespace is parted from later, once init is in its cgroups: its root is where it was made.
        let there = if network.is_some() { libc::CLONE_NEWNET } else { 0 };
        let later = (libc::CLONE_NEWCGROUP | libc::CLONE_NEWTIME | there) as u64;
        let (new, within) = (namespaces.new & !later, cgroup.as_ref().map(AsFd::as_fd));
        let adopted = namespaces.path(libc::CLONE_NEWUSER).is_some() || !Switched::may_return(namespaces)?;
        let switched = if adopted { Switched::default() } else { Switched::enter(namespaces)? };
        let side = match adopted {
            true => adopt::clone_within(namespaces, new, within)?,
            false => match clone::clone3(new, within) {
                Err(error) if in_cgroup.can_be_joined_later(&error) => clone::clone3(new, None)?,
                side => side?,
            },
        };
        match side {
            Side::Parent(child) => {
                switched.leave()?;
                Ok((container, child, ours))
            }
            Side::Child => {
                // The lock must end with the parent, and what the parent would undo is not ours to undo.
                undo.forget();
                let Container { home, record, .. } = container;
                drop((home, ours, cgroup));
                let Some(record) = record else { clone::exit_now(1) }; // there always is one
                let settings = self.settings(&mut inherited.options);
                let Inherited { options: Options { switch, .. }, gate, root } = inherited;
                let birth = Birth {
                    record,
                    sync: theirs,
                    gate,
                    switch,
                    sources,
                    tasks,
                    network,
                    output,
                    root,
                    settings,
                };
                init::run(self.plan, birth)
            }
        }
    }

    fn settings(&self, options: &mut Options) -> Settings {
        let keyring = (options.keyring == init::Keyring::New).then(|| self.id.to_string());
        Settings { console: options.console.take(), preserve_fds: options.preserve_fds, keyring }
    }
}

impl Created {
    /// Waits until the program runs, and has said that it is ready where a service manager wants to know.
    pub(crate) fn wait_ready(&self) -> Result<()> {
        self.wait_running()?;
        self.listener.as_ref().map_or(Ok(()), |listener| self.container.wait_ready(listener))
    }

    /// One that came back running. Its poststart hooks ran when it was started.
    pub(super) fn restored(container: Container, child: Child) -> Self {
        Self { container, child, listener: None, sync: None }
    }

    /// Waits until the program of a container that waits for nothing runs.
    pub(crate) fn wait_running(&self) -> Result<()> {
        let Some(sync) = &self.sync else { return Ok(()) };
        match sync.receive()? {
            None => self.container.after_start(),
            Some(FromInit::Failed(error)) => Err(error),
            Some(_) => Err(Error::new(Kind::Internal, "init spoke out of turn")),
        }
    }
}

/// The parent sets it for its child, since only the host's root may lower it; the runtime's own stays.
pub(super) fn set_oom_score(pid: i32, process: &Process) -> Result<()> {
    match process.oom_score_adj {
        Some(score) => proc::Proc::open()?.write(&format!("{pid}/oom_score_adj"), &score.to_string()),
        None => Ok(()),
    }
}

/// A message cannot be empty; runc puts a name there, too.
pub(super) fn send_pidfd(socket: &OwnedFd, child: &Child) -> Result<()> {
    fd::send_fd(socket.as_fd(), b"pidfd", child.pidfd.as_fd())
        .while_doing(|| "hand over the process's handle")
}

/// Written whole, by rename: managers read it as soon as it is there.
pub(super) fn write_pid_file(file: &Path, pid: i32) -> Result<()> {
    let (Some(dir), Some(name)) = (file.parent(), file.file_name()) else {
        return Err(Error::invalid(format!("the pid file {} has no name", file.display())));
    };
    let fresh = dir.join(format!(".{}", name.to_string_lossy()));
    std::fs::write(&fresh, pid.to_string())
        .and_then(|()| std::fs::rename(&fresh, file))
        .while_doing(|| format!("write the pid file {}", file.display()))
}

/// A pair of sockets through which init sends the terminal to this process itself.
pub(crate) fn own_console() -> Result<(OwnedFd, OwnedFd)> {
    fd::socketpair()
}
