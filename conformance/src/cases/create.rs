//! runtime.md: the create operation, and what it refuses.

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::{CGROUP, CONTAINER, ROOT};
use crate::case::{Bench, Case, expect_eq};
use crate::container::Setup;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "create.program-waits-for-start",
        at: "runtime.md#runtimeCreate",
        must: "`process.args` MUST NOT be applied until triggered by the `start` operation.",
        needs: CONTAINER,
        check: |bench| {
            let container = bench.container(["write", "/data/mark", "x"])?.create()?;
            expect_eq("status after create", container.status()?, "created")?;
            let mark = container.rootfs("/data/mark");
            ensure!(!mark.try_exists()?, "the program ran before start");
            container.start()?;
            container.wait_for("stopped")?;
            ensure!(mark.try_exists()?, "the program did not run after start");
            Ok(())
        },
    },
    Case {
        name: "create.existing-id-is-an-error",
        at: "runtime.md#runtimeCreate",
        must: "If the ID provided is not unique across all containers within the scope of the runtime, or is not valid in any other way, the implementation MUST generate an error and a new container MUST NOT be created.",
        needs: CONTAINER,
        check: |bench| {
            let first = bench.container(["pause"])?.start()?;
            let before = first.state()?;
            let (outcome, second) = bench.container(["pause"])?.id(&first.id).try_create()?;
            let after = first.state();
            // the guard of the second would delete the first
            std::mem::forget(second);
            outcome.failure("create with an id in use")?;
            expect_eq("state of the first container", after?, before)
        },
    },
    Case {
        name: "create.invalid-id-is-an-error",
        at: "runtime.md#runtimeCreate",
        must: "If the ID provided is not unique across all containers within the scope of the runtime, or is not valid in any other way, the implementation MUST generate an error and a new container MUST NOT be created.",
        needs: CONTAINER,
        check: |bench| {
            for id in ["..", "a/b", "a b", ""] {
                bench.container(["pause"])?.id(id).refused().with_context(|| format!("id {id:?}"))?;
            }
            Ok(())
        },
    },
    Case {
        name: "create.bundle-without-config-is-an-error",
        at: "runtime.md#runtimeLifecycle",
        must: "If the runtime is unable to create the environment specified in the `config.json`, it MUST generate an error.",
        needs: CONTAINER,
        check: |bench| {
            let bundle = bench.dir().join("empty");
            std::fs::create_dir(&bundle)?;
            let words = ["create", "--bundle", &bundle.display().to_string(), "conformance-empty"];
            bench.runtime().call(&words, bench.left())?.failure("create without config.json")?;
            bench.runtime().call(&["state", "conformance-empty"], bench.left())?.failure("state after it")?;
            Ok(())
        },
    },
    Case {
        name: "create.broken-json-is-an-error",
        at: "config.md#configValidValues",
        must: "Runtimes MUST generate an error when invalid or unsupported values are encountered.",
        needs: CONTAINER,
        check: |bench| {
            for (pointer, value) in [
                ("/process/args", json!("sh")),
                ("/process/user/uid", json!("root")),
                ("/linux/namespaces", json!([{ "type": "no-such-namespace" }])),
            ] {
                bench.container(["pause"])?.set(pointer, value)?.refused().context(pointer)?;
            }
            Ok(())
        },
    },
    Case {
        name: "create.missing-rootfs-is-an-error",
        at: "config.md#configRoot",
        must: "A directory MUST exist at the path declared by the field.",
        needs: CONTAINER,
        check: |bench| {
            let refused = bench.container(["pause"])?.set("/root/path", "no-such-folder")?.refused()?;
            ensure!(!refused.stderr.is_empty(), "not a word about it");
            Ok(())
        },
    },
    Case {
        name: "create.later-changes-of-config-have-no-effect",
        at: "runtime.md#runtimeLifecycle",
        must: "Any updates to `config.json` after this step MUST NOT affect the container.",
        needs: CONTAINER,
        check: |bench| {
            let container = bench.reporter([])?.set("/process/env/-", "WHEN=before")?.create()?;
            let config = container.bundle().join("config.json");
            let text = std::fs::read_to_string(&config)?;
            std::fs::write(&config, text.replace("WHEN=before", "WHEN=after"))?;
            container.start()?;
            container.wait_for("stopped")?;
            let env = container.report()?.list("/env");
            ensure!(env.contains(&"WHEN=before".to_owned()), "the environment is {env:?}");
            Ok(())
        },
    },
    Case {
        name: "create.failed-one-leaves-no-cgroup",
        at: "runtime.md#runtimeErrors",
        must: "Unless otherwise stated, generating an error MUST leave the state of the environment as if the operation were never attempted - modulo any possible trivial ancillary changes such as logging.",
        needs: CGROUP,
        check: |bench| {
            let path = format!("/conformance-left-{}", std::process::id());
            failing(bench)?.set("/linux/cgroupsPath", path.as_str())?.refused()?;
            let mounts = std::fs::read_to_string("/proc/thread-self/mounts")?;
            for words in mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>()) {
                let [_, point, "cgroup" | "cgroup2", ..] = words[..] else { continue };
                let cgroup = std::path::PathBuf::from(format!("{point}{path}"));
                if cgroup.try_exists()? {
                    std::fs::remove_dir(&cgroup).ok();
                    anyhow::bail!("{} is left", cgroup.display());
                }
            }
            Ok(())
        },
    },
    Case {
        name: "create.failed-one-leaves-no-mount-and-no-state",
        at: "runtime.md#runtimeErrors",
        must: "Unless otherwise stated, generating an error MUST leave the state of the environment as if the operation were never attempted - modulo any possible trivial ancillary changes such as logging.",
        needs: ROOT,
        check: |bench| {
            let mounts = || std::fs::read_to_string("/proc/thread-self/mounts");
            let before = mounts()?;
            let setup = failing(bench)?.id("conformance-failed");
            setup.refused()?;
            expect_eq("the runtime namespace's mounts", mounts()?, before)?;
            let again = bench.container(["exit", "0"])?.id("conformance-failed").run();
            again.context("a create with the same id").map(drop)
        },
    },
    Case {
        name: "create.unknown-properties-are-ignored",
        at: "config.md#configExtensibility",
        must: "Runtimes MAY log unknown properties but MUST otherwise ignore them.",
        needs: CONTAINER,
        check: |bench| {
            let setup = bench.reporter([])?.set("/unheardOf", json!({ "a": 1 }))?;
            setup.set("/process/unheardOf", 1)?.set("/linux/unheardOf", "x")?.report().map(drop)
        },
    },
    Case {
        name: "create.oci-version-is-semver",
        at: "config.md#configSpecificationVersion",
        must: "**`ociVersion`** (string, REQUIRED) MUST be in SemVer v2.0.0 format",
        needs: CONTAINER,
        check: |bench| {
            bench.container(["pause"])?.set("/ociVersion", "two")?.refused().context("ociVersion \"two\"")?;
            bench.container(["pause"])?.remove("/ociVersion").refused().context("no ociVersion")?;
            Ok(())
        },
    },
];

/// A container whose creation fails late: in its init, at its last mount.
fn failing(bench: &Bench) -> Result<Setup<'_>> {
    bench.container(["pause"])?.set("/mounts/-", crate::bundle::mount("/data", "nosuchfs", &[]))
}
