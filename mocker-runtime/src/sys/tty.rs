//! Pseudo-terminals.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::termios::{OptionalActions, OutputModes, Termios, Winsize};

use crate::error::{Error, Result, WhileDoing};

/// `DEVPTS_SUPER_MAGIC` of linux/magic.h.
const DEVPTS_MAGIC: i64 = 0x1cd1;

/// Both ends of a new pseudo-terminal.
#[derive(Debug)]
pub(crate) struct Pty {
    /// The end that whoever types and reads holds
    pub(crate) master: OwnedFd,
    /// The end that the container's process holds
    pub(crate) slave: OwnedFd,
}

/// Opens a pseudo-terminal of the devpts that lies at `/dev/pts` below the open root directory.
///
/// The slave is opened through the master (TIOCGPTPEER, Linux 4.13), so no path can be put in between.
pub(crate) fn open_pty(root: impl AsFd) -> Result<Pty> {
    let master = super::path::open_without_symlinks(
        root,
        std::path::Path::new("dev/pts/ptmx"),
        OFlags::RDWR | OFlags::NOCTTY,
    )
    .while_doing(|| "open /dev/pts/ptmx")?;
    if rustix::fs::fstatfs(&master).while_doing(|| "statfs /dev/pts/ptmx")?.f_type as i64 != DEVPTS_MAGIC {
        return Err(Error::invalid("/dev/pts/ptmx is not of a devpts"));
    }
    rustix::pty::unlockpt(&master).while_doing(|| "unlock the terminal")?;
    let slave = rustix::pty::ioctl_tiocgptpeer(
        &master,
        rustix::pty::OpenptFlags::RDWR | rustix::pty::OpenptFlags::NOCTTY | rustix::pty::OpenptFlags::CLOEXEC,
    )
    .while_doing(|| "open the terminal's other end")?;
    Ok(Pty { master, slave })
}

/// Stops the terminal from turning `\n` into `\r\n` (ONLCR), as runc does: managers expect plain lines.
pub(crate) fn clear_onlcr(tty: impl AsFd) -> Result<()> {
    let mut settings = rustix::termios::tcgetattr(&tty).while_doing(|| "read the terminal's settings")?;
    settings.output_modes.remove(OutputModes::ONLCR);
    rustix::termios::tcsetattr(&tty, OptionalActions::Now, &settings)
        .while_doing(|| "set the terminal's settings")
}

/// Gives every key to the container; the settings from before come back.
pub(crate) fn make_raw(tty: impl AsFd) -> Result<Termios> {
    let before = rustix::termios::tcgetattr(&tty).while_doing(|| "read the terminal's settings")?;
    let mut raw = before.clone();
    raw.make_raw();
    // A second translation of line ends would be wrong: the container's terminal has made one or not.
    raw.output_modes.insert(OutputModes::OPOST | OutputModes::ONLCR);
    rustix::termios::tcsetattr(&tty, OptionalActions::Now, &raw).while_doing(|| "make the terminal raw")?;
    Ok(before)
}

/// Puts settings back.
pub(crate) fn restore(tty: impl AsFd, settings: &Termios) -> Result<()> {
    rustix::termios::tcsetattr(tty, OptionalActions::Now, settings)
        .while_doing(|| "restore the terminal's settings")
}

/// Sets the size in characters.
pub(crate) fn resize(tty: impl AsFd, rows: u16, columns: u16) -> Result<()> {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(tty, size)
        .while_doing(|| format!("set the terminal's size to {rows}x{columns}"))
}

/// Makes an open terminal the controlling one of this session and its standard streams.
pub(crate) fn become_console(slave: &OwnedFd) -> Result<()> {
    rustix::process::ioctl_tiocsctty(slave).while_doing(|| "make the terminal the controlling one")?;
    rustix::stdio::dup2_stdin(slave)
        .and_then(|()| rustix::stdio::dup2_stdout(slave))
        .and_then(|()| rustix::stdio::dup2_stderr(slave))
        .while_doing(|| "make the terminal the standard streams")
}

/// Opens the terminal that this process belongs to.
pub(crate) fn open_controlling() -> Result<OwnedFd> {
    rustix::fs::open(c"/dev/tty", OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())
        .while_doing(|| "open /dev/tty")
}
