//! The distribution specification's endpoints over the store.

use serde_json::json;

use super::http::{Asked, Reply};
use super::{Fault, Location, Shared, auth, fault, hold};
use crate::blob::Digest;

pub(super) fn answer(shared: &Shared, asked: &Asked, fault: Option<&Fault>) -> Reply {
    if let Some(reply) = fault::instead(fault, &asked.path) {
        return reply;
    }
    let lock = hold(&shared.auth).clone();
    if asked.plain_path() == "/token" {
        return auth::issue(&lock, asked);
    }
    if let Some(refusal) = auth::guard(&lock, asked) {
        return refusal;
    }
    let mut reply = endpoint(shared, asked, fault);
    reply.headers.push(("Docker-Distribution-API-Version".to_owned(), "registry/2.0".to_owned()));
    if let Some(Fault::Header(name, value)) = fault {
        reply.headers.retain(|(held, _)| !held.eq_ignore_ascii_case(name));
        if !value.is_empty() {
            reply.headers.push((name.clone(), value.clone()));
        }
    }
    reply
}

fn endpoint(shared: &Shared, asked: &Asked, fault: Option<&Fault>) -> Reply {
    let unknown = || Reply::error(404, "NOT_FOUND", "no such endpoint");
    let Some(rest) = asked.plain_path().strip_prefix("/v2/") else {
        return unknown();
    };
    if rest.is_empty() {
        return Reply::new(200, "{}").with("Content-Type", "application/json");
    }
    if rest == "_catalog" {
        return document(&json!({ "repositories": hold(&shared.store).names() }));
    }
    if let Some((name, upload)) = rest.split_once("/blobs/uploads/") {
        return uploads(shared, asked, name, upload);
    }
    if let Some((_, digest)) = rest.split_once("/blobs/") {
        return blob(shared, asked, digest, fault);
    }
    if let Some((name, reference)) = rest.split_once("/manifests/") {
        return manifests(shared, asked, name, reference);
    }
    if let Some((name, subject)) = rest.split_once("/referrers/").filter(|_| *hold(&shared.referrers)) {
        return referrers(shared, name, subject);
    }
    match rest.strip_suffix("/tags/list") {
        Some(name) => tags(shared, asked, name),
        None => unknown(),
    }
}

/// The index of what refers to a manifest.
fn referrers(shared: &Shared, name: &str, subject: &str) -> Reply {
    let found = hold(&shared.store).referrers(name, subject);
    let list: Vec<_> = found
        .iter()
        .map(|(kind, digest, bytes)| json!({ "mediaType": kind, "digest": digest, "size": bytes.len() }))
        .collect();
    let kind = "application/vnd.oci.image.index.v1+json";
    let index = json!({ "schemaVersion": 2, "mediaType": kind, "manifests": list });
    Reply::new(200, index.to_string()).with("Content-Type", kind)
}

fn document(body: &serde_json::Value) -> Reply {
    Reply::new(200, body.to_string()).with("Content-Type", "application/json")
}

/// With `n` and `last`: pages, and a Link to the next one.
fn tags(shared: &Shared, asked: &Asked, name: &str) -> Reply {
    let Some(mut tags) = hold(&shared.store).tags(name) else {
        return Reply::error(404, "NAME_UNKNOWN", "repository name not known to registry");
    };
    if let Some(last) = asked.query("last") {
        tags.retain(|tag| *tag > last);
    }
    let page = hold(&shared.page).unwrap_or(usize::MAX);
    let limit = asked.query("n").and_then(|n| n.parse().ok()).unwrap_or(page).min(page);
    let more = tags.len() > limit;
    tags.truncate(limit);
    let reply = document(&json!({ "name": name, "tags": tags }));
    match tags.last().filter(|_| more) {
        Some(last) => {
            reply.with("Link", format!("</v2/{name}/tags/list?n={limit}&last={last}>; rel=\"next\""))
        }
        None => reply,
    }
}

fn manifests(shared: &Shared, asked: &Asked, name: &str, reference: &str) -> Reply {
    let mut store = hold(&shared.store);
    match asked.method.as_str() {
        "GET" | "HEAD" => match store.manifest(name, reference) {
            Some((media_type, bytes)) => {
                let digest = Digest::of(&bytes);
                Reply::new(200, bytes).with("Content-Type", media_type).with("Docker-Content-Digest", digest)
            }
            None if store.tags(name).is_some() => Reply::error(404, "MANIFEST_UNKNOWN", "manifest unknown"),
            None => Reply::error(404, "NAME_UNKNOWN", "repository name not known to registry"),
        },
        "PUT" => {
            let media_type = asked.header("content-type").unwrap_or_default();
            let digest = store.put_manifest(name, reference, media_type, &asked.body);
            let reply = Reply::new(201, "")
                .with("Location", format!("/v2/{name}/manifests/{digest}"))
                .with("Docker-Content-Digest", digest);
            let document: serde_json::Value = serde_json::from_slice(&asked.body).unwrap_or_default();
            match document["subject"]["digest"].as_str().filter(|_| *hold(&shared.referrers)) {
                Some(subject) => reply.with("OCI-Subject", subject),
                None => reply,
            }
        }
        "DELETE" if store.remove_manifest(name, reference) => Reply::new(202, ""),
        "DELETE" => Reply::error(404, "MANIFEST_UNKNOWN", "manifest unknown"),
        _ => Reply::error(405, "UNSUPPORTED", "the operation is unsupported"),
    }
}

fn blob(shared: &Shared, asked: &Asked, digest: &str, fault: Option<&Fault>) -> Reply {
    let unknown = || Reply::error(404, "BLOB_UNKNOWN", "blob unknown to registry");
    let Some(blob) = hold(&shared.store).blob(digest) else {
        return unknown();
    };
    let Ok(size) = blob.size() else { return unknown() };
    let mut reply = Reply::new(200, "")
        .with("Content-Type", "application/octet-stream")
        .with("Docker-Content-Digest", digest)
        .with("Accept-Ranges", "bytes");
    (reply.blob, reply.to) = (blob, size);
    match asked.header("range").filter(|_| fault != Some(&Fault::NoRange)).map(|range| span(range, size)) {
        None => {}
        Some(Some((from, to))) => {
            (reply.status, reply.from, reply.to) = (206, from, to);
            reply = reply.with("Content-Range", format!("bytes {from}-{}/{size}", to - 1));
        }
        Some(None) => {
            return Reply::error(416, "RANGE_INVALID", "invalid range")
                .with("Content-Range", format!("bytes */{size}"));
        }
    }
    reply
}

/// `bytes=A-B` or `bytes=A-` as a half-open span.
fn span(range: &str, size: u64) -> Option<(u64, u64)> {
    let (from, to) = range.strip_prefix("bytes=")?.split_once('-')?;
    let from = from.parse().ok()?;
    let to = if to.is_empty() { size } else { to.parse::<u64>().ok()?.saturating_add(1).min(size) };
    (from < to).then_some((from, to))
}

fn uploads(shared: &Shared, asked: &Asked, name: &str, upload: &str) -> Reply {
    let mut store = hold(&shared.store);
    let unknown = || Reply::error(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry");
    let created = |digest: &str| {
        Reply::new(201, "")
            .with("Location", format!("/v2/{name}/blobs/{digest}"))
            .with("Docker-Content-Digest", digest)
    };
    if asked.method == "POST" {
        if let Some(digest) = asked.query("mount").filter(|digest| store.blob(digest).is_some()) {
            return created(&digest);
        }
        let id = store.open_upload();
        let Some(digest) = asked.query("digest") else {
            return Reply::new(202, "")
                .with("Location", location(shared, asked, name, id))
                .with("Docker-Upload-UUID", id)
                .with("Range", "0-0");
        };
        store.append(id, &asked.body);
        return if store.commit(id, &digest) { created(&digest) } else { wrong_digest() };
    }
    let Some((id, held)) = upload.parse().ok().and_then(|id| Some((id, store.append(id, &asked.body)?)))
    else {
        return unknown();
    };
    match asked.method.as_str() {
        "PATCH" | "GET" => Reply::new(if asked.method == "GET" { 204 } else { 202 }, "")
            .with("Location", location(shared, asked, name, id))
            .with("Range", format!("0-{}", held.saturating_sub(1))),
        "PUT" => {
            let digest = asked.query("digest").unwrap_or_default();
            if store.commit(id, &digest) { created(&digest) } else { wrong_digest() }
        }
        _ => Reply::new(204, ""),
    }
}

/// The address of an upload, of the kind that was asked for.
fn location(shared: &Shared, asked: &Asked, name: &str, id: u64) -> String {
    let path = format!("/v2/{name}/blobs/uploads/{id}");
    match *hold(&shared.locations) {
        Location::Relative => path,
        Location::Absolute => format!("http://{}{path}", asked.header("host").unwrap_or("127.0.0.1")),
        Location::WithQuery => format!("{path}?_state=kept%2Band%3D"),
    }
}

fn wrong_digest() -> Reply {
    Reply::error(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
}
