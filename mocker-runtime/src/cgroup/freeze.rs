//! Stopping a container's processes and letting them go on.

use std::path::Path;
use std::time::{Duration, Instant};

use super::{Cgroup, read_at, write_file};
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
        write(value)?;
        let deadline = Instant::now() + PATIENCE;
        let mut pause = Duration::from_micros(100);
        while self.is_told(dir, &words)? != (wanted == Freeze::Frozen) {
            if Instant::now() > deadline {
                if wanted == Freeze::Frozen {
                    write(words.thawed)?;
                }
                return Err(Error::new(Kind::Internal, format!("cgroup {} does not obey", dir.display())));
            }
            // Version 1 tells nobody; look again, less and less often. A fork in between leaves it FREEZING
            // until the word is written again.
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
            if words.file == V1.file {
                write(value)?;
            }
        }
        Ok(())
    }

    fn is_told(&self, dir: &Path, words: &Words) -> Result<bool> {
        let text = read_at(dir, words.told_in)
            .while_doing(|| format!("read {}", dir.join(words.told_in).display()))?;
        Ok(text.lines().any(|line| line == words.told))
    }
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
