//! As much of HTTP/1.1 as a registry and a push need: both sides, no TLS.

use std::io::{self, BufRead, Read, Write};

use crate::blob::Blob;

/// A request as it was read.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Asked {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// The path before `?`.
    pub(super) fn plain_path(&self) -> &str {
        self.path.split('?').next().unwrap_or_default()
    }

    /// A decoded value of the query.
    pub(super) fn query(&self, key: &str) -> Option<String> {
        self.queries(key).into_iter().next()
    }

    /// All values of a key that may stand several times.
    pub(super) fn queries(&self, key: &str) -> Vec<String> {
        let query = self.path.split_once('?').map_or("", |(_, query)| query);
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.filter(|(name, _)| *name == key).map(|(_, value)| decode(value)).collect()
    }
}

/// An answer; the body is `blob[from..to]`.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) blob: Blob,
    pub(super) from: u64,
    pub(super) to: u64,
}

impl Reply {
    pub(super) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        Self { status, headers: Vec::new(), from: 0, to: body.len() as u64, blob: body.into() }
    }

    /// The error document of the distribution specification.
    pub(super) fn error(status: u16, code: &str, message: &str) -> Self {
        let body = serde_json::json!({ "errors": [{ "code": code, "message": message, "detail": null }] });
        Self::new(status, body.to_string()).with("Content-Type", "application/json")
    }

    pub(super) fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }
}

pub(super) fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

fn decode(value: &str) -> String {
    let mut out = Vec::new();
    let mut bytes = value.bytes();
    while let Some(byte) = bytes.next() {
        let mut digit = || bytes.next().and_then(|b| char::from(b).to_digit(16)).unwrap_or(0) as u8;
        out.push(match byte {
            b'%' => (digit() << 4) | digit(),
            b'+' => b' ',
            other => other,
        });
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

fn read_line(reader: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = String::new();
    match reader.read_line(&mut line)? {
        0 => Ok(None),
        _ => Ok(Some(line.trim_end().to_owned())),
    }
}

fn read_headers(reader: &mut impl BufRead) -> io::Result<Vec<(String, String)>> {
    let mut headers = Vec::new();
    while let Some(line) = read_line(reader)?.filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').ok_or_else(|| bad("header without a colon"))?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    Ok(headers)
}

fn read_body(reader: &mut impl BufRead, headers: &[(String, String)]) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    if header(headers, "transfer-encoding").is_some_and(|value| value.contains("chunked")) {
        loop {
            let line = read_line(reader)?.ok_or_else(|| bad("body ends before its last chunk"))?;
            let size = u64::from_str_radix(&line, 16).map_err(|_| bad("chunk size is not a number"))?;
            reader.by_ref().take(size).read_to_end(&mut body)?;
            read_line(reader)?;
            if size == 0 {
                return Ok(body);
            }
        }
    }
    let size = header(headers, "content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
    reader.take(size).read_to_end(&mut body)?;
    if body.len() as u64 == size { Ok(body) } else { Err(bad("body shorter than its Content-Length")) }
}

/// The next request, or nothing when the client hung up between two.
pub(super) fn read_request(reader: &mut impl BufRead) -> io::Result<Option<Asked>> {
    let Some(line) = read_line(reader)? else {
        return Ok(None);
    };
    let mut words = line.split(' ');
    let (Some(method), Some(path)) = (words.next(), words.next()) else {
        return Err(bad("not an HTTP request"));
    };
    let headers = read_headers(reader)?;
    let body = read_body(reader, &headers)?;
    Ok(Some(Asked { method: method.to_owned(), path: path.to_owned(), headers, body }))
}

/// The status line and headers of an answer; `length` is what Content-Length says.
pub(super) fn write_head(mut writer: impl Write, reply: &Reply, length: u64) -> io::Result<()> {
    let mut head = format!("HTTP/1.1 {} {}\r\n", reply.status, reason(reply.status));
    for (name, value) in &reply.headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += &format!("Content-Length: {length}\r\n\r\n");
    writer.write_all(head.as_bytes())
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        206 => "Partial Content",
        300..=399 => "Moved",
        401 => "Unauthorized",
        404 => "Not Found",
        416 => "Range Not Satisfiable",
        429 => "Too Many Requests",
        503 => "Service Unavailable",
        _ => "Other",
    }
}

/// Status, headers (names in lower case) and body.
pub(super) type Answer = (u16, Vec<(String, String)>, Vec<u8>);

/// The client's side: an answer as it was read.
pub(super) fn read_response(reader: &mut impl BufRead, method: &str) -> io::Result<Answer> {
    let line = read_line(reader)?.ok_or_else(|| bad("connection closed without an answer"))?;
    let status = line.split(' ').nth(1).and_then(|word| word.parse().ok());
    let status = status.ok_or_else(|| bad("not an HTTP answer"))?;
    let headers = read_headers(reader)?;
    let body = if method == "HEAD" { Vec::new() } else { read_body(reader, &headers)? };
    Ok((status, headers, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunked_body_is_joined() {
        let text = b"PATCH /x?digest=sha256%3Aab&a=1 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
        let asked = read_request(&mut &text[..]).unwrap().unwrap();
        assert_eq!(asked.body, b"abcde");
        assert_eq!(asked.query("digest").unwrap(), "sha256:ab");
        assert_eq!(asked.plain_path(), "/x");
    }

    #[test]
    fn a_short_body_is_an_error() {
        assert!(read_request(&mut &b"PUT / HTTP/1.1\r\nContent-Length: 3\r\n\r\nab"[..]).is_err());
    }
}
