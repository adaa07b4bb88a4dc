//! Namespaces that a child can only be born into: the parent enters them, clones, and goes back.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::OFlags;

use crate::error::{Result, WhileDoing};
use crate::plan::namespaces::Namespaces;
use crate::sys::{ns, path, proc};

/// Namespaces that a child can only be born into if its parent asks for them first: pid and time.
pub(super) struct Switched(Vec<(u64, OwnedFd)>);

impl Switched {
    /// For a new container.
    pub(super) fn enter(wanted: &Namespaces) -> Result<Self> {
        let mut own = Self(Vec::new());
        if let Some(target) = wanted.path(libc::CLONE_NEWPID) {
            own.keep("pid", libc::CLONE_NEWPID)?;
            join(target, libc::CLONE_NEWPID)?;
        }
        if wanted.makes(libc::CLONE_NEWTIME) {
            own.keep("time", libc::CLONE_NEWTIME)?;
            ns::unshare(libc::CLONE_NEWTIME as u64)?;
            if !wanted.time_offsets.is_empty() {
                proc::Proc::open()?.write_self("timens_offsets", &wanted.time_offsets)?;
            }
        }
        Ok(own)
    }

    /// For one more process of a container.
    pub(super) fn follow(init: &OwnedFd, namespaces: &Namespaces) -> Result<Self> {
        let mut own = Self(Vec::new());
        if namespaces.has(libc::CLONE_NEWPID) {
            own.keep("pid", libc::CLONE_NEWPID)?;
            ns::join_all(init.as_fd(), libc::CLONE_NEWPID as u64)?;
        }
        Ok(own)
    }

    fn keep(&mut self, file: &str, flag: i32) -> Result<()> {
        let fd = path::open(&Path::new("/proc/self/ns").join(file), OFlags::RDONLY)?;
        self.0.push((flag as u64, fd));
        Ok(())
    }

    /// Back to where this process was, for the hooks that it starts.
    pub(super) fn leave(self) -> Result<()> {
        self.0.into_iter().try_for_each(|(flag, fd)| ns::join(fd.as_fd(), flag))
    }
}

/// Enters a namespace by path.
pub(crate) fn join(target: &Path, flag: i32) -> Result<()> {
    let fd = path::open(target, OFlags::RDONLY)?;
    ns::join(fd.as_fd(), flag as u64).while_doing(|| format!("join the namespace {}", target.display()))
}
