//! Which namespaces are new and which are joined (config-linux.md "Namespaces").

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::bundle::config::{Namespace, Text, TimeOffset};
use crate::error::{Error, Result};

/// Names in the file and the kernel's flags; the order is that in which they are joined.
pub(crate) const KINDS: [(&str, i32); 8] = [
    ("user", libc::CLONE_NEWUSER),
    ("pid", libc::CLONE_NEWPID),
    ("network", libc::CLONE_NEWNET),
    ("ipc", libc::CLONE_NEWIPC),
    ("uts", libc::CLONE_NEWUTS),
    ("cgroup", libc::CLONE_NEWCGROUP),
    ("time", libc::CLONE_NEWTIME),
    ("mount", libc::CLONE_NEWNS),
];

/// The container's namespaces; what is in neither list is the runtime's own.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Namespaces {
    /// `CLONE_NEW*` of those to make
    pub(crate) new: u64,
    /// `CLONE_NEW*` and path of those to enter
    pub(crate) join: Vec<(u64, PathBuf)>,
    /// Lines for /proc/PID/timens_offsets
    pub(crate) time_offsets: String,
}

impl Namespaces {
    /// True if the container does not share the runtime's namespace of this kind.
    pub(crate) fn has(&self, flag: i32) -> bool {
        self.makes(flag) || self.path(flag).is_some()
    }

    /// `CLONE_NEW*` of all that the container does not share with the runtime.
    pub(crate) fn all(&self) -> u64 {
        self.join.iter().fold(self.new, |all, (flag, _)| all | flag)
    }

    /// True if a namespace of this kind is made.
    pub(crate) fn makes(&self, flag: i32) -> bool {
        self.new & flag as u64 != 0
    }

    /// The path of the namespace of this kind that is joined.
    pub(crate) fn path(&self, flag: i32) -> Option<&PathBuf> {
        self.join.iter().find(|(kind, _)| *kind == flag as u64).map(|(_, path)| path)
    }
}

/// Plans the namespaces.
pub(crate) fn plan(given: &[Namespace<'_>], offsets: &BTreeMap<Text<'_>, TimeOffset>) -> Result<Namespaces> {
    let mut plan = Namespaces::default();
    for namespace in given {
        let kind = &*namespace.kind;
        let Some((_, flag)) = KINDS.iter().find(|(name, _)| *name == kind) else {
            return Err(Error::invalid(format!("linux.namespaces has the unknown type {kind:?}")));
        };
        if plan.has(*flag) {
            return Err(Error::invalid(format!("linux.namespaces has the type {kind:?} twice")));
        }
        match namespace.path.as_deref().unwrap_or_default() {
            "" => plan.new |= *flag as u64,
            path if path.starts_with('/') => plan.join.push((*flag as u64, PathBuf::from(path))),
            path => {
                return Err(Error::invalid(format!("linux.namespaces: the path {path:?} is not absolute")));
            }
        }
    }
    plan.join.sort_by_key(|(flag, _)| KINDS.iter().position(|(_, known)| *known as u64 == *flag));
    if !offsets.is_empty() && !plan.makes(libc::CLONE_NEWTIME) {
        return Err(Error::invalid("linux.timeOffsets is set, but no new time namespace is asked for"));
    }
    for (clock, offset) in offsets {
        let id = match &**clock {
            "monotonic" => libc::CLOCK_MONOTONIC,
            "boottime" => libc::CLOCK_BOOTTIME,
            other => {
                return Err(Error::invalid(format!("linux.timeOffsets has the unknown clock {other:?}")));
            }
        };
        plan.time_offsets.push_str(&format!("{id} {} {}\n", offset.secs, offset.nanosecs));
    }
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: &str) -> Result<Namespaces> {
        let given: Vec<Namespace<'_>> = serde_json::from_str(json).expect("parses");
        plan(&given, &BTreeMap::new())
    }

    #[test]
    fn an_empty_path_means_a_new_namespace() {
        let plan =
            of(r#"[{"type":"pid","path":""},{"type":"network","path":"/run/netns/a"}]"#).expect("plans");
        assert_eq!(plan.new, libc::CLONE_NEWPID as u64);
        assert_eq!(plan.join, [(libc::CLONE_NEWNET as u64, PathBuf::from("/run/netns/a"))]);
    }

    #[test]
    fn the_mount_namespace_is_joined_last_since_paths_change_with_it() {
        let plan = of(r#"[{"type":"mount","path":"/a"},{"type":"user","path":"/b"}]"#).expect("plans");
        assert_eq!(plan.join.last().map(|(flag, _)| *flag), Some(libc::CLONE_NEWNS as u64));
    }

    #[test]
    fn unknown_twice_and_relative_are_errors_that_name_the_value() {
        for (json, word) in [
            (r#"[{"type":"rhubarb"}]"#, "rhubarb"),
            (r#"[{"type":"pid"},{"type":"pid"}]"#, "twice"),
            (r#"[{"type":"pid","path":"proc/1"}]"#, "not absolute"),
        ] {
            assert!(of(json).expect_err("must fail").to_string().contains(word), "{json}");
        }
    }
}
