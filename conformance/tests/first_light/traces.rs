//! What a container can leave on a machine: mounts, cgroups, network namespaces, processes.
//!
//! Other tests may run at the same time: what appeared during a test and goes away soon is not a trace, so the
//! proof waits for what is new to vanish. Of the machine's processes only those count that these tests began: all orphans
//! among them fall to this process.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use conformance::host::{become_reaper, wait_until};

/// The machine before a test.
pub(crate) struct Traces(BTreeSet<String>);

impl Traces {
    pub(crate) fn now() -> Result<Self> {
        become_reaper()?;
        Ok(Self(snapshot()?))
    }

    /// Waits until nothing is left that was not there before.
    pub(crate) fn are_gone(&self) -> Result<()> {
        let mut left: BTreeSet<String> = snapshot()?.difference(&self.0).cloned().collect();
        wait_until(Duration::from_secs(30), "what the test made to vanish", || {
            if let Ok(now) = snapshot() {
                left.retain(|trace| now.contains(trace));
            }
            left.is_empty()
        })
        .with_context(|| format!("left behind: {left:#?}"))
    }
}

fn snapshot() -> Result<BTreeSet<String>> {
    let mut all = BTreeSet::new();
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    all.extend(mounts.lines().map(|line| format!("mount {line}")));
    cgroups(Path::new("/sys/fs/cgroup"), &mut all);
    if let Ok(names) = fs::read_dir("/run/netns") {
        all.extend(names.flatten().map(|name| format!("network namespace {}", name.path().display())));
    }
    let ours = fs::read_link("/proc/self/ns/pid")?;
    let parents = parents()?;
    let left = processes()?.into_iter().filter(|process| {
        is_below_us(&process.pid, &parents)
            && (process.is_of("mocker-runtime")
                || process.is_of("mocker-image")
                || process.link("root").is_some_and(|root| root != Path::new("/"))
                || process.link("ns/pid").is_some_and(|theirs| theirs != ours))
    });
    all.extend(left.map(|process| format!("process {} {}", process.pid, process.line)));
    Ok(all)
}

/// Every folder below; what vanishes meanwhile is no matter.
fn cgroups(dir: &Path, all: &mut BTreeSet<String>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            all.insert(format!("cgroup {}", entry.path().display()));
            cgroups(&entry.path(), all);
        }
    }
}

pub(crate) struct Process {
    pub(crate) pid: String,
    /// Its command line, words separated by blanks.
    pub(crate) line: String,
}

impl Process {
    fn is_of(&self, program: &str) -> bool {
        self.line.split(' ').next().is_some_and(|first| first.ends_with(program))
    }

    /// Where a link in its folder of /proc points; nothing when it has gone.
    fn link(&self, name: &str) -> Option<PathBuf> {
        fs::read_link(format!("/proc/{}/{name}", self.pid)).ok()
    }
}

/// Each living process's parent.
fn parents() -> Result<BTreeMap<String, String>> {
    let stats = fs::read_dir("/proc")?.flatten().filter_map(|entry| {
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        let mut words = stat.rsplit_once(") ")?.1.split(' ');
        let (state, parent) = (words.next()?, words.next()?);
        (state != "Z").then(|| (entry.file_name().to_string_lossy().into_owned(), parent.to_owned()))
    });
    Ok(stats.collect())
}

fn is_below_us(pid: &str, parents: &BTreeMap<String, String>) -> bool {
    let us = std::process::id().to_string();
    std::iter::successors(parents.get(pid), |parent| parents.get(*parent)).any(|parent| *parent == us)
}

/// All processes that this PID namespace sees.
pub(crate) fn processes() -> Result<Vec<Process>> {
    let pids = fs::read_dir("/proc")?.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let numbers = pids.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
    Ok(numbers
        .filter_map(|pid| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
            let line = String::from_utf8_lossy(&line).replace('\0', " ").trim_end().to_owned();
            Some(Process { pid, line })
        })
        .collect())
}
