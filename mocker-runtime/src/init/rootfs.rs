//! The root file system: prepared aside, entered at the end.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, OFlags};
use rustix::io::Errno;

use super::{Init, Switch};
use crate::abi::{Attr, Reach};
use crate::error::{Error, Kind, Result, WhileDoing};
use crate::plan::Rootfs;
use crate::plan::mounts::{self, Mount, What};
use crate::sys::fd::Later;
use crate::sys::mount;
use crate::sys::path;

/// A mount of its own for the root file system, in a mount namespace from which nothing reaches the host. A
/// container that shares the runtime's mount namespace has been given one by the parent.
pub(super) fn prepare(init: &mut Init<'_>) -> Result<()> {
    if init.root.is_some() {
        return Ok(());
    }
    init.chrooted = leave_chroot(init)?;
    let (attr, reach) = init.plan.rootfs.propagation;
    let source = &init.plan.rootfs.path;
    mount::set_attr_at(CWD, c"/", &attr, reach)?;
    if attr.propagation == libc::MS_SHARED || reach == Reach::One {
        isolate(source, attr)?;
    }
    let root = tree(&init.plan.rootfs)?;
    let place = path::open(source, OFlags::PATH | OFlags::DIRECTORY)?;
    mount::attach(root.as_fd(), place.as_fd()).while_doing(|| format!("attach {}", source.display()))?;
    init.root = Some(root);
    Ok(())
}

/// The root file system as a detached mount: what lies at its path, or what an overlay makes of it.
pub(crate) fn tree(rootfs: &Rootfs) -> Result<OwnedFd> {
    let source = &rootfs.path;
    let root = mount::clone_tree(CWD, &c_path(source)?, Reach::Tree).map_err(|error| {
        match error.is_errno(Errno::NOENT) {
            true => Error::new(
                Kind::NotFound,
                format!("the root file system {} does not exist", source.display()),
            ),
            false => error,
        }
    })?;
    if !path::is_dir(&root)? {
        return Err(Error::invalid(format!("the root file system {} is not a directory", source.display())));
    }
    match &rootfs.overlay {
        None => Ok(root),
        Some(overlay) => overlay_tree(overlay).while_doing(|| "mount overlay at /"),
    }
}

fn overlay_tree(overlay: &Mount) -> Result<OwnedFd> {
    let What::Fs { fstype, source, parameters, .. } = &overlay.what else {
        return Err(Error::new(Kind::Internal, "the root's mount is no file system"));
    };
    let root = mount::new_filesystem(fstype, source, parameters, 0, &Later::default())?;
    if !overlay.attr.is_empty() {
        mount::set_attr(root.as_fd(), &overlay.attr, Reach::One)?;
    }
    Ok(root)
}

/// A runtime that was started in a chroot has a root that is not its mount namespace's. pivot_root would leave
/// that one in place, and whoever enters the namespace later (`exec`) would stand in the host's root. So the
/// real root is found here, cut off from the host, and left again until the container's takes its place.
fn leave_chroot(init: &Init<'_>) -> Result<bool> {
    let chroot = path::open(Path::new("/"), OFlags::PATH | OFlags::DIRECTORY)?;
    init.task.proc()?.enter_own_mounts()?;
    if path::is_same_mount(&chroot, CWD)? {
        return Ok(false);
    }
    let slave = Attr { propagation: libc::MS_SLAVE, ..Attr::default() };
    mount::set_attr_at(CWD, c"/", &slave, Reach::Tree)?;
    rustix::process::fchdir(&chroot).while_doing(|| "go back to the chroot")?;
    rustix::process::chroot(c".").while_doing(|| "go back to the chroot")?;
    Ok(true)
}

/// Makes the mount that the root file system lies in private, so that what is mounted on it stays here
/// (and pivot_root works), even where the rest shall stay shared. A root that shall be a slave stays one.
fn isolate(source: &Path, wanted: Attr) -> Result<()> {
    let propagation = if wanted.propagation == libc::MS_SLAVE { libc::MS_SLAVE } else { libc::MS_PRIVATE };
    let private = Attr { propagation, ..Attr::default() };
    for above in source.ancestors() {
        match mount::set_attr_at(CWD, &c_path(above)?, &private, Reach::One) {
            // not the root of a mount: look further up
            Err(error) if error.is_errno(Errno::INVAL) => {}
            result => return result.while_doing(|| format!("make {} private", above.display())),
        }
    }
    Ok(())
}

/// Makes it the root of this mount namespace.
pub(super) fn enter(init: &mut Init<'_>) -> Result<()> {
    let root = init.root()?;
    if init.chrooted {
        init.task.proc()?.enter_own_mounts()?;
    }
    match init.switch {
        _ if !init.plan.namespaces.has(libc::CLONE_NEWNS) => return change_root(root),
        Switch::Pivot => mount::pivot_root(root)?,
        Switch::Move => move_root(init)?,
    }
    // The words of rootfsPropagation are for the container's own root; slave is what it was made with.
    let (attr, reach) = init.plan.rootfs.propagation;
    if attr.propagation == libc::MS_SLAVE {
        return Ok(());
    }
    mount::set_attr_at(CWD, c"/", &attr, reach)
}

/// Without pivot_root the host's mounts stay below; all that can be unmounted is, first.
fn move_root(init: &Init<'_>) -> Result<()> {
    let root = init.root()?;
    for host in ["/proc", "/sys"] {
        // Busy or not a mount: hidden by the move all the same.
        mount::detach(&c_path(Path::new(host))?).ok();
    }
    rustix::process::fchdir(root).while_doing(|| "enter the new root")?;
    mount::attach_at_root(root.as_fd())?;
    change_root(root)
}

/// chroot(2), which leaves the mount namespace as it is.
pub(super) fn change_root(root: impl AsFd) -> Result<()> {
    rustix::process::fchdir(root).while_doing(|| "enter the new root")?;
    rustix::process::chroot(c".").while_doing(|| "chroot")?;
    rustix::process::chdir(c"/").while_doing(|| "enter /")
}

/// `root.readonly`: the mount, not the file system that it shows.
pub(super) fn make_readonly(init: &mut Init<'_>) -> Result<()> {
    match init.plan.rootfs.readonly {
        true => mount::set_attr_at(CWD, c"/", &mounts::READONLY, Reach::One),
        false => Ok(()),
    }
}

/// A path for the kernel.
pub(crate) fn c_path(path: &Path) -> Result<std::ffi::CString> {
    use std::os::unix::ffi::OsStrExt;
    std::ffi::CString::new(path.as_os_str().as_bytes())
        .map_err(|_| Error::invalid(format!("the path {} has a NUL character", path.display())))
}
