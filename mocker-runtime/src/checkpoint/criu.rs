//! The program criu as a worker of this process: started, asked, answered, waited for.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use rustix::net::{SendFlags, Shutdown};

use super::rpc::{self, Feature, Response, Type};
use super::wire::Message;
use crate::error::{Error, Kind, Result, WhileDoing};
use crate::log;
use crate::sync::{self, FromInit};
use crate::sys::clone::{self, Child, Side};
use crate::sys::{fd, signal};

/// The oldest that knows all that is asked of it: external pid namespaces (3.15), `status-ready` (3.15), security
/// labels at restore (3.16).
const OLDEST: i32 = 31_600;
/// Far more than criu ever answers.
const LIMIT: usize = 40 * 1024;

/// A message in between: its name, init's pid with some, and with one a terminal.
pub(super) struct Notice {
    pub(super) script: String,
    pub(super) pid: Option<i32>,
    pub(super) fd: Option<OwnedFd>,
}

/// Where its standard streams lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Streams {
    /// Nowhere
    Null,
    /// To this process's own
    Own,
}

/// The worker.
#[derive(Debug)]
pub(super) struct Criu {
    socket: OwnedFd,
    child: Child,
}

impl Criu {
    /// Starts it, as a member of `cgroup` if given. `prepare` runs in its process before, and gives the descriptors
    /// that it has under their own numbers.
    pub(super) fn start(
        cgroup: Option<BorrowedFd<'_>>,
        streams: Streams,
        prepare: impl FnOnce() -> Result<Vec<OwnedFd>>,
    ) -> Result<Self> {
        let (ours, theirs) = fd::socketpair()?;
        let (errors, end) = sync::pair()?;
        match clone::clone3(0, cgroup)? {
            Side::Parent(child) => {
                drop((theirs, end));
                let (_, socket) = fd::receive(ours.as_fd(), 16)?;
                let error = match (errors.receive()?, socket) {
                    (None, Some(socket)) => return Ok(Self { socket, child }),
                    (Some(FromInit::Failed(error)), _) => error,
                    _ => Error::new(Kind::Internal, "the process for criu died without a word"),
                };
                signal::reap(child.pidfd.as_fd()).ok();
                Err(error)
            }
            Side::Child => {
                drop((ours, errors));
                if let Err(error) = prepare().and_then(|kept| become_criu(theirs, &kept, streams)) {
                    end.send(&FromInit::Failed(error)).ok();
                }
                clone::exit_now(1)
            }
        }
    }

    /// Its number in this process's pid namespace.
    pub(super) fn pid(&self) -> i32 {
        self.child.pid.as_raw_nonzero().get()
    }

    /// Refuses one that is too old.
    pub(super) fn check_version(&self) -> Result<()> {
        let version = self.call(&rpc::version(), |_| Ok(()))?.version;
        log::debug(|| format!("criu has version {version}"));
        match version {
            OLDEST.. => Ok(()),
            _ => Err(Error::unsupported(format!(
                "criu {} is too old: {} is the oldest that will do",
                dotted(version),
                dotted(OLDEST)
            ))),
        }
    }

    /// Refuses what the kernel does not give criu.
    pub(super) fn check_feature(&self, feature: Feature, name: &str) -> Result<()> {
        let response = self.call(&rpc::feature(feature), |_| Ok(()))?;
        match response.success && response.features.contains(&(feature as u32)) {
            true => Ok(()),
            false => Err(Error::unsupported(format!("criu is missing features: [{name}]"))),
        }
    }

    /// Asks and waits for the answer. A notification that `act` fails on is refused; criu then takes back what it
    /// has done before it answers, and the error is the one of `act`.
    pub(super) fn call(
        &self,
        request: &Message,
        mut act: impl FnMut(Notice) -> Result<()>,
    ) -> Result<Response> {
        self.send(request)?;
        let mut refused = None;
        loop {
            let (bytes, fd) = fd::receive(self.socket.as_fd(), LIMIT)?;
            if bytes.is_empty() {
                return Err(refused.unwrap_or_else(ended));
            }
            let response = Response::read(&bytes)?;
            let Some((script, pid)) = response.notify.clone().filter(|_| response.kind == Type::Notify)
            else {
                return refused.map_or(Ok(response), Err);
            };
            log::debug(|| format!("criu notifies: {script}"));
            let acted = if refused.is_none() { act(Notice { script, pid, fd }) } else { Ok(()) };
            self.send(&rpc::notified(acted.is_ok()))?;
            refused = refused.or(acted.err());
        }
    }

    fn send(&self, message: &Message) -> Result<()> {
        rustix::net::send(&self.socket, message.as_bytes(), SendFlags::NOSIGNAL)
            .map(drop)
            .while_doing(|| "send a request to criu")
    }

    /// Waits for its end; gives its exit status.
    pub(super) fn finish(self) -> Result<u8> {
        // It may have gone already.
        rustix::net::shutdown(&self.socket, Shutdown::Write).ok();
        signal::reap(self.child.pidfd.as_fd()).while_doing(|| "wait for criu")
    }
}

/// In the new process: only returns if it fails.
///
/// criu takes the process that made the socket for its client, and looks the directories' descriptors up there. So
/// it is made here, and the client's end handed over: those descriptors are criu's own, of its own mounts.
fn become_criu(handover: OwnedFd, kept: &[OwnedFd], streams: Streams) -> Result<()> {
    let (client, socket) = fd::socketpair()?;
    fd::send_fd(handover.as_fd(), b"criu", client.as_fd())?;
    drop((handover, client));
    fd::close_on_exec_from(3)?;
    kept.iter().chain([&socket]).try_for_each(fd::keep_on_exec)?;
    let mut command = Command::new("criu");
    command.arg("swrk").arg(socket.as_raw_fd().to_string());
    if streams == Streams::Null {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    }
    let error = command.exec();
    match error.kind() {
        std::io::ErrorKind::NotFound => Err(no_criu()),
        _ => Err(error).while_doing(|| "run criu"),
    }
}

/// It has died, or given up before it could answer.
pub(super) fn ended() -> Error {
    Error::new(Kind::Internal, "criu ended without an answer")
}

fn no_criu() -> Error {
    Error::new(Kind::NotFound, "exec: \"criu\": executable file not found in $PATH").with_hint(format!(
        "checkpoint and restore are criu's work; install criu {} or newer",
        dotted(OLDEST)
    ))
}

/// 31600 as 3.16, 40201 as 4.2.1.
fn dotted(version: i32) -> String {
    match version % 100 {
        0 => format!("{}.{}", version / 10_000, version / 100 % 100),
        sub => format!("{}.{}.{sub}", version / 10_000, version / 100 % 100),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_reads_as_people_write_it() {
        assert_eq!((dotted(31_600).as_str(), dotted(40_201).as_str()), ("3.16", "4.2.1"));
    }
}
