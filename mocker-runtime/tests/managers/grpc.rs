//! As much of gRPC as a test of a CRI needs: one call on one connection, and protocol buffers by the numbers of fields. A
//! crate for it brings an async runtime and a generator of code.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

/// A message, field by field.
#[derive(Debug, Clone, Default)]
pub(crate) struct Message(Vec<u8>);

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    bytes.push(number.to_le_bytes()[0]);
    bytes
}

impl Message {
    pub(crate) fn number(mut self, field: u64, number: u64) -> Self {
        self.0.extend([varint(field << 3), varint(number)].concat());
        self
    }

    pub(crate) fn text(mut self, field: u64, text: impl AsRef<[u8]>) -> Self {
        let text = text.as_ref();
        self.0.extend([varint(field << 3 | 2), varint(text.len() as u64), text.to_vec()].concat());
        self
    }

    pub(crate) fn texts(self, field: u64, texts: &[&str]) -> Self {
        texts.iter().fold(self, |message, text| message.text(field, text))
    }

    pub(crate) fn message(self, field: u64, inner: Self) -> Self {
        self.text(field, inner.0)
    }
}

/// An answer; what is not in it is empty or 0.
#[derive(Debug)]
pub(crate) struct Answer(Vec<u8>);

/// The next number of a message.
fn take(bytes: &mut &[u8]) -> u64 {
    let mut number = 0;
    for shift in (0..).step_by(7) {
        let (first, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        number |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            break;
        }
    }
    number
}

/// The first field of that number: its bytes, or its number.
fn find(mut bytes: &[u8], wanted: u64) -> (Vec<u8>, u64) {
    while !bytes.is_empty() {
        let (key, number) = (take(&mut bytes), take(&mut bytes));
        let inner = match key & 7 {
            0 => Vec::new(),
            2 => {
                let (inner, rest) = bytes.split_at(usize::try_from(number).unwrap());
                bytes = rest;
                inner.to_vec()
            }
            other => panic!("a field of kind {other}"),
        };
        if key >> 3 == wanted {
            return (inner, number);
        }
    }
    (Vec::new(), 0)
}

impl Answer {
    fn at(&self, path: &[u64]) -> (Vec<u8>, u64) {
        path.iter().fold((self.0.clone(), 0), |(bytes, _), field| find(&bytes, *field))
    }

    pub(crate) fn text(&self, path: &[u64]) -> String {
        String::from_utf8_lossy(&self.at(path).0).into_owned()
    }

    pub(crate) fn number(&self, path: &[u64]) -> u64 {
        self.at(path).1
    }
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Headers as literals that no table is needed for.
fn headers(path: &str) -> Vec<u8> {
    let all = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "localhost"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ];
    let short = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    all.iter().flat_map(|(name, value)| [vec![0], short(name), short(value)].concat()).collect()
}

/// A call such as `runtime.v1.RuntimeService/Version`. A refusal has headers alone; its words are in the server's log.
pub(crate) fn call(socket: &str, method: &str, message: &Message) -> Option<Answer> {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(super::common::LIMIT)).unwrap();
    let length = u32::try_from(message.0.len()).unwrap().to_be_bytes();
    let body = [&[0], &length[..], &message.0].concat();
    let request = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        frame(SETTINGS, 0, 0, &[]),
        frame(HEADERS, END_HEADERS, 1, &headers(&format!("/{method}"))),
        frame(DATA, END_STREAM, 1, &body),
    ];
    stream.write_all(&request.concat()).unwrap();
    let mut answer = Vec::new();
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).unwrap();
        let mut payload =
            vec![0; usize::try_from(u32::from_be_bytes([0, head[0], head[1], head[2]])).unwrap()];
        stream.read_exact(&mut payload).unwrap();
        match (head[3], head[4]) {
            (SETTINGS | PING, flags) if flags & ACK == 0 => {
                let back = if head[3] == PING { &payload[..] } else { &[] };
                stream.write_all(&frame(head[3], ACK, 0, back)).unwrap();
            }
            (DATA, _) => answer.extend(payload),
            (HEADERS, flags) if flags & END_STREAM != 0 => break,
            _ => {}
        }
    }
    // one byte says that it is not compressed, four how long it is
    answer.get(5..).map(|message| Answer(message.to_vec()))
}
