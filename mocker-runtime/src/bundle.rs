//! The bundle: a directory with `config.json`.

pub(crate) mod check;
pub(crate) mod config;
pub(crate) mod default;

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::error::{Error, Kind, Result, WhileDoing};
use crate::sys::proc;
use config::Config;

/// A bundle's directory and the bytes of its `config.json`.
#[derive(Debug)]
pub(crate) struct Bundle {
    dir: PathBuf,
    /// Where the config was read
    file: PathBuf,
    text: Vec<u8>,
}

/// The length of a usual config, and half as much again.
const USUAL: usize = 24 * 1024;

impl Bundle {
    /// Reads `config.json` below `dir`, which is made absolute against the working directory, or another file in
    /// its place.
    pub(crate) fn read(dir: &Path, config: Option<&Path>) -> Result<Self> {
        let absolute = |path: &Path| {
            std::path::absolute(path).while_doing(|| format!("make the path {} absolute", path.display()))
        };
        let dir = absolute(dir)?;
        let file = config.map_or_else(|| Ok(dir.join("config.json")), absolute)?;
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        match rustix::fs::open(&file, flags, Mode::empty()).and_then(|fd| proc::read_bytes(fd, USUAL)) {
            Ok(text) => Ok(Self { dir, file, text }),
            Err(Errno::NOENT) if config.is_none() => {
                Err(Error::new(Kind::NotFound, format!("bundle {} has no config.json", dir.display())))
            }
            Err(error) => Err(error).while_doing(|| format!("read {}", file.display())),
        }
    }

    /// The absolute path of the directory.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Keeps config.json with the container, so that nothing later needs the bundle.
    pub(crate) fn copy_to(&self, dir: &Path) -> Result<()> {
        let file = dir.join("config.json");
        // The environment may hold secrets, and others may pass through the container's directory.
        let made = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&file);
        made.and_then(|mut made| made.write_all(&self.text))
            .while_doing(|| format!("write {}", file.display()))
    }

    /// The config, parsed and checked.
    pub(crate) fn config(&self) -> Result<Config<'_>> {
        let act = || self.file.display().to_string();
        let mut config: Config<'_> = serde_json::from_slice(&self.text).while_doing(act)?;
        config.find_receiver();
        check::check(&config).while_doing(act)?;
        Ok(config)
    }
}
