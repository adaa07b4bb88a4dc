//! Mutants that forget a field of config.json, or know only half of it.

use serde_json::{Value, json};

use super::edit::{forget_namespace_paths, put, rename, without_namespace};
use super::{Change, Mutant};
use crate::bundle;

/// One for each field of runtime-spec 1.1 and later, for the filter, and for the options of mounts.
pub(super) const FIELDS: &[Mutant] = &[
    Mutant {
        name: "forgets-the-scheduler",
        caught_by: &[
            "scheduler.policy-and-nice-are-set",
            "scheduler.unknown-policy-is-an-error",
            "scheduler.unknown-flag-is-an-error",
        ],
        change: Change::Config(|config| bundle::remove(config, "/process/scheduler")),
    },
    Mutant {
        name: "is-never-nice",
        caught_by: &["scheduler.policy-and-nice-are-set"],
        change: Change::Config(|config| bundle::remove(config, "/process/scheduler/nice")),
    },
    Mutant {
        name: "forgets-the-io-priority",
        caught_by: &["io-priority.is-set", "io-priority.unknown-class-is-an-error"],
        change: Change::Config(|config| bundle::remove(config, "/process/ioPriority")),
    },
    Mutant {
        name: "forgets-the-memory-policy",
        caught_by: &[
            "memory-policy.is-set",
            "memory-policy.unknown-mode-is-an-error",
            "memory-policy.that-the-kernel-refuses-is-an-error",
        ],
        change: Change::Config(|config| bundle::remove(config, "/linux/memoryPolicy")),
    },
    Mutant {
        name: "forgets-the-flags-of-the-memory-policy",
        caught_by: &["memory-policy.is-set"],
        change: Change::Config(|config| bundle::remove(config, "/linux/memoryPolicy/flags")),
    },
    Mutant {
        name: "stays-on-the-first-processors",
        caught_by: &["exec-affinity.final-one-is-that-of-the-process"],
        change: Change::Config(|config| bundle::remove(config, "/process/execCPUAffinity/final")),
    },
    Mutant {
        name: "execs-nothing",
        caught_by: &[
            "exec.has-what-its-process-file-says",
            "exec.has-the-umask-of-its-process-file",
            "exec.has-the-oom-score-of-its-process-file",
        ],
        change: Change::Nothing("exec"),
    },
    Mutant {
        name: "forgets-the-console-size",
        caught_by: &["console.size-is-that-of-the-config"],
        change: Change::Config(|config| bundle::remove(config, "/process/consoleSize")),
    },
    Mutant {
        name: "wants-a-terminal-for-a-size",
        caught_by: &["console.size-without-a-terminal-is-ignored"],
        change: Change::Config(|config| {
            if config.pointer("/process/consoleSize").is_some() {
                put(config, "/process/terminal", json!(true));
            }
        }),
    },
    Mutant {
        name: "forgets-labels",
        caught_by: &[
            "labels.unknown-apparmor-profile-is-an-error",
            "labels.selinux-label-that-cannot-be-set-is-an-error",
            "labels.mount-label-that-cannot-be-set-is-an-error",
        ],
        change: Change::Config(|config| {
            for label in ["/process/apparmorProfile", "/process/selinuxLabel", "/linux/mountLabel"] {
                bundle::remove(config, label);
            }
        }),
    },
    Mutant {
        name: "forgets-intel-rdt",
        caught_by: &["intel-rdt.unknown-class-is-an-error"],
        change: Change::Config(|config| bundle::remove(config, "/linux/intelRdt")),
    },
    Mutant {
        name: "makes-the-user-namespace-that-it-should-join",
        caught_by: &[
            "namespaces.user-by-path-with-those-that-it-owns",
            "namespaces.mappings-of-a-joined-user-namespace-stay",
        ],
        change: Change::Config(|config| {
            let joins = config.pointer("/linux/uidMappings").is_none();
            forget_namespace_paths(config);
            if joins {
                let map = json!([{ "containerID": 0, "hostID": 200_000, "size": 65_536 }]);
                put(config, "/linux/uidMappings", map.clone());
                put(config, "/linux/gidMappings", map);
            }
        }),
    },
    Mutant {
        name: "forgets-the-clocks",
        caught_by: &[
            "time.offsets-are-those-of-the-clocks-inside",
            "time.offset-of-an-unknown-clock-is-an-error",
        ],
        change: Change::Config(|config| bundle::remove(config, "/linux/timeOffsets")),
    },
    Mutant {
        name: "shares-the-time-namespace",
        caught_by: &["time.offsets-are-those-of-the-clocks-inside"],
        change: Change::Config(|config| {
            bundle::remove(config, "/linux/timeOffsets");
            without_namespace(config, "time");
        }),
    },
    Mutant {
        name: "forgets-network-devices",
        caught_by: &[
            "net-devices.move-in-with-their-addresses-and-are-up",
            "net-devices.a-template-gives-a-name-of-its-own",
            "net-devices.a-name-that-is-taken-is-an-error",
            "net-devices.a-missing-one-is-an-error",
        ],
        change: Change::Config(|config| bundle::remove(config, "/linux/netDevices")),
    },
    Mutant {
        name: "forgets-the-names-of-network-devices",
        caught_by: &["net-devices.move-in-with-their-addresses-and-are-up"],
        change: Change::Config(|config| bundle::remove(config, "/linux/netDevices/outside/name")),
    },
    Mutant {
        name: "forgets-the-filter",
        caught_by: &[
            "seccomp.filter-is-on",
            "seccomp.unknown-action-is-an-error",
            "seccomp.killed-program-has-sigsys",
            "seccomp.flags-are-taken",
            "seccomp.unknown-flag-is-an-error",
            "seccomp.listener-decides",
            "seccomp.listener-gets-the-process-state",
            "seccomp.missing-listener-is-an-error",
            "seccomp.metadata-without-a-listener-is-an-error",
        ],
        change: Change::Config(|config| bundle::remove(config, "/linux/seccomp")),
    },
    Mutant {
        name: "knows-no-errno-but-eperm",
        caught_by: &[
            "seccomp.a-refused-call-has-the-configured-errno",
            "seccomp.errno-of-an-action-without-one-is-an-error",
        ],
        change: Change::Config(|config| bundle::remove(config, "/linux/seccomp/syscalls/0/errnoRet")),
    },
    Mutant {
        name: "refuses-calls-with-eio",
        caught_by: &["seccomp.a-refused-call-has-eperm-by-default"],
        change: Change::Config(|config| put(config, "/linux/seccomp/syscalls/0/errnoRet", json!(5))),
    },
    Mutant {
        name: "looks-at-no-argument",
        caught_by: &["seccomp.arguments-decide"],
        change: Change::Config(|config| bundle::remove(config, "/linux/seccomp/syscalls/0/args")),
    },
    Mutant {
        name: "forgets-what-the-listener-shall-know",
        caught_by: &["seccomp.listener-gets-the-process-state"],
        change: Change::Config(|config| bundle::remove(config, "/linux/seccomp/listenerMetadata")),
    },
    Mutant {
        name: "calls-the-listener-unasked",
        caught_by: &["seccomp.listener-without-notify-is-ignored"],
        change: Change::Config(|config| {
            let rule = json!({ "names": ["acct"], "action": "SCMP_ACT_NOTIFY" });
            if config.pointer("/linux/seccomp/syscalls").is_some() {
                put(config, "/linux/seccomp/syscalls/-", rule);
            }
        }),
    },
    Mutant {
        name: "maps-no-ids-of-mounts",
        caught_by: &[
            "idmap.with-mappings-of-its-own",
            "idmap.recursive-one-maps-the-mounts-below",
            "idmap.mappings-count-without-the-option",
            "idmap.leaves-the-source-alone",
            "idmap.with-the-mappings-of-the-container",
            "idmap.without-any-mapping-is-an-error",
            "idmap.only-one-kind-of-mapping-is-an-error",
        ],
        change: Change::Config(|config| {
            for member in ["uidMappings", "gidMappings"] {
                bundle::remove(config, &format!("/mounts/6/{member}"));
            }
            options(config, |option| (!option.ends_with("idmap")).then(|| option.to_owned()));
        }),
    },
    Mutant {
        name: "maps-ids-of-the-first-mount-only",
        caught_by: &["idmap.recursive-one-maps-the-mounts-below"],
        change: Change::Config(|config| {
            options(config, |option| Some(option.replace("ridmap", "idmap")));
        }),
    },
    Mutant {
        name: "forgets-what-is-below-a-mount",
        caught_by: &[
            "recursive.attributes-reach-the-mounts-below",
            "recursive.symlinks-are-not-followed-below",
            "recursive.opposites-take-attributes-back-below",
            "recursive.access-times-are-set-below",
            "mounts.recursive-read-only-goes-all-the-way",
        ],
        change: Change::Config(|config| {
            let kept = ["rbind", "relatime", "rprivate", "rshared", "rslave", "runbindable"];
            options(config, |option| {
                let plain = option.strip_prefix('r').filter(|_| !kept.contains(&option));
                Some(plain.unwrap_or(option).to_owned())
            });
        }),
    },
    Mutant {
        name: "follows-symlinks",
        caught_by: &["mounts.nosymfollow-is-set", "mounts.bind-without-following-symlinks"],
        change: Change::Config(|config| {
            options(config, |option| (option != "nosymfollow").then(|| option.to_owned()));
        }),
    },
    Mutant {
        name: "tells-hooks-inside-nothing",
        caught_by: &[
            "hooks.start-container-gets-the-state-on-stdin",
            "hooks.pid-in-the-container-namespace-is-that-inside",
        ],
        change: Change::Config(|config| {
            bundle::remove(config, "/annotations");
            rename(config, "/hooks", "createContainer", "createRuntime");
        }),
    },
];

/// Changes each option of the suite's first mount beside the usual ones, or takes it away.
fn options(config: &mut Value, change: impl Fn(&str) -> Option<String>) {
    let Some(Value::Array(list)) = config.pointer_mut("/mounts/6/options") else {
        return;
    };
    *list = list.iter().filter_map(|option| change(option.as_str()?)).map(Value::String).collect();
}
