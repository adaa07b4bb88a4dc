//! A push of an artifact to any registry over plain HTTP, without credentials.

use std::io::{self, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::http;
use crate::blob::{Blob, Digest};
use crate::fixture::Artifact;

/// Pushes the artifact, with all that belongs to it, as `name:tag` to the registry at `127.0.0.1:PORT`.
pub fn push(artifact: &Artifact, address: &str, name: &str, tag: &str) -> Result<()> {
    push_as(artifact, address, name, tag).with_context(|| format!("push {name}:{tag} to {address}"))
}

fn push_as(artifact: &Artifact, address: &str, name: &str, reference: &str) -> Result<()> {
    for child in &artifact.children {
        push_as(child, address, name, child.digest.as_str())?;
    }
    for (digest, blob) in &artifact.blobs {
        push_blob(address, name, digest, blob)?;
    }
    let path = format!("/v2/{name}/manifests/{reference}");
    let body = Blob::from(artifact.manifest.clone());
    let (status, _, body) = call(address, "PUT", &path, &artifact.media_type, &body)?;
    expect(status, 201, &path, &body)
}

fn push_blob(address: &str, name: &str, digest: &Digest, blob: &Blob) -> Result<()> {
    let none = Blob::from(Vec::new());
    let (status, ..) = call(address, "HEAD", &format!("/v2/{name}/blobs/{digest}"), "", &none)?;
    if status == 200 {
        return Ok(());
    }
    let path = format!("/v2/{name}/blobs/uploads/");
    let (status, headers, body) = call(address, "POST", &path, "", &none)?;
    expect(status, 202, &path, &body)?;
    let location = http::header(&headers, "location").context("upload without a Location")?;
    let path = location.strip_prefix(&format!("http://{address}")).unwrap_or(location);
    let sign = if path.contains('?') { '&' } else { '?' };
    let path = format!("{path}{sign}digest={digest}");
    let (status, _, body) = call(address, "PUT", &path, "application/octet-stream", blob)?;
    expect(status, 201, &path, &body)
}

fn expect(status: u16, want: u16, path: &str, body: &[u8]) -> Result<()> {
    if status != want {
        bail!("{path}: status {status}: {}", String::from_utf8_lossy(body));
    }
    Ok(())
}

pub(super) fn call(
    address: &str,
    method: &str,
    path: &str,
    media_type: &str,
    body: &Blob,
) -> Result<http::Answer> {
    let address: SocketAddr = address.parse().with_context(|| format!("{address} is not IP:PORT"))?;
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(10))?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    if !media_type.is_empty() {
        head += &format!("Content-Type: {media_type}\r\n");
    }
    head += &format!("Content-Length: {}\r\n\r\n", body.size()?);
    stream.write_all(head.as_bytes())?;
    io::copy(&mut body.open()?, &mut stream)?;
    Ok(http::read_response(&mut BufReader::new(&stream), method)?)
}
