//! What parent and init say to each other, over one socketpair that keeps messages apart.
//!
//! ```text
//!   init                  parent
//!                <-       Begin(pid)   cgroups joined, ids mapped: go on
//!   RunHooks     ->       runs prestart, createRuntime (only where there are any)
//!                <-       Go
//!   Ready        ->       saves the record
//!                <-       Go           with a fifo to wait at: wait there; else: run
//!   Failed(e)    ->       (at any turn) undoes everything, reports e
//! ```
//!
//! Either side takes the end of the stream as the other's death. After the last Go the stream of a
//! container that waits at no fifo ends by execve (the socket is close-on-exec), or brings `Failed`.

use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::error::{Error, Kind, Result, WhileDoing};

/// The longest message; an error's story is far shorter.
const LIMIT: usize = 64 * 1024;

/// Words of init.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum FromInit {
    /// The namespaces are there: time for the hooks that run outside
    RunHooks,
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
        rustix::net::send(&self.0, &bytes, SendFlags::NOSIGNAL).map(drop).while_doing(|| "send a message")
    }

    /// Waits for a message; None when the other side is gone.
    pub(crate) fn receive<M: DeserializeOwned>(&self) -> Result<Option<M>> {
        let mut bytes = vec![0_u8; LIMIT];
        let n = loop {
            match rustix::net::recv(self.0.as_fd(), bytes.as_mut_slice(), RecvFlags::empty()) {
                Err(Errno::INTR) => {}
                Err(Errno::CONNRESET) => break 0,
                result => break result.while_doing(|| "receive a message")?.0,
            }
        };
        match bytes.get(..n) {
            None | Some([]) => Ok(None),
            Some(bytes) => serde_json::from_slice(bytes).while_doing(|| "read a message").map(Some),
        }
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
