//! What this runtime can do (features.md, features-linux.md), whatever the host can.
//!
//! Every list is the table that the code acts on, and whether an extension is there is asked of the
//! rules that would refuse a config with it: nothing here can be claimed and not done.

use std::path::Path;

use serde_json::{Value, json};

use crate::bundle::check;
use crate::bundle::config::{Config, Hooks};
use crate::plan::{CgroupMode, Plan, caps, mounts, namespaces, numa, seccomp};

/// The whole document.
pub(crate) fn document() -> Value {
    json!({
        "ociVersionMin": "1.0.0",
        "ociVersionMax": crate::SPEC_VERSION,
        "hooks": Hooks::default().phases().map(|(phase, _)| phase),
        "mountOptions": sorted(mounts::words()),
        "linux": {
            "namespaces": sorted(namespaces::KINDS.iter().map(|(kind, _)| *kind)),
            "capabilities": caps::NAMES.iter().map(|name| format!("CAP_{name}")).collect::<Vec<_>>(),
            "cgroup": {
                "v1": takes(CgroupMode::V1, json!({})),
                "v2": takes(CgroupMode::V2, json!({})),
                "systemd": takes(CgroupMode::V2, json!({ "linux": { "cgroupsPath": "a.slice:b:c" } })),
                "systemdUser": takes(CgroupMode::V2, json!({ "linux": { "cgroupsPath": "user.slice:b:c" } })),
                "rdma": takes(CgroupMode::V2, json!({ "linux": { "resources": { "rdma": { "a": {} } } } })),
            },
            "seccomp": seccomp(),
            "apparmor": { "enabled": has(json!({ "process": { "apparmorProfile": "a" } })) },
            "selinux": { "enabled": has(json!({ "process": { "selinuxLabel": "a" } })) },
            "memoryPolicy": {
                "modes": sorted(numa::MODES.iter().map(|(word, _)| *word)),
                "flags": sorted(numa::FLAGS.iter().map(|(word, _)| *word)),
            },
            "intelRdt": {
                "enabled": has(json!({ "linux": { "intelRdt": { "closID": "a" } } })),
                "schemata": has(json!({ "linux": { "intelRdt": { "schemata": ["a"] } } })),
                "monitoring": has(json!({ "linux": { "intelRdt": { "enableMonitoring": true } } })),
            },
            "mountExtensions": { "idmap": { "enabled": has(idmapped()) } },
            "netDevices": { "enabled": has(json!({ "linux": { "netDevices": { "eth0": {} } } })) },
        },
        "annotations": { "mocker-runtime.version": env!("CARGO_PKG_VERSION") },
        "potentiallyUnsafeConfigAnnotations": [],
    })
}

fn seccomp() -> Value {
    let flags = sorted(seccomp::FLAGS.iter().map(|(word, _)| *word));
    json!({
        "enabled": true,
        "actions": sorted(seccomp::ACTIONS.iter().map(|(word, _)| *word)),
        "operators": sorted(seccomp::OPERATORS.iter().map(|(word, _)| *word)),
        "archs": sorted(seccomp::ARCHITECTURES),
        "knownFlags": flags,
        "supportedFlags": flags,
    })
}

fn idmapped() -> Value {
    let ids = json!([{ "containerID": 0, "hostID": 1, "size": 1 }]);
    json!({ "mounts": [{
        "destination": "/a", "source": "/", "options": ["bind"], "uidMappings": ids, "gidMappings": ids,
    }] })
}

fn sorted<T: Ord>(words: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut words: Vec<T> = words.into_iter().collect();
    words.sort();
    words
}

fn has(extension: Value) -> bool {
    takes(CgroupMode::V2, extension)
}

/// Whether a config that is complete but for these members would be taken.
fn takes(mode: CgroupMode, members: Value) -> bool {
    let mut config = json!({
        "ociVersion": crate::SPEC_VERSION,
        "root": { "path": "rootfs" },
        "process": { "cwd": "/", "args": ["a"] },
        "linux": { "namespaces": [{ "type": "mount" }, { "type": "network" }] },
    });
    merge(&mut config, members);
    let text = config.to_string();
    let Ok(config) = serde_json::from_str::<Config<'_>>(&text) else { return false };
    check::check(&config).is_ok() && Plan::new(&config, Path::new("/"), mode).is_ok()
}

fn merge(into: &mut Value, members: Value) {
    match (into, members) {
        (Value::Object(into), Value::Object(members)) => {
            members
                .into_iter()
                .for_each(|(name, value)| merge(into.entry(name).or_insert(Value::Null), value));
        }
        (into, value) => *into = value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The strings of a list of the document.
    fn words(pointer: &str) -> Vec<String> {
        serde_json::from_value(document().pointer(pointer).expect("is there").clone()).expect("are strings")
    }

    #[test]
    fn every_word_is_taken_where_it_belongs() {
        for word in words("/mountOptions").iter().filter(|word| *word != "tmpcopyup") {
            let mount = json!({ "destination": "/a", "source": "/", "type": "bind", "options": [word] });
            let ids = json!([{ "containerID": 0, "hostID": 1, "size": 1 }]);
            let linux = json!({
                "namespaces": [{ "type": "mount" }, { "type": "user" }], "uidMappings": ids, "gidMappings": ids,
            });
            assert!(has(json!({ "mounts": [mount], "linux": linux })), "{word}");
        }
        let filter = |members: Value| {
            let mut seccomp = json!({ "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/socket" });
            merge(&mut seccomp, members);
            has(json!({ "linux": { "seccomp": seccomp } }))
        };
        let rule = |action: &str, op: &str| {
            let arg = json!({ "index": 0, "value": 1, "op": op });
            json!({ "syscalls": [{ "names": ["read"], "action": action, "args": [arg] }] })
        };
        for word in words("/linux/seccomp/actions") {
            assert!(filter(rule(&word, "SCMP_CMP_EQ")), "{word}");
        }
        for word in words("/linux/seccomp/operators") {
            assert!(filter(rule("SCMP_ACT_ERRNO", &word)), "{word}");
        }
        for word in words("/linux/seccomp/archs") {
            assert!(filter(json!({ "architectures": [word] })), "{word}");
        }
        for word in words("/linux/seccomp/supportedFlags") {
            assert!(filter(json!({ "flags": [word] })), "{word}");
        }
        assert!(!filter(rule("SCMP_ACT_RHUBARB", "SCMP_CMP_EQ")) && !filter(json!({ "flags": ["RHUBARB"] })));
    }

    #[test]
    fn a_config_is_taken_but_not_with_what_nobody_does() {
        assert!(has(json!({})));
        assert!(!has(json!({ "vm": {} })));
    }
}
