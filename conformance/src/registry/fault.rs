//! What can go wrong on the way of an answer.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};

use super::http::{Reply, write_head};

/// One way to answer wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// This byte of the body (counted from 0 in what is sent) has its lowest bit turned over.
    FlipByte(u64),
    /// The connection ends after so many bytes of the body; Content-Length says the whole.
    Truncate(u64),
    /// Content-Length is off by so many bytes; a longer one ends in a closed connection.
    Length(i64),
    /// So many bytes of the body arrive, then nothing until the registry ends.
    Stall(u64),
    /// This status with these headers and an error document, instead of the answer.
    Status(u16, Vec<(String, String)>),
    /// 307 to this URL; `{path}` in it stands for the path that was asked for.
    Redirect(String),
    /// Range is ignored: 200 and the whole body.
    NoRange,
    /// A header of the answer is another one (empty: missing).
    Header(String, String),
    /// The connection ends without an answer.
    HangUp,
}

impl Fault {
    /// This status and no more.
    pub fn status(status: u16) -> Self {
        Self::Status(status, Vec::new())
    }

    /// 429 with `Retry-After` in seconds.
    pub fn too_many_requests(seconds: u32) -> Self {
        Self::Status(429, vec![("Retry-After".to_owned(), seconds.to_string())])
    }
}

pub(super) struct Rule {
    pub(super) part: String,
    pub(super) left: usize,
    pub(super) fault: Fault,
}

/// The newest rule for this path that is not used up.
pub(super) fn take(rules: &mut [Rule], path: &str) -> Option<Fault> {
    let rule = rules.iter_mut().rev().find(|rule| rule.left > 0 && path.contains(&rule.part))?;
    rule.left = rule.left.saturating_sub(1);
    Some(rule.fault.clone())
}

/// The answer that a fault puts in place of the true one.
pub(super) fn instead(fault: Option<&Fault>, path: &str) -> Option<Reply> {
    match fault {
        Some(Fault::Status(status, headers)) => {
            let mut reply = Reply::error(*status, "FAULT", &format!("status {status} on purpose"));
            reply.headers.extend(headers.iter().cloned());
            Some(reply)
        }
        Some(Fault::Redirect(url)) => Some(Reply::new(307, "").with("Location", url.replace("{path}", path))),
        _ => None,
    }
}

/// Sends the answer, spoilt as asked. True when the connection is over.
pub(super) fn send(
    reply: &Reply,
    head: bool,
    mut stream: &TcpStream,
    stall: impl FnOnce(),
    fault: Option<&Fault>,
) -> io::Result<bool> {
    let whole = reply.to - reply.from;
    let (flip, end, says) = match fault {
        Some(Fault::HangUp) => return stream.shutdown(Shutdown::Both).map(|()| true),
        Some(Fault::FlipByte(n)) => (Some(*n), whole, whole),
        Some(Fault::Truncate(n) | Fault::Stall(n)) => (None, whole.min(*n), whole),
        Some(Fault::Length(offset)) => {
            let says = whole.saturating_add_signed(*offset);
            (None, whole.min(says), says)
        }
        _ => (None, whole, whole),
    };
    write_head(stream, reply, says)?;
    if head {
        return Ok(false);
    }
    send_body(reply, flip, end, stream)?;
    if matches!(fault, Some(Fault::Stall(_))) {
        stall();
    }
    let cut = end < says;
    if cut {
        stream.flush()?;
        stream.shutdown(Shutdown::Both)?;
    }
    Ok(cut)
}

fn send_body(reply: &Reply, flip: Option<u64>, end: u64, mut stream: &TcpStream) -> io::Result<()> {
    let mut body = reply.blob.open()?;
    io::copy(&mut body.by_ref().take(reply.from), &mut io::sink())?;
    if let Some(at) = flip.filter(|at| *at < end) {
        io::copy(&mut body.by_ref().take(at), &mut stream)?;
        let mut byte = [0];
        body.read_exact(&mut byte)?;
        stream.write_all(&[byte[0] ^ 1])?;
        io::copy(&mut body.take(end - at - 1), &mut stream)?;
    } else {
        io::copy(&mut body.take(end), &mut stream)?;
    }
    Ok(())
}
