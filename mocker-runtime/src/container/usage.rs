//! What the containers of a root use and have used, for those who pay or charge by it.
//!
//! ```text
//! ROOT/@usage        the journal, where somebody asked for one: a line for each container that was deleted
//! ```
//!
//! `delete` writes the line before the container goes, and the reader looks at the containers before the
//! journal: one that is in both is counted once, as ended, so that no sum ever shrinks.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::record::Record;
use super::status::Status;
use super::{Container, Root};
use crate::error::{Result, WhileDoing};
use crate::time;

/// No container has this name: no id has an @.
const JOURNAL: &str = "@usage";

/// What one container uses. Times in seconds, `created` in RFC 3339.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Used {
    pub(crate) id: String,
    pub(crate) status: &'static str,
    pub(crate) created: String,
    /// Since it was created
    pub(crate) seconds: f64,
    /// None where no cgroup counts it
    pub(crate) cpu_seconds: Option<f64>,
    /// Charged now, in bytes; None where no cgroup counts it
    pub(crate) memory_bytes: Option<u64>,
}

/// A sum over containers. Times in seconds.
#[derive(Debug, Default, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Sum {
    pub(crate) containers: u64,
    pub(crate) seconds: f64,
    pub(crate) cpu_seconds: f64,
}

/// What all containers of a root use.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Usage {
    /// Those that exist, in the order of their ids
    pub(crate) containers: Vec<Used>,
    /// How many there are of each status
    pub(crate) by_status: BTreeMap<&'static str, u64>,
    /// Those that were deleted; None where there is no journal
    pub(crate) ended: Option<Sum>,
    /// Both together
    pub(crate) total: Sum,
}

/// A line of the journal: a container that was deleted. Times in seconds.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Ended {
    id: String,
    /// RFC 3339
    created: String,
    seconds: f64,
    cpu_seconds: Option<f64>,
}

impl Root {
    /// Begins the journal, if there is none yet.
    pub(crate) fn keep_journal(&self) -> Result<()> {
        std::fs::create_dir_all(&self.0).while_doing(|| format!("make {}", self.0.display()))?;
        let path = self.0.join(JOURNAL);
        let journal = OpenOptions::new().append(true).create(true).open(&path);
        journal.map(drop).while_doing(|| format!("make the journal {}", path.display()))
    }

    /// What all containers use, and have used where there is a journal.
    pub(crate) fn usage(&self) -> Result<Usage> {
        let now = SystemTime::now();
        let mut containers = Vec::new();
        for container in self.list()? {
            // One that is not recorded yet, or is no more, uses nothing that could be told.
            if let (Some(record), Ok(status)) = (&container.record, container.status()) {
                containers.push(record.used(status, now));
            }
        }
        let ended = self.journal()?;
        let gone: BTreeSet<(&str, &str)> =
            ended.iter().flatten().map(|ended| (ended.id.as_str(), ended.created.as_str())).collect();
        containers.retain(|used| !gone.contains(&(used.id.as_str(), used.created.as_str())));
        let mut by_status: BTreeMap<&'static str, u64> =
            Status::ALL.map(|status| (status.as_str(), 0)).into();
        let mut total = Sum::default();
        for used in &containers {
            *by_status.entry(used.status).or_default() += 1;
            total.add(used.seconds, used.cpu_seconds);
        }
        let ended = ended.as_ref().map(|lines| {
            let mut sum = Sum::default();
            lines.iter().for_each(|line| sum.add(line.seconds, line.cpu_seconds));
            sum
        });
        if let Some(ended) = ended {
            total.containers += ended.containers;
            total.seconds += ended.seconds;
            total.cpu_seconds += ended.cpu_seconds;
        }
        Ok(Usage { containers, by_status, ended, total })
    }

    /// The journal's lines, each container's once: a delete that was killed is done a second time.
    fn journal(&self) -> Result<Option<Vec<Ended>>> {
        let path = self.0.join(JOURNAL);
        let at = || format!("read the journal {}", path.display());
        let text = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            text => text.while_doing(at)?,
        };
        let mut seen = BTreeSet::new();
        let mut lines = Vec::new();
        // A full disk can cut a line short: it says nothing, and nor is it the others' loss.
        for line in text.lines().filter_map(|line| serde_json::from_str::<Ended>(line).ok()) {
            if seen.insert((line.id.clone(), line.created.clone())) {
                lines.push(line);
            }
        }
        Ok(Some(lines))
    }
}

impl Sum {
    fn add(&mut self, seconds: f64, cpu_seconds: Option<f64>) {
        self.containers += 1;
        self.seconds += seconds;
        self.cpu_seconds += cpu_seconds.unwrap_or_default();
    }
}

impl Record {
    fn used(&self, status: Status, now: SystemTime) -> Used {
        let created = time::parse_rfc3339(&self.created);
        Used {
            id: self.id.clone(),
            status: status.as_str(),
            created: self.created.clone(),
            seconds: created.and_then(|then| now.duration_since(then).ok()).unwrap_or_default().as_secs_f64(),
            cpu_seconds: self.cgroup.cpu_nanoseconds().map(|ns| Duration::from_nanos(ns).as_secs_f64()),
            memory_bytes: self.cgroup.memory_bytes(),
        }
    }
}

impl Container {
    /// Writes the container into the journal, where there is one.
    pub(super) fn note_end(&self, record: &Record) -> Result<()> {
        let Some(journal) = self.home.path.parent().map(|root| root.join(JOURNAL)) else { return Ok(()) };
        let Some(mut file) = open(&journal)? else { return Ok(()) };
        let Used { id, created, seconds, cpu_seconds, .. } = record.used(Status::Stopped, SystemTime::now());
        let ended = Ended { id, created, seconds, cpu_seconds };
        let at = || format!("write container {} into {}", self.id, journal.display());
        let line = serde_json::to_string(&ended).while_doing(at)? + "\n";
        // One write, so that lines of several processes do not mix.
        file.write_all(line.as_bytes()).while_doing(at)
    }
}

fn open(journal: &Path) -> Result<Option<File>> {
    match OpenOptions::new().append(true).open(journal) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        file => file.map(Some).while_doing(|| format!("open {}", journal.display())),
    }
}
