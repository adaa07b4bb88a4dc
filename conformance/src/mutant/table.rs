//! Mutants that forget or change one thing of the configuration, of the state, or of what a verb does.

use serde_json::json;

use super::edit::{forget_namespace_paths, pop, put, rename, reverse, reverse_tail, without_namespace};
use super::{Change, Mutant};
use crate::bundle;

/// The plain ones.
pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "forgets-masked-paths",
        caught_by: &["masked.files-and-folders-read-as-nothing", "masked.folders-cannot-be-written"],
        change: Change::Config(|config| bundle::remove(config, "/linux/maskedPaths")),
    },
    Mutant {
        name: "forgets-the-last-masked-path",
        caught_by: &["masked.files-and-folders-read-as-nothing"],
        change: Change::Config(|config| pop(config, "/linux/maskedPaths")),
    },
    Mutant {
        name: "forgets-read-only-paths",
        caught_by: &["readonly-paths.cannot-be-written", "readonly-paths.keep-their-flags"],
        change: Change::Config(|config| bundle::remove(config, "/linux/readonlyPaths")),
    },
    Mutant {
        name: "leaves-root-writable",
        caught_by: &["root.readonly-is-read-only"],
        change: Change::Config(|config| bundle::remove(config, "/root/readonly")),
    },
    Mutant {
        name: "makes-root-read-only",
        caught_by: &["root.is-writable-by-default"],
        change: Change::Config(|config| put(config, "/root/readonly", json!(true))),
    },
    Mutant {
        name: "forgets-prestart",
        caught_by: &["hooks.prestart-runs", "hooks.failing-prestart-fails-create"],
        change: Change::Config(|config| bundle::remove(config, "/hooks/prestart")),
    },
    Mutant {
        name: "forgets-create-runtime",
        caught_by: &[
            "hooks.failing-create-runtime-fails-create",
            "hooks.create-runtime-runs",
            "hooks.missing-program-is-an-error",
            "hooks.too-slow-one-is-aborted",
        ],
        change: Change::Config(|config| bundle::remove(config, "/hooks/createRuntime")),
    },
    Mutant {
        name: "forgets-create-container",
        caught_by: &[
            "hooks.failing-create-container-fails-create",
            "hooks.create-container-runs",
            "hooks.run-in-the-container-namespace",
        ],
        change: Change::Config(|config| bundle::remove(config, "/hooks/createContainer")),
    },
    Mutant {
        name: "forgets-start-container",
        caught_by: &["hooks.start-container-runs", "hooks.failing-start-container-stops-the-container"],
        change: Change::Config(|config| bundle::remove(config, "/hooks/startContainer")),
    },
    Mutant {
        name: "forgets-poststart",
        caught_by: &[
            "hooks.poststart-runs-before-start-returns",
            "hooks.failing-poststart-stops-the-container",
        ],
        change: Change::Config(|config| bundle::remove(config, "/hooks/poststart")),
    },
    Mutant {
        name: "forgets-poststop",
        caught_by: &[
            "hooks.poststop-runs-after-a-failed-create",
            "hooks.run-in-the-order-of-the-lifecycle",
            "hooks.poststop-runs-before-delete-returns",
        ],
        change: Change::Config(|config| bundle::remove(config, "/hooks/poststop")),
    },
    Mutant {
        name: "runs-create-container-hooks-in-the-runtime-namespace",
        caught_by: &["hooks.run-in-the-container-namespace"],
        change: Change::Config(|config| rename(config, "/hooks", "createContainer", "createRuntime")),
    },
    Mutant {
        name: "runs-create-runtime-hooks-in-the-container-namespace",
        caught_by: &["hooks.run-in-the-runtime-namespace"],
        change: Change::Config(|config| rename(config, "/hooks", "createRuntime", "createContainer")),
    },
    Mutant {
        name: "turns-the-hooks-around",
        caught_by: &["hooks.failing-one-ends-the-list", "hooks.of-one-kind-run-in-the-listed-order"],
        change: Change::Config(|config| reverse(config, "/hooks/createRuntime")),
    },
    Mutant {
        name: "ignores-the-umask",
        caught_by: &["process.umask-is-set"],
        change: Change::Config(|config| bundle::remove(config, "/process/user/umask")),
    },
    Mutant {
        name: "forgets-additional-groups",
        caught_by: &["process.additional-groups-are-exactly-those"],
        change: Change::Config(|config| bundle::remove(config, "/process/user/additionalGids")),
    },
    Mutant {
        name: "adds-a-group",
        caught_by: &["process.no-groups-of-the-caller"],
        change: Change::Config(|config| put(config, "/process/user/additionalGids/-", json!(4))),
    },
    Mutant {
        name: "stays-root",
        caught_by: &["process.user-and-group-are-set", "capabilities.of-a-user-without-ambient-are-lost"],
        change: Change::Config(|config| put(config, "/process/user/uid", json!(0))),
    },
    Mutant {
        name: "leaves-a-capability",
        caught_by: &["capabilities.empty-sets-give-none", "capabilities.of-root-are-the-configured-sets"],
        change: Change::Config(|config| {
            put(config, "/process/capabilities/bounding/-", json!("CAP_SYS_ADMIN"))
        }),
    },
    Mutant {
        name: "forgets-ambient-capabilities",
        caught_by: &["capabilities.of-a-user-are-ambient"],
        change: Change::Config(|config| bundle::remove(config, "/process/capabilities/ambient")),
    },
    Mutant {
        name: "forgets-no-new-privileges",
        caught_by: &["process.no-new-privileges-is-set"],
        change: Change::Config(|config| bundle::remove(config, "/process/noNewPrivileges")),
    },
    Mutant {
        name: "forgets-rlimits",
        caught_by: &["process.rlimits-match", "process.unknown-rlimit-is-an-error"],
        change: Change::Config(|config| bundle::remove(config, "/process/rlimits")),
    },
    Mutant {
        name: "forgets-the-oom-score",
        caught_by: &["process.oom-score-is-set"],
        change: Change::Config(|config| bundle::remove(config, "/process/oomScoreAdj")),
    },
    Mutant {
        name: "sets-an-oom-score-unasked",
        caught_by: &["process.oom-score-stays-when-not-set"],
        change: Change::Config(|config| put(config, "/process/oomScoreAdj", json!(77))),
    },
    Mutant {
        name: "stays-in-the-root-directory",
        caught_by: &["process.cwd-is-set", "process.relative-cwd-is-an-error"],
        change: Change::Config(|config| put(config, "/process/cwd", json!("/"))),
    },
    Mutant {
        name: "adds-to-the-environment",
        caught_by: &["process.env-is-that-of-the-config"],
        change: Change::Config(|config| put(config, "/process/env/-", json!("ADDED=1"))),
    },
    Mutant {
        name: "adds-an-argument",
        caught_by: &["process.args-arrive-as-they-are"],
        change: Change::Config(|config| put(config, "/process/args/-", json!("more"))),
    },
    Mutant {
        name: "forgets-the-hostname",
        caught_by: &["hostname.is-set-inside-only", "hostname.without-uts-namespace-is-an-error"],
        change: Change::Config(|config| bundle::remove(config, "/hostname")),
    },
    Mutant {
        name: "forgets-the-domainname",
        caught_by: &["domainname.is-set"],
        change: Change::Config(|config| bundle::remove(config, "/domainname")),
    },
    Mutant {
        name: "shares-the-ipc-namespace",
        caught_by: &["namespaces.listed-ones-are-new", "namespaces.path-of-another-type-is-an-error"],
        change: Change::Config(|config| without_namespace(config, "ipc")),
    },
    Mutant {
        name: "joins-no-namespace",
        caught_by: &["namespaces.by-path-are-joined"],
        change: Change::Config(forget_namespace_paths),
    },
    Mutant {
        name: "forgets-the-sysctls",
        caught_by: &["sysctl.is-set-inside-only", "sysctl.of-the-machine-is-an-error"],
        change: Change::Config(|config| bundle::remove(config, "/linux/sysctl")),
    },
    Mutant {
        name: "turns-the-mounts-around",
        caught_by: &["mounts.are-made-in-the-listed-order", "mounts.later-one-covers-an-earlier-one"],
        change: Change::Config(|config| reverse_tail(config, "/mounts", 6)),
    },
    Mutant {
        name: "mounts-without-options",
        caught_by: &[
            "mounts.propagation-options-are-set",
            "mounts.flags-are-set",
            "mounts.tmpfs-options-reach-the-file-system",
            "mounts.later-options-win",
        ],
        change: Change::Config(|config| put(config, "/mounts/6/options", json!([]))),
    },
    Mutant {
        name: "binds-writable",
        caught_by: &["mounts.bind-read-only-is-read-only"],
        change: Change::Config(|config| put(config, "/mounts/6/options", json!(["rbind"]))),
    },
    Mutant {
        name: "binds-without-what-is-below",
        caught_by: &["mounts.rbind-takes-the-mounts-below"],
        change: Change::Config(|config| put(config, "/mounts/6/options", json!(["bind"]))),
    },
    Mutant {
        name: "forgets-the-devices",
        caught_by: &["devices.configured-one-is-there", "devices.anywhere-and-of-each-type"],
        change: Change::Config(|config| bundle::remove(config, "/linux/devices")),
    },
    Mutant {
        name: "allows-all-devices",
        caught_by: &["devices.not-allowed-one-cannot-be-opened", "devices.allowed-list-is-applied-in-order"],
        change: Change::Config(|config| {
            put(config, "/linux/resources/devices", json!([{ "allow": true, "access": "rwm" }]))
        }),
    },
    Mutant {
        name: "turns-the-device-list-around",
        caught_by: &["devices.allowed-list-is-applied-in-order"],
        change: Change::Config(|config| reverse(config, "/linux/resources/devices")),
    },
    Mutant {
        name: "forgets-the-limits",
        caught_by: &[
            "cgroup.cpu-v1",
            "cgroup.cpu-v2",
            "cgroup.cpuset",
            "cgroup.unified-v2",
            "cgroup.pids-limit-v1",
            "cgroup.pids-limit-v2",
            "cgroup.memory-limit-v1",
            "cgroup.memory-limit-v2",
        ],
        change: Change::Config(|config| bundle::remove(config, "/linux/resources")),
    },
    Mutant {
        name: "chooses-its-own-cgroup",
        caught_by: &["cgroup.absolute-path-is-below-the-mount-point"],
        change: Change::Config(|config| bundle::remove(config, "/linux/cgroupsPath")),
    },
    Mutant {
        name: "forgets-the-propagation",
        caught_by: &["propagation.shared-is-a-peer-group", "propagation.unbindable-is-unbindable"],
        change: Change::Config(|config| bundle::remove(config, "/linux/rootfsPropagation")),
    },
    Mutant {
        name: "forgets-the-personality",
        caught_by: &["process.personality-is-set"],
        change: Change::Config(|config| bundle::remove(config, "/linux/personality")),
    },
    Mutant {
        name: "forgets-the-annotations",
        caught_by: &["state.annotations-are-those-of-the-config", "hooks.get-the-state-on-stdin"],
        change: Change::Config(|config| bundle::remove(config, "/annotations")),
    },
    Mutant {
        name: "says-running-too-early",
        caught_by: &["state.status-follows-the-lifecycle", "create.program-waits-for-start"],
        change: Change::Prints("state", |state| {
            if state["status"] == "created" {
                state["status"] = json!("running");
            }
        }),
    },
    Mutant {
        name: "gives-a-wrong-pid",
        caught_by: &["state.pid-is-the-container-process"],
        change: Change::Prints("state", |state| state["pid"] = json!(1)),
    },
    Mutant {
        name: "gives-a-relative-bundle",
        caught_by: &["state.bundle-is-absolute", "state.has-the-required-members"],
        change: Change::Prints("state", |state| state["bundle"] = json!("bundle")),
    },
    Mutant {
        name: "gives-no-version",
        caught_by: &["state.has-the-required-members"],
        change: Change::Prints("state", |state| bundle::remove(state, "/ociVersion")),
    },
    Mutant {
        name: "starts-in-create",
        caught_by: &[
            "create.program-waits-for-start",
            "state.status-follows-the-lifecycle",
            "hooks.start-container-runs",
        ],
        change: Change::Then("create", "start"),
    },
    Mutant {
        name: "starts-twice-in-silence",
        caught_by: &[
            "start.running-container-is-an-error",
            "start.stopped-container-is-an-error",
            "start.unknown-container-is-an-error",
        ],
        change: Change::Succeeds("start"),
    },
    Mutant {
        name: "kills-the-dead-in-silence",
        caught_by: &[
            "kill.stopped-container-is-an-error",
            "kill.unknown-container-is-an-error",
            "kill.unknown-signal-is-an-error",
        ],
        change: Change::Succeeds("kill"),
    },
    Mutant {
        name: "sends-another-signal",
        caught_by: &["kill.sends-the-signal"],
        change: Change::Signal("USR1"),
    },
    Mutant {
        name: "deletes-what-runs",
        caught_by: &["delete.running-container-is-an-error", "delete.unknown-container-is-an-error"],
        change: Change::Adds("delete", "--force"),
    },
    Mutant {
        name: "deletes-nothing",
        caught_by: &["delete.frees-the-id", "delete.removes-the-cgroups"],
        change: Change::Nothing("delete"),
    },
];
