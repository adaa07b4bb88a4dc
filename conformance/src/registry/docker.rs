//! Debian's docker-registry as a guard: started on loopback, ended on drop.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use super::push::{call, push};
use crate::blob::Blob;
use crate::fixture::Artifact;
use crate::host;

/// A running docker-registry with its storage, configuration and log in a temporary directory.
pub struct DockerRegistry {
    child: Child,
    address: String,
    dir: TempDir,
}

impl DockerRegistry {
    /// Whether the package is installed.
    pub fn is_installed() -> bool {
        host::on_path("docker-registry").is_some()
    }

    /// Starts it and waits until it answers.
    pub fn start() -> Result<Self> {
        let program = host::on_path("docker-registry").context("docker-registry is not installed")?;
        // another process may take the port between our look and its bind: then it says so, and we look again
        (0..5)
            .find_map(|_| Self::try_start(&program).transpose())
            .context("docker-registry found no free port in five tries")?
    }

    /// Nothing when the port was taken.
    fn try_start(program: &PathBuf) -> Result<Option<Self>> {
        let dir = tempfile::tempdir()?;
        let port = std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let address = format!("127.0.0.1:{port}");
        let (config, log) = (dir.path().join("config.yml"), dir.path().join("log"));
        std::fs::write(&config, configuration(&dir, &address))?;
        let output = File::create(&log)?;
        let child = Command::new(program)
            .arg("serve")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("start {}", program.display()))?;
        let mut registry = Self { child, address, dir };
        let mut ended = false;
        host::wait_until(Duration::from_secs(20), "docker-registry to answer", || {
            ended = registry.child.try_wait().is_ok_and(|status| status.is_some());
            ended || registry.answers()
        })?;
        let log = std::fs::read_to_string(log)?;
        match ended {
            true if log.contains("address already in use") => Ok(None),
            true => bail!("docker-registry ended at once: {log}"),
            false => Ok(Some(registry)),
        }
    }

    fn answers(&self) -> bool {
        let none = Blob::from(Vec::new());
        call(&self.address, "GET", "/v2/", "", &none).is_ok_and(|(status, ..)| status == 200)
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        self.address.clone()
    }

    /// `127.0.0.1:PORT/NAME:TAG`.
    pub fn reference(&self, name: &str, tag: &str) -> String {
        format!("{}/{name}:{tag}", self.address)
    }

    /// Pushes an artifact to it.
    pub fn put(&self, name: &str, tag: &str, artifact: &Artifact) -> Result<()> {
        push(artifact, &self.address, name, tag)
    }

    /// What it has logged so far: one line a request among others.
    pub fn log(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.dir.path().join("log"))?)
    }
}

fn configuration(dir: &TempDir, address: &str) -> String {
    format!(
        "version: 0.1\nlog:\n  level: info\nstorage:\n  filesystem:\n    rootdirectory: {}\n  delete:\n    enabled: true\nhttp:\n  addr: {address}\n",
        dir.path().join("storage").display()
    )
}

impl Drop for DockerRegistry {
    fn drop(&mut self) {
        // the guard has nobody to tell, and a child that is gone already is what it wants
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
