//! Standard streams that lead nowhere.

use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{FileType, OFlags, makedev};
use rustix::stdio::{stderr, stdin, stdout};

use super::Init;
use crate::error::{Result, WhileDoing};
use crate::sys::path;

/// A stream that is the host's null device becomes the container's, as under runc: nothing of the host's file
/// systems stays open in the container, and criu, which finds files by their mounts, can save it.
pub(super) fn reopen_null(init: &mut Init<'_>) -> Result<()> {
    let is_null = |fd: std::os::fd::BorrowedFd<'_>| {
        rustix::fs::fstat(fd).is_ok_and(|stat| {
            FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
                && stat.st_rdev == makedev(1, 3)
        })
    };
    let streams = [is_null(stdin()), is_null(stdout()), is_null(stderr())];
    if streams == [false; 3] {
        return Ok(());
    }
    // An image without a null device, or with something else in its place, keeps what it was given.
    let Ok(place) = path::open_without_symlinks(init.root()?, Path::new("/dev/null"), OFlags::PATH) else {
        return Ok(());
    };
    if !is_null(place.as_fd()) {
        return Ok(());
    }
    let act = || "reopen the null device";
    let null = init.task.proc()?.reopen(&place, OFlags::RDWR).while_doing(act)?;
    if streams[0] {
        rustix::stdio::dup2_stdin(&null).while_doing(act)?;
    }
    if streams[1] {
        rustix::stdio::dup2_stdout(&null).while_doing(act)?;
    }
    if streams[2] {
        rustix::stdio::dup2_stderr(&null).while_doing(act)?;
    }
    Ok(())
}
