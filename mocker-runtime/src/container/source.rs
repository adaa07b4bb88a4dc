//! What is opened for init before it is there: sources of bind mounts that only the host's root can open, or map
//! the ids of, once the container has a user namespace of its own.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::OFlags;

use super::ids;
use crate::abi::{Attr, Reach};
use crate::error::{Error, Kind, Result, WhileDoing};
use crate::init::clone_source;
use crate::plan::Plan;
use crate::plan::ids::Maps;
use crate::plan::mounts::{Idmap, Link, What};
use crate::sync::{self, End};
use crate::sys::clone::{self, Side};
use crate::sys::{fd, mount, path, signal};

/// `MOUNT_ATTR_IDMAP` of linux/mount.h (Linux 5.12).
const IDMAP: u64 = 0x0010_0000;

/// Detached mounts, by their place in the plan's list.
pub(crate) type Sources = BTreeMap<usize, OwnedFd>;

/// Opens what init could not.
pub(super) fn open(plan: &Plan) -> Result<Sources> {
    let ahead = plan.namespaces.has(libc::CLONE_NEWUSER) && rustix::process::geteuid().is_root();
    open_some(plan, ahead)
}

/// Opens all, for a process that will see none of the host's paths.
pub(super) fn open_all(plan: &Plan) -> Result<Sources> {
    let binds = plan.mounts.iter().any(|mount| matches!(mount.what, What::Bind { .. }));
    match binds && !rustix::process::geteuid().is_root() {
        true => open_as_user(plan),
        false => open_some(plan, true),
    }
}

/// A source's place in the plan, with its descriptor; None after the last.
type Answer = std::result::Result<Option<usize>, Error>;

/// An ordinary user may copy mounts in a mount namespace of their own only: a process in one opens them.
fn open_as_user(plan: &Plan) -> Result<Sources> {
    let (ours, theirs) = sync::pair()?;
    match clone::clone3((libc::CLONE_NEWUSER | libc::CLONE_NEWNS) as u64, None)? {
        Side::Parent(child) => {
            drop(theirs);
            let sources = receive_all(&ours);
            signal::reap(child.pidfd.as_fd())?;
            sources
        }
        Side::Child => {
            drop(ours);
            let opened = |at: &usize| -> Answer { Ok(Some(*at)) };
            let sent = open_some(plan, true).and_then(|sources| {
                sources.iter().try_for_each(|(at, tree)| theirs.send_with(&opened(at), tree))
            });
            // If this cannot be said either, the parent sees the end.
            theirs.send(&Answer::from(sent.map(|()| None))).ok();
            clone::exit_now(0)
        }
    }
}

fn receive_all(from: &End) -> Result<Sources> {
    let mut sources = Sources::new();
    loop {
        match from.receive_all::<Answer>()? {
            Some((Ok(Some(at)), Some(tree))) => drop(sources.insert(at, tree)),
            Some((Ok(None), _)) => return Ok(sources),
            Some((Err(error), _)) => return Err(error),
            _ => return Err(Error::new(Kind::Internal, "the process that opens the sources died")),
        }
    }
}

fn open_some(plan: &Plan, ahead: bool) -> Result<Sources> {
    let mut known = Known::default();
    let mut sources = Sources::new();
    for (at, mount) in plan.mounts.iter().enumerate() {
        let What::Bind { source, reach, link } = &mount.what else { continue };
        if !ahead && mount.idmap.is_none() || *link == Link::Copy {
            continue;
        }
        let act = || format!("mount {} at {}", source.display(), mount.destination.display());
        let tree = clone_source(source, *reach, *link).while_doing(act)?;
        isolate(&tree, plan)?;
        if let Some(idmap) = &mount.idmap {
            known.map(&tree, idmap, plan).while_doing(act)?;
        }
        sources.insert(at, tree);
    }
    Ok(sources)
}

/// As the copy of the host's mounts in the container's namespace: the container's own must not reach the host.
fn isolate(tree: &OwnedFd, plan: &Plan) -> Result<()> {
    let (mut attr, _) = plan.rootfs.propagation;
    if attr.propagation == libc::MS_SHARED {
        attr.propagation = libc::MS_SLAVE;
    }
    mount::set_attr(tree.as_fd(), &attr, Reach::Tree)
}

/// User namespaces that were made for their mappings alone; mounts with equal mappings share one.
#[derive(Default)]
struct Known(Vec<(Maps, OwnedFd)>);

impl Known {
    fn map(&mut self, tree: &OwnedFd, idmap: &Idmap, plan: &Plan) -> Result<()> {
        if !rustix::process::geteuid().is_root() {
            return Err(Error::unsupported("only root can map the ids of a mount"));
        }
        let joined;
        let user = match (&idmap.maps, &plan.ids, plan.namespaces.path(libc::CLONE_NEWUSER)) {
            (Some(maps), _, _) | (None, Some(maps), _) => self.of(maps)?,
            (None, None, Some(path)) => {
                joined = path::open(path, OFlags::RDONLY)?;
                &joined
            }
            (None, None, None) => return Err(Error::invalid("there are no mappings")),
        };
        let attr = Attr { set: IDMAP, userns_fd: fd::number(user), ..Attr::default() };
        mount::set_attr(tree.as_fd(), &attr, idmap.reach).while_doing(|| "map the ids")
    }

    fn of(&mut self, maps: &Maps) -> Result<&OwnedFd> {
        let at = match self.0.iter().position(|(known, _)| known == maps) {
            Some(at) => at,
            None => {
                self.0.push((maps.clone(), user_namespace(maps)?));
                self.0.len() - 1
            }
        };
        Ok(&self.0[at].1)
    }
}

/// A user namespace with these mappings: made by a process that does nothing else.
fn user_namespace(maps: &Maps) -> Result<OwnedFd> {
    let (ours, theirs) = fd::socketpair()?;
    match clone::clone3(libc::CLONE_NEWUSER as u64, None)? {
        Side::Child => {
            drop(ours);
            // Until the parent has what it wants, or is dead itself.
            rustix::io::read(&theirs, &mut [0_u8; 1]).ok();
            clone::exit_now(0)
        }
        Side::Parent(child) => {
            drop(theirs);
            let pid = child.pid.as_raw_nonzero().get();
            let made = ids::map(pid, maps)
                .and_then(|()| path::open(format!("/proc/{pid}/ns/user").as_ref(), OFlags::RDONLY));
            drop(ours);
            signal::reap(child.pidfd.as_fd())?;
            made.while_doing(|| "make a user namespace for its mappings")
        }
    }
}

/// The root file system of a container that shares the runtime's mount namespace. It is laid over itself, so
/// that everything mounted below goes with it; the record knows it by its number before it is there.
pub(super) fn open_root(plan: &Plan) -> Result<Option<OwnedFd>> {
    if plan.namespaces.has(libc::CLONE_NEWNS) {
        return Ok(None);
    }
    let tree = crate::init::root_tree(&plan.rootfs)?;
    let private = Attr { propagation: libc::MS_PRIVATE, ..Attr::default() };
    mount::set_attr(tree.as_fd(), &private, Reach::Tree)?;
    Ok(Some(tree))
}

/// Shows the root file system at its own path.
pub(super) fn attach_root(plan: &Plan, tree: &OwnedFd) -> Result<()> {
    let place = path::open(&plan.rootfs.path, OFlags::PATH | OFlags::DIRECTORY)?;
    mount::attach(tree.as_fd(), place.as_fd())
        .while_doing(|| format!("attach {}", plan.rootfs.path.display()))
}

/// Takes it away again with all that is mounted below, if it is the mount of that number.
pub(super) fn detach_root(rootfs: &std::path::Path, number: u64) -> Result<()> {
    let Ok(root) = path::open(rootfs, OFlags::PATH | OFlags::DIRECTORY) else { return Ok(()) };
    match mount::number(root.as_fd())? == number {
        true => mount::detach(&crate::init::c_path(rootfs)?),
        false => Ok(()),
    }
}
