//! The supervisor of a seccomp profile: gets the listener and the state of the process that is under it
//! (config-linux.md "The Container Process State").

use std::os::fd::{AsFd, OwnedFd};

use crate::error::{Error, Kind, Result, WhileDoing};
use crate::plan::process::Process;
use crate::sys::fd;

/// Whether the process's filter has a listener.
pub(super) fn is_wanted(process: &Process) -> bool {
    process.seccomp.as_ref().is_some_and(|filter| filter.listener.is_some())
}

/// Hands the listener over; the connection is for this one message.
pub(super) fn hand_over(
    process: &Process,
    pid: i32,
    state: &serde_json::Value,
    listener: Option<OwnedFd>,
) -> Result<()> {
    let wanted = process.seccomp.as_ref().and_then(|filter| filter.listener.as_ref());
    let (Some(wanted), Some(listener)) = (wanted, listener) else {
        return Err(Error::new(Kind::Internal, "there is no seccomp listener to hand over"));
    };
    let document = serde_json::json!({
        "ociVersion": state["ociVersion"],
        "fds": ["seccompFd"],
        "pid": pid,
        "metadata": wanted.metadata,
        "state": state,
    });
    let act = || "hand over the seccomp listener";
    let socket = fd::connect(&wanted.path).while_doing(act)?;
    fd::send_fd(socket.as_fd(), document.to_string().as_bytes(), listener.as_fd()).while_doing(act)
}
