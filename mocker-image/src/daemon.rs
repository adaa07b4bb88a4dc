//! `docker-daemon:NAME`: the images of a docker that runs here, over its socket.
//!
//! The daemon gives and takes whole archives only, so each way goes through a file without a name.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use reqwest::{Response, StatusCode};
use tokio::sync::mpsc;

use crate::archive::docker::{Archive, Form, NewArchive};
use crate::error::{Context, Error, Kind, Result};
use crate::image::{Blob, Descriptor, Put, Sink, Source, Supply, Takes};
use crate::interrupt::heed;
use crate::layer::pack::scratch;
use crate::reference::Reference;

const SOCKET: &str = "/var/run/docker.sock";

/// The daemon's address, once for both ways.
#[derive(Debug)]
struct Line {
    socket: PathBuf,
}

impl Line {
    fn new(socket: Option<&Path>) -> Self {
        let host = std::env::var("DOCKER_HOST").ok();
        let host = host.as_deref().and_then(|host| host.strip_prefix("unix://")).map(PathBuf::from);
        Self { socket: socket.map(Path::to_owned).or(host).unwrap_or_else(|| SOCKET.into()) }
    }

    fn call<T, F: Future<Output = Result<T>>>(&self, work: impl FnOnce(reqwest::Client) -> F) -> Result<T> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.while_doing(|| "prepare for input and output")?;
        let client = reqwest::Client::builder().unix_socket(self.socket.as_path()).no_proxy();
        let client = client.tls_backend_preconfigured(crate::registry::no_tls()?).build();
        let client = client.map_err(|e| Error::new(Kind::Internal, e.to_string()))?;
        let step = || format!("ask the docker daemon at {}", self.socket.display());
        runtime.block_on(heed(work(client))).while_doing(step)
    }
}

fn told(e: &reqwest::Error) -> Error {
    let mut cause: &(dyn std::error::Error + 'static) = e;
    while let Some(next) = cause.source() {
        cause = next;
    }
    match cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::raw_os_error) {
        Some(errno) => std::io::Error::from_raw_os_error(errno).into(),
        None => Error::new(Kind::Unreachable, cause.to_string()),
    }
}

async fn good(response: Response, name: &str) -> Result<Response> {
    match response.status() {
        status if status.is_success() => Ok(response),
        StatusCode::NOT_FOUND => Err(Error::new(Kind::NotFound, format!("it has no image {name}"))),
        status => {
            let words = response.text().await.unwrap_or_default();
            Err(Error::new(Kind::Unreachable, format!("it answers {status}: {}", words.trim())))
        }
    }
}

/// An image of the daemon.
#[derive(Debug)]
pub struct Daemon {
    line: Line,
    reference: Reference,
    archive: OnceLock<Archive>,
}

impl Daemon {
    /// Nothing is asked yet.
    pub fn new(reference: &Reference, socket: Option<&Path>) -> Self {
        Self { line: Line::new(socket), reference: reference.clone(), archive: OnceLock::new() }
    }

    fn archive(&self) -> Result<&Archive> {
        if let Some(archive) = self.archive.get() {
            return Ok(archive);
        }
        let name = self.reference.to_string();
        let mut file = scratch()?;
        let mut to = file.try_clone().while_doing(|| "keep the archive")?;
        self.line.call(|client| async move {
            let url = format!("http://docker/images/{name}/get");
            let response = client.get(url).send().await.map_err(|e| told(&e))?;
            let mut response = good(response, &name).await?;
            while let Some(chunk) = response.chunk().await.map_err(|e| told(&e))? {
                to.write_all(&chunk).while_doing(|| "keep the archive")?;
            }
            Ok(())
        })?;
        file.seek(SeekFrom::Start(0)).while_doing(|| "keep the archive")?;
        let archive = Archive::of_file(file, &Source::name(self), None)?;
        Ok(self.archive.get_or_init(|| archive))
    }
}

impl Source for Daemon {
    fn name(&self) -> String {
        format!("docker-daemon:{}", self.reference)
    }

    fn top(&self) -> Result<(Descriptor, Vec<u8>)> {
        self.archive()?.top()
    }

    fn is_made_up(&self) -> bool {
        true
    }

    fn blob(&self, descriptor: &Descriptor) -> Result<Blob> {
        self.archive()?.blob(descriptor)
    }
}

/// An image on its way to the daemon.
#[derive(Debug)]
pub struct ToDaemon {
    line: Line,
    reference: Reference,
    file: PathBuf,
    archive: NewArchive,
}

impl ToDaemon {
    /// Nothing is sent before the image is whole.
    pub fn new(reference: &Reference, socket: Option<&Path>) -> Result<Self> {
        let dir = crate::home::variable("TMPDIR").unwrap_or_else(|| "/var/tmp".into());
        let file = dir.join(format!("mocker-daemon-{}.tar", std::process::id()));
        let archive = NewArchive::new(&file, std::slice::from_ref(reference), Form::Old);
        Ok(Self { line: Line::new(socket), reference: reference.clone(), file, archive })
    }
}

impl Sink for ToDaemon {
    fn name(&self) -> String {
        format!("docker-daemon:{}", self.reference)
    }

    fn takes(&self) -> Takes {
        self.archive.takes()
    }

    fn has(&self, descriptor: &Descriptor) -> Result<bool> {
        self.archive.has(descriptor)
    }

    fn put_blob(&self, descriptor: &Descriptor, supply: &dyn Supply) -> Result<Put> {
        self.archive.put_blob(descriptor, supply)
    }

    fn put_child(&self, descriptor: &Descriptor, bytes: &[u8]) -> Result<()> {
        self.archive.put_child(descriptor, bytes)
    }

    fn put_top(&self, descriptor: &Descriptor, bytes: &[u8]) -> Result<()> {
        self.archive.put_top(descriptor, bytes)?;
        let step = || format!("read {}", self.file.display());
        let file = File::open(&self.file).while_doing(step)?;
        std::fs::remove_file(&self.file).while_doing(step)?;
        let size = file.metadata().while_doing(step)?.len();
        let name = self.reference.to_string();
        self.line.call(|client| async move {
            let (tx, rx) = mpsc::channel(4);
            std::thread::spawn(move || feed(file, &tx));
            let request = client.post("http://docker/images/load?quiet=1");
            let request = request.header("content-type", "application/x-tar").header("content-length", size);
            let body = reqwest::Body::wrap_stream(crate::registry::remote::Stream(rx));
            let response = good(request.body(body).send().await.map_err(|e| told(&e))?, &name).await?;
            let words = response.text().await.map_err(|e| told(&e))?;
            match words.contains("\"error\"") {
                true => Err(Error::invalid(format!("it does not take the image: {}", words.trim()))),
                false => Ok(()),
            }
        })
    }
}

fn feed(mut file: File, tx: &mpsc::Sender<std::io::Result<Vec<u8>>>) {
    loop {
        let mut piece = vec![0; 1 << 16];
        let read = std::io::Read::read(&mut file, &mut piece).map(|n| {
            piece.truncate(n);
            piece
        });
        if read.as_ref().is_ok_and(Vec::is_empty) {
            return;
        }
        let failed = read.is_err();
        // A daemon that has heard enough says why in its answer.
        if tx.blocking_send(read).is_err() || failed {
            return;
        }
    }
}
