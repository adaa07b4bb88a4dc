//! Registries on loopback: one in this process whose faults a test chooses, Debian's own, and a push to either.
//!
//! ```text
//! Registry::start() ── 127.0.0.1:PORT ── put(name, tag, artifact), fault(path, Fault), requests()
//! DockerRegistry::start() ── /usr/bin/docker-registry with its storage in a temporary directory
//! push(artifact, "127.0.0.1:PORT", name, tag)
//! ```
//!
//! Plain HTTP only; it never listens beyond 127.0.0.1.

mod auth;
mod docker;
mod fault;
mod http;
mod proxy;
mod push;
mod route;
mod store;

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

pub use auth::Auth;
pub use docker::DockerRegistry;
pub use fault::Fault;
pub use proxy::{Message, Wire, proxy, send};
pub use push::push;

use crate::blob::Digest;
use crate::fixture::Artifact;

/// The addresses that uploads get.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Location {
    /// A path.
    #[default]
    Relative,
    /// With protocol and host.
    Absolute,
    /// A path with a query that has to come back as it is.
    WithQuery,
}

/// One request that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// GET, HEAD, PUT ...
    pub method: String,
    /// With the query: `/v2/a/blobs/uploads/?digest=...`.
    pub path: String,
    /// Header names in lower case.
    pub headers: Vec<(String, String)>,
    /// The status that was answered; 0 when the connection ended without one.
    pub status: u16,
}

impl Request {
    /// The first header of this name (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

#[derive(Default)]
struct Shared {
    store: Mutex<store::Store>,
    faults: Mutex<Vec<fault::Rule>>,
    auth: Mutex<Auth>,
    /// Whether it lists what refers to a manifest.
    referrers: Mutex<bool>,
    /// What the addresses of uploads look like.
    locations: Mutex<Location>,
    /// So many tags are on a page when nobody says a number.
    page: Mutex<Option<usize>>,
    log: Mutex<Vec<Request>>,
    stopped: Mutex<bool>,
    bell: Condvar,
}

/// A registry in this process; it ends with this value.
pub struct Registry {
    shared: Arc<Shared>,
    address: SocketAddr,
}

impl Registry {
    /// Listens on a free port of 127.0.0.1.
    pub fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let server = shared.clone();
        thread::spawn(move || accept(&listener, &server));
        Ok(Self { shared, address })
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// `127.0.0.1:PORT/NAME:TAG`.
    pub fn reference(&self, name: &str, tag: &str) -> String {
        format!("{}/{name}:{tag}", self.address)
    }

    /// Holds this artifact, with all that belongs to it, as `name:tag`.
    pub fn put(&self, name: &str, tag: &str, artifact: &Artifact) {
        hold(&self.shared.store).put(name, Some(tag), artifact);
    }

    /// Does this for every request whose path (with query) contains `part`. The fault set last wins.
    pub fn fault(&self, part: impl ToString, fault: Fault) {
        self.fault_times(part, usize::MAX, fault);
    }

    /// The same for the next `times` such requests only.
    pub fn fault_times(&self, part: impl ToString, times: usize, fault: Fault) {
        hold(&self.shared.faults).push(fault::Rule { part: part.to_string(), left: times, fault });
    }

    /// From now on all is well again.
    pub fn clear_faults(&self) {
        hold(&self.shared.faults).clear();
    }

    /// From now on it lists what refers to a manifest, which registries need not do.
    pub fn list_referrers(&self) {
        *hold(&self.shared.referrers) = true;
    }

    /// From now on uploads have addresses of this kind.
    pub fn locate_uploads(&self, location: Location) {
        *hold(&self.shared.locations) = location;
    }

    /// From now on lists of tags come in pages of this many.
    pub fn page_tags(&self, tags: usize) {
        *hold(&self.shared.page) = Some(tags);
    }

    /// Who may ask.
    pub fn require(&self, auth: Auth) {
        *hold(&self.shared.auth) = auth;
    }

    /// All requests so far, in the order of their answers.
    pub fn requests(&self) -> Vec<Request> {
        hold(&self.shared.log).clone()
    }

    /// Those of one method whose path contains `part`.
    pub fn count(&self, method: &str, part: &str) -> usize {
        self.requests()
            .iter()
            .filter(|request| request.method == method && request.path.contains(part))
            .count()
    }

    /// Forgets the requests so far.
    pub fn forget_requests(&self) {
        hold(&self.shared.log).clear();
    }

    /// The manifest that was put or pushed as `name:tag` or by digest: media type and bytes.
    pub fn manifest(&self, name: &str, reference: &str) -> Option<(String, Vec<u8>)> {
        hold(&self.shared.store).manifest(name, reference)
    }

    /// Whether somebody put or pushed this blob.
    pub fn has_blob(&self, digest: &str) -> bool {
        hold(&self.shared.store).blob(digest).is_some()
    }

    /// Makes a blob vanish.
    pub fn remove_blob(&self, digest: &Digest) {
        hold(&self.shared.store).remove_blob(digest.as_str());
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        *hold(&self.shared.stopped) = true;
        self.shared.bell.notify_all();
        // wakes the thread that waits in accept
        drop(TcpStream::connect_timeout(&self.address, Duration::from_secs(1)));
    }
}

/// A test that panicked with the lock held has failed already; the others go on.
fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if *hold(&shared.stopped) {
            return;
        }
        let shared = shared.clone();
        if let Ok(stream) = stream {
            // a client that hangs up is the client's affair
            thread::spawn(move || drop(converse(&stream, &shared)));
        }
    }
}

fn converse(stream: &TcpStream, shared: &Shared) -> io::Result<()> {
    let mut reader = io::BufReader::new(stream);
    while let Some(asked) = http::read_request(&mut reader)? {
        let fault = fault::take(&mut hold(&shared.faults), &asked.path);
        let reply = route::answer(shared, &asked, fault.as_ref());
        hold(&shared.log).push(Request {
            method: asked.method.clone(),
            path: asked.path.clone(),
            headers: asked.headers.clone(),
            status: reply.status,
        });
        let head = asked.method == "HEAD";
        let cut = fault::send(&reply, head, stream, || wait_for_the_end(shared), fault.as_ref())?;
        if cut || *hold(&shared.stopped) {
            return Ok(());
        }
    }
    Ok(())
}

fn wait_for_the_end(shared: &Shared) {
    let mut stopped = hold(&shared.stopped);
    while !*stopped {
        stopped = shared.bell.wait(stopped).unwrap_or_else(PoisonError::into_inner);
    }
}
