//! A small client of D-Bus: a socket, an introduction, calls, and the signals that come between.
//!
//! Only what talking to systemd takes: one call at a time, and a deadline for all that is done over one
//! connection. Nothing here waits longer, whoever is at the other end and whatever they do.

mod wire;

use std::io::{BufReader, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::error::{Error, Kind, Result, WhileDoing};
use crate::plan::cgroup::Value;
use wire::{Call, HEAD, Message, Type};

/// Who is at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Peer {
    /// The service itself
    Direct,
    /// A message bus with the service on it
    Bus,
}

/// An open connection.
pub(super) struct Connection {
    stream: BufReader<UnixStream>,
    serial: u32,
    deadline: Instant,
    patience: Duration,
    /// Signals that came while something else was waited for
    signals: Vec<Message>,
    peer: Peer,
}

/// What the other end says to a call: an error has a name of its own.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The service's own answer: a name (`org.freedesktop.systemd1.NoSuchUnit`) and a sentence
    Answer { name: String, text: String },
    /// No answer
    Broken(Error),
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Answer { name, text } if text.is_empty() => Self::new(Kind::Internal, name),
            Refusal::Answer { text, .. } => Self::new(Kind::Internal, text.trim_end_matches('.')),
            Refusal::Broken(error) => error,
        }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Broken(error)
    }
}

/// The service and one of its interfaces.
#[derive(Debug, Clone, Copy)]
pub(super) struct Service {
    pub(super) name: &'static str,
    pub(super) path: &'static str,
    pub(super) interface: &'static str,
}

const BUS: Service = Service {
    name: "org.freedesktop.DBus",
    path: "/org/freedesktop/DBus",
    interface: "org.freedesktop.DBus",
};

impl Connection {
    /// Connects and says who calls; all that is done over the connection ends within `patience`.
    pub(super) fn open(socket: &Path, peer: Peer, patience: Duration) -> Result<Self> {
        let at = || format!("connect to {}", socket.display());
        let name = match socket.to_str().and_then(|path| path.strip_prefix('@')) {
            Some(name) => SocketAddrUnix::new_abstract_name(name.as_bytes()),
            None => SocketAddrUnix::new(socket),
        };
        let name = name.while_doing(at)?;
        let fd =
            rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
                .while_doing(at)?;
        // A full queue of callers keeps a connect waiting as a full buffer keeps a write.
        for timeout in [Timeout::Send, Timeout::Recv] {
            set_socket_timeout(&fd, timeout, Some(patience)).while_doing(at)?;
        }
        let deadline = Instant::now() + patience;
        match rustix::net::connect(fd.as_fd(), &name) {
            Err(rustix::io::Errno::AGAIN) => return Err(late(patience)).while_doing(at),
            result => result.while_doing(at)?,
        }
        let stream = BufReader::new(UnixStream::from(fd));
        let mut connection = Self { stream, serial: 0, deadline, patience, signals: Vec::new(), peer };
        connection.introduce().while_doing(at)?;
        if peer == Peer::Bus {
            connection.call(BUS, "Hello", &[]).map_err(Error::from).while_doing(at)?;
        }
        Ok(connection)
    }

    /// SASL EXTERNAL: the kernel tells the other end who this is, so no user id is given, which would be a
    /// different one in a user namespace.
    ///
    /// All is said at once, as systemd's own client does it: systemd overlooks a call that it reads together
    /// with BEGIN, until another one comes. Two lines come back: `DATA` and `OK`, or from a systemd before 246
    /// `OK` and `ERROR`.
    fn introduce(&mut self) -> Result<()> {
        self.write(b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n")?;
        let lines = [self.line()?, self.line()?];
        match lines.iter().any(|line| line.starts_with("OK")) {
            true => Ok(()),
            false => Err(no_dbus()),
        }
    }

    /// A line of the introduction, and no more: a signal of something else may follow the last one at once.
    fn line(&mut self) -> Result<String> {
        const LONGEST: usize = 4096;
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let mut byte = [0];
            self.read(&mut byte)?;
            line.extend(byte);
            if line.len() > LONGEST {
                return Err(no_dbus());
            }
        }
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        match line.starts_with("REJECTED") {
            true => Err(Error::new(Kind::Internal, format!("it does not take this user's calls: {line}"))),
            false => Ok(line),
        }
    }

    /// Asks the bus for a service's signals; a service at the other end sends them anyway.
    pub(super) fn subscribe(&mut self, service: Service, signal: &str) -> Result<()> {
        if self.peer == Peer::Direct {
            return Ok(());
        }
        let Service { name, interface, .. } = service;
        let rule = format!("type='signal',sender='{name}',interface='{interface}',member='{signal}'");
        self.call(BUS, "AddMatch", &[Value::Str(rule)])?;
        Ok(())
    }

    /// Calls a method; gives the words of its answer.
    pub(super) fn call(
        &mut self,
        service: Service,
        member: &str,
        body: &[Value],
    ) -> std::result::Result<Vec<String>, Refusal> {
        self.serial += 1;
        let destination = if self.peer == Peer::Direct { "" } else { service.name };
        let Service { path, interface, .. } = service;
        let call = Call { destination, path, interface, member, body };
        self.write(&call.encode(self.serial))?;
        loop {
            let message = self.message()?;
            match message.kind {
                Some(Type::Return) if message.reply_to == Some(self.serial) => return Ok(message.words),
                Some(Type::Error) if message.reply_to == Some(self.serial) => {
                    let text = message.words.into_iter().next().unwrap_or_default();
                    return Err(Refusal::Answer { name: message.error, text });
                }
                Some(Type::Signal) => self.signals.push(message),
                _ => {}
            }
        }
    }

    /// Waits for a signal of that name whose words are the right ones; gives them.
    pub(super) fn wait_signal(
        &mut self,
        name: &str,
        right: impl Fn(&[String]) -> bool,
    ) -> Result<Vec<String>> {
        let mut seen = std::mem::take(&mut self.signals).into_iter();
        loop {
            let message = match seen.next() {
                Some(message) => message,
                None => self.message()?,
            };
            if message.kind == Some(Type::Signal) && message.member == name && right(&message.words) {
                return Ok(message.words);
            }
        }
    }

    fn message(&mut self) -> Result<Message> {
        let mut bytes = vec![0; HEAD];
        self.read(&mut bytes)?;
        bytes.resize(wire::length(&bytes)?, 0);
        self.read(bytes.get_mut(HEAD..).unwrap_or_default())?;
        Message::decode(&bytes)
    }

    fn left(&self) -> Result<Duration> {
        match self.deadline.saturating_duration_since(Instant::now()) {
            Duration::ZERO => Err(late(self.patience)),
            left => Ok(left),
        }
    }

    /// Fills the buffer.
    fn read(&mut self, mut buffer: &mut [u8]) -> Result<()> {
        while !buffer.is_empty() {
            let n = self.read_some(buffer)?;
            buffer = buffer.get_mut(n..).unwrap_or_default();
        }
        Ok(())
    }

    fn read_some(&mut self, buffer: &mut [u8]) -> Result<usize> {
        loop {
            if self.stream.buffer().is_empty() {
                self.stream
                    .get_ref()
                    .set_read_timeout(Some(self.left()?))
                    .while_doing(|| "set the deadline")?;
            }
            match self.stream.read(buffer) {
                Ok(0) => return Err(Error::new(Kind::Internal, "it hung up")),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Err(late(self.patience)),
                result => return result.while_doing(|| "read"),
            }
        }
    }

    fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            self.stream.get_ref().set_write_timeout(Some(self.left()?)).while_doing(|| "set the deadline")?;
            let n = match self.stream.get_mut().write(bytes) {
                Ok(n) => n,
                Err(error) if error.kind() == ErrorKind::Interrupted => 0,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Err(late(self.patience)),
                Err(error) => return Err(error).while_doing(|| "write"),
            };
            bytes = bytes.get(n..).unwrap_or_default();
        }
        Ok(())
    }
}

fn no_dbus() -> Error {
    Error::new(Kind::Internal, "it does not speak D-Bus")
}

fn late(patience: Duration) -> Error {
    Error::new(Kind::Internal, format!("there is no answer within {} s", patience.as_secs()))
}

/// The first unix socket that an address list names (D-Bus specification, "Server Addresses"); an abstract
/// one begins with `@`.
pub(super) fn socket_of(addresses: &str) -> Option<PathBuf> {
    addresses.split(';').find_map(|address| {
        let keys = address.strip_prefix("unix:")?;
        keys.split(',').find_map(|pair| match pair.split_once('=')? {
            ("path", path) => Some(PathBuf::from(unescape(path))),
            ("abstract", name) => Some(PathBuf::from(format!("@{}", unescape(name)))),
            _ => None,
        })
    })
}

/// `%20` for a blank.
fn unescape(text: &str) -> String {
    let mut parts = text.split('%');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) if byte.is_ascii() => {
                out.push(byte.into());
                out.push_str(part.get(2..).unwrap_or_default());
            }
            _ => {
                out.push('%');
                out.push_str(part);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_unix_socket_of_a_list_of_addresses_is_taken() {
        for (list, want) in [
            ("unix:path=/run/user/1000/bus", Some("/run/user/1000/bus")),
            ("unix:path=/run/bus,guid=abc", Some("/run/bus")),
            ("tcp:host=x,port=1;unix:guid=1,path=/a%20b", Some("/a b")),
            ("unix:abstract=/tmp/x", Some("@/tmp/x")),
            ("autolaunch:", None),
            ("", None),
        ] {
            assert_eq!(socket_of(list), want.map(PathBuf::from), "{list}");
        }
    }
}
