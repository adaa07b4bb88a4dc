//! Mounts: made detached, given their attributes, then attached to a directory that was opened below the
//! container's root.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, OFlags};

use super::Init;
use super::rootfs::c_path;
use crate::abi::Reach;
use crate::error::{Error, Result, WhileDoing};
use crate::plan::mounts::{Mount, What};
use crate::sys::mount;
use crate::sys::path::{self, Make};

mod cgroup;
mod copy_up;

/// All mounts, in the order of the file.
pub(super) fn mount_all(init: &mut Init<'_>) -> Result<()> {
    let root = init.root()?;
    let maker = Maker { root: root.as_fd(), dirs: init.record.cgroup.dirs(), plan: init.plan };
    init.plan.mounts.iter().try_for_each(|mount| {
        maker
            .make(mount)
            .while_doing(|| format!("mount {} at {}", name(&mount.what), mount.destination.display()))
    })
}

/// What an error calls the mount.
fn name(what: &What) -> String {
    match what {
        What::Bind { source, .. } => source.display().to_string(),
        What::Cgroup => "cgroup".to_owned(),
        What::Fs { fstype, .. } => fstype.clone(),
    }
}

/// What all mounts need.
struct Maker<'a> {
    root: BorrowedFd<'a>,
    dirs: &'a [crate::cgroup::Dir],
    plan: &'a crate::plan::Plan,
}

impl Maker<'_> {
    fn make(&self, mount: &Mount) -> Result<()> {
        match &mount.what {
            What::Bind { source, reach } => {
                let tree = mount::clone_tree(CWD, &c_path(source)?, *reach)?;
                let make = if path::is_dir(&tree)? { Make::Dir } else { Make::File };
                self.finish(mount, &tree, make)
            }
            What::Cgroup => self.make_cgroup(mount),
            What::Fs { fstype, source, parameters, copy_up } => {
                let tree = mount::new_filesystem(fstype, source, parameters, 0)?;
                if *copy_up {
                    copy_up::copy(self.root, &mount.destination, tree.as_fd())?;
                }
                let guarded = matches!(fstype.as_str(), "proc" | "sysfs");
                if guarded {
                    self.refuse_symlinks(&mount.destination)?;
                }
                self.finish(mount, &tree, Make::Dir)
            }
        }
    }

    /// Sets the attributes and lets the mount appear.
    fn finish(&self, mount: &Mount, tree: &OwnedFd, make: Make) -> Result<()> {
        if !mount.attr.is_empty() {
            mount::set_attr(tree.as_fd(), &mount.attr, Reach::One)?;
        }
        if !mount.recursive.is_empty() {
            mount::set_attr(tree.as_fd(), &mount.recursive, Reach::Tree)?;
        }
        let place = path::open_or_make(self.root, &mount.destination, make)?;
        mount::attach(tree.as_fd(), place.as_fd())?;
        for (attr, reach) in &mount.propagation {
            mount::set_attr(tree.as_fd(), attr, *reach)?;
        }
        Ok(())
    }

    /// /proc and /sys must be where everything else looks for them (CVE-2019-19921, CVE-2023-27561).
    fn refuse_symlinks(&self, destination: &Path) -> Result<()> {
        match path::open_without_symlinks(self.root, destination, OFlags::PATH) {
            Err(rustix::io::Errno::LOOP) => Err(Error::invalid(format!(
                "{} is, or lies behind, a symbolic link in the root file system",
                destination.display()
            ))),
            _ => Ok(()),
        }
    }
}
