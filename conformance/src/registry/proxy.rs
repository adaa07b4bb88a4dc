//! What stands between a client and a registry and changes what they say.

use std::io::{self, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use super::http::{self, Asked};

/// A request or an answer on its way.
#[derive(Debug, Clone, Default)]
pub struct Message {
    /// GET, HEAD, PUT ... of the request, also in its answer.
    pub method: String,
    /// Path and query of the request, also in its answer.
    pub path: String,
    /// Of an answer; 0 in a request.
    pub status: u16,
    /// Header names in lower case.
    pub headers: Vec<(String, String)>,
    /// The whole body.
    pub body: Vec<u8>,
}

impl Message {
    /// The first header of this name (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        http::header(&self.headers, name)
    }

    /// Takes a header away.
    pub fn forget(&mut self, name: &str) {
        self.headers.retain(|(held, _)| held != name);
    }

    /// Sets a header.
    pub fn set(&mut self, name: &str, value: &str) {
        self.forget(name);
        self.headers.push((name.to_owned(), value.to_owned()));
    }
}

/// What is changed: requests, and the answers to them. The address is the registry's.
#[derive(Debug, Clone, Copy)]
pub struct Wire {
    /// Before it is sent.
    pub asks: fn(&mut Message, SocketAddr),
    /// Before it is given back; the request as it was sent stands beside.
    pub hears: fn(&mut Message, &Message),
}

/// Listens on a free port of 127.0.0.1 until the process ends, and gives its address.
pub fn proxy(registry: SocketAddr, wire: Wire) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // who hangs up, hangs up on both
            thread::spawn(move || drop(converse(&stream, registry, wire)));
        }
    });
    Ok(address)
}

fn converse(mut stream: &TcpStream, registry: SocketAddr, wire: Wire) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    while let Some(Asked { method, path, headers, body }) = http::read_request(&mut reader)? {
        let mut request = Message { method, path, status: 0, headers, body };
        (wire.asks)(&mut request, registry);
        let mut answer = send(&request, registry)?;
        (wire.hears)(&mut answer, &request);
        write(&mut stream, &format!("HTTP/1.1 {} Told", answer.status), &answer)?;
    }
    Ok(())
}

/// Sends a request as it is and reads the answer.
pub fn send(request: &Message, to: SocketAddr) -> io::Result<Message> {
    let mut stream = TcpStream::connect_timeout(&to, Duration::from_secs(10))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let Message { method, path, .. } = request;
    write(&mut stream, &format!("{method} {path} HTTP/1.1"), request)?;
    let (status, headers, body) = http::read_response(&mut BufReader::new(&stream), method)?;
    Ok(Message { method: method.clone(), path: path.clone(), status, headers, body })
}

/// The length is the body's own, but in the answer to a HEAD, which has none.
fn write(out: &mut impl Write, first: &str, message: &Message) -> io::Result<()> {
    let mut head = format!("{first}\r\n");
    let bare = message.status != 0 && message.method == "HEAD";
    for (name, value) in &message.headers {
        if bare || !matches!(name.as_str(), "content-length" | "transfer-encoding") {
            head += &format!("{name}: {value}\r\n");
        }
    }
    if !bare {
        head += &format!("content-length: {}\r\n", message.body.len());
    }
    head += "\r\n";
    out.write_all(head.as_bytes())?;
    out.write_all(&message.body)
}
