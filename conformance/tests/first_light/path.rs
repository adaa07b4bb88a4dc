//! Registry, store and bundles of a test, in one temporary folder.

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use anyhow::{Result, bail};
use conformance::registry::DockerRegistry;
use conformance::{debian, host};
use tempfile::TempDir;

/// A docker-registry, a store, and what was unpacked from them.
pub(crate) struct Path {
    pub(crate) registry: DockerRegistry,
    dir: TempDir,
}

impl Path {
    pub(crate) fn new() -> Result<Arc<Self>> {
        Ok(Arc::new(Self { registry: DockerRegistry::start()?, dir: tempfile::tempdir()? }))
    }

    /// One for all tests that run at the same time, holding Debian; gone with the last of them.
    pub(crate) fn with_debian() -> Result<Arc<Self>> {
        static SHARED: Mutex<Weak<Path>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(path) = shared.upgrade() {
            return Ok(path);
        }
        let path = Self::new()?;
        path.registry.put("debian", "bookworm", &debian::base()?.build()?)?;
        path.pull("debian", "bookworm")?;
        path.unpack("debian", "bookworm")?;
        *shared = Arc::downgrade(&path);
        Ok(path)
    }

    pub(crate) fn dir(&self) -> &std::path::Path {
        self.dir.path()
    }

    pub(crate) fn pull(&self, name: &str, tag: &str) -> Result<()> {
        self.image_tool(&["pull", &self.registry.reference(name, tag)])
    }

    /// Unpacks the image into a folder named after its tag.
    pub(crate) fn unpack(&self, name: &str, tag: &str) -> Result<PathBuf> {
        let bundle = self.dir().join(tag);
        let reference = self.registry.reference(name, tag);
        self.image_tool(&["unpack", "--copy", &reference, &bundle.to_string_lossy()])?;
        Ok(bundle)
    }

    fn image_tool(&self, words: &[&str]) -> Result<()> {
        let output = Command::new(host::program("mocker-image"))
            .arg("--root")
            .arg(self.dir().join("store"))
            .args(words)
            .output()?;
        if !output.status.success() {
            bail!("mocker-image {words:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }
}
