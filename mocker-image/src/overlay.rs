//! Overlay file systems: the layers of the store below, what a container changes above.
//!
//! ```text
//! merged    what a container sees; nobody else needs it mounted, so here it is a descriptor
//!   upper   the bundle's: changes only
//!   lower   ROOT/layers/<chain>/fs of the topmost layer
//!   ...     down to the lowest
//! ```
//!
//! A mount that no path leads to is gone with its last descriptor, whatever ends this program.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, UnmountFlags, fsconfig_create,
    fsconfig_set_string, fsmount, fsopen, move_mount, unmount,
};

use crate::error::{Context, Error, Kind, Result};

/// The number of overlay file systems (statfs(2)).
const OVERLAYFS: rustix::fs::FsWord = 0x794c_7630;
/// The most bytes of one value (fsconfig(2)).
pub const LONGEST: usize = 255;

/// The options of an overlay, one `lowerdir+` for each layer (Linux 6.7), the topmost first.
pub fn options(lower: &[PathBuf], upper: &Path, work: &Path) -> Vec<(String, String)> {
    let mut options: Vec<_> =
        lower.iter().rev().map(|path| ("lowerdir+".to_owned(), path.display().to_string())).collect();
    options.push(("upperdir".to_owned(), upper.display().to_string()));
    options.push(("workdir".to_owned(), work.display().to_string()));
    options
}

/// Mounts an overlay where no path leads to; `lower` from the lowest up, `upper` with its work directory.
pub fn mount(lower: &[PathBuf], upper: Option<(&Path, &Path)>) -> Result<OwnedFd> {
    let (top, work) = upper.unwrap_or((Path::new(""), Path::new("")));
    let mut held = Vec::new();
    let long = |path: &Path| path.as_os_str().len() > LONGEST;
    // Before Linux 6.7 all layers are one value.
    let many = lower.iter().map(|path| path.as_os_str().len() + 1).sum::<usize>() > LONGEST;
    let mut options = match many || long(top) || long(work) {
        false => options(lower, top, work),
        true => {
            let short = lower.iter().map(|path| shorter(path, &mut held)).collect::<Result<Vec<_>>>()?;
            let of_upper = |path: &Path, held: &mut Vec<OwnedFd>| match upper {
                Some(_) => shorter(path, held),
                None => Ok(PathBuf::new()),
            };
            options(&short, &of_upper(top, &mut held)?, &of_upper(work, &mut held)?)
        }
    };
    if upper.is_none() {
        options.truncate(lower.len());
    }
    let made = make(&options).or_else(|e| match e {
        Errno::INVAL => make(&joined(&options).ok_or(Errno::TOOBIG)?),
        e => Err(e),
    });
    made.map_err(|e| match e {
        Errno::PERM => {
            Error::new(Kind::Unsupported, "mount an overlay: only root may do that").hint("use --copy")
        }
        Errno::NODEV => {
            Error::new(Kind::Unsupported, "the kernel has no overlay file systems").hint("use --copy")
        }
        Errno::TOOBIG => {
            let what =
                format!("mount an overlay of {} layers: the kernel takes so many since 6.7", lower.len());
            Error::new(Kind::Unsupported, what).hint("use --copy")
        }
        e => Error::from(e).step(format!("mount an overlay of {} layers", lower.len())),
    })
}

/// Another name for a directory, as long as it is held open: a value of an option has no room for more.
fn shorter(path: &Path, held: &mut Vec<OwnedFd>) -> Result<PathBuf> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(rustix::fs::CWD, path, flags, Mode::empty());
    let fd = fd.while_doing(|| format!("open {}", path.display()))?;
    let name = path_of(&fd);
    held.push(fd);
    Ok(name)
}

/// Whether the paths of a store's layers are short enough for a runtime's options.
pub fn fits(root: &Path) -> Result<bool> {
    let full = std::path::absolute(root).while_doing(|| format!("find {}", root.display()))?;
    Ok(full.join("layers").as_os_str().len() + "/".len() + 64 + "/fs".len() <= LONGEST)
}

/// Whether an overlay can be made of what is at a path, or will be: not where that is an overlay itself.
pub fn may_lie_on(path: &Path) -> Result<bool> {
    if fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).is_err() {
        return Ok(false);
    }
    for above in path.ancestors() {
        let above = if above == Path::new("") { Path::new(".") } else { above };
        match rustix::fs::statfs(above) {
            Err(Errno::NOENT) => {}
            other => {
                let kind = other.while_doing(|| format!("look at {}", above.display()))?.f_type;
                return Ok(kind != OVERLAYFS);
            }
        }
    }
    Ok(false)
}

fn make(options: &[(String, String)]) -> rustix::io::Result<OwnedFd> {
    let fs = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, value) in options {
        fsconfig_set_string(&fs, key.as_str(), value.as_str())?;
    }
    fsconfig_create(&fs)?;
    fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
}

fn joined(options: &[(String, String)]) -> Option<Vec<(String, String)>> {
    let (lower, rest): (Vec<_>, Vec<_>) = options.iter().cloned().partition(|(key, _)| key == "lowerdir+");
    let paths: Vec<String> = lower.into_iter().map(|(_, path)| path).collect();
    let value = paths.join(":");
    (value.len() <= LONGEST && paths.iter().all(|path| !path.contains([':', '\\'])))
        .then(|| [vec![("lowerdir".to_owned(), value)], rest].concat())
}

/// A mount's root, for reading and writing: the mount's own descriptor is only a place.
pub fn open(mount: &OwnedFd) -> Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::openat(mount, ".", flags, Mode::empty());
    root.while_doing(|| "open the overlay")
}

/// Puts a mount on a directory, for all to see.
pub fn attach(mount: &OwnedFd, at: &Path) -> Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    let moved = move_mount(mount, "", rustix::fs::CWD, at, flags);
    moved.while_doing(|| format!("mount the overlay at {}", at.display()))
}

/// Takes mounts off a directory; none is no error.
pub fn detach(at: &Path) -> Result<()> {
    loop {
        match unmount(at, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            Ok(()) => {}
            Err(Errno::INVAL | Errno::NOENT) => return Ok(()),
            Err(e) => return Err(e).while_doing(|| format!("unmount {}", at.display())),
        }
    }
}

/// A path to what a descriptor is.
pub fn path_of(fd: &OwnedFd) -> PathBuf {
    format!("/proc/self/fd/{}", fd.as_raw_fd()).into()
}
