//! An image's configuration to a bundle's config.json: the image specification's conversion.md.
//!
//! What the image says nothing about is as `runc spec` writes it, so that people and scripts find
//! what they know; but the root is writable and the capabilities are docker's, since images are
//! made for those (dpkg wants to change owners). `terminal` is true: a runtime that is called
//! without one is told so by its user, or adapts.

use std::collections::BTreeMap;
use std::path::Path;

use oci_spec::image::ImageConfiguration;
use serde_json::{Value, json};

use super::user::{self, User};
use crate::error::{Error, Kind, Result};
use crate::layer::extract::Ownership;
use crate::layer::ids::{Ids, Range};

/// The version of the runtime specification that is written.
const VERSION: &str = "1.2.1";
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What docker gives a container.
const CAPABILITIES: [&str; 14] = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

/// Annotations by which whoever starts a container tells runtimes what to do on the host: which files to write, which
/// sockets to call, what systemd or criu shall run. An image is not asked (CVE-2026-53488 of containerd).
const STEERING: [&str; 8] = [
    "cdi.k8s.io/",
    "io.containerd.",
    "io.katacontainers.",
    "io.kubernetes.cri",
    "krun.",
    "org.criu.",
    "org.systemd.property.",
    "run.oci.",
];

/// What the root file system is made of, where that is not simply the directory `rootfs`.
#[derive(Debug, Clone, Default)]
pub struct Root {
    /// Nobody may write to it.
    pub readonly: bool,
    /// The options of an overlay that the runtime mounts at `/`; none is no overlay.
    pub overlay: Vec<(String, String)>,
    /// The ids that a user namespace of the container's maps.
    pub ids: Option<Ids>,
}

/// The config.json for an image whose files can be read in `rootfs`.
pub fn convert(
    image: &ImageConfiguration,
    rootfs: &Path,
    ownership: Ownership,
    root: &Root,
) -> Result<Vec<u8>> {
    let empty = oci_spec::image::Config::default();
    let config = image.config().as_ref().unwrap_or(&empty);
    let user = user::find(rootfs, config.user().as_deref().unwrap_or_default())?;
    let mut spec = json!({
        "ociVersion": VERSION,
        "process": process(config, &user),
        "root": { "path": "rootfs", "readonly": root.readonly },
        "hostname": "mocker",
        "mounts": mounts(config)?,
        "annotations": annotations(image, config),
        "linux": linux(),
    });
    if let (false, Some(mounts)) = (root.overlay.is_empty(), spec["mounts"].as_array_mut()) {
        let options: Vec<_> = root.overlay.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let mount = json!({ "destination": "/", "type": "overlay", "source": "overlay", "options": options });
        mounts.insert(0, mount);
    }
    if ownership != Ownership::Archive {
        rootless(&mut spec);
    }
    if let Some(ids) = &root.ids {
        map(&mut spec["linux"], ids);
    }
    let mut text = serde_json::to_vec_pretty(&spec).map_err(|e| Error::new(Kind::Internal, e.to_string()))?;
    text.push(b'\n');
    Ok(text)
}

fn process(config: &oci_spec::image::Config, user: &User) -> Value {
    let words = |words: &Option<Vec<String>>| words.clone().unwrap_or_default();
    let mut args = words(config.entrypoint());
    args.extend(words(config.cmd()));
    if args.is_empty() {
        args.push("sh".to_owned());
    }
    let cwd = match config.working_dir().as_deref().unwrap_or_default() {
        "" => "/".to_owned(),
        dir if dir.starts_with('/') => dir.to_owned(),
        dir => format!("/{dir}"),
    };
    // Only root holds capabilities; another user may at most gain them, as with docker.
    let held: &[&str] = if user.uid == 0 { &CAPABILITIES } else { &[] };
    let mut ids = json!({ "uid": user.uid, "gid": user.gid });
    if !user.additional.is_empty() {
        ids["additionalGids"] = json!(user.additional);
    }
    json!({
        "terminal": true,
        "user": ids,
        "args": args,
        "env": environment(config.env().as_deref().unwrap_or_default()),
        "cwd": cwd,
        "capabilities": { "bounding": CAPABILITIES, "effective": held, "permitted": held },
        "rlimits": [{ "type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024 }],
        "noNewPrivileges": true,
    })
}

/// The image's variables, with a PATH and, for the terminal, a TERM; what is no pair is no variable.
fn environment(env: &[String]) -> Vec<String> {
    let mut all: Vec<String> = env.iter().filter(|e| e.find('=').is_some_and(|at| at > 0)).cloned().collect();
    for default in [PATH, "TERM=xterm"] {
        let name = default.split_inclusive('=').next().unwrap_or_default();
        if !all.iter().any(|e| e.starts_with(name)) {
            all.push(default.to_owned());
        }
    }
    all
}

fn annotations(image: &ImageConfiguration, config: &oci_spec::image::Config) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value.filter(|v| !v.is_empty()) {
            all.insert(format!("org.opencontainers.image.{name}"), value);
        }
    };
    add("os", Some(image.os().to_string()));
    add("architecture", Some(image.architecture().to_string()));
    add("variant", image.variant().clone());
    add("os.version", image.os_version().clone());
    add("os.features", image.os_features().as_ref().map(|f| f.join(",")));
    add("author", image.author().clone());
    add("created", image.created().clone());
    add("stopSignal", config.stop_signal().clone());
    let mut ports = config.exposed_ports().clone().unwrap_or_default();
    ports.sort();
    add("exposedPorts", Some(ports.join(",")));
    let labels = config.labels().clone().unwrap_or_default();
    all.extend(
        labels.into_iter().filter(|(name, _)| !STEERING.iter().any(|prefix| name.starts_with(prefix))),
    );
    all
}

fn mounts(config: &oci_spec::image::Config) -> Result<Vec<Value>> {
    let mount = |destination: &str, kind: &str, source: &str, options: &[&str]| {
        let mut mount = json!({ "destination": destination, "type": kind, "source": source });
        if !options.is_empty() {
            mount["options"] = json!(options);
        }
        mount
    };
    let quiet = ["nosuid", "noexec", "nodev"];
    let with = |more: &[&'static str]| [&quiet[..], more].concat();
    let mut all = vec![
        mount("/proc", "proc", "proc", &[]),
        mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount(
            "/dev/pts",
            "devpts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        mount("/dev/shm", "tmpfs", "shm", &with(&["mode=1777", "size=65536k"])),
        mount("/dev/mqueue", "mqueue", "mqueue", &quiet),
        mount("/sys", "sysfs", "sysfs", &with(&["ro"])),
        mount("/sys/fs/cgroup", "cgroup", "cgroup", &with(&["relatime", "ro"])),
    ];
    for volume in volumes(config)? {
        let options = ["rw", "nosuid", "nodev", "mode=755", "tmpcopyup"];
        all.push(mount(&volume, "tmpfs", "tmpfs", &options));
    }
    Ok(all)
}

/// The image's volumes, none of which may hide what the kernel tells (CVE-2019-16884, CVE-2022-23648).
fn volumes(config: &oci_spec::image::Config) -> Result<Vec<String>> {
    let mut volumes = config.volumes().clone().unwrap_or_default();
    volumes.sort();
    let mut all = Vec::new();
    for volume in volumes {
        let parts: Vec<&str> = volume.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
        match parts.first() {
            None => {}
            Some(&("proc" | "sys")) => {
                return Err(Error::invalid(format!(
                    "the image's volume {volume:?} lies inside /proc or /sys"
                )));
            }
            Some(_) if parts.contains(&"..") => {
                return Err(Error::invalid(format!("the image's volume {volume:?} climbs with `..`")));
            }
            Some(_) => all.push(format!("/{}", parts.join("/"))),
        }
    }
    Ok(all)
}

fn linux() -> Value {
    let namespaces = ["pid", "network", "ipc", "uts", "mount", "cgroup"];
    json!({
        "resources": { "devices": [{ "allow": false, "access": "rwm" }] },
        "namespaces": namespaces.map(|kind| json!({ "type": kind })),
        "maskedPaths": [
            "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
            "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/sys/devices/virtual/powercap", "/proc/scsi",
        ],
        "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
    })
}

/// A user namespace with these ids.
fn map(linux: &mut Value, ids: &Ids) {
    let list = |list: &[Range]| -> Value {
        let entry = |r: &Range| json!({ "containerID": r.container, "hostID": r.host, "size": r.size });
        list.iter().map(entry).collect()
    };
    linux["uidMappings"] = list(&ids.uid);
    linux["gidMappings"] = list(&ids.gid);
    if let Some(all) = linux["namespaces"].as_array_mut()
        && !all.iter().any(|namespace| namespace["type"] == "user")
    {
        all.push(json!({ "type": "user" }));
    }
}

/// For a user without root: a user namespace with one id, and nothing that needs more than that.
fn rootless(spec: &mut Value) {
    let map = |id: u32| json!([{ "containerID": 0, "hostID": id, "size": 1 }]);
    // setgroups(2) is refused to whoever maps only their own id.
    if let Some(user) = spec["process"]["user"].as_object_mut() {
        user.remove("additionalGids");
    }
    let linux = &mut spec["linux"];
    linux["uidMappings"] = map(rustix::process::geteuid().as_raw());
    linux["gidMappings"] = map(rustix::process::getegid().as_raw());
    let namespaces = ["pid", "ipc", "uts", "mount", "cgroup", "user"];
    linux["namespaces"] = json!(namespaces.map(|kind| json!({ "type": kind })));
    if let Some(linux) = linux.as_object_mut() {
        linux.remove("resources");
    }
    for mount in spec["mounts"].as_array_mut().into_iter().flatten() {
        if let Some(options) = mount["options"].as_array_mut() {
            options.retain(|o| !o.as_str().is_some_and(|o| o.starts_with("gid=") || o.starts_with("uid=")));
        }
        // A sysfs needs a network namespace of its own; the machine's is shown instead.
        if mount["destination"] == "/sys" {
            mount["type"] = json!("none");
            mount["source"] = json!("/sys");
            mount["options"] = json!(["rbind", "nosuid", "noexec", "nodev", "ro"]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn converted(config: Value) -> Value {
        let image = json!({"architecture": "arm", "os": "linux", "variant": "v7", "author": "A", "created": "2024-01-01T00:00:00Z",
            "rootfs": {"type": "layers", "diff_ids": []}, "config": config});
        let image: ImageConfiguration = serde_json::from_value(image).unwrap();
        let rootfs = tempfile::tempdir().unwrap();
        let bytes = convert(&image, rootfs.path(), Ownership::Archive, &Root::default()).unwrap();
        let typed: oci_spec::runtime::Spec = serde_json::from_slice(&bytes).unwrap();
        assert!(typed.linux().is_some());
        serde_json::from_slice(&bytes).unwrap()
    }

    #[test]
    fn the_image_says_what_runs_where_and_with_which_variables() {
        let spec = converted(json!({"Entrypoint": ["/e"], "Cmd": ["c"], "WorkingDir": "w", "User": "7:8",
            "Env": ["A=b", "NONE", "=x", "PATH=/p"], "Volumes": {"/v": {}, "/a/": {}}}));
        assert_eq!(spec["process"]["args"], json!(["/e", "c"]));
        assert_eq!(spec["process"]["cwd"], "/w");
        assert_eq!(spec["process"]["user"], json!({"uid": 7, "gid": 8, "additionalGids": [8]}));
        assert_eq!(spec["process"]["env"], json!(["A=b", "PATH=/p", "TERM=xterm"]));
        assert_eq!(spec["process"]["capabilities"]["effective"], json!([]));
        let volumes: Vec<_> =
            spec["mounts"].as_array().unwrap()[7..].iter().map(|m| m["destination"].clone()).collect();
        assert_eq!(volumes, ["/a", "/v"]);
    }

    #[test]
    fn an_image_that_says_nothing_runs_a_shell_as_root() {
        for config in
            [json!({}), Value::Null, json!({"Env": null, "Cmd": null, "Labels": null, "ExposedPorts": null})]
        {
            let spec = converted(config);
            assert_eq!(spec["process"]["args"], json!(["sh"]));
            assert_eq!(spec["process"]["cwd"], "/");
            assert_eq!(spec["process"]["env"], json!([PATH, "TERM=xterm"]));
            assert_eq!(spec["process"]["capabilities"]["effective"].as_array().unwrap().len(), 14);
        }
    }

    #[test]
    fn labels_win_over_the_annotations_that_are_made() {
        let spec = converted(json!({"StopSignal": "SIGUSR1", "ExposedPorts": {"80/tcp": {}, "443/tcp": {}},
            "Labels": {"org.opencontainers.image.author": "L", "x": "y"}}));
        assert_eq!(
            spec["annotations"],
            json!({
                "org.opencontainers.image.os": "linux",
                "org.opencontainers.image.architecture": "arm",
                "org.opencontainers.image.variant": "v7",
                "org.opencontainers.image.author": "L",
                "org.opencontainers.image.created": "2024-01-01T00:00:00Z",
                "org.opencontainers.image.stopSignal": "SIGUSR1",
                "org.opencontainers.image.exposedPorts": "443/tcp,80/tcp",
                "x": "y",
            })
        );
    }
}
