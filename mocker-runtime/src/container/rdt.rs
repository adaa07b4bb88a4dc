//! The container's class of service and monitoring group in the resctrl file system (Linux documentation,
//! filesystems/resctrl).

mod told;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, WhileDoing};
use crate::plan::rdt::Rdt;

/// The container's directories, as the record keeps them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Group {
    /// Of the class
    class: PathBuf,
    /// Whether the class is the container's own, to be removed with it
    own: bool,
    /// Of the monitoring group, always the container's own
    monitor: Option<PathBuf>,
}

impl Group {
    /// Where the directories will be; nothing is made yet.
    pub(crate) fn locate(rdt: &Rdt, id: &str) -> Result<Self> {
        let mounts =
            std::fs::read_to_string("/proc/self/mountinfo").while_doing(|| "read /proc/self/mountinfo")?;
        match find(&mounts) {
            Some(root) => Ok(Self::below(&root, rdt, id)),
            None => Err(Error::unsupported(
                "linux.intelRdt is set, but no resctrl file system is mounted on this host",
            )
            .with_hint("mount -t resctrl resctrl /sys/fs/resctrl, on a machine that has it")),
        }
    }

    fn below(root: &Path, rdt: &Rdt, id: &str) -> Self {
        let class = match rdt.class.as_deref() {
            Some("/") => root.to_owned(),
            Some(class) => root.join(class),
            None => root.join(id),
        };
        let own = rdt.class.is_none() && !class.is_dir();
        let monitor = rdt.monitoring.then(|| class.join("mon_groups").join(id));
        Self { class, own, monitor }
    }

    /// Makes the directories and writes the lines.
    pub(crate) fn make(&self, rdt: &Rdt) -> Result<()> {
        let class = self.class.display();
        match self.class.is_dir() {
            true => self.check_lines(&rdt.schemata)?,
            false if rdt.class.is_some() && rdt.schemata.is_empty() => {
                return Err(Error::invalid(format!(
                    "linux.intelRdt names the class {class}, which does not exist, and no schemata to make it with"
                )));
            }
            false => {
                std::fs::create_dir(&self.class).while_doing(|| format!("make {class}"))?;
                let file = self.class.join("schemata");
                let lines: String = rdt.schemata.iter().map(|line| format!("{line}\n")).collect();
                if !lines.is_empty() {
                    std::fs::write(&file, &lines)
                        .while_doing(|| format!("write {lines:?} to {}", file.display()))?;
                }
            }
        }
        match &self.monitor {
            Some(monitor) => {
                std::fs::create_dir(monitor).while_doing(|| format!("make {}", monitor.display()))
            }
            None => Ok(()),
        }
    }

    /// Writes new lines for the class, the container's own or not.
    pub(crate) fn change(&self, lines: &[String]) -> Result<()> {
        let file = self.class.join("schemata");
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        std::fs::write(&file, &text).while_doing(|| format!("write {text:?} to {}", file.display()))
    }

    /// A class that is there already must have what the container asks for.
    fn check_lines(&self, wanted: &[String]) -> Result<()> {
        if wanted.is_empty() {
            return Ok(());
        }
        let file = self.class.join("schemata");
        let there = std::fs::read_to_string(&file).while_doing(|| format!("read {}", file.display()))?;
        let there: Vec<String> = there.lines().map(normal).collect();
        match wanted.iter().find(|line| !there.contains(&normal(line))) {
            Some(line) => Err(Error::invalid(format!(
                "the class {} exists, and its schemata do not have {line:?}",
                self.class.display()
            ))),
            None => Ok(()),
        }
    }

    /// Puts a process into the class and the group.
    pub(crate) fn add(&self, pid: i32) -> Result<()> {
        std::iter::once(&self.class).chain(&self.monitor).try_for_each(|dir| {
            let file = dir.join("tasks");
            std::fs::write(&file, pid.to_string())
                .while_doing(|| format!("write {pid} to {}", file.display()))
        })
    }

    /// Removes what is the container's own; what is gone already is fine.
    pub(crate) fn remove(&self) -> Result<()> {
        let own = self.own.then_some(&self.class);
        self.monitor.iter().chain(own).try_for_each(|dir| match std::fs::remove_dir(dir) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            result => result.while_doing(|| format!("remove {}", dir.display())),
        })
    }
}

/// Whether this machine has such a resource to share: `L3`, `MB`.
pub(crate) fn shares(resource: &str) -> bool {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    find(&mounts).is_some_and(|root| root.join("info").join(resource).is_dir())
}

/// The mount point, from the lines of proc_pid_mountinfo(5).
fn find(mounts: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        (after.split(' ').next() == Some("resctrl")).then(|| before.split(' ').nth(4).map(PathBuf::from))?
    })
}

/// Without the blanks and leading zeros in which the kernel's form differs from what was written.
fn normal(line: &str) -> String {
    let (kind, values) = line.trim().split_once(':').unwrap_or((line, ""));
    let mut values: Vec<String> = values
        .split(';')
        .map(|value| {
            let (cache, mask) = value.split_once('=').unwrap_or((value, ""));
            format!("{}={}", cache.trim().trim_start_matches('0'), mask.trim().trim_start_matches('0'))
        })
        .collect();
    values.sort();
    format!("{}:{}", kind.trim(), values.join(";"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rdt(class: Option<&str>, lines: &[&str], monitoring: bool) -> Rdt {
        let schemata = lines.iter().map(|line| (*line).to_owned()).collect();
        Rdt { class: class.map(str::to_owned), schemata, monitoring }
    }

    /// A directory stands in for resctrl, which takes hardware; unlike it, it has no files by itself.
    fn stand_in() -> tempfile::TempDir {
        tempfile::tempdir().expect("a directory")
    }

    #[test]
    fn resctrl_is_found_wherever_it_is_mounted() {
        let lines = "24 1 0:5 / /proc rw - proc proc rw\n31 24 0:27 / /sys/fs/resctrl rw shared:9 - resctrl resctrl rw\n";
        assert_eq!(find(lines), Some(PathBuf::from("/sys/fs/resctrl")));
        assert_eq!(find("24 1 0:5 / /resctrl rw - proc proc rw\n"), None);
    }

    #[test]
    fn a_class_of_the_containers_own_is_made_with_its_lines_and_goes_with_it() {
        let root = stand_in();
        let rdt = rdt(None, &["L3:0=f", "MB:0=20"], false);
        let group = Group::below(root.path(), &rdt, "c1");
        group.make(&rdt).expect("is made");
        group.add(7).expect("is added");
        let read = |file: &str| std::fs::read_to_string(root.path().join("c1").join(file)).expect("is there");
        assert_eq!((read("schemata").as_str(), read("tasks").as_str()), ("L3:0=f\nMB:0=20\n", "7"));
        // In resctrl these go with the directory.
        for file in ["schemata", "tasks"] {
            std::fs::remove_file(root.path().join("c1").join(file)).expect("is removed");
        }
        group.remove().and_then(|()| group.remove()).expect("is removed, and may be gone");
        assert!(!root.path().join("c1").is_dir());
    }

    #[test]
    fn a_named_class_must_be_there_or_be_made_with_lines_and_stays() {
        let root = stand_in();
        let empty = rdt(Some("gold"), &[], false);
        let error = Group::below(root.path(), &empty, "c1").make(&empty).expect_err("it is not there");
        assert!(error.to_string().contains("does not exist"), "{error}");
        let full = rdt(Some("gold"), &["L3:0=f"], false);
        let group = Group::below(root.path(), &full, "c1");
        group.make(&full).expect("is made");
        group.remove().expect("nothing is the container's own");
        assert!(root.path().join("gold").is_dir());
        Group::below(root.path(), &empty, "c2").make(&empty).expect("is there now");
        group.make(&rdt(Some("gold"), &["L3:00=0f"], false)).expect("says the same");
        assert!(group.make(&rdt(Some("gold"), &["L3:0=3"], false)).is_err(), "says something else");
    }

    #[test]
    fn a_monitoring_group_bears_the_containers_name_below_its_class() {
        let root = stand_in();
        std::fs::create_dir(root.path().join("mon_groups")).expect("is made");
        let rdt = rdt(Some("/"), &[], true);
        let group = Group::below(root.path(), &rdt, "c1");
        group.make(&rdt).expect("is made");
        assert!(root.path().join("mon_groups/c1").is_dir());
        group.remove().expect("is removed");
        assert!(!root.path().join("mon_groups/c1").is_dir() && root.path().is_dir());
    }
}
