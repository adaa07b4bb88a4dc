//! A bus with a systemd on it that only writes down what it is asked: for hosts without one, and for what
//! the real one does not do.

#![allow(clippy::unwrap_used, reason = "a test ends where its set-up fails")]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// A method that somebody called.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked {
    pub(crate) member: String,
    /// The strings before the properties
    pub(crate) words: Vec<String>,
    /// Of StartTransientUnit and SetUnitProperties, in a form like `true`, `5`, `"a"`, `[1,2]`
    pub(crate) properties: BTreeMap<String, String>,
}

/// What the bus says to a call: None for its usual answer, or an error's name and text.
type Answer = Option<(&'static str, String)>;

/// A bus; it ends with the test's process.
pub(crate) struct Bus {
    dir: tempfile::TempDir,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Bus {
    /// A bus that agrees to everything.
    pub(crate) fn new() -> Self {
        Self::with(|_| None)
    }

    /// A bus that refuses what the function refuses.
    pub(crate) fn with(answer: impl FnMut(&Asked) -> Answer + Send + 'static) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("bus")).unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (list, answer) = (Arc::clone(&asked), Arc::new(Mutex::new(answer)));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (list, answer) = (Arc::clone(&list), Arc::clone(&answer));
                std::thread::spawn(move || {
                    // It ends when the caller hangs up.
                    serve(stream, |asked| {
                        list.lock().unwrap().push(asked.clone());
                        (answer.lock().unwrap())(asked)
                    })
                    .ok();
                });
            }
        });
        Self { dir, asked }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join("bus")
    }

    /// For DBUS_SYSTEM_BUS_ADDRESS.
    pub(crate) fn address(&self) -> String {
        format!("unix:path={}", self.socket().display())
    }

    /// All calls so far of one method.
    pub(crate) fn asked(&self, member: &str) -> Vec<Asked> {
        self.asked.lock().unwrap().iter().filter(|asked| asked.member == member).cloned().collect()
    }
}

fn serve(mut stream: UnixStream, mut answer: impl FnMut(&Asked) -> Answer) -> std::io::Result<()> {
    let mut said = Vec::new();
    while !said.ends_with(b"BEGIN\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        said.extend(byte);
    }
    assert_eq!(said, b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n");
    // What happens to somebody else's unit is told at once.
    let signal = [(1, Field::Path("/org/freedesktop/systemd1")), (3, Field::Text("UnitNew"))];
    let lines = b"DATA\r\nOK 0123456789abcdef0123456789abcdef\r\n".to_vec();
    stream.write_all(&[lines, message(4, &signal, &[Word::Text("other.scope")])].concat())?;
    let mut job = 0_u32;
    loop {
        let (serial, asked) = read_call(&mut stream)?;
        if let Some((name, text)) = answer(&asked) {
            stream.write_all(&message(
                3,
                &[(5, Field::Number(serial)), (4, Field::Text(name))],
                &[Word::Text(&text)],
            ))?;
            continue;
        }
        let to = [(5, Field::Number(serial))];
        match asked.member.as_str() {
            "Hello" => stream.write_all(&message(2, &to, &[Word::Text(":1.1")]))?,
            "StartTransientUnit" | "StopUnit" => {
                job += 1;
                let (path, unit) = (format!("/job/{job}"), asked.words[0].as_str());
                let signal = [(1, Field::Path("/org/freedesktop/systemd1")), (3, Field::Text("JobRemoved"))];
                // Somebody else's job ends first.
                let other = [Word::Number(7), Word::Path("/job/77"), Word::Text(unit), Word::Text("failed")];
                stream.write_all(&message(4, &signal, &other))?;
                stream.write_all(&message(2, &to, &[Word::Path(&path)]))?;
                let words = [Word::Number(job), Word::Path(&path), Word::Text(unit), Word::Text("done")];
                stream.write_all(&message(4, &signal, &words))?;
            }
            _ => stream.write_all(&message(2, &to, &[]))?,
        }
    }
}

enum Field<'a> {
    Number(u32),
    Text(&'a str),
    Path(&'a str),
}

enum Word<'a> {
    Number(u32),
    Text(&'a str),
    Path(&'a str),
}

fn pad(out: &mut Vec<u8>, to: usize) {
    out.resize(out.len().next_multiple_of(to), 0);
}

fn put(out: &mut Vec<u8>, text: &str) {
    pad(out, 4);
    out.extend((text.len() as u32).to_le_bytes());
    out.extend(text.as_bytes());
    out.push(0);
}

fn message(kind: u8, fields: &[(u8, Field<'_>)], words: &[Word<'_>]) -> Vec<u8> {
    let (mut body, mut signature) = (Vec::new(), String::new());
    for word in words {
        match word {
            Word::Number(number) => {
                pad(&mut body, 4);
                body.extend(number.to_le_bytes());
                signature.push('u');
            }
            Word::Text(text) => {
                put(&mut body, text);
                signature.push('s');
            }
            Word::Path(text) => {
                put(&mut body, text);
                signature.push('o');
            }
        }
    }
    let mut head = Vec::new();
    for (code, field) in fields {
        pad(&mut head, 8);
        let letter = match field {
            Field::Number(_) => b'u',
            Field::Text(_) => b's',
            Field::Path(_) => b'o',
        };
        head.extend([*code, 1, letter, 0]);
        match field {
            Field::Number(number) => head.extend(number.to_le_bytes()),
            Field::Text(text) | Field::Path(text) => put(&mut head, text),
        }
    }
    pad(&mut head, 8);
    head.extend([8, 1, b'g', 0, signature.len() as u8]);
    head.extend(signature.bytes());
    head.push(0);
    let mut out = vec![b'l', kind, 0, 1];
    out.extend((body.len() as u32).to_le_bytes());
    out.extend(9_u32.to_le_bytes());
    out.extend((head.len() as u32).to_le_bytes());
    out.extend(head);
    pad(&mut out, 8);
    out.extend(body);
    out
}

/// Reads values as they come, for a signature.
struct Body<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Body<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        self.at = self.at.next_multiple_of(N);
        self.at += N;
        self.bytes[self.at - N..self.at].try_into().unwrap()
    }

    fn text(&mut self, length: usize) -> String {
        self.at += length + 1;
        String::from_utf8(self.bytes[self.at - length - 1..self.at - 1].to_vec()).unwrap()
    }

    /// One value; gives the rest of the signature.
    fn value<'s>(&mut self, signature: &'s str, out: &mut String) -> &'s str {
        let rest = &signature[1..];
        match signature.as_bytes()[0] {
            b'b' => out.push_str(if u32::from_le_bytes(self.take()) == 1 { "true" } else { "false" }),
            b'y' => out.push_str(&self.take::<1>()[0].to_string()),
            b'u' => out.push_str(&u32::from_le_bytes(self.take()).to_string()),
            b'i' => out.push_str(&i32::from_le_bytes(self.take()).to_string()),
            b't' => out.push_str(&u64::from_le_bytes(self.take()).to_string()),
            b's' | b'o' => {
                let length = u32::from_le_bytes(self.take()) as usize;
                out.push_str(&format!("{:?}", self.text(length)));
            }
            b'g' => {
                let length = self.take::<1>()[0].into();
                out.push_str(&self.text(length));
            }
            b'v' => {
                let mut signature = String::new();
                self.value("g", &mut signature);
                self.value(&signature, out);
            }
            b'(' => {
                self.at = self.at.next_multiple_of(8);
                let mut left = rest;
                out.push('(');
                while !left.starts_with(')') {
                    if !out.ends_with('(') {
                        out.push(',');
                    }
                    left = self.value(left, out);
                }
                out.push(')');
                return &left[1..];
            }
            b'a' => return self.list(rest, out),
            other => unreachable!("{other}"),
        }
        rest
    }

    fn list<'s>(&mut self, member: &'s str, out: &mut String) -> &'s str {
        let length = u32::from_le_bytes(self.take()) as usize;
        if member.starts_with(['(', 't']) {
            self.at = self.at.next_multiple_of(8);
        }
        let end = self.at + length;
        out.push('[');
        while self.at < end {
            if !out.ends_with('[') {
                out.push(',');
            }
            self.value(member, out);
        }
        out.push(']');
        let Some(inner) = member.strip_prefix('(') else { return &member[1..] };
        let mut depth = 1;
        let close = inner.find(|c| {
            depth += match c {
                '(' => 1,
                ')' => -1,
                _ => 0,
            };
            depth == 0
        });
        &inner[close.unwrap() + 1..]
    }
}

fn read_call(stream: &mut UnixStream) -> std::io::Result<(u32, Asked)> {
    let mut head = [0; 16];
    stream.read_exact(&mut head)?;
    let number = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().unwrap());
    let (body, serial, fields) = (number(4) as usize, number(8), number(12) as usize);
    let mut rest = vec![0; fields.next_multiple_of(8) + body];
    stream.read_exact(&mut rest)?;
    let (mut asked, mut signature) = (Asked::default(), String::new());
    let mut reader = Body { bytes: &rest, at: 0 };
    while reader.at < fields {
        reader.at = reader.at.next_multiple_of(8);
        let code = reader.take::<1>()[0];
        let mut value = String::new();
        reader.value("v", &mut value);
        match code {
            3 => asked.member = value.trim_matches('"').to_owned(),
            8 => signature = value,
            _ => {}
        }
    }
    let mut reader = Body { bytes: &rest[fields.next_multiple_of(8)..], at: 0 };
    let mut left = signature.as_str();
    while !left.is_empty() {
        if left.starts_with("a(sv)") {
            let length = u32::from_le_bytes(reader.take()) as usize;
            reader.at = reader.at.next_multiple_of(8);
            let end = reader.at + length;
            while reader.at < end {
                reader.at = reader.at.next_multiple_of(8);
                let (mut name, mut value) = (String::new(), String::new());
                reader.value("s", &mut name);
                reader.value("v", &mut value);
                asked.properties.insert(name.trim_matches('"').to_owned(), value);
            }
            left = &left[5..];
            continue;
        }
        let mut value = String::new();
        left = reader.value(left, &mut value);
        asked.words.push(value.trim_matches('"').to_owned());
    }
    Ok((serial, asked))
}
