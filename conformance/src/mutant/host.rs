//! Mutants that put their hand on the container or on the host, cannot bear a configuration, or refuse a verb.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use serde_json::{Value, json};

use super::act::{
    bind_init, clear_places_of_devices, ends_otherwise, leave_cgroup, leave_mount, lie_to_hooks, lose,
    mask_through_links, mount_through_links, move_out, plug_cable, root_of, text_has,
};
use super::edit::{pop, put, rename, without_namespace};
use super::{Change, Mutant};
use crate::bundle;

/// Mutants whose hand is elsewhere than in one field.
pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "never-starts",
        caught_by: &["state.running-means-the-program-runs"],
        change: Change::Nothing("start"),
    },
    Mutant {
        name: "annotates-on-its-own",
        caught_by: &["state.no-annotations-is-absent-or-empty"],
        change: Change::Prints("state", |state| state["annotations"] = json!({ "mutant": "yes" })),
    },
    Mutant {
        name: "knows-one-status",
        caught_by: &["state.is-of-one-container-alone"],
        change: Change::Prints("state", |state| state["status"] = json!("stopped")),
    },
    Mutant {
        name: "knows-everybody",
        caught_by: &["state.unknown-container-is-an-error"],
        change: Change::Succeeds("state"),
    },
    Mutant {
        name: "tells-the-time",
        caught_by: &["state.reading-changes-nothing"],
        change: Change::Prints("state", |state| state["now"] = json!(format!("{:?}", SystemTime::now()))),
    },
    Mutant {
        name: "reads-the-configuration-again",
        caught_by: &["create.later-changes-of-config-have-no-effect"],
        change: Change::Config(|config| {
            if text_has(config, "WHEN=before") {
                put(config, "/process/env/-", json!("WHEN=after"));
                config.pointer_mut("/process/env").and_then(Value::as_array_mut).into_iter().for_each(
                    |env| {
                        env.retain(|pair| *pair != "WHEN=before");
                    },
                );
            }
        }),
    },
    Mutant {
        name: "leaves-a-cgroup",
        caught_by: &["create.failed-one-leaves-no-cgroup"],
        change: Change::Failed(leave_cgroup),
    },
    Mutant {
        name: "leaves-a-mount",
        caught_by: &["create.failed-one-leaves-no-mount-and-no-state"],
        change: Change::Failed(|_| leave_mount()),
    },
    Mutant {
        name: "mounts-on-the-host",
        caught_by: &["propagation.mounts-inside-stay-inside"],
        change: Change::Before("start", |_| leave_mount()),
    },
    Mutant {
        name: "bears-no-unknown-property",
        caught_by: &["create.unknown-properties-are-ignored"],
        change: Change::Chokes(|config| text_has(config, "unheardOf")),
    },
    Mutant {
        name: "ends-as-it-likes",
        caught_by: &["start.runs-the-program", "process.exit-status-is-passed-through"],
        change: Change::Config(ends_otherwise),
    },
    Mutant {
        name: "starts-without-a-program",
        caught_by: &[
            "start.missing-program-is-an-error",
            "start.args-may-not-be-empty",
            "process.absent-is-an-error-at-start",
        ],
        change: Change::Succeeds("create start"),
    },
    Mutant {
        name: "kills-nobody",
        caught_by: &["kill.created-container-can-be-killed"],
        change: Change::Refuses("kill"),
    },
    Mutant {
        name: "deletes-never",
        caught_by: &["hooks.failing-poststop-only-warns"],
        change: Change::Refuses("delete"),
    },
    Mutant {
        name: "deletes-the-bundle-too",
        caught_by: &["delete.leaves-the-bundle"],
        change: Change::Before("delete", |state| {
            let bundle = Path::new(state["bundle"].as_str().unwrap_or_default());
            Ok(fs::remove_file(bundle.join("config.json"))?)
        }),
    },
    Mutant {
        name: "looks-for-programs-nowhere",
        caught_by: &["process.program-is-found-in-the-containers-path"],
        change: Change::Config(|config| put(config, "/process/env", json!(["PATH=/none"]))),
    },
    Mutant {
        name: "leaks-a-descriptor",
        caught_by: &["process.no-descriptors-but-the-standard-ones"],
        change: Change::Leaks,
    },
    Mutant {
        name: "binds-init-for-an-exec",
        caught_by: &["exec-affinity.does-not-concern-the-container-process"],
        change: Change::Before("start", bind_init),
    },
    Mutant {
        name: "bears-no-unknown-capability",
        caught_by: &["capabilities.unknown-one-only-warns"],
        change: Change::Chokes(|config| text_has(config, "CAP_NO_SUCH")),
    },
    Mutant {
        name: "gives-capabilities-unasked",
        caught_by: &["capabilities.absent-means-none"],
        change: Change::Config(|config| {
            if config.pointer("/process/capabilities") == Some(&json!({})) {
                put(config, "/process/capabilities/bounding", json!(["CAP_KILL"]));
            }
        }),
    },
    Mutant {
        name: "filters-unasked",
        caught_by: &["seccomp.absent-means-no-filter"],
        change: Change::Config(|config| {
            let rule = json!({ "names": ["acct"], "action": "SCMP_ACT_ERRNO" });
            put(config, "/linux/seccomp", json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule] }));
        }),
    },
    Mutant {
        name: "makes-more-namespaces",
        caught_by: &["namespaces.unlisted-ones-are-inherited"],
        change: Change::Config(|config| {
            without_namespace(config, "ipc");
            put(config, "/linux/namespaces/-", json!({ "type": "ipc" }));
        }),
    },
    Mutant {
        name: "shares-the-pid-namespace",
        caught_by: &["namespaces.pid-makes-the-program-pid-1"],
        change: Change::Config(|config| without_namespace(config, "pid")),
    },
    Mutant {
        name: "maps-other-ids",
        caught_by: &["namespaces.user-maps-ids"],
        change: Change::Config(|config| {
            put(config, "/linux/uidMappings/0/hostID", json!(300_000));
            put(config, "/linux/gidMappings/0/hostID", json!(300_000));
        }),
    },
    Mutant {
        name: "plugs-a-cable",
        caught_by: &["network.new-namespace-has-only-the-loopback"],
        change: Change::Before("start", plug_cable),
    },
    Mutant {
        name: "wants-a-relative-root",
        caught_by: &["root.path-may-be-absolute"],
        change: Change::Chokes(|config| {
            config["root"]["path"].as_str().is_some_and(|path| path.starts_with('/'))
        }),
    },
    Mutant {
        name: "shows-the-host",
        caught_by: &["root.nothing-of-the-host-is-seen"],
        change: Change::Before("start", |state| Ok(fs::create_dir(root_of(state)?.join("host"))?)),
    },
    Mutant {
        name: "wants-every-path-to-be-there",
        caught_by: &["masked.missing-path-is-no-error", "readonly-paths.missing-path-is-no-error"],
        change: Change::Chokes(|config| text_has(config, "/no/such/path")),
    },
    Mutant {
        name: "masks-through-links",
        caught_by: &["masked.symlink-does-not-lead-out"],
        change: Change::Bundle(mask_through_links),
    },
    Mutant {
        name: "mounts-through-links",
        caught_by: &["mounts.destination-symlink-does-not-lead-out"],
        change: Change::Bundle(mount_through_links),
    },
    Mutant {
        name: "shares-its-root",
        caught_by: &["propagation.private-receives-nothing"],
        change: Change::Config(|config| put(config, "/linux/rootfsPropagation", json!("shared"))),
    },
    Mutant {
        name: "forgets-the-last-mount",
        caught_by: &[
            "mounts.relative-destination-is-below-the-root",
            "mounts.bind-shows-the-source",
            "mounts.bind-of-a-file",
            "mounts.bind-source-relative-to-the-bundle",
        ],
        change: Change::Config(|config| {
            if config["mounts"].as_array().is_some_and(|mounts| mounts.len() > 6) {
                pop(config, "/mounts");
            }
        }),
    },
    Mutant {
        name: "hands-defaults-on",
        caught_by: &["mounts.defaults-is-no-option-of-the-file-system"],
        change: Change::Chokes(|config| text_has(config, "\"defaults\"")),
    },
    Mutant {
        name: "mounts-shm-without-options",
        caught_by: &["mounts.usual-file-systems-are-there"],
        change: Change::Config(|config| put(config, "/mounts/3/options", json!([]))),
    },
    Mutant {
        name: "forgets-default-devices",
        caught_by: &["devices.default-ones-are-there", "devices.default-ones-can-be-used"],
        change: Change::Before("start", |state| lose(state, &["dev/zero", "dev/full"])),
    },
    Mutant {
        name: "keeps-devices-for-root",
        caught_by: &["devices.default-ones-can-be-used-by-a-user"],
        change: Change::Before("start", |state| {
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            Ok(fs::set_permissions(root_of(state)?.join("dev/null"), mode)?)
        }),
    },
    Mutant {
        name: "forgets-the-links-of-dev",
        caught_by: &["devices.links-of-dev-are-there", "devices.ptmx-is-of-the-containers-devpts"],
        change: Change::Before("start", |state| lose(state, &["dev/fd", "dev/stdin", "dev/ptmx"])),
    },
    Mutant {
        name: "makes-a-console-unasked",
        caught_by: &["devices.no-console-without-a-terminal"],
        change: Change::Config(|config| {
            put(config, "/mounts/-", bundle::bind(Path::new("/dev/null"), "/dev/console", &["bind"]));
        }),
    },
    Mutant {
        name: "cuts-the-modes-of-devices",
        caught_by: &["devices.mode-is-not-cut-by-the-umask"],
        change: Change::Config(|config| put(config, "/linux/devices/0/fileMode", json!(0o600))),
    },
    Mutant {
        name: "clears-the-places-of-devices",
        caught_by: &["devices.same-device-in-the-place-is-none"],
        change: Change::Bundle(clear_places_of_devices),
    },
    Mutant {
        name: "puts-the-program-into-the-roots-cgroup",
        caught_by: &["cgroup.limits-hold-for-the-program"],
        change: Change::Before("start", move_out),
    },
    Mutant {
        name: "shares-the-cgroup-namespace",
        caught_by: &["cgroup.mount-shows-the-container-its-own"],
        change: Change::Config(|config| without_namespace(config, "cgroup")),
    },
    Mutant {
        name: "runs-create-runtime-hooks-at-the-end",
        caught_by: &["hooks.state-has-the-status-of-its-step", "hooks.run-in-the-order-of-the-lifecycle"],
        change: Change::Config(|config| rename(config, "/hooks", "createRuntime", "poststop")),
    },
    Mutant {
        name: "tells-hooks-another-pid",
        caught_by: &["hooks.pid-is-the-container-process"],
        change: Change::Config(lie_to_hooks),
    },
    Mutant {
        name: "forgets-the-environment-of-hooks",
        caught_by: &["hooks.args-and-env-are-those-of-the-config"],
        change: Change::Config(|config| bundle::remove(config, "/hooks/createRuntime/0/env")),
    },
];
