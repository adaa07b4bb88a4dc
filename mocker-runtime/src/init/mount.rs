//! Mounts: made detached, given their attributes, then attached to a directory that was opened below the
//! container's root.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;

use super::rootfs::c_path;
use super::{Init, lsm};
use crate::abi::{Parameter, Reach};
use crate::cgroup::Dir;
use crate::container::source::Sources;
use crate::error::{Error, Result, WhileDoing};
use crate::plan::Plan;
use crate::plan::mounts::{Follow, Link, Mount, What};
use crate::sys::fd::Later;
use crate::sys::mount;
use crate::sys::path::{self, Make};
use crate::sys::proc;

mod cgroup;
mod copy_up;

/// Files below /proc that a manager may show in the kernel's place.
const SHOWN: [&str; 9] = [
    "cpuinfo",
    "diskstats",
    "loadavg",
    "meminfo",
    "slabinfo",
    "stat",
    "swaps",
    "sys/kernel/ns_last_pid",
    "uptime",
];

/// All mounts, in the order of the file.
pub(super) fn mount_all(init: &mut Init<'_>) -> Result<()> {
    mount_at(init.root()?, init.plan, &init.sources, init.record.cgroup.dirs())
}

/// The same below any root: `mounts add` brings them into a container that runs.
pub(crate) fn mount_at(root: &OwnedFd, plan: &Plan, sources: &Sources, dirs: &[Dir]) -> Result<()> {
    let maker = Maker { root: root.as_fd(), dirs, plan, sources, later: Later::default() };
    plan.mounts.iter().enumerate().try_for_each(|(at, mount)| {
        maker
            .make(at, mount)
            .while_doing(|| format!("mount {} at {}", name(&mount.what), mount.destination.display()))
    })
}

/// What an error calls the mount.
fn name(what: &What) -> String {
    match what {
        What::Bind { source, .. } => source.display().to_string(),
        What::Cgroup => "cgroup".to_owned(),
        What::Remount { .. } => "again what is".to_owned(),
        What::Fs { fstype, .. } => fstype.clone(),
    }
}

/// What all mounts need.
struct Maker<'a> {
    root: BorrowedFd<'a>,
    dirs: &'a [Dir],
    plan: &'a Plan,
    /// Of bind mounts, where the parent has opened them
    sources: &'a Sources,
    /// What has served
    later: Later,
}

/// A detached copy of a source of the host.
pub(crate) fn clone_source(source: &Path, reach: Reach, link: Link) -> Result<OwnedFd> {
    let path = c_path(source)?;
    match link {
        Link::Show => mount::clone_tree_of_link(CWD, &path, reach),
        Link::Follow | Link::Copy => mount::clone_tree(CWD, &path, reach),
    }
}

impl Maker<'_> {
    fn make(&self, at: usize, mount: &Mount) -> Result<()> {
        match &mount.what {
            What::Bind { source, link: Link::Copy, .. } if source.is_symlink() => {
                self.copy_link(mount, source)
            }
            What::Bind { source, reach, link } => {
                let finish = |tree: &OwnedFd| {
                    let make = if path::is_dir(tree)? { Make::Dir } else { Make::File };
                    self.finish(mount, tree, make)
                };
                match self.sources.get(&at) {
                    Some(tree) => finish(tree),
                    None => {
                        let cloned = clone_source(source, *reach, *link)?;
                        finish(&cloned)?;
                        self.later.close(cloned);
                        Ok(())
                    }
                }
            }
            What::Remount { parameters } => self.remount(mount, parameters),
            What::Cgroup => self.make_cgroup(mount),
            What::Fs { fstype, source, parameters, copy_up } => {
                let label = match (&self.plan.mount_label, fstype.as_str()) {
                    (Some((_, label)), "mqueue") => label.as_ref(),
                    _ => None,
                };
                // A new mount has no attributes yet that could be taken away; it is read-only after it was written to.
                let at_once = !*copy_up && label.is_none() && !mount.attr.is_about_more_than_bits();
                let attributes = if at_once { mount.attr.set } else { 0 };
                let tree = mount::new_filesystem(fstype, source, parameters, attributes, &self.later)?;
                label.map_or(Ok(()), |label| lsm::label_root(&tree, label))?;
                if *copy_up {
                    // A copy of procfs would have no end.
                    if let Ok(place) = path::open_in_root(self.root, &mount.destination, OFlags::PATH) {
                        self.refuse_inside_proc(mount, &tree, &place)?;
                    }
                    copy_up::copy(self.root, &mount.destination, tree.as_fd())?;
                }
                match at_once {
                    true => self.show(mount, &tree, Make::Dir)?,
                    false => self.finish(mount, &tree, Make::Dir)?,
                }
                self.later.close(tree);
                Ok(())
            }
        }
    }

    /// Sets the attributes and lets the mount appear.
    fn finish(&self, mount: &Mount, tree: &OwnedFd, make: Make) -> Result<()> {
        if !mount.attr.is_empty() {
            mount::set_attr(tree.as_fd(), &mount.attr, Reach::One)?;
        }
        self.show(mount, tree, make)
    }

    /// Lets a mount that has its attributes appear.
    fn show(&self, mount: &Mount, tree: &OwnedFd, make: Make) -> Result<()> {
        if !mount.recursive.is_empty() {
            mount::set_attr(tree.as_fd(), &mount.recursive, Reach::Tree)?;
        }
        let place = self.place(mount, make)?;
        self.refuse_inside_proc(mount, tree, &place)?;
        mount::attach(tree.as_fd(), place.as_fd())?;
        self.later.close(place);
        for (attr, reach) in &mount.propagation {
            mount::set_attr(tree.as_fd(), attr, *reach)?;
        }
        Ok(())
    }

    /// Where a mount appears: what is missing is made.
    fn place(&self, mount: &Mount, make: Make) -> Result<OwnedFd> {
        let destination = &mount.destination;
        if let What::Fs { fstype, .. } = &mount.what
            && matches!(fstype.as_str(), "proc" | "sysfs")
            && let Some(place) = self.place_without_symlinks(destination)?
        {
            return Ok(place);
        }
        if mount.follow == Follow::Yes {
            return path::open_or_make(self.root, destination, make);
        }
        let (parent, name) = path::open_parent(self.root, destination)?;
        let open = || {
            rustix::fs::openat(
                &parent,
                name,
                OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
                Mode::empty(),
            )
        };
        match open() {
            Err(Errno::NOENT) => path::make_one(&parent, Path::new(name), make).and_then(|()| Ok(open()?)),
            result => result.map_err(Error::from),
        }
        .while_doing(|| format!("open {} in the root file system", destination.display()))
    }

    /// A link of the host becomes a link in the container (`copy-symlink`). One that is there already must lead
    /// to the same place.
    fn copy_link(&self, mount: &Mount, source: &Path) -> Result<()> {
        let target =
            std::fs::read_link(source).while_doing(|| format!("read the link {}", source.display()))?;
        let (parent, name) = path::open_parent(self.root, &mount.destination)?;
        match rustix::fs::symlinkat(&target, &parent, name) {
            Err(Errno::EXIST) => match rustix::fs::readlinkat(&parent, name, Vec::new()) {
                Ok(there) if there.to_bytes() == target.as_os_str().as_encoded_bytes() => Ok(()),
                _ => Err(Error::invalid(format!("{} is there already", mount.destination.display()))),
            },
            result => result.while_doing(|| format!("make the link to {}", target.display())),
        }
    }

    /// Changes a mount that is there already (mount(8), `remount`).
    fn remount(&self, mount: &Mount, parameters: &[Parameter]) -> Result<()> {
        let place = path::open_in_root(self.root, &mount.destination, OFlags::PATH)
            .while_doing(|| format!("open {} in the root file system", mount.destination.display()))?;
        if !parameters.is_empty() {
            mount::reconfigure(place.as_fd(), parameters)?;
        }
        if !mount.attr.is_empty() {
            mount::set_attr(place.as_fd(), &mount.attr, Reach::One)?;
        }
        if !mount.recursive.is_empty() {
            mount::set_attr(place.as_fd(), &mount.recursive, Reach::Tree)?;
        }
        mount.propagation.iter().try_for_each(|(attr, reach)| mount::set_attr(place.as_fd(), attr, *reach))
    }

    /// What /proc tells is the kernel's word, but for what managers show in its place: an image's volume there would
    /// hide it, or show the container what is masked (CVE-2019-16884). The same files as under runc.
    fn refuse_inside_proc(&self, mount: &Mount, tree: &OwnedFd, place: &OwnedFd) -> Result<()> {
        if !proc::is_procfs(place)? || proc::is_root_of_procfs(tree)? {
            return Ok(());
        }
        let destination = &mount.destination;
        let shown =
            destination.strip_prefix("/proc").is_ok_and(|file| SHOWN.iter().any(|name| file == *name));
        match shown && path::open_without_symlinks(self.root, destination, OFlags::PATH).is_ok() {
            true => Ok(()),
            false => Err(Error::invalid(format!("{} lies inside /proc", destination.display()))),
        }
    }

    /// /proc and /sys must be where everything else looks for them (CVE-2019-19921, CVE-2023-27561); None: nowhere yet.
    fn place_without_symlinks(&self, destination: &Path) -> Result<Option<OwnedFd>> {
        match path::open_without_symlinks(self.root, destination, OFlags::PATH) {
            Err(Errno::LOOP) => Err(Error::invalid(format!(
                "{} is, or lies behind, a symbolic link in the root file system",
                destination.display()
            ))),
            place => Ok(place.ok()),
        }
    }
}
