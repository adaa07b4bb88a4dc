//! Messages with descriptors, as runtimes send terminals and handles to sockets of the caller's.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, Result};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};

/// Waits for one message on a stream or a datagram socket; gives its text and the descriptor that came with it.
pub fn receive(socket: impl AsFd) -> Result<(String, Option<OwnedFd>)> {
    let mut text = [0_u8; 4096];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let buffers = &mut [IoSliceMut::new(&mut text)];
    let message = rustix::net::recvmsg(socket, buffers, &mut control, RecvFlags::CMSG_CLOEXEC)
        .context("receive a message")?;
    let fd = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    Ok((String::from_utf8_lossy(&text[..message.bytes]).into_owned(), fd))
}
