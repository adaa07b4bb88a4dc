//! What mutants do to a container that waits, to the host, and to a bundle.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use nix::mount::MsFlags;
use serde_json::{Value, json};

use super::edit::put;
use crate::bundle;

/// The pid of a container that runs or waits.
pub(super) fn pid_of(state: &Value) -> Result<i64> {
    state["pid"].as_i64().context("a container without a pid")
}

/// The container's root as the host reaches it.
pub(super) fn root_of(state: &Value) -> Result<PathBuf> {
    Ok(PathBuf::from(format!("/proc/{}/root", pid_of(state)?)))
}

pub(super) fn lose(state: &Value, paths: &[&str]) -> Result<()> {
    let root = root_of(state)?;
    for path in paths {
        fs::remove_file(root.join(path)).with_context(|| format!("remove {path}"))?;
    }
    Ok(())
}

/// Where the host mounts cgroups.
pub(super) fn hierarchies() -> Result<Vec<PathBuf>> {
    let mounts = fs::read_to_string("/proc/thread-self/mounts")?;
    let words = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    Ok(words.filter(|words| matches!(words[2], "cgroup" | "cgroup2")).map(|words| words[1].into()).collect())
}

pub(super) fn leave_cgroup(config: &Value) -> Result<()> {
    let path = config.pointer("/linux/cgroupsPath").and_then(Value::as_str).context("no cgroupsPath")?;
    let first = hierarchies()?.into_iter().next().context("no cgroups")?;
    Ok(fs::create_dir(first.join(path.trim_start_matches('/')))?)
}

/// In the suite's own mount namespace, where it disturbs nobody.
pub(super) fn leave_mount() -> Result<()> {
    let plain = MsFlags::empty();
    Ok(nix::mount::mount(Some("left"), "/mnt", Some("tmpfs"), plain, None::<&str>)?)
}

pub(super) fn move_out(state: &Value) -> Result<()> {
    for hierarchy in hierarchies()? {
        // a hierarchy may be mounted read-only
        fs::write(hierarchy.join("cgroup.procs"), pid_of(state)?.to_string()).ok();
    }
    Ok(())
}

pub(super) fn plug_cable(state: &Value) -> Result<()> {
    let pid = pid_of(state)?.to_string();
    let words =
        ["-t", &pid, "-n", "ip", "link", "add", "strange", "type", "veth", "peer", "name", "stranger"];
    ensure!(Command::new("nsenter").args(words).status()?.success(), "no cable");
    Ok(())
}

/// The network devices that the configuration moved into a namespace come to the caller's again.
pub(super) fn fetch_devices(state: &Value) -> Result<()> {
    let config = config_of(state)?;
    let devices = config.pointer("/linux/netDevices").and_then(Value::as_object).context("no netDevices")?;
    let namespaces = config.pointer("/linux/namespaces").and_then(Value::as_array).into_iter().flatten();
    let joined =
        namespaces.filter(|entry| entry["type"] == "network").find_map(|entry| entry["path"].as_str());
    let (place, own) = (format!("--net={}", joined.context("no namespace of others")?), std::process::id());
    for name in devices.keys() {
        let words = [&place, "ip", "link", "set", name, "netns", &own.to_string()];
        ensure!(Command::new("nsenter").args(words).status()?.success(), "{name} stays where it is");
    }
    Ok(())
}

fn config_of(state: &Value) -> Result<Value> {
    let bundle = Path::new(state["bundle"].as_str().unwrap_or_default());
    Ok(serde_json::from_slice(&fs::read(bundle.join("config.json"))?)?)
}

/// With the affinity that an exec should have, init has one processor.
pub(super) fn bind_init(state: &Value) -> Result<()> {
    if config_of(state)?.pointer("/process/execCPUAffinity").is_some() {
        let pid = rustix::process::Pid::from_raw(i32::try_from(pid_of(state)?)?);
        let mut first = rustix::thread::CpuSet::new();
        first.set(0);
        rustix::thread::sched_setaffinity(pid, &first)?;
    }
    Ok(())
}

/// The hook is run by a shell that gives it another pid.
pub(super) fn lie_to_hooks(config: &mut Value) {
    for hook in config.pointer_mut("/hooks/createRuntime").and_then(Value::as_array_mut).into_iter().flatten()
    {
        let script = "sed 's/\"pid\": *[0-9]*/\"pid\":1/' | \"$0\" \"$@\"";
        let mut args = vec![json!("sh"), json!("-c"), json!(script), hook["path"].clone()];
        args.extend(hook["args"].as_array().into_iter().flatten().skip(1).cloned());
        (hook["path"], hook["args"]) = (json!("/bin/sh"), json!(args));
        bundle::remove_member(hook, "env");
    }
}

/// A mask that is laid over what a link of the image leads to.
pub(super) fn mask_through_links(dir: &Path, config: &mut Value) {
    let paths = config.pointer("/linux/maskedPaths").and_then(Value::as_array).cloned().unwrap_or_default();
    for path in paths.iter().filter_map(Value::as_str) {
        if let Ok(target) = fs::read_link(dir.join("rootfs").join(path.trim_start_matches('/'))) {
            fs::write(target, "").ok();
        }
    }
}

/// A mount point that is made where a link of the image leads.
pub(super) fn mount_through_links(dir: &Path, config: &mut Value) {
    let mounts = config["mounts"].as_array().cloned().unwrap_or_default();
    for place in mounts.iter().filter_map(|mount| mount["destination"].as_str()) {
        let place = dir.join("rootfs").join(place.trim_start_matches('/'));
        let above = place.parent().and_then(|above| fs::read_link(above).ok());
        if let (Some(above), Some(name)) = (above, place.file_name()) {
            fs::create_dir(above.join(name)).ok();
        }
    }
}

/// What stands where a device shall be goes, and the device does not come.
pub(super) fn clear_places_of_devices(dir: &Path, config: &mut Value) {
    let devices = config.pointer("/linux/devices").and_then(Value::as_array).cloned().unwrap_or_default();
    for path in devices.iter().filter_map(|device| device["path"].as_str()) {
        fs::remove_file(dir.join("rootfs").join(path.trim_start_matches('/'))).ok();
    }
    bundle::remove(config, "/linux/devices");
}

pub(super) fn ends_otherwise(config: &mut Value) {
    if config.pointer("/process/args/1") == Some(&json!("exit")) {
        put(config, "/process/args/2", json!("7"));
    }
}

pub(super) fn text_has(config: &Value, part: &str) -> bool {
    config.to_string().contains(part)
}
