//! features.md and features-linux.md: what a runtime says that it can do is so. It MAY say nothing: without a command
//! `features` these cases are skipped. One that has the command and prints no JSON fails them.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::hooks::{hook_entry, lines, names, with_hook};
use super::{CONTAINER, must_know};
use crate::bundle;
use crate::case::{Bench, Case, expect_eq};
use crate::host::{self, Need};
use crate::inside::capability;

/// What version 1.3 defines.
const DEFINED: [&str; 7] = [
    "annotations",
    "hooks",
    "linux",
    "mountOptions",
    "ociVersionMax",
    "ociVersionMin",
    "potentiallyUnsafeConfigAnnotations",
];
const VERSION: &str = "The runtime MUST accept this value as the `ociVersion` property of `config.json`.";

const NUMA: &[Need] = &[Need::Container, Need::Path("/proc/self/numa_maps")];

pub(super) const CASES: &[Case] = &[
    Case {
        name: "features.is-a-json-document",
        at: "features.md#features",
        must: "A runtime MAY provide a JSON structure about its implemented features to runtime callers.",
        needs: &[],
        check: |bench| {
            ensure!(document(bench)?.is_object(), "the document is no object");
            Ok(())
        },
    },
    Case {
        name: "features.newest-version-is-not-below-the-oldest",
        at: "features.md#featuresSpecificationVersion",
        must: "The value MUST NOT be less than the value of the `ociVersionMin` property.",
        needs: &[],
        check: |bench| {
            let document = document(bench)?;
            let (oldest, newest) =
                (version(&document, "ociVersionMin")?, version(&document, "ociVersionMax")?);
            ensure!(oldest <= newest, "{oldest:?} to {newest:?}");
            Ok(())
        },
    },
    Case {
        name: "features.oldest-version-is-accepted",
        at: "features.md#featuresSpecificationVersion",
        must: VERSION,
        needs: CONTAINER,
        check: |bench| accepts(bench, "/ociVersionMin"),
    },
    Case {
        name: "features.newest-version-is-accepted",
        at: "features.md#featuresSpecificationVersion",
        must: VERSION,
        needs: CONTAINER,
        check: |bench| accepts(bench, "/ociVersionMax"),
    },
    Case {
        name: "features.has-no-other-properties",
        at: "features.md#featuresSpecificationVersion",
        must: "The Features structure MUST NOT contain properties that are not defined in this version of the Open Container Initiative Runtime Specification.",
        needs: &[],
        check: |bench| {
            let document = document(bench)?;
            let names = document.as_object().context("the document is no object")?.keys();
            let others: Vec<&String> = names.filter(|name| !DEFINED.contains(&name.as_str())).collect();
            ensure!(others.is_empty(), "{others:?}");
            Ok(())
        },
    },
    Case {
        name: "features.hooks-are-run",
        at: "features.md#featuresHooks",
        must: "The runtime MUST support the elements in this array as the `hooks` property of `config.json`.",
        needs: CONTAINER,
        check: |bench| {
            let kinds = words(bench, "/hooks")?;
            let (mut setup, inside) = (bench.container(["exit", "0"])?, Path::new("/data/log"));
            for kind in &kinds {
                setup = match kind.as_str() {
                    "startContainer" => {
                        setup.set("/hooks/startContainer/-", hook_entry("/probe", kind, inside))?
                    }
                    _ => with_hook(setup, bench, kind, kind)?,
                };
            }
            let container = setup.run()?;
            let mut ran = lines(&container.rootfs("/data/log"))?.len();
            container.delete()?.success()?;
            ran += names(bench)?.len();
            expect_eq("hooks that ran", ran, kinds.len())
        },
    },
    Case {
        name: "features.mount-options-are-recognized",
        at: "features.md#featuresMountOptions",
        must: "The runtime MUST recognize the elements in this array as the `options` of `mounts` objects in `config.json`.",
        needs: CONTAINER,
        check: |bench| {
            /// What is no flag, or one that not every file system and kernel takes, or that goes with no other.
            const OTHERS: [&str; 23] = [
                "acl",
                "bind",
                "copy-symlink",
                "dest-nofollow",
                "idmap",
                "iversion",
                "mand",
                "noacl",
                "noiversion",
                "nomand",
                "private",
                "rbind",
                "remount",
                "ridmap",
                "rprivate",
                "runbindable",
                "rshared",
                "rslave",
                "shared",
                "slave",
                "src-nofollow",
                "tmpcopyup",
                "unbindable",
            ];
            let options = words(bench, "/mountOptions")?;
            let flags: Vec<&str> =
                options.iter().map(String::as_str).filter(|option| !OTHERS.contains(option)).collect();
            let mount = bundle::mount("/flags", "tmpfs", &flags);
            bench.container(["exit", "0"])?.set("/mounts/-", mount)?.run().map(drop)
        },
    },
    Case {
        name: "features.mount-options-are-not-those-of-a-file-system",
        at: "features.md#featuresMountOptions",
        must: "Linux: this array SHOULD NOT contain filesystem-specific mount options that are passed to the mount(2) syscall as `const void *data`.",
        needs: &[],
        check: |bench| {
            let known =
                ["size", "mode", "uid", "gid", "nr_inodes", "lowerdir", "upperdir", "workdir", "newinstance"];
            let mut options = words(bench, "/mountOptions")?;
            options.retain(|option| option.contains('=') || known.contains(&option.as_str()));
            ensure!(options.is_empty(), "{options:?}");
            Ok(())
        },
    },
    Case {
        name: "features.namespaces-are-recognized",
        at: "features-linux.md#linuxFeaturesNamespaces",
        must: "The runtime MUST recognize the elements in this array as the `type` of `linux.namespaces` objects in `config.json`.",
        needs: CONTAINER,
        check: |bench| {
            let kinds = words(bench, "/linux/namespaces")?;
            // A user namespace needs mappings, which the bundle of an ordinary user has.
            let has_mappings = !host::is_root();
            let wanted = kinds.iter().filter(|kind| *kind != "user" || has_mappings);
            let all: Vec<Value> = wanted.map(|kind| json!({ "type": kind })).collect();
            match all.is_empty() {
                true => Ok(()),
                false => bench.container(["exit", "0"])?.set("/linux/namespaces", all)?.run().map(drop),
            }
        },
    },
    Case {
        name: "features.capabilities-are-recognized",
        at: "features-linux.md#linuxFeaturesCapabilities",
        must: "The runtime MUST recognize the elements in this array in the `process.capabilities` object of `config.json`.",
        needs: CONTAINER,
        check: |bench| {
            let names = words(bench, "/linux/capabilities")?;
            if names.is_empty() {
                return Ok(());
            }
            let own = host::capabilities("CapBnd")?;
            let report =
                bench.reporter([])?.set("/process/capabilities/bounding", names.clone())?.report()?;
            let seen = report.capabilities("CapBnd")?;
            for name in &names {
                let bit = capability(name)?;
                ensure!(own & bit == 0 || seen & bit != 0, "{name} is not in the bounding set");
            }
            Ok(())
        },
    },
    Case {
        name: "features.seccomp-words-are-recognized",
        at: "features-linux.md#linuxFeaturesSeccomp",
        must: "The runtime MUST recognize the elements in this array in the `syscalls[].action` property of the `linux.seccomp` object in `config.json`.",
        needs: CONTAINER,
        check: |bench| {
            /// Calls that no probe makes.
            const CALLS: [&str; 12] = [
                "acct",
                "add_key",
                "bpf",
                "delete_module",
                "init_module",
                "kexec_load",
                "keyctl",
                "lookup_dcookie",
                "nfsservctl",
                "quotactl",
                "swapoff",
                "swapon",
            ];
            let actions = words(bench, "/linux/seccomp/actions")?;
            // It needs a listener, and has cases of its own.
            let actions = actions.iter().filter(|action| *action != "SCMP_ACT_NOTIFY");
            let mut rules: Vec<Value> = actions
                .zip(CALLS)
                .map(|(action, call)| json!({ "names": [call], "action": action }))
                .collect();
            if rules.is_empty() {
                return Ok(());
            }
            for operator in words(bench, "/linux/seccomp/operators")? {
                let arg = json!({ "index": 1, "value": 7, "valueTwo": 7, "op": operator });
                rules.push(json!({ "names": ["reboot"], "action": "SCMP_ACT_ERRNO", "args": [arg] }));
            }
            let profile = json!({
                "defaultAction": "SCMP_ACT_ALLOW",
                "flags": words(bench, "/linux/seccomp/supportedFlags")?,
                "syscalls": rules,
            });
            bench.container(["exit", "0"])?.set("/linux/seccomp", profile)?.run().map(drop)
        },
    },
    Case {
        name: "features.seccomp-architectures-are-recognized",
        at: "features-linux.md#linuxFeaturesSeccomp",
        must: "The runtime MUST recognize the elements in this array in the `architectures` property of the `linux.seccomp` object in `config.json`.",
        needs: CONTAINER,
        check: |bench| {
            /// libseccomp has no filter for both orders of bytes.
            const BIG: [&str; 11] = [
                "M68K",
                "MIPS",
                "MIPS64",
                "MIPS64N32",
                "PARISC",
                "PARISC64",
                "PPC",
                "PPC64",
                "S390",
                "S390X",
                "SHEB",
            ];
            let is_big = |name: &String| BIG.contains(&name.trim_start_matches("SCMP_ARCH_"));
            let mut architectures = words(bench, "/linux/seccomp/archs")?;
            architectures.retain(|name| is_big(name) == cfg!(target_endian = "big"));
            if architectures.is_empty() {
                return Ok(());
            }
            let rule = json!({ "names": ["acct"], "action": "SCMP_ACT_ERRNO" });
            let profile = json!({
                "defaultAction": "SCMP_ACT_ALLOW", "architectures": architectures, "syscalls": [rule],
            });
            bench.container(["exit", "0"])?.set("/linux/seccomp", profile)?.run().map(drop)
        },
    },
    Case {
        name: "features.modes-of-memory-policies-are-recognized",
        at: "features-linux.md#linuxFeaturesMemoryPolicy",
        must: "The runtime MUST recognize the elements in this array as the `mode` of `linux.memoryPolicy` objects in `config.json`.",
        needs: NUMA,
        check: |bench| {
            for mode in words(bench, "/linux/memoryPolicy/modes")? {
                let policy = match mode.as_str() {
                    "MPOL_DEFAULT" | "MPOL_LOCAL" => json!({ "mode": mode }),
                    _ => json!({ "mode": mode, "nodes": "0" }),
                };
                let setup = bench.container(["exit", "0"])?.set("/linux/memoryPolicy", policy)?;
                setup.run().with_context(|| mode)?;
            }
            Ok(())
        },
    },
    Case {
        name: "features.flags-of-memory-policies-are-recognized",
        at: "features-linux.md#linuxFeaturesMemoryPolicy",
        must: "The runtime MUST recognize the elements in this in the `flags` property of the `linux.memoryPolicy` object in `config.json`",
        needs: NUMA,
        check: |bench| {
            for flag in words(bench, "/linux/memoryPolicy/flags")? {
                let policy = json!({ "mode": "MPOL_BIND", "nodes": "0", "flags": [flag] });
                let setup = bench.container(["exit", "0"])?.set("/linux/memoryPolicy", policy)?;
                setup.run().with_context(|| flag)?;
            }
            Ok(())
        },
    },
    Case {
        name: "features.annotations-are-a-map-of-strings",
        at: "features.md#featuresAnnotations",
        must: "Annotations MUST be a key-value map that follows the same convention as the Key and Values of the `annotations` property of `config.json`.",
        needs: &[],
        check: |bench| {
            let document = document(bench)?;
            let Some(annotations) = document.get("annotations").filter(|value| !value.is_null()) else {
                return Ok(());
            };
            let map = annotations.as_object().context("the annotations are no object")?;
            for (key, value) in map {
                ensure!(!key.is_empty() && value.is_string(), "{key:?}: {value}");
            }
            Ok(())
        },
    },
];

/// What the runtime prints.
fn document(bench: &Bench) -> Result<Value> {
    let outcome = bench.runtime().call(&["features"], bench.left())?;
    must_know(bench, "command:features", &outcome)?;
    outcome.success().context("features")?.json().context("features")
}

/// The words of an array of the document; none where it has no such array.
fn words(bench: &Bench, pointer: &str) -> Result<Vec<String>> {
    let document = document(bench)?;
    let array = document.pointer(pointer).and_then(Value::as_array).cloned().unwrap_or_default();
    array.into_iter().map(|word| Ok(word.as_str().context("a word is no text")?.to_owned())).collect()
}

fn version(document: &Value, name: &str) -> Result<Vec<u64>> {
    let text = document[name].as_str().with_context(|| format!("no {name}"))?;
    let numbers = text.split(['-', '+']).next().unwrap_or_default().split('.');
    numbers.map(|number| number.parse().with_context(|| format!("{name} is {text:?}"))).collect()
}

/// Whether a container of this version of the specification runs.
fn accepts(bench: &Bench, pointer: &str) -> Result<()> {
    let document = document(bench)?;
    let version = document.pointer(pointer).cloned().with_context(|| format!("no {pointer}"))?;
    bench.container(["exit", "0"])?.set("/ociVersion", version)?.run().map(drop)
}
