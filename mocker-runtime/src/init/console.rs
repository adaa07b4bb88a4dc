//! The container's terminal.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};

use super::Init;
use super::task::Task;
use crate::abi::Reach;
use crate::error::{Error, Kind, Result, WhileDoing};
use crate::sys::mount;
use crate::sys::path::{self, Make};
use crate::sys::{fd, tty};

/// The terminal becomes /dev/console too.
pub(super) fn set_up(init: &mut Init<'_>) -> Result<()> {
    let root = init
        .root
        .take()
        .ok_or_else(|| Error::new(Kind::Internal, "the root file system is not there yet"))?;
    let slave = init.task.open_terminal(&root)?;
    if let Some(slave) = &slave {
        bind_console(&root, slave).while_doing(|| "bind the terminal to /dev/console")?;
        tty::become_console(slave)?;
    }
    init.root = Some(root);
    Ok(())
}

impl Task<'_> {
    /// Opens a terminal in the container's devpts and sends its master away; None if none is wanted.
    pub(super) fn open_terminal(&mut self, root: impl AsFd) -> Result<Option<OwnedFd>> {
        let Some(terminal) = self.process.terminal else { return Ok(None) };
        let pty = tty::open_pty(root)?;
        tty::clear_onlcr(&pty.slave)?;
        if (terminal.rows, terminal.columns) != (0, 0) {
            tty::resize(&pty.slave, terminal.rows, terminal.columns)?;
        }
        let console = self
            .console
            .take()
            .ok_or_else(|| Error::new(Kind::Internal, "there is nobody to send the terminal to"))?;
        // A message cannot be empty; runc puts a name there, too.
        fd::send_fd(console.as_fd(), b"/dev/ptmx", pty.master.as_fd())
            .while_doing(|| "hand over the terminal")?;
        Ok(Some(pty.slave))
    }
}

/// A planted symlink or device at /dev/console is never opened for more than its path (CVE-2025-52565).
fn bind_console(root: &OwnedFd, slave: &OwnedFd) -> Result<()> {
    let dev = path::open_or_make(root, Path::new("/dev"), Make::Dir)?;
    let create = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(&dev, c"console", create, Mode::from_raw_mode(0o620)) {
        Ok(_) | Err(rustix::io::Errno::EXIST) => {}
        Err(errno) => return Err(errno).while_doing(|| "make /dev/console"),
    }
    let place = rustix::fs::openat(
        &dev,
        c"console",
        OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .while_doing(|| "open /dev/console")?;
    let stat = rustix::fs::fstat(&place).while_doing(|| "stat /dev/console")?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink {
        return Err(Error::invalid("/dev/console is a symbolic link in the root file system"));
    }
    let console = mount::clone_tree(slave.as_fd(), c"", Reach::One)?;
    mount::attach(console.as_fd(), place.as_fd())
}
