//! A registry, by the distribution specification: documents and blobs, there and back.
//!
//! ```text
//! Remote (blocking: Source and Sink) -> Registry (one request each) -> client
//! Registry -> scheme (https, or http where that is allowed) -> client (one pool, own resolver, lazy roots)
//!          -> 401 -> challenge -> token or basic -> the same request again
//! ```
//!
//! Without TLS nothing is sent but to loopback and to hosts that the user named insecure, and
//! credentials only to loopback. It never sees the store.

mod auth;
mod catalog;
mod challenge;
mod client;
pub mod credentials;
mod mirrors;
pub mod remote;
mod resolve;
pub(crate) mod retry;
mod tags;
mod tls;
mod upload;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue, RANGE};
use reqwest::{Method, Response, StatusCode, Url};
use serde::Deserialize;

use crate::digest::Digest;
use crate::error::{Context, Error, Kind, Result};
use crate::image::DOCUMENT;

use crate::reference::Reference;
pub use catalog::Found;
use client::Client;

/// What is to be done at a registry, as its token service wants to know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Actions {
    /// Read.
    #[default]
    Pull,
    /// Write, and read what is there already.
    Push,
    /// Remove.
    Delete,
    /// List the repositories.
    Catalog,
}

impl Actions {
    fn words(self) -> &'static str {
        match self {
            Self::Pull | Self::Catalog => "pull",
            Self::Push => "pull,push",
            Self::Delete => "pull,delete",
        }
    }
}

/// How registries are to be spoken to.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// What for.
    pub actions: Actions,
    /// Hosts (with their port) that need no valid certificate, nor TLS at all.
    pub insecure: Vec<String>,
    /// Whether every host counts as insecure.
    pub any_insecure: bool,
    /// User and password; without them, files are looked into.
    pub credentials: Option<(String, String)>,
    /// Nobody says who they are: no file is looked into, either.
    pub anonymous: bool,
    /// A token that needs no asking for.
    pub token: Option<String>,
    /// The file of credentials to look into, in place of the usual ones.
    pub authfile: Option<PathBuf>,
    /// A folder with `*.crt` (authorities) and `*.cert` + `*.key` (the client's own).
    pub cert_dir: Option<PathBuf>,
}

impl Settings {
    fn is_insecure(&self, host: &str) -> bool {
        self.any_insecure || self.insecure.iter().any(|named| named == host)
    }
}

/// A manifest or index as it came.
#[derive(Debug)]
pub struct Fetched {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// What the registry says it is.
    pub media_type: String,
}

/// One repository at its registry, and the mirrors that may stand in for it.
#[derive(Debug)]
pub struct Registry {
    /// In the order in which they are asked; the last one is the registry itself.
    endpoints: Vec<Endpoint>,
    /// The one that answered.
    chosen: AtomicUsize,
    name: String,
}

#[derive(Debug)]
struct Endpoint {
    client: Client,
    path: String,
}

impl Registry {
    /// Prepares to speak to a reference's repository; nothing is sent yet.
    pub fn new(reference: &Reference, settings: &Settings) -> Result<Self> {
        let mut endpoints = Vec::new();
        for place in mirrors::places(reference, settings.actions)? {
            let mut settings = settings.clone();
            if place.insecure {
                settings.insecure.push(place.host.clone());
            }
            let client = Client::new(&place.host, &place.path, &settings)?;
            endpoints.push(Endpoint { client, path: place.path });
        }
        Ok(Self { endpoints, chosen: AtomicUsize::new(0), name: reference.name() })
    }

    /// Prepares to speak to a host as a whole.
    pub fn of_host(host: &str, settings: &Settings) -> Result<Self> {
        let client = Client::new(host, "", settings)?;
        let endpoints = vec![Endpoint { client, path: String::new() }];
        Ok(Self { endpoints, chosen: AtomicUsize::new(0), name: host.to_owned() })
    }

    fn endpoint(&self) -> &Endpoint {
        let chosen = self.chosen.load(Ordering::Relaxed).min(self.endpoints.len().saturating_sub(1));
        &self.endpoints[chosen]
    }

    fn client(&self) -> &Client {
        &self.endpoint().client
    }

    fn path(&self) -> &str {
        &self.endpoint().path
    }

    /// The manifest or index under a tag or digest, at most 4 MiB; from a mirror, if one has it.
    pub async fn manifest(&self, selector: &str) -> Result<Fetched> {
        loop {
            let at = self.chosen.load(Ordering::Relaxed);
            match self.manifest_there(selector).await {
                // Which mirror fails is nobody's worry as long as the next one answers.
                Err(e) if at + 1 < self.endpoints.len() && !matches!(e.kind(), Kind::Interrupted(_)) => {
                    self.chosen.store(at + 1, Ordering::Relaxed);
                }
                other => return other,
            }
        }
    }

    /// Asks for nothing, to find out whether the registry lets us in.
    pub async fn enter(&self) -> Result<()> {
        let response = self.client().send(&Method::GET, "/v2/", &HeaderMap::new()).await?;
        let host = self.client().host();
        self.expect(response, || format!("{host} is not a registry")).await.map(|_| ())
    }

    async fn manifest_there(&self, selector: &str) -> Result<Fetched> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static(ACCEPTED));
        let url = format!("/v2/{}/manifests/{selector}", self.path());
        let response = self.client().send(&Method::GET, &url, &headers).await?;
        let response = self.expect(response, || self.missing(selector)).await.map_err(|e| self.hinted(e))?;
        let header =
            |name: &str| response.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
        let media_type = header(CONTENT_TYPE.as_str()).unwrap_or_default();
        let promised = header("docker-content-digest");
        let bytes = self.body(response).await.while_doing(|| format!("read the manifest {selector}"))?;
        check_digest(&bytes, promised.as_deref())
            .and_then(|()| check_kind(&bytes, &media_type))
            .while_doing(|| format!("manifest {selector} of {}", self.name))?;
        Ok(Fetched { bytes, media_type })
    }

    /// A blob from some byte on. A registry may ignore the offset: see [`starts_at`].
    pub async fn blob(&self, digest: &Digest, offset: u64) -> Result<Response> {
        let mut headers = HeaderMap::new();
        if let (1.., Ok(range)) = (offset, HeaderValue::from_str(&format!("bytes={offset}-"))) {
            headers.insert(RANGE, range);
        }
        let url = format!("/v2/{}/blobs/{digest}", self.path());
        let response = self.client().send(&Method::GET, &url, &headers).await?;
        let missing =
            || format!("the registry {} has no blob {digest}, which the image needs", self.client().host());
        self.expect(response, missing).await
    }

    /// Turns an answer that is none into the sentence for it.
    async fn expect(&self, response: Response, missing: impl Fn() -> String) -> Result<Response> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let (stranger, later) =
            (self.client().stranger(&response), retry::when(response.headers(), SystemTime::now()));
        let problems =
            self.body(response).await.ok().and_then(|b| serde_json::from_slice::<Problems>(&b).ok());
        let problem = problems.and_then(|p| p.errors.into_iter().next()).unwrap_or_default();
        let host = self.client().host();
        let e = match (status, problem.code.as_str()) {
            (StatusCode::NOT_FOUND, "NAME_UNKNOWN") => {
                let what = format!("the registry {host} has no repository {} ({status})", self.path());
                Error::new(Kind::NotFound, what).hint(format!(
                    "list its repositories with `mocker-image search {host}`, where it lets you"
                ))
            }
            (StatusCode::NOT_FOUND, _) => Error::new(Kind::NotFound, format!("{} ({status})", missing())),
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _) => match stranger {
                Some(other) => {
                    let what = format!("the registry {host} redirects to {other}, which answers {status}");
                    Error::new(Kind::Denied, what)
                }
                None => self.client().denied(status)?,
            },
            (StatusCode::TOO_MANY_REQUESTS, _) => {
                let what = format!("the registry {host} takes no more requests for now ({status})");
                let e = Error::new(Kind::Unreachable, what);
                match later {
                    Some(wait) => e.hint(format!("it says to come back in {} seconds", wait.as_secs())),
                    None => e,
                }
            }
            _ => {
                let words =
                    if problem.message.is_empty() { String::new() } else { format!(": {}", problem.message) };
                Error::new(Kind::Unreachable, format!("the registry {host} answers {status}{words}"))
            }
        };
        Err(e)
    }

    /// What to say where there is no such manifest.
    fn missing(&self, selector: &str) -> String {
        let (host, path) = (self.client().host(), self.path());
        match selector.contains(':') {
            true => format!("the registry {host} has no manifest {selector} in {path}"),
            false => format!("the registry {host} has no tag {selector:?} in {path}"),
        }
    }

    /// An image that is not there may be by another tag.
    fn hinted(&self, e: Error) -> Error {
        match e.kind() {
            Kind::NotFound => e.hint(format!("list its tags with `mocker-image tags {}`", self.name)),
            _ => e,
        }
    }

    async fn body(&self, mut response: Response) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        while let Some(chunk) = self.client().chunk(&mut response).await? {
            bytes.extend_from_slice(chunk.as_ref());
            if bytes.len() as u64 > DOCUMENT {
                return Err(Error::invalid(format!("is larger than {DOCUMENT} bytes")));
            }
        }
        Ok(bytes)
    }

    /// The next bytes of an answer's body.
    pub async fn chunk(&self, response: &mut Response) -> Result<Option<impl AsRef<[u8]> + use<>>> {
        self.client().chunk(response).await
    }
}

/// Every document that we read, in one header.
const ACCEPTED: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";

/// For a client that never speaks TLS, and so reads no authorities.
pub(crate) fn no_tls() -> Result<rustls::ClientConfig> {
    tls::config(None, None)
}

/// Which byte of a blob an answer begins with.
pub fn starts_at(response: &Response, asked: u64) -> u64 {
    match response.status() {
        StatusCode::PARTIAL_CONTENT => asked,
        _ => 0,
    }
}

fn check_digest(bytes: &[u8], promised: Option<&str>) -> Result<()> {
    let Some(Ok(promised)) = promised.map(str::parse::<Digest>) else {
        return Ok(());
    };
    let mut hasher = promised.hasher();
    hasher.update(bytes);
    match hasher.finish() {
        got if got == promised => Ok(()),
        got => Err(Error::invalid(format!("hashes to {got}, but the registry says {promised}"))),
    }
}

/// A document that says what it is must be served as that: read as another kind it could hold what its digest was never
/// meant to vouch for (CVE-2021-41190). A type that is no document's, of a server that knows none, says nothing.
fn check_kind(bytes: &[u8], served_as: &str) -> Result<()> {
    #[derive(Deserialize)]
    struct Document {
        #[serde(rename = "mediaType")]
        media_type: Option<String>,
    }
    let served_as = served_as.split(';').next().unwrap_or_default().trim();
    match serde_json::from_slice(bytes) {
        Ok(Document { media_type: Some(own) })
            if crate::media::is_document(served_as) && own != served_as =>
        {
            Err(Error::invalid(format!("is {own:?}, but the registry says {served_as:?}")))
        }
        _ => Ok(()),
    }
}

/// A registry's errors, as the distribution specification shapes them.
#[derive(Deserialize)]
struct Problems {
    #[serde(default)]
    errors: Vec<Problem>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Problem {
    code: String,
    message: String,
}

/// Whether a host (with or without a port) is this machine.
fn is_loopback(host: &str) -> bool {
    let name = match Url::parse(&format!("http://{host}/")) {
        Ok(url) => url.host_str().unwrap_or_default().to_owned(),
        Err(_) => return false,
    };
    let address = name.trim_matches(['[', ']']).parse::<IpAddr>();
    resolve::is_localhost(&name) || address.is_ok_and(|a| a.to_canonical().is_loopback())
}

/// Whether `WWW-Authenticate` asks for what can be given.
pub(crate) fn is_challenge<'a>(headers: impl Iterator<Item = &'a str>) -> bool {
    challenge::Challenge::choose(headers).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepted_names_every_document_that_is_read() {
        assert!(crate::media::DOCUMENTS.iter().all(|document| ACCEPTED.contains(document)));
    }

    #[test]
    fn only_this_machine_is_loopback() {
        for (host, want) in [
            ("localhost", true),
            ("localhost:5000", true),
            ("127.0.0.1:5000", true),
            ("127.9.9.9", true),
            ("[::1]:5000", true),
            ("a.localhost", true),
            ("10.0.0.1", false),
            ("localhost.example.org", false),
            ("127.0.0.1.example.org", false),
        ] {
            assert_eq!(is_loopback(host), want, "{host}");
        }
    }
}
