//! From `config.json` to what the kernel will be asked for: pure, no I/O, tested as tables without root.
//!
//! A [`Plan`] is owned and final. Whatever is wrong with a config is found here or in `bundle::check`,
//! before anything exists that would have to be undone.

pub(crate) mod caps;
pub(crate) mod cgroup;
pub(crate) mod devices;
pub(crate) mod ids;
pub(crate) mod limits;
pub(crate) mod mounts;
pub(crate) mod namespaces;
pub(crate) mod network;
pub(crate) mod numa;
pub(crate) mod process;
pub(crate) mod rdt;
pub(crate) mod rlimits;
pub(crate) mod seccomp;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::abi::{Attr, Parameter, Reach};
use crate::bundle::config::{Config, Hooks, Linux};
use crate::error::{Error, Result, WhileDoing};

/// Which cgroup hierarchies the host has: the only thing about the host that a plan depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum CgroupMode {
    /// Version 1, perhaps with a version 2 tree without controllers beside it (hybrid)
    V1,
    /// Version 2 alone
    V2,
    /// None is mounted, or none shall be used
    #[default]
    None,
}

/// Everything that will be done, in kernel values.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) oci_version: String,
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) namespaces: namespaces::Namespaces,
    pub(crate) ids: Option<ids::Maps>,
    pub(crate) hostname: Option<String>,
    pub(crate) domainname: Option<String>,
    pub(crate) rootfs: Rootfs,
    pub(crate) mounts: Vec<mounts::Mount>,
    pub(crate) devices: Vec<devices::Device>,
    pub(crate) net_devices: Vec<network::Device>,
    pub(crate) masked: Vec<PathBuf>,
    pub(crate) readonly: Vec<PathBuf>,
    /// File below /proc/sys and what to write to it
    pub(crate) sysctl: Vec<(String, String)>,
    pub(crate) cgroup: cgroup::Cgroup,
    pub(crate) rdt: Option<rdt::Rdt>,
    /// `linux.mountLabel`; the mounts have it already
    /// As mounts take it
    pub(crate) mount_label: Option<Parameter>,
    pub(crate) process: process::Process,
    pub(crate) hooks: Hooks,
}

/// The root file system.
#[derive(Debug)]
pub(crate) struct Rootfs {
    /// On the host
    pub(crate) path: PathBuf,
    /// Whether the container may write to it
    pub(crate) readonly: bool,
    /// What is mounted at `path` to be the root; None: what lies there already
    pub(crate) overlay: Option<mounts::Mount>,
    /// What the container's root mount is set to (config-linux.md "Rootfs Mount Propagation")
    pub(crate) propagation: (Attr, Reach),
}

impl Plan {
    /// Plans the container of `config`, whose bundle is the absolute path `bundle`.
    pub(crate) fn new(config: &Config<'_>, bundle: &Path, mode: CgroupMode) -> Result<Self> {
        let default = Linux::default();
        let linux = config.linux.as_ref().unwrap_or(&default);
        let namespaces = namespaces::plan(&linux.namespaces, &linux.time_offsets)?;
        let ids = ids::plan(&linux.uid_mappings, &linux.gid_mappings, &namespaces)?;
        let label = linux.mount_label.as_deref().filter(|label| !label.is_empty());
        let context = mounts::Context {
            bundle,
            user: namespaces.has(libc::CLONE_NEWUSER),
            maps: ids.as_ref(),
            label: label.map(|label| (context_word(config), label)),
        };
        let mut mounts = mounts::plan(&config.mounts, &context)?;
        Ok(Self {
            oci_version: config.oci_version.to_string(),
            annotations: config.annotations.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect(),
            hostname: name("hostname", config.hostname.as_deref(), &namespaces)?,
            domainname: name("domainname", config.domainname.as_deref(), &namespaces)?,
            rootfs: rootfs(config, bundle, mounts::take_root(&mut mounts))?,
            mounts,
            devices: devices::plan(&linux.devices)?,
            net_devices: network::plan(&linux.net_devices, &namespaces)?,
            masked: paths("maskedPaths", &linux.masked_paths)?,
            readonly: paths("readonlyPaths", &linux.readonly_paths)?,
            sysctl: sysctl(linux, &namespaces)?,
            cgroup: cgroup::plan(linux, mode).while_doing(|| "linux.resources")?,
            rdt: linux.intel_rdt.as_ref().map(rdt::plan).transpose()?,
            mount_label: label.map(|label| (context_word(config).to_owned(), Some(label.to_owned()))),
            process: process(config, linux)?,
            hooks: config.hooks.clone().unwrap_or_default(),
            namespaces,
            ids,
        })
    }
}

/// A host or domain name needs a UTS namespace, lest the machine's own change.
fn name(what: &str, value: Option<&str>, namespaces: &namespaces::Namespaces) -> Result<Option<String>> {
    match value {
        None | Some("") => Ok(None),
        Some(_) if !namespaces.has(libc::CLONE_NEWUTS) => {
            Err(Error::invalid(format!("{what} is set, but linux.namespaces has no uts namespace")))
        }
        Some(value) => Ok(Some(value.to_owned())),
    }
}

fn process(config: &Config<'_>, linux: &Linux<'_>) -> Result<process::Process> {
    let mut process = process::plan(config.process.as_ref(), linux)?;
    if keeps_groups(config) {
        process.groups = None;
    }
    Ok(process)
}

/// crun's annotation, which podman sets for `--group-add keep-groups`.
pub(crate) fn keeps_groups(config: &Config<'_>) -> bool {
    config.annotations.keys().any(|key| key.0 == "run.oci.keep_original_groups")
}

/// The mount option that carries the SELinux label: all files, or only those without one of their own
/// (mount(8)); `run.oci.mount_context_type` is crun's annotation for it.
fn context_word<'a>(config: &'a Config<'_>) -> &'a str {
    let found = config.annotations.iter().find(|(key, _)| key.0 == "run.oci.mount_context_type");
    found.map_or("context", |(_, value)| value)
}

fn rootfs(config: &Config<'_>, bundle: &Path, overlay: Option<mounts::Mount>) -> Result<Rootfs> {
    let Some(root) = &config.root else {
        return Err(Error::invalid("config.json has no root"));
    };
    let wanted =
        config.linux.as_ref().and_then(|linux| linux.rootfs_propagation.as_deref()).unwrap_or_default();
    let propagation = match wanted {
        "" => "rslave",
        other => other,
    };
    let propagation = mounts::propagation(propagation).ok_or_else(|| {
        Error::invalid(format!("linux.rootfsPropagation {propagation:?} is not a propagation"))
    })?;
    Ok(Rootfs { path: bundle.join(&*root.path), readonly: root.readonly, overlay, propagation })
}

/// Paths in the container must be absolute (config-linux.md "Masked Paths", "Readonly Paths").
fn paths(what: &str, given: &[crate::bundle::config::Text<'_>]) -> Result<Vec<PathBuf>> {
    given
        .iter()
        .map(|path| match path.starts_with('/') {
            true => Ok(PathBuf::from(&**path)),
            false => Err(Error::invalid(format!("linux.{what} has {:?}, which is not absolute", &**path))),
        })
        .collect()
}

/// Only what belongs to a namespace of the container's own may be set; all else would be the machine's.
fn sysctl(linux: &Linux<'_>, namespaces: &namespaces::Namespaces) -> Result<Vec<(String, String)>> {
    let ipc = |key: &str| {
        key.starts_with("fs.mqueue.")
            || [
                "kernel.msgmax",
                "kernel.msgmnb",
                "kernel.msgmni",
                "kernel.sem",
                "kernel.shmall",
                "kernel.shmmax",
            ]
            .contains(&key)
            || ["kernel.shmmni", "kernel.shm_rmid_forced"].contains(&key)
    };
    let mut out = Vec::new();
    for (key, value) in &linux.sysctl {
        let dotted = sysctl_name(key);
        let needs = match dotted.as_str() {
            key if ipc(key) => libc::CLONE_NEWIPC,
            key if key.starts_with("net.") => libc::CLONE_NEWNET,
            "kernel.domainname" => libc::CLONE_NEWUTS,
            "kernel.hostname" => {
                return Err(Error::invalid("sysctl kernel.hostname is what the property hostname is for"));
            }
            _ => {
                return Err(Error::invalid(format!(
                    "sysctl {:?} is not in a separate kernel namespace",
                    &**key
                )));
            }
        };
        if !namespaces.has(needs) {
            return Err(Error::invalid(format!(
                "sysctl {:?} needs a namespace that the container lacks",
                &**key
            )));
        }
        out.push((sysctl_file(key), value.to_string()));
    }
    Ok(out)
}

/// A key with the first separator `/` has `/` for `.` and `.` inside names, as sysctl(8) reads it.
fn sysctl_name(key: &str) -> String {
    match key.find(['.', '/']).map(|at| &key[at..=at]) {
        Some("/") => key
            .chars()
            .map(|c| {
                if c == '/' {
                    '.'
                } else if c == '.' {
                    '/'
                } else {
                    c
                }
            })
            .collect(),
        _ => key.to_owned(),
    }
}

fn sysctl_file(key: &str) -> String {
    sysctl_name(key)
        .chars()
        .map(|c| {
            if c == '.' {
                '/'
            } else if c == '/' {
                '.'
            } else {
                c
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sysctl_key_with_dots_in_an_interface_name_is_spelled_with_slashes() {
        for (key, file) in [
            ("net.ipv4.ip_forward", "net/ipv4/ip_forward"),
            ("net/ipv4/conf/eth0.1/forwarding", "net/ipv4/conf/eth0.1/forwarding"),
        ] {
            assert_eq!(sysctl_file(key), file);
        }
    }

    #[test]
    fn a_sysctl_of_the_machine_is_refused() {
        for (json, word) in [
            (
                r#"{"linux":{"namespaces":[{"type":"network"}],"sysctl":{"kernel.panic":"1"}}}"#,
                "kernel.panic",
            ),
            (r#"{"linux":{"sysctl":{"net.ipv4.ip_forward":"1"}}}"#, "lacks"),
        ] {
            let config: Config<'_> = serde_json::from_str(json).expect("parses");
            let linux = config.linux.expect("is there");
            let namespaces = namespaces::plan(&linux.namespaces, &linux.time_offsets).expect("plans");
            let error = sysctl(&linux, &namespaces).expect_err("must be refused");
            assert!(error.to_string().contains(word), "{error}");
        }
    }
}
