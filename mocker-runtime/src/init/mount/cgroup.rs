//! The container's own view of its cgroups.
//!
//! Version 2: a mount of the one tree, which the cgroup namespace roots at the container's cgroup; without
//! such a namespace the container's directory is bound instead. Version 1: a tmpfs with a directory for each
//! hierarchy, and a symlink for each controller of a joint one.

use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags};

use super::Maker;
use crate::abi::{Attr, Reach};
use crate::cgroup::{self, Dir};
use crate::error::{Result, WhileDoing};
use crate::init::rootfs::c_path;
use crate::plan::mounts::Mount;
use crate::sys::mount;
use crate::sys::path::{self, Make};

impl Maker<'_> {
    pub(super) fn make_cgroup(&self, mount: &Mount) -> Result<()> {
        // an ordinary user's container stays in its caller's cgroups
        let own = if self.dirs.is_empty() { cgroup::own(self.plan.cgroup.mode)? } else { Vec::new() };
        let dirs = if self.dirs.is_empty() { &own[..] } else { self.dirs };
        match dirs {
            [] => Ok(()), // no hierarchy on the host: nothing to show
            [dir] if dir.controllers.is_empty() => {
                let tree = self.tree_of(dir)?;
                self.finish(mount, &tree, Make::Dir)?;
                self.later.close(tree);
                Ok(())
            }
            dirs => self.make_version_1(mount, dirs),
        }
    }

    /// What one hierarchy looks like from inside.
    fn tree_of(&self, dir: &Dir) -> Result<std::os::fd::OwnedFd> {
        if !self.plan.namespaces.has(libc::CLONE_NEWCGROUP) {
            return mount::clone_tree(CWD, &c_path(&dir.path)?, Reach::One);
        }
        match dir.controllers.as_str() {
            "" => mount::new_filesystem("cgroup2", "cgroup", &[], 0, &self.later),
            named => {
                let parameters: Vec<_> = match named.strip_prefix("name=") {
                    Some(name) => vec![("none".to_owned(), None), ("name".to_owned(), Some(name.to_owned()))],
                    None => named.split(',').map(|controller| (controller.to_owned(), None)).collect(),
                };
                mount::new_filesystem("cgroup", "cgroup", &parameters, 0, &self.later)
            }
        }
    }

    fn make_version_1(&self, mount: &Mount, dirs: &[Dir]) -> Result<()> {
        let mode = [("mode".to_owned(), Some("755".to_owned()))];
        let tmpfs = mount::new_filesystem("tmpfs", "tmpfs", &mode, 0, &self.later)?;
        let place = path::open_or_make(self.root, &mount.destination, Make::Dir)?;
        mount::attach(tmpfs.as_fd(), place.as_fd())?;
        for dir in dirs {
            let name = dir.mount.file_name().map(Path::new).unwrap_or(Path::new("unified"));
            let tree = self.tree_of(dir)?;
            mount::set_attr(tree.as_fd(), &mount.attr, Reach::One)?;
            rustix::fs::mkdirat(&tmpfs, name, Mode::from_raw_mode(0o755))
                .while_doing(|| format!("make {name:?}"))?;
            let inside =
                path::open_in_root(&tmpfs, name, OFlags::PATH).while_doing(|| format!("open {name:?}"))?;
            mount::attach(tree.as_fd(), inside.as_fd()).while_doing(|| format!("attach {name:?}"))?;
            symlinks(&tmpfs, name)?;
        }
        if mount.attr != Attr::default() {
            mount::set_attr(tmpfs.as_fd(), &mount.attr, Reach::One)?;
        }
        Ok(())
    }
}

/// `cpu` and `cpuacct` for `cpu,cpuacct`.
fn symlinks(tmpfs: impl AsFd, name: &Path) -> Result<()> {
    let joint = name.to_string_lossy();
    if !joint.contains(',') {
        return Ok(());
    }
    joint.split(',').try_for_each(|controller| {
        rustix::fs::symlinkat(&*joint, &tmpfs, controller)
            .while_doing(|| format!("make the link {controller}"))
    })
}
