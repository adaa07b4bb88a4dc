//! Messages with descriptors, as runtimes send terminals and handles to sockets of the caller's.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, Result};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};

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

/// Sends one message, with a descriptor or without.
pub fn send(socket: impl AsFd, text: &str, fd: Option<&OwnedFd>) -> Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds: Vec<_> = fd.into_iter().map(AsFd::as_fd).collect();
    if !fds.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(&fds));
    }
    let buffers = [IoSlice::new(text.as_bytes())];
    rustix::net::sendmsg(socket, &buffers, &mut control, SendFlags::NOSIGNAL).context("send a message")?;
    Ok(())
}
