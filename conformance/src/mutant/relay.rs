//! A mutant between a runtime and the listener of seccomp.

use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::{self, ScopedJoinHandle};

use anyhow::{Context, Result, anyhow};
use serde_json::Value;

use crate::socket;

/// What the good runtime has told.
#[derive(Debug)]
pub struct Told {
    text: String,
    fd: Option<OwnedFd>,
}

/// The same once more on one connection.
pub(super) fn twice(told: &Told, listener: UnixStream) -> Result<()> {
    socket::send(&listener, &told.text, told.fd.as_ref())?;
    socket::send(&listener, &told.text, None)
}

/// Somebody keeps the connection open until the listener closes it.
pub(super) fn for_long(told: &Told, listener: UnixStream) -> Result<()> {
    socket::send(&listener, &told.text, told.fd.as_ref())?;
    let mut waiting = Command::new("cat");
    waiting.stdin(OwnedFd::from(listener)).stdout(Stdio::null()).stderr(Stdio::null());
    waiting.spawn().context("run cat").map(drop)
}

/// Does `work`, a create, with a configuration whose listener is ours, and passes on what is told by then.
pub(super) fn run<T>(
    bundle: &Path,
    config: &mut Value,
    pass_on: fn(&Told, UnixStream) -> Result<()>,
    work: impl FnOnce(&Value) -> Result<T>,
) -> Result<T> {
    let Some(path) = config.pointer_mut("/linux/seccomp/listenerPath") else { return work(config) };
    let wanted = PathBuf::from(path.as_str().unwrap_or_default());
    let own = bundle.join("relay");
    *path = own.display().to_string().into();
    let ours = UnixListener::bind(&own)?;
    thread::scope(|scope| {
        let relay: ScopedJoinHandle<'_, Result<()>> = scope.spawn(|| {
            let (text, fd) = socket::receive(ours.accept()?.0)?;
            if text.is_empty() {
                return Ok(());
            }
            pass_on(&Told { text, fd }, UnixStream::connect(&wanted)?)
        });
        let worked = work(config);
        // nobody has called, and nobody will: this ends the wait
        drop(UnixStream::connect(&own));
        relay.join().map_err(|_| anyhow!("the relay is gone"))??;
        worked
    })
}
