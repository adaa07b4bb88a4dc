//! The container's cgroups: found, made, filled, killed, removed.
//!
//! One `Cgroup` stands for the container's directory in every hierarchy that the host mounts: the one
//! of version 2, or each of version 1 (and, on a hybrid host, the version 2 tree beside them, which has
//! no controllers but `cgroup.kill`).

mod dbus;
mod detect;
mod device;
mod device_rules;
mod freeze;
mod oom;
mod scope;
mod stats;
mod systemd;
mod tasks;
mod tree;
mod update;

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

pub(crate) use detect::mode;
pub(crate) use device_rules::DeviceRules;
pub(crate) use freeze::Freeze;
pub(crate) use oom::{Oom, OomWatch};
pub(crate) use scope::choose;
pub(crate) use systemd::{Placeholder, owner};
pub(crate) use tasks::TaskFiles;

use detect::hierarchies;

use crate::error::{Error, Kind, Result, WhileDoing};
use crate::plan::{CgroupMode, cgroup as plan};
use crate::rootless;
use crate::sys::{proc, signal};

/// The container's directory in one hierarchy, as the record keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Dir {
    /// The controllers, as /proc/self/cgroup names them; empty for version 2
    pub(crate) controllers: String,
    /// Where the hierarchy is mounted
    pub(crate) mount: PathBuf,
    pub(crate) path: PathBuf,
    /// How many directories were made, from `path` upwards
    pub(crate) made: usize,
}

/// The container's directory in all hierarchies.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cgroup {
    dirs: Vec<Dir>,
    /// The unit, where systemd makes it
    scope: Option<systemd::Scope>,
}

/// The directories that this process is in: what a container has to show that has none of its own.
pub(crate) fn own(mode: CgroupMode) -> Result<Vec<Dir>> {
    let dirs = hierarchies(mode)?.into_iter().map(|hierarchy| {
        let path = hierarchy.mount.join(&hierarchy.own);
        Dir { controllers: hierarchy.controllers, mount: hierarchy.mount, path, made: 0 }
    });
    Ok(dirs.collect())
}

impl Cgroup {
    /// Where the directories will be; nothing is made yet.
    pub(crate) fn locate(plan: &plan::Cgroup, id: &str) -> Result<Self> {
        let hierarchies = hierarchies(plan.mode)?;
        if let Some(unit) = &plan.unit {
            return Self::locate_scope(unit, hierarchies, id);
        }
        let dirs = hierarchies.into_iter().map(|hierarchy| {
            let path = hierarchy.locate(&plan.path, id);
            Dir { controllers: hierarchy.controllers, mount: hierarchy.mount, path, made: 0 }
        });
        Ok(Self { dirs: dirs.collect(), scope: None })
    }

    /// Makes the directories and writes all limits but the device rules; leaves nothing behind when it fails. A scope
    /// of systemd's has a process in it then, which must stay until there is another one.
    pub(crate) fn make(&mut self, plan: &plan::Cgroup, id: &str) -> Result<Option<Placeholder>> {
        let result = match &plan.unit {
            Some(unit) => self.make_scope(plan, unit, id).map(Some),
            None => self.make_dirs().and_then(|()| self.limit(&plan.writes)).map(|()| None),
        };
        result.inspect_err(|_| {
            // Only what was made here; the error to report is the first one.
            if let Some(scope) = &self.scope {
                scope.stop().ok();
            }
            self.dirs.iter().filter(|dir| dir.made > 0).try_for_each(tree::remove).ok();
        })
    }

    /// Lets a user of the host rule below the container's directory (Linux documentation, cgroup-v2.rst,
    /// "Delegation"), or below one that is made for that.
    pub(crate) fn delegate(&self, plan: &plan::Cgroup, owner: Option<u32>) -> Result<()> {
        let Some(dir) = self.unified_dir().filter(|_| self.dirs.len() == 1) else { return Ok(()) };
        let path = dir.path.join(plan.delegated.as_deref().unwrap_or_default());
        if plan.delegated.is_some() {
            std::fs::create_dir_all(&path).while_doing(|| format!("make cgroup {}", path.display()))?;
        }
        let Some(uid) = owner else { return Ok(()) };
        let owner = rustix::process::Uid::from_raw(uid);
        let give = |path: &Path| match rustix::fs::chown(path, Some(owner), None) {
            Err(Errno::NOENT) => Ok(()),
            result => result.while_doing(|| format!("give {} to user {uid}", path.display())),
        };
        give(&path)?;
        // What may be given is the kernel's list since 4.15.
        let usual = "cgroup.procs\ncgroup.threads\ncgroup.subtree_control";
        let files =
            std::fs::read_to_string("/sys/kernel/cgroup/delegate").unwrap_or_else(|_| usual.to_owned());
        files.lines().try_for_each(|file| give(&path.join(file)))
    }

    /// Moves this process to a directory below, which gets all controllers then.
    pub(crate) fn enter_below(&self, name: &str) -> Result<()> {
        let Some(dir) = self.unified_dir() else { return Ok(()) };
        let path = dir.path.join(name);
        write_file(&path, "cgroup.procs", "0").while_doing(|| format!("enter cgroup {}", path.display()))?;
        tree::hand_down_to(&dir.path, &path);
        Ok(())
    }

    /// An ordinary user goes without the hierarchies that they may not write to, as under runc; a limit that
    /// needs one is an error then.
    fn make_dirs(&mut self) -> Result<()> {
        let mut made = Vec::with_capacity(self.dirs.len());
        let mut result = Ok(());
        for mut dir in std::mem::take(&mut self.dirs) {
            result = result.and_then(|()| match tree::make(&mut dir) {
                Err(error) if refused(&error) && rootless::forgives() => Ok(()),
                made_or_not => {
                    made.push(dir);
                    made_or_not
                }
            });
        }
        self.dirs = made;
        result
    }

    fn limit(&self, writes: &[plan::Write]) -> Result<()> {
        self.resolve(writes).iter().try_for_each(|write| self.write(write))
    }

    /// The directory that has a controller.
    fn dir_of(&self, controller: &str) -> Option<&Dir> {
        self.dirs
            .iter()
            .find(|dir| dir.controllers.split(',').any(|name| name == controller))
            .or_else(|| self.dirs.iter().find(|dir| dir.controllers.is_empty() && self.dirs.len() == 1))
    }

    /// The lines for the files that this kernel has, where there is a choice.
    fn resolve(&self, writes: &[plan::Write]) -> Vec<plan::Write> {
        let lacks = |write: &plan::Write| {
            let dir = self.dir_of(write.controller);
            dir.is_some_and(|dir| rustix::fs::stat(dir.path.join(&write.file)).is_err())
        };
        let choose = |write: &plan::Write| match &write.otherwise {
            plan::Otherwise::Fail => Some(write.clone()),
            _ if !lacks(write) => Some(write.clone()),
            plan::Otherwise::Skip => None,
            plan::Otherwise::Write(file, value) => {
                Some(plan::Write::new(write.controller, file.clone(), value.clone()))
            }
        };
        writes.iter().filter_map(choose).collect()
    }

    fn write(&self, write: &plan::Write) -> Result<()> {
        let plan::Write { controller, file, value, .. } = write;
        let Some(dir) = self.dir_of(controller) else {
            return Err(Error::unsupported(format!(
                "set {file} to {value}: this host has no cgroup controller {controller:?}"
            )));
        };
        match write_file(&dir.path, file, value) {
            // No limit is what there is without the controller.
            Err(Errno::NOENT) if value == "max" => Ok(()),
            Err(Errno::NOENT) => Err(Error::unsupported(format!(
                "set {file} to {value}: cgroup {} has no such file, since controller {controller:?} or a \
                 feature of it is not available there",
                dir.path.display()
            ))),
            result => result.while_doing(|| format!("write {value:?} to {}", dir.path.join(file).display())),
        }
    }

    /// The directory in the tree of version 2, if the host mounts one.
    fn unified_dir(&self) -> Option<&Dir> {
        self.dirs.iter().find(|dir| dir.controllers.is_empty())
    }

    /// An open directory for `CLONE_INTO_CGROUP`.
    pub(crate) fn open_unified(&self) -> Result<Option<OwnedFd>> {
        self.unified_dir().map(|dir| open_dir(&dir.path)).transpose()
    }

    /// The directory that a process is in, which may be below the container's.
    pub(crate) fn open_unified_of(&self, pid: i32) -> Result<Option<OwnedFd>> {
        let Some(dir) = self.unified_dir() else { return Ok(None) };
        let file = format!("/proc/{pid}/cgroup");
        let text = std::fs::read_to_string(&file).while_doing(|| format!("read {file}"))?;
        let own = text.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
        open_dir(&dir.mount.join(own)).map(Some)
    }

    /// Directories below the container's: each a controller (empty for all) and a path, which must exist.
    pub(crate) fn below(&self, given: &[(String, String)]) -> Result<Self> {
        let mut cgroup = self.clone();
        for (controller, path) in given {
            let mut found = false;
            let has = |dir: &Dir| {
                controller.is_empty() || dir.controllers.split(',').any(|name| name == controller)
            };
            for dir in cgroup.dirs.iter_mut().filter(|dir| has(dir)) {
                // Neither `..` nor an absolute path leads out of the container's own.
                let below = Path::new(path).components();
                let clean: PathBuf =
                    below.filter(|part| matches!(part, std::path::Component::Normal(_))).collect();
                dir.path = dir.path.join(clean);
                found = true;
                if !dir.path.is_dir() {
                    let missing = dir.path.display();
                    return Err(Error::new(Kind::NotFound, format!("cgroup {missing} does not exist")));
                }
            }
            if !found {
                return Err(Error::invalid(format!("the container has no cgroup controller {controller:?}")));
            }
        }
        Ok(cgroup)
    }

    /// All processes in the container's cgroup and below it.
    pub(crate) fn processes(&self) -> Result<Vec<i32>> {
        match self.dir_of("pids").or_else(|| self.dirs.first()) {
            Some(dir) => tree::processes(&dir.path),
            None => Err(Error::unsupported("this host has no cgroups to find processes in")),
        }
    }

    /// Moves a process that is no copy of this program into the directories of version 1 (it was born in that of
    /// version 2, if it may be); others move themselves, see [`Cgroup::open_task_files`].
    pub(crate) fn add(&self, pid: i32) -> Result<()> {
        for dir in self.dirs.iter().filter(|dir| !dir.controllers.is_empty()) {
            write_file(&dir.path, "cgroup.procs", &pid.to_string())
                .while_doing(|| format!("move process {pid} to cgroup {}", dir.path.display()))?;
        }
        self.attach_to_scope(pid)
    }

    /// Moves a process to where systemd's placeholder waits for it.
    pub(crate) fn add_to_scope(&self, pid: i32) -> Result<()> {
        if self.scope.is_some() { self.add(pid) } else { Ok(()) }
    }

    /// Kills every process in the cgroup and below it.
    pub(crate) fn kill_all(&self) -> Result<()> {
        self.send_kill()?;
        self.let_die();
        Ok(())
    }

    fn send_kill(&self) -> Result<()> {
        if let Some(dir) = self.unified_dir() {
            match write_file(&dir.path, "cgroup.kill", "1") {
                Ok(()) => return Ok(()),
                Err(Errno::NOENT) => {} // no such cgroup any more, or Linux before 5.14
                Err(errno) => {
                    return Err(errno).while_doing(|| format!("kill cgroup {}", dir.path.display()));
                }
            }
        }
        self.signal_each(libc::SIGKILL)
    }

    /// Sends a signal to every process in the cgroup and below it, until no new ones appear.
    pub(crate) fn signal_each(&self, number: i32) -> Result<()> {
        let Some(dir) = self.dirs.iter().find(|dir| dir.controllers == "pids").or_else(|| self.dirs.first())
        else {
            return Ok(());
        };
        let mut seen = std::collections::BTreeSet::new();
        loop {
            let fresh: Vec<i32> =
                tree::processes(&dir.path)?.into_iter().filter(|pid| seen.insert(*pid)).collect();
            if fresh.is_empty() {
                return Ok(());
            }
            for pid in fresh {
                match signal::open_pid(pid).and_then(|fd| signal::send(fd.as_fd(), number)) {
                    Ok(()) | Err(Errno::SRCH) => {}
                    Err(errno) => return Err(errno).while_doing(|| format!("signal process {pid}")),
                }
            }
        }
    }

    /// Removes the directories with all below them; waits a while for dying processes to leave.
    pub(crate) fn remove(&self) -> Result<()> {
        self.stop_scope();
        self.dirs.iter().rev().try_for_each(tree::remove)
    }

    /// Removes the container's directory where it is the only one and has nothing in it, as after the end of a pid
    /// namespace; true if it is gone.
    pub(crate) fn remove_if_empty(&self) -> bool {
        match (&self.scope, &self.dirs[..]) {
            (None, [dir]) => tree::remove_if_empty(dir),
            _ => false,
        }
    }

    /// The directories with their controllers, for the container's own /sys/fs/cgroup.
    pub(crate) fn dirs(&self) -> &[Dir] {
        &self.dirs
    }
}

fn open_dir(path: &Path) -> Result<OwnedFd> {
    crate::sys::path::open(path, OFlags::PATH | OFlags::DIRECTORY)
}

/// Writes one line in one call.
fn write_file(dir: &Path, file: &str, value: &str) -> std::result::Result<(), Errno> {
    let fd = rustix::fs::open(dir.join(file), OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(fd, value.as_bytes()).map(drop)
}

/// Reads a file of a directory that is no list of processes.
fn read_at(dir: &Path, file: &str) -> std::result::Result<String, Errno> {
    open_at(dir, file).and_then(proc::read_whole)
}

/// Opens a file of a directory for reading.
fn open_at(dir: &Path, file: &str) -> std::result::Result<OwnedFd, Errno> {
    rustix::fs::open(dir.join(file), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}

/// True if the kernel said that this user may not.
fn refused(error: &Error) -> bool {
    [Errno::ACCESS, Errno::PERM, Errno::ROFS].into_iter().any(|errno| error.is_errno(errno))
}

/// An error for a cgroup that somebody else uses.
fn in_use(path: &Path) -> Error {
    Error::new(Kind::Exists, format!("cgroup {} has processes in it", path.display()))
        .with_hint("another container, or something else, uses this linux.cgroupsPath")
}
