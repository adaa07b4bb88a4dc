//! What the probe saw inside a container.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use serde_json::Value;

/// The probe's report.
#[derive(Debug, Clone)]
pub struct Report(Value);

/// A line of the container's mountinfo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Its place inside.
    pub point: String,
    /// The part of the file system that it shows.
    pub root: String,
    /// Options of the mount: ro, nosuid ...
    pub options: BTreeSet<String>,
    /// `shared:N`, `master:N`, `unbindable`; nothing for private.
    pub propagation: Vec<String>,
    /// proc, tmpfs ...
    pub kind: String,
    /// Options of the file system: size=64k ...
    pub data: BTreeSet<String>,
}

impl Report {
    pub(crate) fn new(value: Value) -> Self {
        Self(value)
    }

    /// A member by JSON pointer; null when it is not there.
    pub fn at(&self, pointer: &str) -> Value {
        self.0.pointer(pointer).cloned().unwrap_or_default()
    }

    /// A member that is text.
    pub fn text(&self, pointer: &str) -> String {
        self.at(pointer).as_str().unwrap_or_default().to_owned()
    }

    /// The strings of a list.
    pub fn list(&self, pointer: &str) -> Vec<String> {
        let list = self.at(pointer);
        list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// A line of /proc/self/status.
    pub fn status(&self, name: &str) -> String {
        self.text(&format!("/status/{name}"))
    }

    /// A set of capabilities as a bit mask: CapEff, CapPrm, CapInh, CapBnd, CapAmb.
    pub fn capabilities(&self, set: &str) -> Result<u64> {
        let text = self.status(set);
        u64::from_str_radix(&text, 16).with_context(|| format!("{set} {text:?} is not a mask"))
    }

    /// A member of what the probe saw of a path: `look("/dev/null", "kind")`.
    pub fn look(&self, path: &str, member: &str) -> Value {
        self.0["looks"][path][member].clone()
    }

    /// The mounts, in the order that they were made.
    pub fn mounts(&self) -> Vec<Mount> {
        self.text("/mountinfo").lines().filter_map(parse_mount).collect()
    }

    /// The topmost mount at a place.
    pub fn mount(&self, point: &str) -> Result<Mount> {
        let found = self.mounts().into_iter().rev().find(|mount| mount.point == point);
        found.with_context(|| format!("nothing is mounted at {point}"))
    }
}

impl Mount {
    /// Fails unless all of these are among the mount's or the file system's options.
    pub fn has(&self, options: &[&str]) -> Result<()> {
        for option in options {
            let held = self.options.contains(*option) || self.data.contains(*option);
            anyhow::ensure!(
                held,
                "{} is mounted {:?} {:?}, without {option}",
                self.point,
                self.options,
                self.data
            );
        }
        Ok(())
    }
}

fn parse_mount(line: &str) -> Option<Mount> {
    let (left, right) = line.split_once(" - ")?;
    let (left, right): (Vec<&str>, Vec<&str>) = (left.split(' ').collect(), right.split(' ').collect());
    let set = |text: &str| text.split(',').map(str::to_owned).collect();
    Some(Mount {
        root: (*left.get(3)?).to_owned(),
        point: (*left.get(4)?).to_owned(),
        options: set(left.get(5)?),
        propagation: left.iter().skip(6).map(|word| (*word).to_owned()).collect(),
        kind: (*right.first()?).to_owned(),
        data: set(right.get(2)?),
    })
}

/// The capabilities of the kernel, each at the place of its number, without `CAP_`.
const NAMES: &[&str] = &[
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// The bit of a capability in the masks of /proc/self/status.
pub fn capability(name: &str) -> Result<u64> {
    let place = NAMES.iter().position(|held| name.strip_prefix("CAP_") == Some(held));
    Ok(1 << place.with_context(|| format!("{name} is no capability"))?)
}

/// The names of all.
pub fn every_capability() -> Vec<String> {
    NAMES.iter().map(|name| format!("CAP_{name}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_mountinfo_is_taken_apart() {
        let line = "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue";
        let mount = parse_mount(line).unwrap();
        assert_eq!(
            (mount.root.as_str(), mount.point.as_str(), mount.kind.as_str()),
            ("/mnt1", "/mnt2", "ext3")
        );
        assert_eq!(mount.propagation, ["master:1"]);
        assert!(mount.has(&["noatime", "errors=continue"]).is_ok());
        assert!(mount.has(&["ro"]).is_err());
    }

    #[test]
    fn capabilities_have_the_kernels_numbers() {
        assert_eq!(capability("CAP_KILL").unwrap(), 1 << 5);
        assert_eq!(capability("CAP_CHECKPOINT_RESTORE").unwrap(), 1 << 40);
        assert!(capability("KILL").is_err());
    }
}
