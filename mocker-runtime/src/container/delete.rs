//! `delete`: everything of a container goes, in an order that a second delete can go on with.

use std::os::fd::AsFd;
use std::time::Duration;

use rustix::fs::AtFlags;

use super::rdt::Group;
use super::record::Record;
use super::status::{Status, Verb, allow};
use super::{Container, Home, source};
use crate::error::{Error, Kind, Result, WhileDoing};
use crate::sys::{fd, signal};
use crate::{hooks, log};

/// How long a killed process may take to die, in milliseconds.
const PATIENCE: i64 = 10_000;

/// The longest of the pauses in which a creator's lock is waited for: a quarter of a second in all.
const LAST_PAUSE: Duration = Duration::from_millis(128);

/// Whether a running container is killed first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Force {
    No,
    Yes,
}

impl Container {
    /// Deletes the container: with force also one that runs.
    pub(crate) fn delete(mut self, force: Force) -> Result<()> {
        if self.init().is_none() {
            return self.delete_unfinished();
        }
        self.lock()?;
        let status = self.status()?;
        if force == Force::No {
            allow(Verb::Delete, status).while_doing(|| format!("delete container {}", self.id))?;
        }
        if status != Status::Stopped {
            self.kill_and_wait()?;
        }
        self.remove_all()
    }

    /// A container whose creator is at work (which is an error), or died before init was recorded.
    ///
    /// Init ends by itself when its parent does, so nothing is killed here: the cgroup that was to be
    /// made may be somebody else's.
    fn delete_unfinished(mut self) -> Result<()> {
        let mut pause = Duration::from_millis(1);
        while !fd::try_lock(&self.home.fd)? {
            if pause > LAST_PAUSE {
                return allow(Verb::Delete, Status::Creating);
            }
            // A child that outlives its killed creator by a moment has the lock for as long.
            std::thread::sleep(pause);
            pause *= 2;
        }
        self.record = Record::read(&self.home)?;
        if let Some(record) = &self.record {
            if record.init.is_some() {
                return self.delete(Force::Yes);
            }
            record.remove_places()?;
        }
        remove_home(&self.home)
    }

    /// Ends every process and waits until init is gone.
    pub(super) fn kill_and_wait(&self) -> Result<()> {
        let init = self.open_init()?;
        if let Some(init) = &init {
            // Gone in between is what is wanted.
            signal::send(init.as_fd(), libc::SIGKILL).ok();
        }
        self.signal_all(libc::SIGKILL)?;
        match init {
            Some(init) if !signal::wait_gone(init.as_fd(), Some(PATIENCE))? => {
                Err(Error::new(Kind::Internal, format!("container {} does not die", self.id)))
            }
            _ => Ok(()),
        }
    }

    /// Cgroups, then the directory, then the poststop hooks, whose failure only warns.
    pub(super) fn remove_all(&self) -> Result<()> {
        let record = self.record()?;
        if let Err(error) = self.note_end(record) {
            log::warn(&error.to_string());
        }
        if record.cgroup.remove_if_empty() {
            record.remove_other_places()?;
        } else {
            // Whatever is left in it has outlived init.
            record.cgroup.kill_all()?;
            record.remove_places()?;
        }
        remove_home(&self.home)?;
        let state = record.state(Status::Stopped).to_string();
        let output = hooks::Output::open(&record.annotations).unwrap_or_else(|error| {
            log::warn(&error.to_string());
            hooks::Output::default()
        });
        for hook in &record.hooks.poststop {
            if let Err(error) = hooks::run_all("poststop", std::slice::from_ref(hook), &state, &output) {
                log::warn(&error.to_string());
            }
        }
        Ok(())
    }
}

impl Record {
    /// What the container has outside of its directory.
    fn remove_places(&self) -> Result<()> {
        self.cgroup.remove()?;
        self.remove_other_places()
    }

    /// All but the cgroup.
    fn remove_other_places(&self) -> Result<()> {
        if let Some(number) = self.root_mount {
            source::detach_root(&self.rootfs, number)?;
        }
        self.rdt.as_ref().map_or(Ok(()), Group::remove)
    }
}

/// Whatever a crash leaves of the directory can be deleted again: without a record, or stopped.
pub(super) fn remove_home(home: &Home) -> Result<()> {
    // What every container has, what one that waited for `start` has besides, and whatever else there may be.
    for names in [["config.json", "state.json"], ["start", "report"]] {
        for name in names {
            // What is left is told by the directory.
            rustix::fs::unlinkat(&home.fd, name, AtFlags::empty()).ok();
        }
        if rustix::fs::rmdir(&home.path).is_ok() {
            return Ok(());
        }
    }
    std::fs::remove_dir_all(&home.path).while_doing(|| format!("remove {}", home.path.display()))
}
