//! This program's own file, out of the container's reach (CVE-2019-5736).
//!
//! Until its last execve, init is a process of this program inside the container, and an image whose program
//! is `/proc/self/exe`, as a link or behind `#!`, becomes it again. Whoever then opens /proc/PID/exe and waits
//! holds the host's file, and may write to it if it is root there. So what enters a container runs from a
//! read-only mount of the file that is in no mount namespace, where nobody can make it writable again. It
//! costs one execve, and only commands that enter a container pay it.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;

use rustix::fs::{Access, CWD, MemfdFlags, OFlags, SealFlags, StatVfsMountFlags};
use rustix::io::Errno;

use crate::abi::Reach;
use crate::error::{Error, Result, WhileDoing};
use crate::plan::mounts::READONLY;
use crate::sys::{exec, mount, path};

const OWN: &str = "/proc/self/exe";

/// Goes on from a file that the container cannot write to; returns if that is so already.
pub(crate) fn ensure() -> Result<()> {
    let flags = rustix::fs::statvfs(OWN).while_doing(|| format!("statfs {OWN}"))?.f_flag;
    if flags.contains(StatVfsMountFlags::RDONLY) {
        return Ok(());
    }
    let file = match mount::clone_tree(CWD, c"/proc/self/exe", Reach::One) {
        Ok(tree) => {
            mount::set_attr(tree.as_fd(), &READONLY, Reach::One)?;
            tree
        }
        // An ordinary user may not, and need not where the file is somebody else's.
        Err(error) if error.is_errno(Errno::PERM) => match rustix::fs::access(OWN, Access::WRITE_OK) {
            Ok(()) | Err(Errno::TXTBSY) => match copy()? {
                Some(copy) => copy,
                None => return Ok(()),
            },
            Err(_) => return Ok(()),
        },
        Err(error) => return Err(error).while_doing(|| "keep this program's file from the container"),
    };
    let words = std::env::args_os()
        .map(|word| CString::new(word.into_vec()))
        .collect::<std::result::Result<Vec<_>, _>>();
    let env = std::env::vars_os().filter_map(|(name, value)| {
        let mut entry = name.into_vec();
        entry.push(b'=');
        entry.extend(value.into_vec());
        CString::new(entry).ok()
    });
    let words = words.map_err(|_| Error::invalid("an argument has a NUL character"))?;
    let errno = exec::execveat(file.as_fd(), &words, &env.collect::<Vec<_>>());
    Err(errno).while_doing(|| "run this program from a file that the container cannot write to")
}

/// A copy in memory that nobody can change, for a user whose own file this is; None if this is the copy.
fn copy() -> Result<Option<OwnedFd>> {
    let act = || "copy this program";
    let from = path::open(OWN.as_ref(), OFlags::RDONLY)?;
    if rustix::fs::fcntl_get_seals(&from).is_ok_and(|seals| seals.contains(SealFlags::WRITE)) {
        return Ok(None);
    }
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let to = rustix::fs::memfd_create(c"mocker-runtime", flags).while_doing(act)?;
    let (mut from, mut to) = (std::fs::File::from(from), std::fs::File::from(to));
    std::io::copy(&mut from, &mut to).while_doing(act)?;
    let all = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    rustix::fs::fcntl_add_seals(&to, all).while_doing(act)?;
    Ok(Some(to.into()))
}
