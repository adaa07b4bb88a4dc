//! What a kubelet does with the address that Exec and Attach give: a WebSocket, whose messages begin with the number of the
//! stream that they belong to.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::common::LIMIT;

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STATUS: u8 = 3;
const RESIZE: u8 = 4;
const BINARY: u8 = 0x82;
const CLOSE: u8 = 8;

/// One session at a container.
pub(crate) struct Session(TcpStream);

impl Session {
    /// At `http://127.0.0.1:PORT/PATH`.
    pub(crate) fn open(url: &str) -> Self {
        let (address, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
        let mut stream = TcpStream::connect_timeout(&address.parse().unwrap(), LIMIT).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        write!(
            stream,
            "GET /{path} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
             Sec-WebSocket-Protocol: v4.channel.k8s.io\r\n\r\n"
        )
        .unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.extend(byte);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        Self(stream)
    }

    fn send(&mut self, channel: u8, text: &str) {
        let length = u8::try_from(text.len() + 1).unwrap();
        // masked, as what a client sends must be, with zeros
        let frame = [&[BINARY, 0x80 | length, 0, 0, 0, 0, channel], text.as_bytes()].concat();
        self.0.write_all(&frame).unwrap();
    }

    pub(crate) fn type_in(&mut self, text: &str) {
        self.send(STDIN, text);
    }

    pub(crate) fn resize(&mut self, width: u32, height: u32) {
        self.send(RESIZE, &format!(r#"{{"Width":{width},"Height":{height}}}"#));
    }

    fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut head = [0; 2];
        self.0.read_exact(&mut head).ok()?;
        let mut length = u64::from(head[1]);
        if length >= 126 {
            let mut more = vec![0; if length == 126 { 2 } else { 8 }];
            self.0.read_exact(&mut more).ok()?;
            length = more.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        }
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        self.0.read_exact(&mut payload).ok()?;
        (head[0] & 0xf != CLOSE)
            .then(|| payload.split_first().map(|(first, rest)| (*first, rest.to_vec())))?
    }

    /// What is said on standard output, and the status that closes the session.
    pub(crate) fn finish(mut self) -> (String, String) {
        let (mut out, mut status) = (Vec::new(), Vec::new());
        while let Some((channel, bytes)) = self.next() {
            match channel {
                STDOUT => out.extend(bytes),
                STATUS => status.extend(bytes),
                _ => {}
            }
        }
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        (text(out), text(status))
    }
}
