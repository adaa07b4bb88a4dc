//! Stopping a container's processes and letting them go on.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::{Cgroup, open_at, read_at, write_file};
use crate::error::{Error, Kind, Result, WhileDoing};

/// How long the kernel may take to stop all processes; one in an uninterruptible system call can take for ever.
const PATIENCE: Duration = if cfg!(test) { Duration::from_millis(50) } else { Duration::from_secs(10) };

/// What the processes of a cgroup do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Freeze {
    Frozen,
    Thawed,
}

/// The words of one version: the file to write, its values, the file that tells, its line.
struct Words {
    file: &'static str,
    frozen: &'static str,
    thawed: &'static str,
    told_in: &'static str,
    told: &'static str,
}

/// freezer.state (freezer-subsystem.rst); THAWED is told at once.
const V1: Words = Words {
    file: "freezer.state",
    frozen: "FROZEN",
    thawed: "THAWED",
    told_in: "freezer.state",
    told: "FROZEN",
};
/// cgroup.freeze (cgroup-v2.rst, Linux 5.2).
const V2: Words =
    Words { file: "cgroup.freeze", frozen: "1", thawed: "0", told_in: "cgroup.events", told: "frozen 1" };

impl Cgroup {
    /// The directory that freezes: version 1's freezer where it is, since a hybrid host's processes obey both.
    fn freezer(&self) -> Option<(&Path, Words)> {
        let v1 =
            self.dirs.iter().find(|dir| dir.controllers == "freezer").map(|dir| (dir.path.as_path(), V1));
        v1.or_else(|| self.unified_dir().map(|dir| (dir.path.as_path(), V2)))
    }

    /// The directory that freezes, for whoever does it another way.
    pub(crate) fn freezer_dir(&self) -> Option<&Path> {
        self.freezer().map(|(dir, _)| dir)
    }

    /// True if somebody has asked for the processes to be stopped.
    pub(crate) fn is_frozen(&self) -> bool {
        let Some((dir, words)) = self.freezer() else { return false };
        read_at(dir, words.file).is_ok_and(|text| matches!(text.trim(), "1" | "FROZEN" | "FREEZING"))
    }

    /// Version 1 keeps back even SIGKILL from frozen processes: once it is sent they are let go to die.
    pub(crate) fn let_die(&self) {
        if let Some((dir, _)) = self.freezer().filter(|(_, words)| words.file == V1.file) {
            // A cgroup that is gone holds nobody back.
            write_file(dir, V1.file, V1.thawed).ok();
        }
    }

    /// Stops all processes, or lets them go on; what cannot be stopped in time goes on.
    pub(crate) fn freeze(&self, wanted: Freeze) -> Result<()> {
        let Some((dir, words)) = self.freezer() else {
            return Err(Error::unsupported("this host has no cgroup that can stop processes"));
        };
        let value = if wanted == Freeze::Frozen { words.frozen } else { words.thawed };
        let write = |value: &str| {
            write_file(dir, words.file, value)
                .while_doing(|| format!("write {value:?} to {}", dir.join(words.file).display()))
        };
        let told_in = dir.join(words.told_in);
        let act = || format!("read {}", told_in.display());
        let told = open_at(dir, words.told_in).while_doing(act)?;
        write(value)?;
        let deadline = Instant::now() + PATIENCE;
        let mut pause = Duration::from_micros(100);
        while is_told(&told, &words).while_doing(act)? != (wanted == Freeze::Frozen) {
            if Instant::now() > deadline {
                if wanted == Freeze::Frozen {
                    write(words.thawed)?;
                }
                return Err(Error::new(Kind::Internal, format!("cgroup {} does not obey", dir.display())));
            }
            // Version 2 tells who waits, but not more often than every 10 ms, and version 1 tells nobody: look again, less
            // and less often. A fork in between leaves it FREEZING until the word is written again.
            wait_for_news(&told, pause);
            pause = (pause * 2).min(Duration::from_millis(20));
            if words.file == V1.file {
                write(value)?;
            }
        }
        Ok(())
    }
}

/// Whether the file says so by now.
fn is_told(file: &OwnedFd, words: &Words) -> std::result::Result<bool, Errno> {
    let mut text = [0; 256];
    let length = rustix::io::pread(file, &mut text, 0)?;
    let mut lines = text.get(..length).unwrap_or_default().split(|byte| *byte == b'\n');
    Ok(lines.any(|line| line == words.told.as_bytes()))
}

/// Until the kernel has something new to tell in a file that was read, or for so long (cgroup-v2.rst: "poll and notify").
fn wait_for_news(file: &OwnedFd, longest: Duration) {
    let longest = Timespec { tv_sec: 0, tv_nsec: longest.subsec_nanos().into() };
    // An interruption is only an earlier look.
    poll(&mut [PollFd::new(file, PollFlags::PRI)], Some(&longest)).ok();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::Dir;

    /// No process can be made to resist on purpose: directories stand in for cgroups that never freeze.
    #[test]
    fn what_does_not_freeze_in_time_is_let_go_on() {
        for (controllers, words, told) in [("", V2, "populated 1\nfrozen 0\n"), ("freezer", V1, "FREEZING\n")]
        {
            let dir = tempfile::tempdir().expect("a directory");
            std::fs::write(dir.path().join(words.file), "").expect("is written");
            std::fs::write(dir.path().join(words.told_in), told).expect("is written");
            let (mount, path) = (dir.path().to_owned(), dir.path().to_owned());
            let dirs = vec![Dir { controllers: controllers.to_owned(), mount, path, made: 0 }];
            let cgroup = Cgroup { dirs, scope: None };
            let error = cgroup.freeze(Freeze::Frozen).expect_err("it does not obey").to_string();
            assert_eq!(error, format!("cgroup {} does not obey", dir.path().display()));
            let left = std::fs::read_to_string(dir.path().join(words.file)).expect("is read");
            assert!(left.starts_with(words.thawed), "{left:?}");
        }
    }
}
