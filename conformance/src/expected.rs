//! Known failures of known runtimes and image tools: `expected.toml`, whose first lines say how it is written.

use anyhow::{Context, Result, anyhow};
use serde::Deserialize;

use crate::host::{Cgroup, cgroup, is_root};

const FILE: &str = include_str!("expected.toml");

#[derive(Debug, Deserialize)]
struct File {
    known: Vec<Known>,
}

/// One known failure.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// First word of the tool's `--version`.
    pub tool: String,
    /// The case.
    pub case: String,
    /// What it does instead.
    pub reason: String,
    /// Only on this version of cgroups.
    pub on: Option<Version>,
    /// Only when it is called by such a user.
    pub by: Option<Caller>,
    /// It fails by chance: a pass is no surprise.
    #[serde(default)]
    pub sometimes: bool,
    /// Where its authors know of it.
    pub upstream: Option<String>,
}

/// A version of cgroups; a hybrid machine's controllers are those of version 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Version {
    /// cgroup v1, pure or hybrid.
    V1,
    /// cgroup v2.
    V2,
}

/// Who calls the tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Caller {
    /// Root.
    Root,
    /// An ordinary user.
    User,
}

/// Where a tool runs, as far as its failures depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The cgroups.
    pub on: Version,
    /// The user.
    pub by: Caller,
}

impl Place {
    /// This machine, and the user of this process.
    pub fn here() -> Self {
        let on = if cgroup() == Cgroup::V2 { Version::V2 } else { Version::V1 };
        Self { on, by: if is_root() { Caller::Root } else { Caller::User } }
    }
}

/// What one tool is known to fail in one place.
#[derive(Debug)]
pub struct Expected {
    known: Vec<Known>,
}

impl Expected {
    /// For the tool whose `--version` begins with this line: its first word names it.
    pub fn of(version: &str) -> Result<Self> {
        Self::at(version, Place::here())
    }

    /// The same in another place.
    pub fn at(version: &str, place: Place) -> Result<Self> {
        let name = version.split(' ').next().unwrap_or_default();
        let mut known = entries()?;
        known.retain(|entry| {
            let there = entry.on.is_none_or(|on| on == place.on) && entry.by.is_none_or(|by| by == place.by);
            entry.tool == name && there
        });
        Ok(Self { known })
    }

    /// Why it fails this case, if it does; a pass of what fails by chance has no reason to be one.
    pub fn reason_for(&self, case: &str, passed: bool) -> Option<String> {
        let by_chance = self.known.iter().any(|entry| entry.case == case && entry.sometimes);
        self.reason(case).filter(|_| !(passed && by_chance))
    }

    /// Why it fails this case.
    pub fn reason(&self, case: &str) -> Option<String> {
        let found = self.known.iter().find(|entry| entry.case == case)?;
        let upstream = found.upstream.as_ref().map(|place| format!(" ({place})"));
        Some(format!("{}{}", found.reason, upstream.unwrap_or_default()))
    }
}

fn entries() -> Result<Vec<Known>> {
    let parsed = toml_span::parse(FILE).map_err(|error| anyhow!("{error}")).context("read expected.toml")?;
    let json = serde_json::to_value(&parsed).context("read expected.toml")?;
    Ok(serde_json::from_value::<File>(json).context("read expected.toml")?.known)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_known_failure_is_of_a_case_that_exists_and_has_a_reason() {
        let names: HashSet<&str> = crate::cases::names().collect();
        let mut seen = HashSet::new();
        for entry in entries().unwrap() {
            assert!(names.contains(entry.case.as_str()), "{} {}", entry.tool, entry.case);
            assert!(entry.reason.len() > 10, "{} {} {}", entry.tool, entry.case, entry.reason);
            let place = (entry.tool.clone(), entry.case.clone(), format!("{:?} {:?}", entry.on, entry.by));
            assert!(seen.insert(place), "{} {} is there twice", entry.tool, entry.case);
            let upstream = entry.upstream.as_deref().unwrap_or("https://");
            assert!(upstream.starts_with("https://"), "{} {} {upstream}", entry.tool, entry.case);
        }
    }
}
