//! sd_notify(3) out of a container: the program says that it is ready to a socket in the container's directory,
//! and this program tells the service manager that started it.
//!
//! ```text
//! program ── READY=1 ──> ROOT/ID/notify/notify.sock ──> start, or run ── READY=1, MAINPID ──> $NOTIFY_SOCKET
//! ```

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::{Container, Home, Root};
use crate::abi::{Attr, Reach};
use crate::container::id::ContainerId;
use crate::error::{Result, WhileDoing};
use crate::plan::Plan;
use crate::plan::mounts::{self, Mount};
use crate::sys::fd;

const DIRECTORY: &str = "notify";
const SOCKET: &str = "notify.sock";
/// Where the program finds it, as under runc.
const INSIDE: &str = "/run/notify";
/// How long a service manager may take to have read everything, in seconds.
const PATIENCE: i64 = 30;

/// Whether a service manager waits for the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Notify {
    No,
    Yes,
}

impl Notify {
    /// As the environment has it.
    pub(crate) fn wanted() -> Self {
        if address().is_some() { Self::Yes } else { Self::No }
    }
}

/// The service manager's socket: a path, or a name after an `@`.
fn address() -> Option<String> {
    std::env::var("NOTIFY_SOCKET").ok().filter(|address| !address.is_empty())
}

/// Shows the container its socket, and tells the program of it.
pub(crate) fn plan(plan: &mut Plan, root: &Root, id: &ContainerId) {
    let attr = Attr { set: mounts::GUARDED, ..Attr::default() };
    plan.mounts.push(Mount::bind(root.dir(id).join(DIRECTORY), Path::new(INSIDE), Reach::One, attr));
    plan.process.env.extend(std::ffi::CString::new(format!("NOTIFY_SOCKET={INSIDE}/{SOCKET}")));
}

/// What the mount shows. Nobody listens there until `start`.
pub(super) fn make_directory(home: &Home) -> Result<()> {
    let path = home.path.join(DIRECTORY);
    std::fs::create_dir(&path).while_doing(|| format!("make {}", path.display()))
}

/// Listens to the container's program.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: UnixDatagram,
    manager: String,
}

impl AsFd for Listener {
    fn as_fd(&self) -> rustix::fd::BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Listener {
    /// None without a service manager that waits, or for a container that was created without one.
    pub(crate) fn open(container: &Container) -> Result<Option<Self>> {
        let path: PathBuf = container.home.path.join(DIRECTORY);
        let Some(manager) = address().filter(|_| path.is_dir()) else { return Ok(None) };
        let file = path.join(SOCKET);
        let act = || format!("listen at {}", file.display());
        // A start that was killed may have left it.
        std::fs::remove_file(&file).ok();
        let socket = UnixDatagram::bind(&file).while_doing(act)?;
        socket.set_nonblocking(true).while_doing(act)?;
        // Whatever user the program becomes, it may write there.
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o777)).while_doing(act)?;
        Ok(Some(Self { socket, manager }))
    }

    /// Waits until the program is ready, or its process has ended.
    pub(crate) fn wait(&self, pid: i32, process: &OwnedFd) -> Result<()> {
        loop {
            let mut fds = [PollFd::new(&self.socket, PollFlags::IN), PollFd::new(process, PollFlags::IN)];
            match poll(&mut fds, None) {
                Err(Errno::INTR) => continue,
                result => result.while_doing(|| "wait for the container to be ready")?,
            };
            let gone = fds[1].revents().contains(PollFlags::IN);
            if self.pass_on(pid)? || gone {
                return Ok(());
            }
        }
    }

    /// Reads what the program has said; true once it is ready, and the service manager knows.
    pub(crate) fn pass_on(&self, pid: i32) -> Result<bool> {
        let mut text = [0_u8; 4096];
        while let Ok(n) = self.socket.recv(&mut text) {
            let said = String::from_utf8_lossy(text.get(..n).unwrap_or_default()).into_owned();
            if let Some(ready) = said.lines().find(|line| line.starts_with("READY=")) {
                return self.tell(ready, pid).map(|()| true);
            }
        }
        Ok(false)
    }

    fn tell(&self, ready: &str, pid: i32) -> Result<()> {
        let act = || format!("notify {}", self.manager);
        let client = UnixDatagram::unbound().while_doing(act)?;
        match self.manager.strip_prefix('@') {
            Some(name) => {
                use std::os::linux::net::SocketAddrExt;
                let address = std::os::unix::net::SocketAddr::from_abstract_name(name).while_doing(act)?;
                client.connect_addr(&address).while_doing(act)?;
            }
            None => client.connect(&self.manager).while_doing(act)?,
        }
        client.send(format!("{ready}\n").as_bytes()).while_doing(act)?;
        client.send(format!("MAINPID={pid}\n").as_bytes()).while_doing(act)?;
        barrier(client.as_fd()).while_doing(act)
    }
}

/// sd_notify_barrier(3): whoever reads it closes its end, and has read all that came before.
fn barrier(client: rustix::fd::BorrowedFd<'_>) -> Result<()> {
    let (ours, theirs) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).while_doing(|| "make a pipe")?;
    fd::send_fd(client, b"BARRIER=1", theirs.as_fd())?;
    drop(theirs);
    let mut fds = [PollFd::new(&ours, PollFlags::IN)];
    let patience = Timespec { tv_sec: PATIENCE, tv_nsec: 0 };
    match poll(&mut fds, Some(&patience)) {
        Err(Errno::INTR) | Ok(_) => Ok(()), // a manager that knows no barriers is none the worse
        Err(errno) => Err(errno).while_doing(|| "wait for the service manager"),
    }
}

impl Container {
    /// Waits until the program of a container that was just started is ready, if anybody wants to know.
    pub(crate) fn wait_ready(&self, listener: &Listener) -> Result<()> {
        match (self.init(), self.open_init()?) {
            (Some(init), Some(handle)) => listener.wait(init.pid, &handle),
            _ => Ok(()),
        }
    }
}
