//! How a new process gets into its cgroups of version 1: by itself.
//!
//! To move another process the kernel stops all forks and exits of the machine, and before that waits for RCU, which
//! takes milliseconds for each hierarchy. It need not when a thread moves itself through `tasks` (`cgroup_procs_write_start`
//! of kernel/cgroup/cgroup.c, since Linux 5.5), and a process that was just cloned has one thread only.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::fs::OFlags;

use super::Cgroup;
use crate::error::{Result, WhileDoing};
use crate::sys::path;

/// The file `tasks` of each directory of version 1, open for writing. Who opened it is who the kernel asks whether
/// they may, so a process in a user namespace of its own can use it as well.
#[derive(Debug, Default)]
pub(crate) struct TaskFiles(Vec<(PathBuf, OwnedFd)>);

impl Cgroup {
    /// For a process that is about to be made. None are needed where systemd's placeholder waits for it in its scope:
    /// [`Cgroup::add_to_scope`] moves it then.
    pub(crate) fn open_task_files(&self) -> Result<TaskFiles> {
        if self.scope.is_some() {
            return Ok(TaskFiles::default());
        }
        let (mut files, mut freezer) = (Vec::new(), None);
        for dir in self.dirs.iter().filter(|dir| !dir.controllers.is_empty()) {
            let file = (dir.path.clone(), path::open(&dir.path.join("tasks"), OFlags::WRONLY)?);
            // In one that is frozen the process stops, and must be in all others by then.
            match dir.controllers.split(',').any(|name| name == "freezer") {
                true => freezer = Some(file),
                false => files.push(file),
            }
        }
        files.extend(freezer);
        Ok(TaskFiles(files))
    }
}

impl TaskFiles {
    /// Moves the calling process, which must have one thread only.
    pub(crate) fn enter(&mut self) -> Result<()> {
        self.0.drain(..).try_for_each(|(dir, file)| {
            rustix::io::write(file, b"0")
                .map(drop)
                .while_doing(|| format!("move process {} to cgroup {}", std::process::id(), dir.display()))
        })
    }
}
