//! The foreground: signals passed on, the terminal relayed, the end waited for.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::sys::signalfd::SignalFd;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::termios::Termios;

use super::create::Created;
use super::delete::Force;
use super::notify::Listener;
use crate::error::{Kind, Result, WhileDoing};
use crate::sys::clone::Child;
use crate::sys::{signal, tty};

/// All signals to this process, as data from the first moment on, so that none is lost.
#[derive(Debug)]
pub(crate) struct Signals(SignalFd);

impl Signals {
    pub(crate) fn catch() -> Result<Self> {
        signal::catch_all().map(Self)
    }
}

/// Orphans of the container become this process's children, and die with nobody else to reap them.
pub(crate) fn subreaper() -> Result<()> {
    // Whoever it is: the kernel asks for some number other than zero.
    rustix::process::set_child_subreaper(Some(rustix::process::Pid::INIT))
        .while_doing(|| "become a subreaper")
}

/// The caller's terminal, raw, and the container's.
#[derive(Debug)]
pub(crate) struct Console {
    host: OwnedFd,
    master: OwnedFd,
    before: Termios,
}

impl Console {
    pub(crate) fn new(host: OwnedFd, master: OwnedFd) -> Result<Self> {
        let before = tty::make_raw(&host)?;
        let console = Self { host, master, before };
        console.resize();
        Ok(console)
    }

    /// The container's terminal gets the size of the caller's; one that has none is left alone.
    fn resize(&self) {
        if let Ok(size) = rustix::termios::tcgetwinsize(&self.host) {
            tty::resize(&self.master, size.ws_row, size.ws_col).ok();
        }
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        // A terminal that is gone needs no settings.
        tty::restore(&self.host, &self.before).ok();
    }
}

/// Waits until the program has ended, deletes the container unless it is to be kept, and gives the exit
/// status: the program's own, or 128 and the signal that ended it.
pub(crate) fn until_end(
    created: Created,
    signals: Signals,
    console: Option<Console>,
    keep: bool,
) -> Result<u8> {
    let running = created.wait_running().and_then(|()| created.container.unlock());
    let end = match running {
        Ok(()) => {
            let listener = created.listener.as_ref();
            Foreground { child: &created.child, signals, console, listener }.relay()
        }
        Err(error) => Err(error),
    };
    let status = end.and_then(|()| signal::reap(created.child.pidfd.as_fd()));
    if status.is_err() {
        // Whatever went wrong, no container is left running behind the caller's back.
        created.container.kill_and_wait()?;
        signal::reap(created.child.pidfd.as_fd()).ok();
    }
    if !keep || status.is_err() {
        match created.container.delete(Force::Yes) {
            // A checkpoint, or somebody else, has deleted it already.
            Err(error) if error.kind() == Kind::NotFound => {}
            result => result?,
        }
    }
    status
}

/// Passes signals and the terminal's bytes on until a child has ended; its status is still to be taken.
pub(crate) fn relay(child: &Child, signals: Signals, console: Option<Console>) -> Result<()> {
    Foreground { child, signals, console, listener: None }.relay()
}

/// Bytes on their way from one end to another.
#[derive(Debug, Default)]
struct Pipe {
    bytes: Vec<u8>,
    closed: bool,
}

impl Pipe {
    /// Takes what is there to read. A terminal whose other end is gone gives EIO, which is an end like any.
    fn fill(&mut self, from: BorrowedFd<'_>) {
        let mut buffer = [0_u8; 8192];
        match rustix::io::read(from, &mut buffer) {
            Ok(n) if n > 0 => self.bytes.extend_from_slice(buffer.get(..n).unwrap_or_default()),
            Err(Errno::INTR | Errno::AGAIN) => {}
            _ => self.closed = true,
        }
    }

    /// Writes what can be written.
    fn drain(&mut self, to: BorrowedFd<'_>) {
        match rustix::io::write(to, &self.bytes) {
            Ok(n) => drop(self.bytes.drain(..n)),
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(_) => (self.closed, self.bytes) = (true, Vec::new()),
        }
    }
}

struct Foreground<'a> {
    child: &'a Child,
    signals: Signals,
    console: Option<Console>,
    /// Where the program says that it is ready
    listener: Option<&'a Listener>,
}

impl Foreground<'_> {
    /// Until init is gone and what it has written has been read.
    fn relay(mut self) -> Result<()> {
        let (mut typed, mut shown) = (Pipe::default(), Pipe::default());
        let mut gone = false;
        while !gone || (self.console.is_some() && !(shown.closed && shown.bytes.is_empty())) {
            let ready = self.wait(&typed, &shown, gone)?;
            gone |= ready.init;
            if ready.word && self.pass_word()? {
                self.listener = None;
            }
            if ready.signal {
                self.pass_on()?;
            }
            let Some(console) = &self.console else { continue };
            if ready.typed {
                typed.fill(console.host.as_fd());
            }
            if ready.writable {
                typed.drain(console.master.as_fd());
            }
            if ready.shown {
                shown.fill(console.master.as_fd());
            }
            if !shown.bytes.is_empty() {
                shown.drain(console.host.as_fd());
            }
            // Processes that init left behind may hold the terminal: what is there now is all that is waited for.
            if gone && !ready.shown {
                break;
            }
        }
        Ok(())
    }

    fn wait(&self, typed: &Pipe, shown: &Pipe, gone: bool) -> Result<Ready> {
        let pidfd = self.child.pidfd.as_fd();
        let mut fds =
            vec![PollFd::new(&self.signals.0, PollFlags::IN), PollFd::from_borrowed_fd(pidfd, PollFlags::IN)];
        if let Some(console) = &self.console {
            let mut master = PollFlags::empty();
            master.set(PollFlags::IN, !shown.closed);
            master.set(PollFlags::OUT, !typed.bytes.is_empty());
            fds.push(PollFd::new(&console.master, master));
            let wants_more = typed.bytes.is_empty() && !typed.closed;
            fds.push(PollFd::new(&console.host, if wants_more { PollFlags::IN } else { PollFlags::empty() }));
        }
        let listener = self.listener.map(|listener| {
            fds.push(PollFd::new(listener, PollFlags::IN));
            fds.len() - 1
        });
        let at_once = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        match poll(&mut fds, gone.then_some(&at_once)) {
            Err(Errno::INTR) => return Ok(Ready::default()),
            result => result.while_doing(|| "wait for the container")?,
        };
        let seen = |at: usize| fds.get(at).map_or(PollFlags::empty(), PollFd::revents);
        let end = PollFlags::HUP | PollFlags::ERR;
        Ok(Ready {
            signal: seen(0).contains(PollFlags::IN),
            init: seen(1).contains(PollFlags::IN),
            word: listener.is_some_and(|at| seen(at).contains(PollFlags::IN)),
            shown: self.console.is_some() && seen(2).intersects(PollFlags::IN | end) && !shown.closed,
            writable: self.console.is_some() && seen(2).contains(PollFlags::OUT),
            typed: self.console.is_some()
                && seen(3).intersects(PollFlags::IN | end)
                && !typed.closed
                && typed.bytes.is_empty(),
        })
    }

    /// Signals go to the container's init, but for those that are about this process itself.
    fn pass_on(&self) -> Result<()> {
        while let Some(info) = self.signals.0.read_signal().while_doing(|| "read a signal")? {
            match info.ssi_signo as i32 {
                libc::SIGCHLD => self.reap_orphans(),
                libc::SIGWINCH => {
                    if let Some(console) = &self.console {
                        console.resize();
                    }
                }
                libc::SIGPIPE | libc::SIGTTIN | libc::SIGTTOU => {}
                // Gone in between: its end is seen next.
                number => drop(signal::send(self.child.pidfd.as_fd(), number)),
            }
        }
        Ok(())
    }

    /// The service manager has this process for the service.
    fn pass_word(&self) -> Result<bool> {
        self.listener.map_or(Ok(true), |listener| listener.pass_on(std::process::id() as i32))
    }

    /// Those that were adopted; init's status is left for the end.
    fn reap_orphans(&self) {
        signal::reap_others(self.child.pid);
    }
}

/// What can go on.
#[derive(Debug, Default)]
struct Ready {
    signal: bool,
    init: bool,
    word: bool,
    shown: bool,
    writable: bool,
    typed: bool,
}
