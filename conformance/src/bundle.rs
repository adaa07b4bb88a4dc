//! The bundles of the suite: a root file system around the probe, and a usual configuration.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::host;

/// The capabilities of the usual configuration.
pub const CAPABILITIES: [&str; 3] = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];

/// What a person's `spec` would give, with the probe as the program and no terminal; for an ordinary user `spec
/// --rootless`: a user namespace that maps this one user to root, and nothing that takes a cgroup.
pub fn usual_config(args: &[String]) -> Value {
    let mut config = config_of_root(args);
    if !host::is_root() {
        remove(&mut config, "/linux/resources");
        if let Some(Value::Array(namespaces)) = config.pointer_mut("/linux/namespaces") {
            namespaces.push(json!({ "type": "user" }));
        }
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        config["linux"]["uidMappings"] = json!([{ "containerID": 0, "hostID": uid, "size": 1 }]);
        config["linux"]["gidMappings"] = json!([{ "containerID": 0, "hostID": gid, "size": 1 }]);
    }
    config
}

fn config_of_root(args: &[String]) -> Value {
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": false,
            "user": { "uid": 0, "gid": 0 },
            "args": args,
            "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": {
                "bounding": CAPABILITIES, "effective": CAPABILITIES, "permitted": CAPABILITIES,
            },
            "noNewPrivileges": true,
        },
        "root": { "path": "rootfs", "readonly": false },
        "hostname": "conformance",
        "mounts": [
            mount("/proc", "proc", &[]),
            mount("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
            mount("/dev/pts", "devpts", &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]),
            mount("/dev/shm", "tmpfs", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
            mount("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
            mount("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
        ],
        "linux": {
            "resources": { "devices": [{ "allow": false, "access": "rwm" }] },
            "namespaces": [
                { "type": "pid" }, { "type": "network" }, { "type": "ipc" },
                { "type": "uts" }, { "type": "mount" },
            ],
        },
    })
}

/// An entry of `mounts` whose source is its type.
pub fn mount(destination: &str, kind: &str, options: &[&str]) -> Value {
    json!({ "destination": destination, "type": kind, "source": kind, "options": options })
}

/// A bind mount.
pub fn bind(source: &Path, destination: &str, options: &[&str]) -> Value {
    json!({ "destination": destination, "type": "bind", "source": source, "options": options })
}

/// BUNDLE/rootfs with the probe and the folders that the usual mounts need.
pub(crate) fn make_rootfs(bundle: &Path, probe: &Path) -> Result<()> {
    let root = bundle.join("rootfs");
    for dir in ["proc", "dev", "sys", "tmp", "etc", "data"] {
        fs::create_dir_all(root.join(dir))?;
    }
    fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777))?;
    fs::write(root.join("etc/file"), "content\n")?;
    let inside = root.join("probe");
    // a hard link where it can be one: the probe is some megabytes
    fs::hard_link(probe, &inside)
        .or_else(|_| fs::copy(probe, &inside).map(drop))
        .with_context(|| format!("put {} into the root file system", probe.display()))
}

/// Root of a user namespace is nobody on the way to a folder of the case: it and the one above let everybody pass.
pub(crate) fn open_to_others(dir: &Path) -> Result<()> {
    let open = fs::Permissions::from_mode(0o755);
    for dir in dir.ancestors().take(2) {
        fs::set_permissions(dir, open.clone())?;
    }
    Ok(())
}

/// Puts a value at a JSON pointer, making the objects on the way; `/-` at the end appends to an array.
pub fn set(config: &mut Value, pointer: &str, value: Value) -> Result<()> {
    let mut at = config;
    for name in pointer.trim_start_matches('/').split('/') {
        if at.is_null() {
            *at = if name == "-" { json!([]) } else { json!({}) };
        }
        at = match at {
            Value::Object(map) => map.entry(name).or_insert(Value::Null),
            Value::Array(list) => {
                if name == "-" {
                    list.push(Value::Null);
                }
                let place = if name == "-" { Ok(list.len() - 1) } else { name.parse() };
                place.ok().and_then(|n: usize| list.get_mut(n)).with_context(|| format!("no {pointer}"))?
            }
            _ => bail!("{pointer} runs through a plain value"),
        };
    }
    *at = value;
    Ok(())
}

/// Takes away the member of an object at a JSON pointer; one that is not there is no error.
pub fn remove(config: &mut Value, pointer: &str) {
    if let Some((parent, name)) = pointer.rsplit_once('/')
        && let Some(object) = config.pointer_mut(parent)
    {
        remove_member(object, name);
    }
}

/// Takes away a member; of what is no object, nothing.
pub fn remove_member(object: &mut Value, name: &str) {
    if let Value::Object(map) = object {
        map.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_makes_what_it_needs() {
        let mut config = json!({ "a": [1] });
        set(&mut config, "/a/0", json!(2)).unwrap();
        set(&mut config, "/a/-", json!(3)).unwrap();
        set(&mut config, "/b/c/-", json!("x")).unwrap();
        assert_eq!(config, json!({ "a": [2, 3], "b": { "c": ["x"] } }));
        assert!(set(&mut config, "/a/0/b", json!(1)).is_err());
        remove(&mut config, "/b/c");
        assert_eq!(config, json!({ "a": [2, 3], "b": {} }));
    }
}
