//! The mount interface on file descriptors (Linux 5.2; mount_setattr 5.12): a mount is made detached,
//! gets its attributes, and only then appears at a directory that was opened before.
#![expect(unsafe_code, reason = "mount_setattr has no safe wrapper")]

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, FsPickFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags,
    fsconfig_create, fsconfig_reconfigure, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, fspick,
    move_mount, open_tree, unmount,
};

use super::check;
use super::fd::Later;
use crate::abi::{Attr, Parameter, Reach};
use crate::error::{Error, Kind, Result, WhileDoing};

/// The newest call that no container can do without: where it is, all the others are.
pub(crate) fn check_kernel() -> Result<()> {
    // SAFETY: without a structure there is nothing to read, which a kernel that has the call refuses.
    let result = check(unsafe { libc::syscall(libc::SYS_mount_setattr, -1, c"".as_ptr(), 0, 0, 0) });
    match result {
        Err(Errno::NOSYS) => Err(Error::unsupported(
            "mount_setattr: Function not implemented: Linux 5.12 is the oldest that will do",
        )),
        _ => Ok(()),
    }
}

/// Changes the attributes of the mount that `mount` is the root of.
pub(crate) fn set_attr(mount: BorrowedFd<'_>, attr: &Attr, reach: Reach) -> Result<()> {
    set_attr_at(mount, c"", attr, reach)
}

/// Changes the attributes of the mount at a path.
pub(crate) fn set_attr_at(dir: BorrowedFd<'_>, path: &CStr, attr: &Attr, reach: Reach) -> Result<()> {
    let recursive = if reach == Reach::Tree { libc::AT_RECURSIVE } else { 0 };
    let flags = if path.is_empty() { libc::AT_EMPTY_PATH | recursive } else { recursive };
    // SAFETY: the path is a C string and `attr` a whole mount_attr whose length is given; the kernel
    // reads both during the call only.
    let result = check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            dir.as_raw_fd(),
            path.as_ptr(),
            flags,
            std::ptr::from_ref(attr),
            size_of::<Attr>(),
        )
    });
    result.map(drop).while_doing(|| {
        let Attr { set, clear, propagation, .. } = attr;
        format!("set mount attributes (set {set:#x}, clear {clear:#x}, propagation {propagation:#x})")
    })
}

/// A detached copy of the mount at `path`, with the mounts below it if `reach` says so.
pub(crate) fn clone_tree(dir: BorrowedFd<'_>, path: &CStr, reach: Reach) -> Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if reach == Reach::Tree {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    if path.is_empty() {
        flags |= OpenTreeFlags::AT_EMPTY_PATH;
    }
    open_tree(dir, path, flags).while_doing(|| format!("open_tree {path:?}"))
}

/// A detached copy of what is open and of the mounts below it, with other attributes: one call since Linux 6.15.
pub(crate) fn clone_with(place: BorrowedFd<'_>, attr: &Attr) -> Result<OwnedFd> {
    /// `open_tree_attr` has this number everywhere.
    const OPEN_TREE_ATTR: libc::c_long = 467;
    let flags = 1 | libc::O_CLOEXEC | libc::AT_EMPTY_PATH | libc::AT_RECURSIVE; // OPEN_TREE_CLONE
    let (number, path) = (place.as_raw_fd(), c"".as_ptr());
    // SAFETY: the path is a C string and `attr` a whole mount_attr whose length is given; the kernel reads both during
    // the call only.
    let answer = unsafe {
        libc::syscall(OPEN_TREE_ATTR, number, path, flags, std::ptr::from_ref(attr), size_of::<Attr>())
    };
    match check(answer) {
        // SAFETY: the kernel has just made it, and nobody else knows of it.
        Ok(tree) => Ok(unsafe { OwnedFd::from_raw_fd(tree as i32) }),
        // An older kernel has not got it, and what goes wrong otherwise goes wrong again.
        Err(_) => {
            let tree = clone_tree(place, c"", Reach::Tree)?;
            set_attr(tree.as_fd(), attr, Reach::Tree)?;
            Ok(tree)
        }
    }
}

/// The same, but a symbolic link at the end of the path is shown itself.
pub(crate) fn clone_tree_of_link(dir: BorrowedFd<'_>, path: &CStr, reach: Reach) -> Result<OwnedFd> {
    let link = rustix::fs::openat(
        dir,
        path,
        rustix::fs::OFlags::PATH | rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    )
    .while_doing(|| format!("open {path:?}"))?;
    clone_tree(link.as_fd(), c"", reach)
}

/// The number of the mount that a path was opened on, which no other mount ever gets (Linux 6.8); on older
/// kernels one that may be given again when the mount is gone.
pub(crate) fn number(at: BorrowedFd<'_>) -> Result<u64> {
    use rustix::fs::{AtFlags, StatxFlags};
    /// `STATX_MNT_ID_UNIQUE` of linux/stat.h
    const UNIQUE: StatxFlags = StatxFlags::from_bits_retain(0x4000);
    let wanted = StatxFlags::MNT_ID | UNIQUE;
    rustix::fs::statx(at, c"", AtFlags::EMPTY_PATH, wanted)
        .map(|stat| stat.stx_mnt_id)
        .while_doing(|| "statx")
}

/// Changes parameters of the file system that a mount shows (fspick(2)).
pub(crate) fn reconfigure(at: BorrowedFd<'_>, parameters: &[Parameter]) -> Result<()> {
    let flags = FsPickFlags::FSPICK_CLOEXEC | FsPickFlags::FSPICK_EMPTY_PATH;
    let context = fspick(at, c"", flags).while_doing(|| "fspick")?;
    set_parameters(&context, "the file system", parameters)?;
    said(&context, fsconfig_reconfigure(&context)).while_doing(|| "reconfigure the file system")
}

/// A new file system, mounted nowhere yet, with `MOUNT_ATTR_*`. Says in the file system's own words what it dislikes.
pub(crate) fn new_filesystem(
    fstype: &str,
    source: &str,
    parameters: &[Parameter],
    attributes: u64,
    later: &Later,
) -> Result<OwnedFd> {
    let context = fsopen(fstype, FsOpenFlags::FSOPEN_CLOEXEC)
        .map_err(|errno| match errno {
            Errno::NODEV => {
                Error::new(Kind::Unsupported, format!("this kernel has no file system {fstype:?}"))
            }
            errno => errno.into(),
        })
        .while_doing(|| format!("fsopen {fstype}"))?;
    if !source.is_empty() {
        said(&context, fsconfig_set_string(&context, "source", source))
            .while_doing(|| format!("set the source of {fstype} to {source:?}"))?;
    }
    set_parameters(&context, fstype, parameters)?;
    said(&context, fsconfig_create(&context)).while_doing(|| format!("create a {fstype}"))?;
    let attributes = MountAttrFlags::from_bits_retain(attributes as u32);
    let tree = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes);
    later.close(context);
    tree.while_doing(|| format!("fsmount {fstype}"))
}

fn set_parameters(context: &OwnedFd, fstype: &str, parameters: &[Parameter]) -> Result<()> {
    parameters.iter().try_for_each(|(key, value)| match value {
        None => said(context, fsconfig_set_flag(context, key.as_str()))
            .while_doing(|| format!("set option {key:?} of {fstype}")),
        Some(value) => said(context, fsconfig_set_string(context, key.as_str(), value.as_str()))
            .while_doing(|| format!("set option {:?} of {fstype}", format!("{key}={value}"))),
    })
}

/// Adds what the file system wrote into its context's log (lines like `e tmpfs: Bad value for 'size'`).
fn said(context: &OwnedFd, result: rustix::io::Result<()>) -> Result<()> {
    let Err(errno) = result else { return Ok(()) };
    let mut line = [0_u8; 512];
    match rustix::io::read(context, &mut line) {
        Ok(n) if n > 2 => {
            let words = String::from_utf8_lossy(line.get(2..n).unwrap_or_default()).trim_end().to_owned();
            Err(Error::from(errno)).while_doing(|| words)
        }
        _ => Err(errno.into()),
    }
}

/// Lets a detached mount appear at a directory or file that is open.
pub(crate) fn attach(mount: BorrowedFd<'_>, at: BorrowedFd<'_>) -> Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount, c"", at, c"", flags).while_doing(|| "move_mount")
}

/// Moves the mount that `mount` is the root of onto "/", for a root that cannot be pivoted.
pub(crate) fn attach_at_root(mount: BorrowedFd<'_>) -> Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    move_mount(mount, c"", rustix::fs::CWD, c"/", flags).while_doing(|| "move_mount to /")
}

/// Takes away the mount at `path` and all below it; busy ones disappear when their users do.
pub(crate) fn detach(path: &CStr) -> Result<()> {
    unmount(path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW).while_doing(|| format!("umount {path:?}"))
}

/// Makes the open directory `new` the root and takes the old one away (pivot_root(2), "pivot_root(".", ".")").
pub(crate) fn pivot_root(new: impl AsFd) -> Result<()> {
    rustix::process::fchdir(new).while_doing(|| "enter the new root")?;
    rustix::process::pivot_root(c".", c".").while_doing(|| "pivot_root")?;
    // The old root now lies over the new one, and "." is the old one.
    unmount(c".", UnmountFlags::DETACH).while_doing(|| "umount the old root")?;
    rustix::process::chdir(c"/").while_doing(|| "enter /")
}
