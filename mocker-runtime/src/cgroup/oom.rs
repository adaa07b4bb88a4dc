//! Being told when the kernel kills for want of memory.

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use rustix::event::{EventfdFlags, PollFd, PollFlags};
use rustix::fs::OFlags;
use rustix::io::Errno;

use super::{Cgroup, read_at, write_file};
use crate::error::{Result, WhileDoing};

/// Something to poll.
#[derive(Debug)]
pub(crate) enum OomWatch {
    /// Version 1 adds to an eventfd, also when the cgroup goes away (memory.rst, "OOM Control")
    V1 { event: OwnedFd, dir: PathBuf },
    /// Version 2 marks memory.events as changed (cgroup-v2.rst, "Memory Interface Files")
    V2 { file: OwnedFd, killed: u64 },
}

/// What a look at the watch came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Oom {
    /// Since the last look
    Killed,
    Nothing,
    /// There is no cgroup any more that could tell
    Gone,
}

impl Cgroup {
    /// None where the host has no memory controller.
    pub(crate) fn watch_oom(&self) -> Result<Option<OomWatch>> {
        let Some(dir) = self.dir_of("memory") else { return Ok(None) };
        if !dir.controllers.is_empty() {
            return watch_v1(dir.path.clone()).map(Some);
        }
        let path = dir.path.join("memory.events");
        match crate::sys::path::open(&path, OFlags::RDONLY) {
            Err(error) if error.is_errno(Errno::NOENT) => Ok(None),
            file => {
                let mut watch = OomWatch::V2 { file: file?, killed: 0 };
                // What has been before is no event, and only what changes after a read is told.
                watch.look()?;
                Ok(Some(watch))
            }
        }
    }
}

fn watch_v1(dir: PathBuf) -> Result<OomWatch> {
    use std::os::fd::AsRawFd;
    let event = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
        .while_doing(|| "make an eventfd")?;
    let control = crate::sys::path::open(&dir.join("memory.oom_control"), OFlags::RDONLY)?;
    let line = format!("{} {}", event.as_raw_fd(), control.as_raw_fd());
    write_file(&dir, "cgroup.event_control", &line)
        .while_doing(|| format!("write {line:?} to {}", dir.join("cgroup.event_control").display()))?;
    Ok(OomWatch::V1 { event, dir })
}

impl OomWatch {
    /// What poll(2) is asked for.
    pub(crate) fn poll(&self) -> PollFd<'_> {
        match self {
            Self::V1 { event, .. } => PollFd::new(event, PollFlags::IN),
            Self::V2 { file, .. } => PollFd::new(file, PollFlags::PRI),
        }
    }

    /// Never waits.
    pub(crate) fn look(&mut self) -> Result<Oom> {
        match self {
            Self::V1 { event, dir } => match rustix::io::read(event.as_fd(), &mut [0_u8; 8]) {
                Err(Errno::AGAIN) => Ok(Oom::Nothing),
                Err(errno) => Err(errno).while_doing(|| "read the eventfd"),
                Ok(_) if read_at(dir, "memory.oom_control").is_err() => Ok(Oom::Gone),
                Ok(_) => Ok(Oom::Killed),
            },
            Self::V2 { file, killed } => {
                let mut text = [0_u8; 1024];
                match rustix::io::pread(file.as_fd(), &mut text, 0) {
                    Err(Errno::NODEV) => Ok(Oom::Gone),
                    Err(errno) => Err(errno).while_doing(|| "read memory.events"),
                    Ok(length) => {
                        let now = kills(text.get(..length).unwrap_or_default());
                        let more = now > std::mem::replace(killed, now);
                        Ok(if more { Oom::Killed } else { Oom::Nothing })
                    }
                }
            }
        }
    }
}

/// The line `oom_kill 3` of memory.events.
fn kills(text: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(text);
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kills_of_the_cgroup_count_and_not_those_of_groups() {
        assert_eq!(kills(b"low 0\nhigh 0\nmax 5\noom 2\noom_kill 3\noom_group_kill 9\n"), 3);
        assert_eq!(kills(b""), 0);
    }
}
