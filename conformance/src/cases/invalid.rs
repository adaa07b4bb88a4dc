//! What no configuration may say, wherever it stands: create has to refuse it.

use anyhow::Result;
use serde_json::{Value, json};

use super::{CONTAINER, ROOT};
use crate::case::{Bench, Case};

const INVALID: &str = "Runtimes MUST generate an error when invalid or unsupported values are encountered.";
const WITHOUT_ID: &str = "This operation MUST generate an error if it is not provided the container ID.";

pub(super) const CASES: &[Case] = &[
    Case {
        name: "create.without-a-root-is-an-error",
        at: "config.md#configRoot",
        must: "On all other platforms, this field is REQUIRED.",
        needs: CONTAINER,
        check: |bench| bench.container(["pause"])?.remove("/root").refused().map(drop),
    },
    Case {
        name: "create.root-that-is-no-folder-is-an-error",
        at: "config.md#configRoot",
        must: "A directory MUST exist at the path declared by the field.",
        needs: CONTAINER,
        check: |bench| refuses(bench, "/root/path", json!("config.json")),
    },
    Case {
        name: "state.without-an-id-is-an-error",
        at: "runtime.md#runtimeQueryState",
        must: "This operation MUST generate an error if it is not provided the ID of a container.",
        needs: &[],
        check: |bench| wants_an_id(bench, "state"),
    },
    Case {
        name: "start.without-an-id-is-an-error",
        at: "runtime.md#runtimeStart",
        must: WITHOUT_ID,
        needs: &[],
        check: |bench| wants_an_id(bench, "start"),
    },
    Case {
        name: "kill.without-an-id-is-an-error",
        at: "runtime.md#runtimeKill",
        must: WITHOUT_ID,
        needs: &[],
        check: |bench| wants_an_id(bench, "kill"),
    },
    Case {
        name: "delete.without-an-id-is-an-error",
        at: "runtime.md#runtimeDelete",
        must: WITHOUT_ID,
        needs: &[],
        check: |bench| wants_an_id(bench, "delete"),
    },
    Case {
        name: "create.without-an-id-is-an-error",
        at: "runtime.md#runtimeCreate",
        must: "This operation MUST generate an error if it is not provided a path to the bundle and the container ID to associate with the container.",
        needs: CONTAINER,
        check: |bench| {
            let bundle = bench.container(["pause"])?.written()?.display().to_string();
            bench
                .runtime()
                .call(&["create", "--bundle", &bundle], bench.left())?
                .failure("create without an id")?;
            Ok(())
        },
    },
    Case {
        name: "annotations.value-that-is-no-text-is-an-error",
        at: "config.md#configAnnotations",
        must: "Values MUST be strings.",
        needs: CONTAINER,
        check: |bench| refuses(bench, "/annotations", json!({ "org.example.number": 1 })),
    },
    Case {
        name: "annotations.unknown-keys-are-ignored",
        at: "config.md#configAnnotations",
        must: "Runtimes MUST handle unknown annotation keys like any other unknown property.",
        needs: CONTAINER,
        check: |bench| {
            let keys = json!({
                "org.opencontainers.image.stopSignal": "SIGUSR1", "org.opencontainers.image.os": "linux",
                "org.example.tea": "green",
            });
            bench.container(["exit", "0"])?.set("/annotations", keys)?.run().map(drop)
        },
    },
    Case {
        name: "process.impossible-rlimit-is-an-error",
        at: "config.md#configPOSIXProcess",
        must: "The runtime MUST generate an error for any values which cannot be mapped to a relevant kernel interface.",
        needs: CONTAINER,
        check: |bench| {
            let limit = json!([{ "type": "RLIMIT_NOFILE", "soft": 200, "hard": 100 }]);
            refuses(bench, "/process/rlimits", limit)
        },
    },
    Case {
        name: "process.unknown-personality-is-an-error",
        at: "config-linux.md#configLinuxPersonality",
        must: "**`domain`** *(string, REQUIRED)* - the execution domain.",
        needs: CONTAINER,
        check: |bench| refuses(bench, "/linux/personality", json!({ "domain": "NO_SUCH" })),
    },
    Case {
        name: "io-priority.impossible-one-is-an-error",
        at: "config.md#configValidValues",
        must: INVALID,
        needs: CONTAINER,
        check: |bench| {
            refuses(bench, "/process/ioPriority", json!({ "class": "IOPRIO_CLASS_BE", "priority": 9 }))
        },
    },
    Case {
        name: "hooks.timeout-of-zero-is-an-error",
        at: "config.md#configHooks",
        must: "If set, `timeout` MUST be greater than zero.",
        needs: CONTAINER,
        check: |bench| {
            let hook = json!({ "path": bench.probe(), "args": ["probe", "exit", "0"], "timeout": 0 });
            refuses(bench, "/hooks/createRuntime/-", hook)
        },
    },
    Case {
        name: "hooks.without-a-path-is-an-error",
        at: "config.md#configHooks",
        must: "**`path`** (string, REQUIRED) with similar semantics to IEEE Std 1003.1-2008 `execv`'s *path*.",
        needs: CONTAINER,
        check: |bench| refuses(bench, "/hooks/createRuntime/-", json!({ "args": ["probe", "exit", "0"] })),
    },
    Case {
        name: "namespaces.relative-path-is-an-error",
        at: "config-linux.md#configLinuxNamespaces",
        must: "This value MUST be an absolute path in the runtime mount namespace.",
        needs: ROOT,
        check: |bench| {
            let setup = bench.container(["pause"])?.without_namespace("ipc");
            // it would lead somewhere if it counted from the bundle
            std::os::unix::fs::symlink("/proc/self/ns/ipc", setup.bundle().join("ipc"))?;
            setup.set("/linux/namespaces/-", json!({ "type": "ipc", "path": "ipc" }))?.refused().map(drop)
        },
    },
    Case {
        name: "mounts.without-a-destination-is-an-error",
        at: "config.md#configMounts",
        must: "**`destination`** (string, REQUIRED) Destination of mount point: path inside container.",
        needs: CONTAINER,
        check: |bench| refuses(bench, "/mounts/-", json!({ "type": "tmpfs", "source": "tmpfs" })),
    },
    Case {
        name: "masked.relative-path-is-an-error",
        at: "config-linux.md#configLinuxMaskedPaths",
        must: "The values MUST be absolute paths in the container namespace.",
        needs: CONTAINER,
        check: |bench| refuses(bench, "/linux/maskedPaths", json!(["etc/file"])),
    },
    Case {
        name: "readonly-paths.relative-path-is-an-error",
        at: "config-linux.md#configLinuxReadonlyPaths",
        must: "The values MUST be absolute paths in the container namespace.",
        needs: CONTAINER,
        check: |bench| refuses(bench, "/linux/readonlyPaths", json!(["etc/file"])),
    },
    Case {
        name: "devices.character-device-without-numbers-is-an-error",
        at: "config-linux.md#configLinuxDevices",
        must: "**`major, minor`** *(int64, REQUIRED unless `type` is `p`)* - major, minor numbers for the device.",
        needs: ROOT,
        check: |bench| refuses(bench, "/linux/devices/-", json!({ "path": "/dev/mine", "type": "c" })),
    },
    Case {
        name: "seccomp.default-action-is-required",
        at: "config-linux.md#configLinuxSeccomp",
        must: "**`defaultAction`** *(string, REQUIRED)* - the default action for seccomp.",
        needs: CONTAINER,
        check: |bench| refuses(bench, "/linux/seccomp", json!({ "syscalls": [rule()] })),
    },
    Case {
        name: "seccomp.rule-without-names-is-an-error",
        at: "config-linux.md#configLinuxSeccomp",
        must: "`names` MUST contain at least one entry.",
        needs: CONTAINER,
        check: |bench| {
            let rule = json!({ "names": [], "action": "SCMP_ACT_ERRNO" });
            refuses(bench, "/linux/seccomp", json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule] }))
        },
    },
    Case {
        name: "seccomp.default-errno-of-an-action-without-one-is-an-error",
        at: "config-linux.md#configLinuxSeccomp",
        must: "When the action doesn't support an errno, the runtime MUST print and error and fail.",
        needs: CONTAINER,
        check: |bench| {
            let profile = json!({
                "defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 1, "syscalls": [rule()],
            });
            refuses(bench, "/linux/seccomp", profile)
        },
    },
    Case {
        name: "seccomp.unknown-architecture-is-an-error",
        at: "config.md#configValidValues",
        must: INVALID,
        needs: CONTAINER,
        check: |bench| {
            let profile = json!({
                "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_TEA"], "syscalls": [rule()],
            });
            refuses(bench, "/linux/seccomp", profile)
        },
    },
    Case {
        name: "seccomp.unknown-operator-is-an-error",
        at: "config.md#configValidValues",
        must: INVALID,
        needs: CONTAINER,
        check: |bench| {
            let mut rule = rule();
            rule["args"] = json!([{ "index": 0, "value": 1, "op": "SCMP_CMP_TEA" }]);
            refuses(bench, "/linux/seccomp", json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule] }))
        },
    },
];

/// A configuration with this value is an error of create.
fn refuses(bench: &Bench, pointer: &str, value: Value) -> Result<()> {
    bench.container(["pause"])?.set(pointer, value)?.refused().map(drop)
}

fn rule() -> Value {
    json!({ "names": ["acct"], "action": "SCMP_ACT_ERRNO" })
}

fn wants_an_id(bench: &Bench, verb: &str) -> Result<()> {
    bench.runtime().call(&[verb], bench.left())?.failure(&format!("{verb} without an id")).map(drop)
}
