//! Mounts into a running container, and out of it.
//!
//! A process of this program goes into the container's namespaces for it. What it mounts is opened before, while
//! paths are the host's.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::OFlags;

use super::Container;
use super::source::{self, Sources};
use super::status::{Verb, allow};
use super::switched;
use crate::bundle::config::Mount as Given;
use crate::error::{Error, Kind, Result, WhileDoing};
use crate::init;
use crate::plan::Plan;
use crate::sync::{self, End};
use crate::sys::clone::{self, Side};
use crate::sys::{mount, ns, path, signal};

/// What is to be done with the planned mounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Add,
    Remove,
}

/// What the process says at its end.
type Answer = std::result::Result<(), Error>;

impl Container {
    /// Makes mounts where the running container sees them.
    pub(crate) fn add_mounts(&self, given: &[Given<'_>]) -> Result<()> {
        self.change_mounts(given, Act::Add).while_doing(|| format!("add mounts to container {}", self.id))
    }

    /// Takes away what is mounted at the destinations, the last one first.
    pub(crate) fn remove_mounts(&self, given: &[Given<'_>]) -> Result<()> {
        let act = || format!("remove mounts from container {}", self.id);
        self.change_mounts(given, Act::Remove).while_doing(act)
    }

    fn change_mounts(&self, given: &[Given<'_>], act: Act) -> Result<()> {
        allow(Verb::Exec, self.status()?)?;
        let gone = || Error::new(Kind::WrongState, "container not running");
        let (init, record) = (self.open_init()?.ok_or_else(gone)?, self.record()?);
        let bundle = self.config()?;
        let mut config = bundle.config()?;
        config.mounts = given.to_vec();
        let plan = Plan::new(&config, &record.bundle, crate::cgroup::mode())?;
        let sources = if act == Act::Add { source::open_all(&plan)? } else { Sources::new() };
        let pid = record.init.map_or(0, |init| init.pid);
        let root = path::open(format!("/proc/{pid}/root").as_ref(), OFlags::PATH | OFlags::DIRECTORY)?;
        let (ours, theirs) = sync::pair()?;
        let entered = switched::follow(&init, &plan.namespaces)?;
        match clone::clone3(0, None)? {
            Side::Parent(child) => {
                drop(theirs);
                let answer = ours.receive::<Answer>();
                signal::reap(child.pidfd.as_fd())?;
                answer?.ok_or_else(|| Error::new(Kind::Internal, "the process in the container died"))?
            }
            Side::Child => {
                drop(ours);
                // In the user namespace root's rights over the host's file systems would be gone.
                let rest = plan.namespaces.all() & !entered & !(libc::CLONE_NEWUSER as u64);
                let done = enter(&init, rest).and_then(|()| match act {
                    Act::Add => init::mount_at(&root, &plan, &sources, record.cgroup.dirs()),
                    Act::Remove => remove(&root, &plan),
                });
                end(&theirs, done)
            }
        }
    }
}

fn enter(init: &OwnedFd, namespaces: u64) -> Result<()> {
    match namespaces {
        0 => Ok(()),
        _ => ns::join_all(init.as_fd(), namespaces),
    }
}

fn end(parent: &End, answer: Answer) -> ! {
    parent.send(&answer).ok();
    clone::exit_now(0)
}

fn remove(root: &OwnedFd, plan: &Plan) -> Result<()> {
    plan.mounts.iter().rev().try_for_each(|mount| {
        let act = || format!("unmount {}", mount.destination.display());
        let destination = &mount.destination;
        let (Some(parent), Some(name)) = (destination.parent(), destination.file_name()) else {
            return Err(Error::invalid("the root cannot be unmounted")).while_doing(act);
        };
        // What is not there is not made for this.
        let parent = path::open_in_root(root, parent, OFlags::PATH | OFlags::DIRECTORY).while_doing(act)?;
        rustix::process::fchdir(&parent).while_doing(act)?;
        mount::detach(&init::c_path(name.as_ref())?).while_doing(act)
    })
}
