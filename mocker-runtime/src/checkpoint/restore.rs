//! `restore`: what criu is told, and given, to make a container again.
//!
//! criu works from a mount namespace of its own, in which the root file system is mounted where criu wants it: a
//! mount point that nothing lies over. So neither a failure nor a kill leaves a mount on the machine. It is a
//! member of the container's cgroups before it does anything, so what it makes is born there.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;

use rustix::fs::{CWD, OFlags};
use rustix::process::Pid;

use super::criu::{Criu, Notice, Streams};
use super::rpc::{Request, Response, Type, field};
use super::{Options, Places, check, explain, external, failed, stdio};
use crate::abi::{Attr, Reach};
use crate::cgroup::Cgroup;
use crate::error::{Error, Kind, Result, WhileDoing};
use crate::plan::Plan;
use crate::plan::mounts::{Mount, What};
use crate::sys::clone::Child;
use crate::sys::path::{self, Make};
use crate::sys::{fd, mount, ns, signal};

const LOG: &str = "restore.log";

/// What the command line says of a restore alone.
#[derive(Debug)]
pub(crate) struct Restore {
    pub(crate) common: Options,
    /// TCP connections come back closed
    pub(crate) tcp_close: bool,
    /// `apparmor:NAME` or `selinux:LABEL`
    pub(crate) lsm_profile: Option<String>,
    pub(crate) lsm_mount_context: Option<String>,
}

/// The container to be.
#[derive(Debug)]
pub(crate) struct Subject<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) cgroup: &'a Cgroup,
    pub(crate) annotations: &'a BTreeMap<String, String>,
    /// An empty directory for the root file system
    pub(crate) place: &'a Path,
    /// Gets the master of the container's terminal
    pub(crate) console: Option<OwnedFd>,
}

/// What happens to the container on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// criu is there as this process, whose children the container's will be: time for cgroups and the like
    Begun(i32),
    /// Its namespaces are there, and init of this pid, but nothing runs: time for hooks
    Namespaces(i32),
    /// All is there and about to run
    Restored(i32),
}

/// Makes the container again; its init is a child of this process.
pub(crate) fn restore(
    subject: &Subject<'_>,
    restore: &Restore,
    mut tell: impl FnMut(Moment) -> Result<()>,
) -> Result<Child> {
    check(subject.plan)?;
    let mut places = Places::open(&restore.common, LOG)?;
    let mut request = subject.request(restore, &places)?;
    for (pipe, stream) in stdio::pipes(&restore.common.images)? {
        request.numbered(field::INHERIT_FD, &pipe, stream);
    }
    let mut kept = external::enter_namespaces(&mut request, &subject.plan.namespaces)?;
    let log = places.log.clone();
    let streams = if subject.plan.process.terminal.is_some() { Streams::Null } else { Streams::Own };
    let unified = subject.cgroup.open_unified()?;
    let criu = Criu::start(unified.as_ref().map(AsFd::as_fd), streams, || {
        prepare_root(subject.plan, subject.place)?;
        // criu mounts in its working directory, which must be of the namespace that it is in by now.
        places.open_again(&restore.common)?;
        kept.extend(places.into_descriptors());
        Ok(kept)
    })?;
    tell(Moment::Begun(criu.pid()))?;
    criu.check_version()?;
    name_cgroups(&mut request, criu.pid())?;
    let response = criu
        .call(&request.message(Type::Restore), |notice| subject.act(notice, &mut tell))
        .map_err(|error| explain(error, &log))?;
    let exit = criu.finish()?;
    if !response.success || exit != 0 {
        return Err(failed(&response, &log));
    }
    child(&response)
}

/// Init, as criu names it.
fn child(response: &Response) -> Result<Child> {
    let lost = || Error::new(Kind::Internal, "criu has restored no init");
    let pid = response.pid.and_then(Pid::from_raw).ok_or_else(lost)?;
    let pidfd = signal::open_pid(pid.as_raw_nonzero().get()).while_doing(|| "open the restored init")?;
    Ok(Child { pid, pidfd: Rc::new(pidfd) })
}

impl Subject<'_> {
    fn request(&self, restore: &Restore, places: &Places) -> Result<Request> {
        let mut request = restore.common.request(places, LOG, self.annotations);
        request.text(field::ROOT, &self.place.to_string_lossy());
        request.flag(field::RST_SIBLING, true);
        request.flag(field::EVASIVE_DEVICES, true);
        request.flag(field::TCP_CLOSE, restore.tcp_close);
        if let Some(profile) = &restore.lsm_profile {
            request.text(field::LSM_PROFILE, profile);
        }
        if let Some(context) = &restore.lsm_mount_context {
            request.text(field::LSM_MOUNT_CONTEXT, context);
        }
        external::replace(&mut request, &external::mounts(self.plan, self.cgroup, None)?, &self.plan.masked);
        Ok(request)
    }

    fn act(&self, notice: Notice, tell: &mut impl FnMut(Moment) -> Result<()>) -> Result<()> {
        match (notice.script.as_str(), notice.pid, notice.fd, &self.console) {
            ("setup-namespaces", Some(pid), ..) => tell(Moment::Namespaces(pid)),
            ("post-restore", Some(pid), ..) => tell(Moment::Restored(pid)),
            ("orphan-pts-master", _, Some(master), Some(console)) => {
                fd::send_fd(console.as_fd(), b"/dev/ptmx", master.as_fd())
                    .while_doing(|| "hand over the terminal")
            }
            _ => Ok(()),
        }
    }
}

/// Where in each hierarchy the container's cgroups begin: where criu is.
fn name_cgroups(request: &mut Request, criu: i32) -> Result<()> {
    let file = format!("/proc/{criu}/cgroup");
    let text = std::fs::read_to_string(&file).while_doing(|| format!("read {file}"))?;
    for line in text.lines() {
        let mut words = line.splitn(3, ':').skip(1);
        if let (Some(controllers), Some(path)) = (words.next(), words.next()) {
            for controller in controllers.split(',') {
                request.pair(field::CG_ROOT, controller, path);
            }
        }
    }
    Ok(())
}

/// In criu's process: a mount namespace of its own, the places that mounts need, then the root file system.
fn prepare_root(plan: &Plan, place: &Path) -> Result<()> {
    ns::unshare(libc::CLONE_NEWNS as u64)?;
    let slave = Attr { propagation: libc::MS_SLAVE, ..Attr::default() };
    mount::set_attr_at(CWD, c"/", &slave, Reach::Tree)?;
    let root = attach_root(plan, place)?;
    plan.mounts.iter().try_for_each(|mount| {
        make_place(&root, plan, mount)
            .while_doing(|| format!("make a place for the mount at {}", mount.destination.display()))
    })?;
    if plan.rootfs.readonly {
        // criu pivots through this directory, or one that it makes, which it could not in such a root.
        path::open_or_make(&root, Path::new("/tmp"), Make::Dir)?;
    }
    // An overlay is not mounted twice.
    drop(root);
    mount::detach(&crate::init::c_path(place)?)?;
    attach_root(plan, place).map(drop)
}

fn attach_root(plan: &Plan, place: &Path) -> Result<OwnedFd> {
    let root = crate::init::root_tree(&plan.rootfs)?;
    let place = path::open(place, OFlags::PATH | OFlags::DIRECTORY)?;
    mount::attach(root.as_fd(), place.as_fd())?;
    Ok(root)
}

/// As create does: binds are mounted, since later places may lie in them. A tmpfs comes with its directories, and a
/// cgroup mount lies in one.
fn make_place(root: &OwnedFd, plan: &Plan, given: &Mount) -> Result<()> {
    let on_tmpfs = |destination: &Path| {
        plan.mounts.iter().any(|below| {
            matches!(&below.what, What::Fs { fstype, .. } if fstype == "tmpfs")
                && destination != below.destination
                && destination.starts_with(&below.destination)
        })
    };
    if on_tmpfs(&given.destination) {
        return Ok(());
    }
    match &given.what {
        What::Cgroup | What::Remount { .. } => Ok(()),
        What::Fs { .. } => path::open_or_make(root, &given.destination, Make::Dir).map(drop),
        What::Bind { source, reach, .. } => {
            let source = path::open(source, OFlags::PATH)?;
            let make = if path::is_dir(&source)? { Make::Dir } else { Make::File };
            let tree = mount::clone_tree(source.as_fd(), c"", *reach)?;
            let place = path::open_or_make(root, &given.destination, make)?;
            mount::attach(tree.as_fd(), place.as_fd())
        }
    }
}
