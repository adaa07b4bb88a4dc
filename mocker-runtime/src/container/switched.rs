//! Namespaces that a child can only be born into: the parent enters them, clones, and goes back, or ends soon.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::error::{Result, WhileDoing};
use crate::plan::namespaces::Namespaces;
use crate::sys::{ns, path, proc};

/// Namespaces that a child can only be born into if its parent asks for them first: pid and time.
#[derive(Default)]
pub(super) struct Switched {
    /// This process's own, to go back to
    own: Vec<(u64, OwnedFd)>,
}

/// Those of a container that one more process of it is born into, as `CLONE_NEW*`: this process has entered them, and
/// there is no way back for it.
pub(super) fn follow(init: &OwnedFd, namespaces: &Namespaces) -> Result<u64> {
    let mut entered = 0;
    if !rustix::process::geteuid().is_root() && namespaces.has(libc::CLONE_NEWUSER) {
        // The rights to enter the others come with this one.
        ns::join_all(init.as_fd(), libc::CLONE_NEWUSER as u64)?;
        entered |= libc::CLONE_NEWUSER as u64;
    }
    if namespaces.has(libc::CLONE_NEWPID) {
        ns::join_all(init.as_fd(), libc::CLONE_NEWPID as u64)?;
        entered |= libc::CLONE_NEWPID as u64;
    }
    Ok(entered)
}

impl Switched {
    /// For a new container.
    pub(super) fn enter(wanted: &Namespaces) -> Result<Self> {
        let mut switched = Self::default();
        if let Some(target) = wanted.path(libc::CLONE_NEWPID) {
            switched.keep("pid", libc::CLONE_NEWPID)?;
            join(target, libc::CLONE_NEWPID)?;
        }
        if has_clocks_of_the_host(wanted) {
            switched.keep("time", libc::CLONE_NEWTIME)?;
            part_time(wanted)?;
        }
        Ok(switched)
    }

    /// Whether this process could come back: the root of a user namespace has no rights over the namespaces that its
    /// caller gave it.
    pub(super) fn may_return(wanted: &Namespaces) -> Result<bool> {
        let mut switched = Self::default();
        if wanted.path(libc::CLONE_NEWPID).is_some() {
            switched.keep("pid", libc::CLONE_NEWPID)?;
        }
        if has_clocks_of_the_host(wanted) {
            switched.keep("time", libc::CLONE_NEWTIME)?;
        }
        match switched.leave() {
            Err(error) if error.is_errno(Errno::PERM) => Ok(false),
            result => result.map(|()| true),
        }
    }

    fn keep(&mut self, file: &str, flag: i32) -> Result<()> {
        let fd = path::open(&Path::new("/proc/self/ns").join(file), OFlags::RDONLY)?;
        self.own.push((flag as u64, fd));
        Ok(())
    }

    /// Back to where this process was, for the hooks that it starts.
    pub(super) fn leave(self) -> Result<()> {
        self.own.into_iter().try_for_each(|(flag, fd)| ns::join(fd.as_fd(), flag))
    }
}

/// Whether the new time namespace belongs to the runtime's own user namespace; init makes the one of a new user
/// namespace (`init/join.rs`).
fn has_clocks_of_the_host(wanted: &Namespaces) -> bool {
    wanted.makes(libc::CLONE_NEWTIME) && !wanted.makes(libc::CLONE_NEWUSER)
}

/// A new time namespace for the next child, with its offsets.
pub(crate) fn part_time(wanted: &Namespaces) -> Result<()> {
    ns::unshare(libc::CLONE_NEWTIME as u64)?;
    match wanted.time_offsets.as_str() {
        "" => Ok(()),
        offsets => proc::Proc::open()?.write_self("timens_offsets", offsets),
    }
}

/// Enters a namespace by path.
pub(crate) fn join(target: &Path, flag: i32) -> Result<()> {
    let fd = path::open(target, OFlags::RDONLY)?;
    ns::join(fd.as_fd(), flag as u64).while_doing(|| format!("join the namespace {}", target.display()))
}
