//! Device nodes and the symlinks of /dev.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, makedev};
use rustix::io::Errno;

use super::Init;
use super::rootfs::c_path;
use crate::abi::Reach;
use crate::error::{Error, Kind as ErrorKind, Result, WhileDoing};
use crate::plan::devices::{Device, Kind, SYMLINKS};
use crate::plan::mounts::What;
use crate::sys::mount;
use crate::sys::path::{self, Make};

/// Makes all nodes and links, unless the container's /dev is the host's, which is not ours to fill.
pub(super) fn make_all(init: &mut Init<'_>) -> Result<()> {
    if is_dev_bound(init) {
        return Ok(());
    }
    let root = init.root()?;
    let dev = path::open_or_make(root, Path::new("/dev"), Make::Dir)?;
    // Modes are meant as they are written.
    let umask = rustix::process::umask(Mode::empty());
    let made = init.plan.devices.iter().try_for_each(|device| {
        make(root, &dev, device).while_doing(|| format!("make {}", device.path.display()))
    });
    rustix::process::umask(umask);
    made?;
    SYMLINKS.iter().try_for_each(|(name, target)| link(&dev, name, target))
}

fn is_dev_bound(init: &Init<'_>) -> bool {
    init.plan
        .mounts
        .iter()
        .rev()
        .find(|mount| mount.destination == Path::new("/dev"))
        .is_some_and(|mount| matches!(mount.what, What::Bind { .. }))
}

fn make(root: &OwnedFd, dev: &OwnedFd, device: &Device) -> Result<()> {
    let opened;
    let (parent, name) = match (device.path.parent(), device.path.file_name()) {
        (Some(parent), Some(name)) if parent == Path::new("/dev") => (dev, name),
        _ => {
            let (parent, name) = path::open_parent(root, &device.path)?;
            opened = parent;
            (&opened, name)
        }
    };
    let kind = match device.kind {
        Kind::Char => FileType::CharacterDevice,
        Kind::Block => FileType::BlockDevice,
        Kind::Fifo => FileType::Fifo,
    };
    let number = makedev(device.major, device.minor);
    match rustix::fs::mknodat(parent, name, kind, Mode::from_raw_mode(device.mode), number) {
        Ok(()) if device.owner == (0, 0) => Ok(()),
        Ok(()) => own(parent, name, device),
        Err(Errno::EXIST) => check_same(parent, name, kind, number),
        // Without the right to make nodes (a user namespace) the host's node is shown.
        Err(Errno::PERM) => bind(parent, name, device),
        Err(errno) => Err(errno).while_doing(|| "mknod"),
    }
}

fn own(parent: &OwnedFd, name: &std::ffi::OsStr, device: &Device) -> Result<()> {
    let (uid, gid) = device.owner;
    let (uid, gid) = (rustix::fs::Uid::from_raw(uid), rustix::fs::Gid::from_raw(gid));
    rustix::fs::chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW).while_doing(|| "chown")
}

/// A node that the image brought, or an earlier run left, must be the same device.
fn check_same(parent: &OwnedFd, name: &std::ffi::OsStr, kind: FileType, number: u64) -> Result<()> {
    let stat = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)
        .while_doing(|| "look at what is there")?;
    let same =
        FileType::from_raw_mode(stat.st_mode) == kind && (kind == FileType::Fifo || stat.st_rdev == number);
    match same {
        true => Ok(()),
        false => Err(Error::new(ErrorKind::Exists, "something else is there already")),
    }
}

fn bind(parent: &OwnedFd, name: &std::ffi::OsStr, device: &Device) -> Result<()> {
    let node = mount::clone_tree(CWD, &c_path(&device.path)?, Reach::One)?;
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::from_raw_mode(0o644))
        .map(drop)
        .while_doing(|| "make a file for the host's node")?;
    let place =
        rustix::fs::openat(parent, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
            .while_doing(|| "open the file for the host's node")?;
    mount::attach(node.as_fd(), place.as_fd())
}

/// What stands at the link's place is replaced (an image may bring a node /dev/ptmx), but not a directory.
fn link(dev: &OwnedFd, name: &str, target: &str) -> Result<()> {
    let act = || format!("make the link /dev/{name}");
    match rustix::fs::symlinkat(target, dev, name) {
        Err(Errno::EXIST) => rustix::fs::unlinkat(dev, name, AtFlags::empty())
            .and_then(|()| rustix::fs::symlinkat(target, dev, name))
            .while_doing(act),
        result => result.while_doing(act),
    }
}
