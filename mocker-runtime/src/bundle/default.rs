//! The config.json that `spec` writes: what runc's writes, since people and scripts edit it.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::Serialize;

use crate::error::{Error, Kind, Result, WhileDoing};

/// What the document depends on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Host {
    /// Whose container it is: None for root's, else the ids that become root inside
    pub(crate) user: Option<(u32, u32)>,
    /// Whether the host has version 2 of cgroups alone, where a namespace of them is of use
    pub(crate) unified: bool,
}

/// The members in the order in which a person reads them.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    oci_version: &'static str,
    process: Process,
    root: Root,
    hostname: &'static str,
    mounts: Vec<Mount>,
    linux: Linux,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Process {
    terminal: bool,
    user: User,
    args: [&'static str; 1],
    env: [&'static str; 2],
    cwd: &'static str,
    capabilities: Capabilities,
    rlimits: [Rlimit; 1],
    no_new_privileges: bool,
}

#[derive(Debug, Serialize)]
struct User {
    uid: u32,
    gid: u32,
}

#[derive(Debug, Serialize)]
struct Capabilities {
    bounding: [&'static str; 3],
    effective: [&'static str; 3],
    permitted: [&'static str; 3],
}

#[derive(Debug, Serialize)]
struct Rlimit {
    #[serde(rename = "type")]
    kind: &'static str,
    hard: u64,
    soft: u64,
}

#[derive(Debug, Serialize)]
struct Root {
    path: &'static str,
    readonly: bool,
}

#[derive(Debug, Serialize)]
struct Mount {
    destination: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    source: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    options: Vec<&'static str>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Linux {
    #[serde(skip_serializing_if = "Option::is_none")]
    uid_mappings: Option<[IdMapping; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gid_mappings: Option<[IdMapping; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resources: Option<Resources>,
    namespaces: Vec<Namespace>,
    masked_paths: [&'static str; 10],
    readonly_paths: [&'static str; 5],
}

#[derive(Debug, Serialize)]
struct IdMapping {
    #[serde(rename = "containerID")]
    container_id: u32,
    #[serde(rename = "hostID")]
    host_id: u32,
    size: u32,
}

#[derive(Debug, Serialize)]
struct Resources {
    devices: [DeviceRule; 1],
}

#[derive(Debug, Serialize)]
struct DeviceRule {
    allow: bool,
    access: &'static str,
}

#[derive(Debug, Serialize)]
struct Namespace {
    #[serde(rename = "type")]
    kind: &'static str,
}

const CAPABILITIES: [&str; 3] = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];

const MASKED: [&str; 10] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/sys/firmware",
    "/proc/scsi",
];

const READONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Destination, type, source and options, the latter parted by commas.
type Line = (&'static str, &'static str, &'static str, &'static str);

const MOUNTS: [Line; 7] = [
    ("/proc", "proc", "proc", ""),
    ("/dev", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k"),
    ("/dev/pts", "devpts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5"),
    ("/dev/shm", "tmpfs", "shm", "nosuid,noexec,nodev,mode=1777,size=65536k"),
    ("/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev"),
    ("/sys", "sysfs", "sysfs", "nosuid,noexec,nodev,ro"),
    ("/sys/fs/cgroup", "cgroup", "cgroup", "nosuid,noexec,nodev,relatime,ro"),
];

/// Without a network namespace of its own a user cannot mount sysfs.
const SYS_OF_A_USER: Line = ("/sys", "none", "/sys", "rbind,nosuid,noexec,nodev,ro");

impl Config {
    fn new(host: Host) -> Self {
        Self {
            oci_version: crate::SPEC_VERSION,
            process: Process {
                terminal: true,
                user: User { uid: 0, gid: 0 },
                args: ["sh"],
                env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
                cwd: "/",
                capabilities: Capabilities {
                    bounding: CAPABILITIES,
                    effective: CAPABILITIES,
                    permitted: CAPABILITIES,
                },
                rlimits: [Rlimit { kind: "RLIMIT_NOFILE", hard: 1024, soft: 1024 }],
                no_new_privileges: true,
            },
            root: Root { path: "rootfs", readonly: true },
            hostname: "runc",
            mounts: mounts(host),
            linux: linux(host),
        }
    }
}

fn mounts(host: Host) -> Vec<Mount> {
    let rootless = host.user.is_some();
    let of_host = |mount: Line| match mount {
        ("/sys", ..) if rootless => SYS_OF_A_USER,
        mount => mount,
    };
    // The group of terminals is none that a user may give.
    let goes = |option: &str| option.is_empty() || (rootless && option.starts_with("gid="));
    MOUNTS
        .into_iter()
        .map(of_host)
        .map(|(destination, kind, source, options)| Mount {
            destination,
            kind,
            source,
            options: options.split(',').filter(|option| !goes(option)).collect(),
        })
        .collect()
}

fn linux(host: Host) -> Linux {
    let mapping = |id: u32| [IdMapping { container_id: 0, host_id: id, size: 1 }];
    let kinds = [
        ("pid", true),
        ("network", host.user.is_none()),
        ("ipc", true),
        ("uts", true),
        ("mount", true),
        ("cgroup", host.unified),
        ("user", host.user.is_some()),
    ];
    Linux {
        uid_mappings: host.user.map(|(uid, _)| mapping(uid)),
        gid_mappings: host.user.map(|(_, gid)| mapping(gid)),
        resources: host
            .user
            .is_none()
            .then_some(Resources { devices: [DeviceRule { allow: false, access: "rwm" }] }),
        namespaces: kinds
            .into_iter()
            .filter(|(_, wanted)| *wanted)
            .map(|(kind, _)| Namespace { kind })
            .collect(),
        masked_paths: MASKED,
        readonly_paths: READONLY,
    }
}

/// Writes config.json into a bundle's directory; one that is there already is left alone.
pub(crate) fn write(dir: &Path, host: Host) -> Result<()> {
    let mut text = Vec::new();
    let tabs = serde_json::ser::PrettyFormatter::with_indent(b"\t");
    Config::new(host)
        .serialize(&mut serde_json::Serializer::with_formatter(&mut text, tabs))
        .while_doing(|| "write the document")?;
    let file = dir.join("config.json");
    let act = || format!("write {}", file.display());
    match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o666).open(&file) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            Err(Error::new(Kind::Exists, format!("{} exists already", file.display()))
                .with_hint("remove it first, or name another bundle with --bundle"))
        }
        opened => opened.and_then(|mut file| file.write_all(&text)).while_doing(act),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_planned_without_an_error() {
        for (user, unified) in [(None, false), (None, true), (Some((1000, 1000)), true)] {
            let text = serde_json::to_string(&Config::new(Host { user, unified })).expect("serializes");
            let config = serde_json::from_str(&text).expect("parses");
            super::super::check::check(&config).expect("is allowed");
            let mode = crate::plan::CgroupMode::V2;
            crate::plan::Plan::new(&config, Path::new("/bundle"), mode).expect("is planned");
        }
    }
}
