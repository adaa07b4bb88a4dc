//! What is kept of a container on disk: only what cannot be observed.

use std::collections::BTreeMap;
use std::path::PathBuf;

use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::Home;
use super::rdt::Group;
use super::status::Status;
use crate::bundle::config::Hooks;
use crate::cgroup::Cgroup;
use crate::error::{Error, Result, WhileDoing};
use crate::init::Keyring;

const FILE: &str = "state.json";
const FRESH: &str = "state.json.new";
/// Goes up when an older program could misread the file.
const VERSION: u32 = 1;

/// The record.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    pub(crate) version: u32,
    pub(crate) oci_version: String,
    pub(crate) id: String,
    /// None until init is there
    pub(crate) init: Option<Init>,
    pub(crate) bundle: PathBuf,
    pub(crate) rootfs: PathBuf,
    /// The number of the mount at `rootfs`, where the container shares the host's mount namespace
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) root_mount: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rdt: Option<Group>,
    /// RFC 3339
    pub(crate) created: String,
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) cgroup: Cgroup,
    /// Those that `start` and `delete` run
    pub(crate) hooks: Hooks,
    /// What its standard streams were when it was made, for a checkpoint
    #[serde(default)]
    pub(crate) stdio: Vec<String>,
    /// Whether it came from a checkpoint: criu gives it a time namespace
    #[serde(default)]
    pub(crate) restored: bool,
    /// Whether what enters it later gets its keyring too
    #[serde(default)]
    pub(crate) keyring: Keyring,
}

/// Init, so that no other process can be taken for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Init {
    pub(crate) pid: i32,
    /// Clock ticks after boot
    pub(crate) start_time: u64,
}

impl Init {
    /// True if the process is there, is the one that was recorded, and is no zombie.
    pub(crate) fn is_alive(self) -> Result<bool> {
        let stat = crate::sys::proc::stat(self.pid)?;
        Ok(stat.is_some_and(|stat| stat.start_time == self.start_time && !matches!(stat.state, 'Z' | 'X')))
    }
}

impl Record {
    /// A new record carries the current version.
    pub(crate) const VERSION: u32 = VERSION;

    /// Reads a container's record; None when it has none yet.
    pub(crate) fn read(home: &Home) -> Result<Option<Self>> {
        let at = || format!("read {}", home.path.join(FILE).display());
        let text = match rustix::fs::openat(&home.fd, FILE, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .and_then(crate::sys::proc::read_whole)
        {
            Err(Errno::NOENT) => return Ok(None),
            text => text.while_doing(at)?,
        };
        Self::parse(&text).map(Some).while_doing(at)
    }

    /// Takes only what this program's version has written.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let record: Self = serde_json::from_str(text)?;
        match record.version {
            VERSION => Ok(record),
            found => Err(Error::unsupported(format!("its version is {found}, not {VERSION}"))),
        }
    }

    /// Writes the first one, whole: whoever reads meanwhile sees none or all of it.
    pub(crate) fn save_first(&self, home: &Home) -> Result<()> {
        self.write(home, |home| rustix::fs::renameat(&home.fd, FRESH, &home.fd, FILE))
    }

    /// Writes it whole: whoever reads meanwhile sees the old one or the new one.
    pub(crate) fn save(&self, home: &Home) -> Result<()> {
        self.write(home, replace)
    }

    fn write(&self, home: &Home, put: fn(&Home) -> std::result::Result<(), Errno>) -> Result<()> {
        let text = serde_json::to_vec(self).while_doing(|| "write the record")?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
        rustix::fs::openat(&home.fd, FRESH, flags, Mode::from_raw_mode(0o600))
            .and_then(|fd| write_all(&fd, &text))
            .and_then(|()| put(home))
            .while_doing(|| format!("write {}", home.path.join(FILE).display()))
    }

    /// Init's pid as `state` tells it: 0 where there is none (any more).
    pub(crate) fn pid(&self, status: Status) -> i32 {
        self.init.filter(|_| status != Status::Stopped).map_or(0, |init| init.pid)
    }

    /// runtime.md "State", with the additions that runc prints.
    pub(crate) fn state(&self, status: Status) -> serde_json::Value {
        let pid = self.pid(status);
        serde_json::json!({
            "ociVersion": self.oci_version,
            "id": self.id,
            "pid": pid,
            "status": status.as_str(),
            "bundle": self.bundle,
            "rootfs": self.rootfs,
            "created": self.created,
            "annotations": self.annotations,
            "owner": "",
        })
    }
}

/// Puts the fresh record in the place of the one before. ext4 writes a file to the disk at once that is renamed over
/// another, which a record that no restart of the machine outlives need not be; of two that change places it does not.
fn replace(home: &Home) -> std::result::Result<(), Errno> {
    match rustix::fs::renameat_with(&home.fd, FRESH, &home.fd, FILE, RenameFlags::EXCHANGE) {
        Ok(()) => rustix::fs::unlinkat(&home.fd, FRESH, AtFlags::empty()),
        // The file system cannot exchange.
        Err(_) => rustix::fs::renameat(&home.fd, FRESH, &home.fd, FILE),
    }
}

/// write(2) until everything is written.
fn write_all(fd: impl std::os::fd::AsFd, mut bytes: &[u8]) -> std::result::Result<(), Errno> {
    while !bytes.is_empty() {
        let n = rustix::io::write(&fd, bytes)?;
        bytes = bytes.get(n..).unwrap_or_default();
    }
    Ok(())
}
