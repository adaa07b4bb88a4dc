//! What parent and init say to each other, over one socketpair that keeps messages apart.
//!
//! ```text
//!   init                  parent
//!                <-       Begin(pid)   cgroups joined, ids mapped: go on
//!   RunHooks     ->       puts the device rules in force, runs prestart, createRuntime (only where there are hooks)
//!                <-       Go
//!   Listener     ->       passes the descriptor that comes with it to the profile's listenerPath
//!   Ready        ->       likewise the device rules; saves the record
//!                <-       Go           with a fifo to wait at: wait there; else: run
//!   Failed(e)    ->       (at any turn) undoes everything, reports e
//! ```
//!
//! Either side takes the end of the stream as the other's death. After the last Go the stream of a
//! container that waits at no fifo ends by execve (the socket is close-on-exec), or brings `Failed`.

use std::os::fd::{AsFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::error::{Error, Kind, Result, WhileDoing};

/// The longest message; an error's story is far shorter.
const LIMIT: usize = 64 * 1024;

/// Words of init.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum FromInit {
    /// The namespaces are there: time for the hooks that run outside
    RunHooks,
    /// The seccomp filter is in force, and this decides on the calls that it leaves open
    Listener,
    /// All that create does is done
    Ready,
    /// It is over, and this is why
    Failed(Error),
}

/// Words of the parent.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum FromParent {
    /// Init's pid as the runtime sees it
    Begin(i32),
    /// Go on
    Go,
}

/// One end of the stream.
#[derive(Debug)]
pub(crate) struct End(OwnedFd);

/// Both ends: the parent's and init's.
pub(crate) fn pair() -> Result<(End, End)> {
    let (parent, init) = crate::sys::fd::socketpair()?;
    Ok((End(parent), End(init)))
}

impl End {
    /// Sends one message.
    pub(crate) fn send(&self, message: &impl Serialize) -> Result<()> {
        let bytes = serde_json::to_vec(message).while_doing(|| "write a message")?;
        // Not send(2): a seccomp filter that is in force by now may forbid it. Nobody dies of SIGPIPE here.
        rustix::io::write(&self.0, &bytes).map(drop).while_doing(|| "send a message")
    }

    /// Waits for a message; None when the other side is gone.
    pub(crate) fn receive<M: DeserializeOwned>(&self) -> Result<Option<M>> {
        // Room for the longest, of which only as much is touched as a message has.
        let mut bytes = Vec::with_capacity(LIMIT);
        loop {
            match rustix::io::read(&self.0, spare_capacity(&mut bytes)) {
                Err(Errno::INTR) => {}
                Err(Errno::CONNRESET) => break,
                Err(errno) => return Err(errno).while_doing(|| "receive a message"),
                Ok(_) => break,
            }
        }
        match bytes.as_slice() {
            [] => Ok(None),
            bytes => serde_json::from_slice(bytes).while_doing(|| "read a message").map(Some),
        }
    }

    /// The same with the descriptor that came with the message.
    pub(crate) fn receive_all<M: DeserializeOwned>(&self) -> Result<Option<(M, Option<OwnedFd>)>> {
        let (bytes, fd) =
            crate::sys::fd::receive(self.0.as_fd(), LIMIT).while_doing(|| "receive a message")?;
        match bytes.as_slice() {
            [] => Ok(None),
            bytes => serde_json::from_slice(bytes).while_doing(|| "read a message").map(|m| Some((m, fd))),
        }
    }

    /// Sends a message with a descriptor.
    pub(crate) fn send_with(&self, message: &impl Serialize, fd: &OwnedFd) -> Result<()> {
        let bytes = serde_json::to_vec(message).while_doing(|| "write a message")?;
        crate::sys::fd::send_fd(self.0.as_fd(), &bytes, fd.as_fd())
    }

    /// The same end once more.
    pub(crate) fn share(&self) -> Result<Self> {
        self.0.try_clone().map(Self).while_doing(|| "share the parent's socket")
    }

    /// Init's side: waits for the word to go on; a parent that is gone ends init too.
    pub(crate) fn wait_go(&self) -> Result<FromParent> {
        self.receive()?.ok_or_else(|| Error::new(Kind::Internal, "the parent is gone"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_arrives_as_it_was_sent_and_the_end_is_seen() {
        let (parent, init) = pair().expect("a pair");
        let sent = Error::invalid("x").with_hint("y");
        init.send(&FromInit::Failed(sent.clone())).expect("sends");
        drop(init);
        assert!(matches!(parent.receive::<FromInit>(), Ok(Some(FromInit::Failed(error))) if error == sent));
        assert!(matches!(parent.receive::<FromInit>(), Ok(None)));
    }
}
