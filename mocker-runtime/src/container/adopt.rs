//! A child in a user namespace that exists already.
//!
//! New namespaces belong to the user namespace that their maker is in, and there is no way back out of one. So a
//! process in between enters it, with all that is given by path, and makes init there, as this process's child:
//!
//! ```text
//! parent ── clone3 ──> process in between: setns ..., clone3(CLONE_PARENT) ──> init
//!    <─── init's pid ───────┘ ends
//! ```

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;

use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::process::Pid;

use super::switched::part_time;
use crate::error::{Error, Kind, Result, WhileDoing};
use crate::plan::namespaces::Namespaces;
use crate::sync::{self, End};
use crate::sys::clone::{self, Child, Side};
use crate::sys::{ids, ns, path, signal};

/// Clones a child into new namespaces (`CLONE_NEW*` in `new`) below the user namespace that `wanted` joins.
pub(super) fn clone_within(wanted: &Namespaces, new: u64, cgroup: Option<BorrowedFd<'_>>) -> Result<Side> {
    let joined = open(wanted)?;
    let (ours, theirs) = sync::pair()?;
    match clone::clone3(0, cgroup)? {
        Side::Parent(between) => {
            drop(theirs);
            let answer = ours.receive::<Answer>();
            signal::reap(between.pidfd.as_fd())?;
            let gone = || Error::new(Kind::Internal, "the process in between died without a word");
            let pid = answer?.ok_or_else(gone)??;
            // Its number is its own until this process, its parent, has taken its status.
            let pidfd = signal::open_pid(pid).while_doing(|| format!("open process {pid}"))?;
            let pid = Pid::from_raw(pid).ok_or_else(gone)?;
            Ok(Side::Parent(Child { pid, pidfd: Rc::new(pidfd) }))
        }
        Side::Child => {
            drop(ours);
            match enter(wanted, &joined).and_then(|()| clone::clone_sibling(new)) {
                Ok(Some(pid)) => end(&theirs, Ok(pid)),
                Ok(None) => Ok(Side::Child),
                Err(error) => end(&theirs, Err(error)),
            }
        }
    }
}

/// Init's pid, or why there is none.
type Answer = std::result::Result<i32, Error>;

fn end(parent: &End, answer: Answer) -> ! {
    parent.send(&answer).ok();
    clone::exit_now(0)
}

/// While paths still mean what the caller meant.
fn open(wanted: &Namespaces) -> Result<Vec<(u64, &Path, OwnedFd)>> {
    let open = |(flag, path): &'_ (u64, std::path::PathBuf)| Ok((*flag, path::open(path, OFlags::RDONLY)?));
    let opened: Vec<(u64, OwnedFd)> = wanted.join.iter().map(open).collect::<Result<_>>()?;
    Ok(opened
        .into_iter()
        .zip(&wanted.join)
        .map(|((flag, fd), (_, path))| (flag, path.as_path(), fd))
        .collect())
}

/// Those of the host can only be entered by its root before the user namespace is; those that belong to the user
/// namespace, by an ordinary user, only after.
fn enter(wanted: &Namespaces, joined: &[(u64, &Path, OwnedFd)]) -> Result<()> {
    let user = libc::CLONE_NEWUSER as u64;
    let join = |(flag, path, fd): &(u64, &Path, OwnedFd)| {
        ns::join(fd.as_fd(), *flag).while_doing(|| format!("join the namespace {}", path.display()))
    };
    let mut later = Vec::new();
    for target in joined.iter().filter(|(flag, ..)| *flag != user) {
        match join(target) {
            Err(error) if error.is_errno(Errno::PERM) => later.push(target),
            result => result?,
        }
    }
    joined.iter().filter(|(flag, ..)| *flag == user).try_for_each(join)?;
    ids::set_ids(0, 0)?;
    later.into_iter().try_for_each(join)?;
    match wanted.makes(libc::CLONE_NEWTIME) {
        true => part_time(wanted),
        false => Ok(()),
    }
}
