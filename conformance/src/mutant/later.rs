//! Mutants of what came later: values that nobody may take, the terminal, limits seldom set, whose a cgroup is.

use std::fs;
use std::os::unix::fs::chown;

use anyhow::{Result, anyhow};
use nix::mount::MntFlags;
use nix::sched::CloneFlags;
use serde_json::{Value, json};

use super::act::{fetch_devices, hierarchies, leave_mount, pid_of};
use super::edit::put;
use super::{Change, Mutant, relay};
use crate::bundle;

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "creates-in-silence",
        caught_by: &[
            "create.invalid-id-is-an-error",
            "create.broken-json-is-an-error",
            "create.oci-version-is-semver",
            "process.duplicate-rlimit-is-an-error",
            "process.terminal-wants-a-socket-from-create",
            "namespaces.duplicates-are-an-error",
            "namespaces.user-without-mappings-is-an-error",
            "propagation.unknown-value-is-an-error",
            "mounts.bind-without-source-is-an-error",
            "mounts.unknown-file-system-is-an-error",
            "devices.another-file-in-the-place-is-an-error",
            "devices.unknown-type-is-an-error",
            "cgroup.unified-without-its-controller-is-an-error",
            "cgroup.impossible-limit-is-an-error",
            "hooks.relative-path-is-an-error",
            "create.existing-id-is-an-error",
            "create.missing-rootfs-is-an-error",
            "create.bundle-without-config-is-an-error",
            "create.without-a-root-is-an-error",
            "create.root-that-is-no-folder-is-an-error",
            "create.without-an-id-is-an-error",
            "annotations.value-that-is-no-text-is-an-error",
            "process.impossible-rlimit-is-an-error",
            "process.unknown-personality-is-an-error",
            "io-priority.impossible-one-is-an-error",
            "hooks.timeout-of-zero-is-an-error",
            "hooks.without-a-path-is-an-error",
            "namespaces.relative-path-is-an-error",
            "mounts.without-a-destination-is-an-error",
            "masked.relative-path-is-an-error",
            "readonly-paths.relative-path-is-an-error",
            "devices.character-device-without-numbers-is-an-error",
            "seccomp.default-action-is-required",
            "seccomp.rule-without-names-is-an-error",
            "seccomp.default-errno-of-an-action-without-one-is-an-error",
            "seccomp.unknown-architecture-is-an-error",
            "seccomp.unknown-operator-is-an-error",
        ],
        change: Change::Succeeds("create"),
    },
    Mutant {
        name: "tells-the-pid-as-a-word",
        caught_by: &["state.adheres-to-its-schema"],
        change: Change::Prints("state", |state| state["pid"] = json!(state["pid"].to_string())),
    },
    Mutant {
        name: "needs-no-id",
        caught_by: &[
            "state.without-an-id-is-an-error",
            "start.without-an-id-is-an-error",
            "kill.without-an-id-is-an-error",
            "delete.without-an-id-is-an-error",
        ],
        change: Change::Succeeds("state start kill delete"),
    },
    Mutant {
        name: "updates-in-silence",
        caught_by: &["cgroup.memory-is-checked-before-an-update-v2"],
        change: Change::Succeeds("update"),
    },
    Mutant {
        name: "fetches-network-devices-back",
        caught_by: &["net-devices.stay-in-the-namespace-of-others"],
        change: Change::Before("delete", fetch_devices),
    },
    Mutant {
        name: "tells-the-listener-twice",
        caught_by: &["seccomp.listener-hears-of-one-process-once"],
        change: Change::Relays(relay::twice),
    },
    Mutant {
        name: "keeps-calling-the-listener",
        caught_by: &["seccomp.connection-ends-with-the-state"],
        change: Change::Relays(relay::for_long),
    },
    Mutant {
        name: "deletes-what-waits",
        caught_by: &["delete.created-container-is-an-error"],
        change: Change::Adds("delete", "--force"),
    },
    Mutant {
        name: "leaves-a-mount-behind-what-it-deletes",
        caught_by: &["delete.leaves-no-mount"],
        change: Change::Before("delete", |_| leave_mount()),
    },
    Mutant {
        name: "knows-few-limits",
        caught_by: &["process.every-rlimit-is-known"],
        change: Change::Config(|config| {
            if let Some(Value::Array(limits)) = config.pointer_mut("/process/rlimits") {
                limits.retain(|limit| limit["type"] != "RLIMIT_CPU");
            }
        }),
    },
    Mutant {
        name: "gives-every-capability-or-none",
        caught_by: &["capabilities.those-that-cannot-be-granted-are-no-error"],
        change: Change::Chokes(|config| config.to_string().contains("CAP_CHECKPOINT_RESTORE")),
    },
    Mutant {
        name: "forbids-new-privileges-unasked",
        caught_by: &["process.new-privileges-can-be-had-where-nobody-forbids-it"],
        change: Change::Config(|config| put(config, "/process/noNewPrivileges", json!(true))),
    },
    Mutant {
        name: "knows-neither-loud-nor-silent",
        caught_by: &["mounts.every-required-option-is-taken"],
        change: Change::Chokes(|config| config.to_string().contains("\"loud\"")),
    },
    Mutant {
        name: "mounts-nothing-again",
        caught_by: &["mounts.remount-changes-what-is-there"],
        change: Change::Config(|config| {
            if let Some(Value::Array(mounts)) = config.pointer_mut("/mounts") {
                mounts.retain(|mount| !mount["options"].to_string().contains("remount"));
            }
        }),
    },
    Mutant {
        name: "follows-nobody",
        caught_by: &["propagation.slave-follows-the-host"],
        change: Change::Config(|config| put(config, "/linux/rootfsPropagation", json!("private"))),
    },
    Mutant {
        name: "knows-no-processors",
        caught_by: &["exec-affinity.processors-that-are-not-there-are-an-error"],
        change: Change::Config(|config| bundle::remove(config, "/process/execCPUAffinity")),
    },
    Mutant {
        name: "binds-an-exec-unasked",
        caught_by: &["exec-affinity.absent-one-changes-nothing"],
        change: Change::Config(|config| put(config, "/process/execCPUAffinity", json!({ "final": "0" }))),
    },
    Mutant {
        name: "gives-the-root-to-its-user",
        caught_by: &["namespaces.user-leaves-the-owners-of-the-root"],
        change: Change::Bundle(|dir, config| {
            if config.pointer("/linux/uidMappings").is_some() {
                chown(dir.join("rootfs/etc/file"), Some(100_000), Some(100_000)).ok();
            }
        }),
    },
    Mutant {
        name: "compares-for-equality-only",
        caught_by: &["seccomp.every-operator-compares"],
        change: Change::Config(|config| {
            if config.pointer("/linux/seccomp/syscalls/0/args/1").is_some() {
                put(config, "/linux/seccomp/syscalls/0/args/1/op", json!("SCMP_CMP_EQ"));
            }
        }),
    },
    Mutant {
        name: "takes-the-console-away",
        caught_by: &["console.is-at-dev-console"],
        change: Change::Before("start", |state| unmount_inside(state, "/dev/console")),
    },
    Mutant {
        name: "has-no-terminals",
        caught_by: &["console.is-the-programs-terminal"],
        change: Change::Config(|config| put(config, "/process/terminal", json!(false))),
    },
    Mutant {
        name: "reads-annotations-of-images",
        caught_by: &["annotations.unknown-keys-are-ignored"],
        change: Change::Chokes(|config| config.to_string().contains("org.opencontainers.image")),
    },
    Mutant {
        name: "chooses-another-cgroup-each-time",
        caught_by: &["cgroup.same-path-is-the-same-place"],
        change: Change::Config(|config| {
            if let Some(Value::String(path)) = config.pointer_mut("/linux/cgroupsPath") {
                path.push_str(&format!("-{}", std::process::id()));
            }
        }),
    },
    Mutant {
        name: "has-no-seldom-limits",
        caught_by: &[
            "cgroup.pids-limit-of-zero-is-one",
            "cgroup.memory-behaviour-v1",
            "cgroup.cpu-burst-v1",
            "cgroup.cpu-burst-v2",
            "cgroup.cpu-shares-v2",
            "cgroup.unified-file-that-no-property-has-v2",
            "cgroup.disk-throttles-v1",
            "cgroup.disk-throttles-v2",
            "cgroup.disk-weight-is-set-or-an-error",
            "cgroup.huge-pages-v2",
            "cgroup.huge-pages-of-no-size-are-an-error",
            "cgroup.rdma-of-no-device-is-an-error",
            "cgroup.network-class-is-set-or-an-error",
            "cgroup.network-priority-is-set-or-an-error",
            "cgroup.limit-that-only-v1-has-is-an-error-v2",
            "cgroup.unified-is-an-error-v1",
        ],
        change: Change::Config(|config| bundle::remove(config, "/linux/resources")),
    },
    Mutant {
        name: "keeps-every-cgroup-to-itself",
        caught_by: &[
            "cgroup.owner-is-the-containers-where-it-may-write-v2",
            "cgroup.owner-of-the-kernels-list-changes-v2",
            "cgroup.owner-where-the-kernel-has-no-list-v2",
        ],
        change: Change::Config(|config| put(config, "/mounts/6/options", json!(["ro"]))),
    },
    Mutant {
        name: "gives-every-cgroup-away",
        caught_by: &[
            "cgroup.owner-of-the-limits-stays-v2",
            "cgroup.owner-stays-where-the-mount-is-read-only-v2",
            "cgroup.owner-stays-v1",
            "cgroup.owner-stays-without-a-cgroup-namespace-v2",
            "cgroup.owner-of-the-kernels-list-changes-v2",
            "cgroup.owner-of-a-listed-file-that-is-missing-v2",
        ],
        change: Change::Before("start", give_cgroups_away),
    },
];

/// The container's folder in every hierarchy, and what is in it, to the user of its user namespace.
fn give_cgroups_away(state: &Value) -> Result<()> {
    let memberships = fs::read_to_string(format!("/proc/{}/cgroup", pid_of(state)?))?;
    for path in memberships.lines().filter_map(|line| line.splitn(3, ':').nth(2)) {
        for hierarchy in hierarchies()? {
            let dir = hierarchy.join(path.trim_start_matches('/'));
            // not every hierarchy has the cgroup of another one
            for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
                chown(entry.path(), Some(100_000), None).ok();
            }
            chown(dir, Some(100_000), None).ok();
        }
    }
    Ok(())
}

/// A thread goes into the container's mount namespace, so that this process stays where it is.
fn unmount_inside(state: &Value, place: &str) -> Result<()> {
    let namespace = fs::File::open(format!("/proc/{}/ns/mnt", pid_of(state)?))?;
    let act = || -> Result<()> {
        nix::sched::unshare(CloneFlags::CLONE_FS)?;
        nix::sched::setns(&namespace, CloneFlags::CLONE_NEWNS)?;
        Ok(nix::mount::umount2(place, MntFlags::MNT_DETACH)?)
    };
    std::thread::scope(|scope| scope.spawn(act).join()).map_err(|_| anyhow!("the thread is gone"))?
}
