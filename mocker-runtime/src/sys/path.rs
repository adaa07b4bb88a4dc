//! Paths below a root that is not trusted: every look-up by openat2 (Linux 5.6) with RESOLVE_IN_ROOT, so
//! that neither `..` nor a symlink leads out, and no magic link is followed.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags, StatxFlags, openat2};
use rustix::io::Errno;

use crate::error::{Error, Result, WhileDoing};

/// How many symlinks one look-up that creates may follow, as the kernel's own limit.
const LINKS: usize = 40;

/// What a path must become when it is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Make {
    /// A directory, mode 0755
    Dir,
    /// An empty file, mode 0644
    File,
}

/// Opens a path of the host.
pub(crate) fn open(path: &Path, flags: OFlags) -> Result<OwnedFd> {
    rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty())
        .while_doing(|| format!("open {}", path.display()))
}

/// Opens `path` as if `root` were "/".
pub(crate) fn open_in_root(
    root: impl AsFd,
    path: &Path,
    flags: OFlags,
) -> std::result::Result<OwnedFd, Errno> {
    resolve(root.as_fd(), path, flags, ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS)
}

/// Opens an absolute path below this process's own root, by names and links alone.
pub(crate) fn open_inside(path: &Path, flags: OFlags) -> std::result::Result<OwnedFd, Errno> {
    resolve(CWD, path, flags, ResolveFlags::NO_MAGICLINKS)
}

/// The same as [`open_in_root`], but refuses a path with a symlink in any place.
pub(crate) fn open_without_symlinks(
    root: impl AsFd,
    path: &Path,
    flags: OFlags,
) -> std::result::Result<OwnedFd, Errno> {
    resolve(root.as_fd(), path, flags, ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS)
}

/// openat2, again when a rename elsewhere made the kernel give up.
fn resolve(
    root: BorrowedFd<'_>,
    path: &Path,
    flags: OFlags,
    how: ResolveFlags,
) -> std::result::Result<OwnedFd, Errno> {
    let path = if path.as_os_str().is_empty() { Path::new("/") } else { path };
    let mut tries = 0;
    loop {
        match openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), how) {
            Err(Errno::AGAIN | Errno::INTR) if tries < 32 => tries += 1,
            result => return result,
        }
    }
}

/// Opens (O_PATH) what `path` means below `root`, making what is missing; a dangling symlink's target is made.
pub(crate) fn open_or_make(root: impl AsFd, path: &Path, make: Make) -> Result<OwnedFd> {
    match open_in_root(&root, path, OFlags::PATH) {
        Err(Errno::NOENT) => match make_last(root.as_fd(), path, make) {
            Some(made) => Ok(made),
            None => make_path(root.as_fd(), path, make),
        },
        result => result.map_err(Error::from),
    }
    .while_doing(|| format!("open {} in the root file system", path.display()))
}

/// Where only the last component is missing, and nothing else has taken its name: None if it is otherwise.
fn make_last(root: BorrowedFd<'_>, path: &Path, make: Make) -> Option<OwnedFd> {
    let (parent, name) = (path.parent()?, path.file_name()?);
    let parent = open_in_root(root, parent, OFlags::PATH).ok()?;
    // A dangling link has the name already.
    match make {
        Make::Dir => rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(0o755)).ok()?,
        Make::File => make_file(&parent, name).ok()?,
    }
    rustix::fs::openat(&parent, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()).ok()
}

/// The slow half of [`open_or_make`]: one component after the other.
fn make_path(root: BorrowedFd<'_>, path: &Path, make: Make) -> Result<OwnedFd> {
    let mut todo = names(path);
    let mut done = PathBuf::from("/");
    let mut links = 0;
    let mut here = open_in_root(root, &done, OFlags::PATH)?;
    while let Some(name) = todo.pop() {
        let next = done.join(&name);
        match open_in_root(root, &next, OFlags::PATH) {
            Ok(fd) => (here, done) = (fd, next),
            Err(Errno::NOENT) => match rustix::fs::readlinkat(&here, name.as_os_str(), Vec::new()) {
                Ok(target) => {
                    links += 1;
                    if links > LINKS {
                        return Err(Errno::LOOP.into());
                    }
                    let target = Path::new(OsStr::from_bytes(target.as_bytes())).to_owned();
                    todo.extend(names(&target));
                    if target.is_absolute() {
                        done = PathBuf::from("/");
                        here = open_in_root(root, &done, OFlags::PATH)?;
                    }
                }
                Err(_) => {
                    make_one(&here, &name, if todo.is_empty() { make } else { Make::Dir })?;
                    here = open_in_root(root, &next, OFlags::PATH)?;
                    done = next;
                }
            },
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(here)
}

/// The path's components, last first, `..` kept as it is.
fn names(path: &Path) -> Vec<PathBuf> {
    path.components()
        .rev()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(PathBuf::from(name)),
            Component::ParentDir => Some(PathBuf::from("..")),
            _ => None,
        })
        .collect()
}

/// Makes one directory or file; somebody else having made it meanwhile is fine.
pub(crate) fn make_one(parent: &OwnedFd, name: &Path, make: Make) -> Result<()> {
    let made = match make {
        Make::Dir => rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o755)),
        Make::File => make_file(parent, name.as_os_str()),
    };
    match made {
        Err(Errno::EXIST) | Ok(()) => Ok(()),
        Err(errno) => Err(errno).while_doing(|| format!("make {}", name.display())),
    }
}

fn make_file(parent: &OwnedFd, name: &OsStr) -> std::result::Result<(), Errno> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::from_raw_mode(0o644)).map(drop)
}

/// Opens the parent directory of `path` below `root`, making it, and gives the last name.
pub(crate) fn open_parent(root: impl AsFd, path: &Path) -> Result<(OwnedFd, &OsStr)> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Error::invalid(format!("{} has no parent directory", path.display())));
    };
    Ok((open_or_make(root, parent, Make::Dir)?, name))
}

/// True if an open path and a directory are on the same mount, at the same place.
pub(crate) fn is_same_mount(a: impl AsFd, b: impl AsFd) -> Result<bool> {
    let look = |fd: BorrowedFd<'_>| {
        let wanted = StatxFlags::MNT_ID | StatxFlags::INO;
        rustix::fs::statx(fd, c"", AtFlags::EMPTY_PATH, wanted).while_doing(|| "statx")
    };
    let (a, b) = (look(a.as_fd())?, look(b.as_fd())?);
    Ok((a.stx_mnt_id, a.stx_ino) == (b.stx_mnt_id, b.stx_ino))
}

/// True if an open path is a directory.
pub(crate) fn is_dir(fd: impl AsFd) -> Result<bool> {
    let stat = rustix::fs::fstat(fd).while_doing(|| "fstat")?;
    Ok(rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> (tempfile::TempDir, OwnedFd) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let fd = open(dir.path(), OFlags::PATH).expect("opens");
        (dir, fd)
    }

    #[test]
    fn a_symlink_that_climbs_ends_at_the_root() {
        let (dir, fd) = root();
        std::os::unix::fs::symlink("../../../../etc", dir.path().join("out")).expect("symlink");
        open_or_make(&fd, Path::new("/out/made"), Make::Dir).expect("opens");
        assert!(dir.path().join("etc/made").is_dir(), "the link led out, or nowhere");
    }

    #[test]
    fn a_dangling_absolute_symlink_gets_its_target_made_inside() {
        let (dir, fd) = root();
        std::os::unix::fs::symlink("/run/stub/resolv.conf", dir.path().join("resolv.conf")).expect("symlink");
        open_or_make(&fd, Path::new("resolv.conf"), Make::File).expect("opens");
        assert!(dir.path().join("run/stub/resolv.conf").is_file());
    }

    #[test]
    fn a_loop_of_symlinks_is_an_error() {
        let (dir, fd) = root();
        std::os::unix::fs::symlink("b", dir.path().join("a")).expect("symlink");
        std::os::unix::fs::symlink("a", dir.path().join("b")).expect("symlink");
        assert!(open_or_make(&fd, Path::new("a/x"), Make::Dir).is_err());
    }
}
