//! runtime.md#runtimeState: the document that `state` prints.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::CONTAINER;
use crate::case::{Bench, Case, expect_eq};

const RETURNS: &str =
    "This operation MUST return the state of a container as specified in the State section.";

pub(super) const CASES: &[Case] = &[
    Case {
        name: "state.has-the-required-members",
        at: "runtime.md#runtimeQueryState",
        must: RETURNS,
        needs: CONTAINER,
        check: |bench| {
            let container = bench.container(["pause"])?.create()?;
            let state = container.state()?;
            let version = state["ociVersion"].as_str().context("ociVersion is no string")?;
            ensure!(version.split('.').count() >= 3, "ociVersion {version:?} is no semantic version");
            expect_eq("id", state["id"].clone(), container.id.as_str())?;
            expect_eq("bundle", state["bundle"].clone(), container.bundle().display().to_string())
        },
    },
    Case {
        name: "state.pid-is-the-container-process",
        at: "runtime.md#runtimeState",
        must: "**`pid`** (int, REQUIRED when `status` is `created` or `running` on Linux, OPTIONAL on other platforms) is the ID of the container process.",
        needs: CONTAINER,
        check: |bench| {
            let container = bench.container(["pause"])?.create()?;
            let pid = container.pid()?;
            expect_eq("pid while created", container.state()?["pid"].clone(), pid)?;
            container.start()?;
            expect_eq("pid while running", container.state()?["pid"].clone(), pid)?;
            let program = std::fs::read(format!("/proc/{pid}/cmdline"))?;
            ensure!(program.starts_with(b"/probe\0pause\0"), "process {pid} is another program");
            Ok(())
        },
    },
    Case {
        name: "state.status-follows-the-lifecycle",
        at: "runtime.md#runtimeState",
        must: "`created`: the runtime has finished the create operation (after step 2 in the lifecycle), and the container process has neither exited nor executed the user-specified program",
        needs: CONTAINER,
        check: |bench| {
            let container = bench.container(["pause"])?.create()?;
            expect_eq("status after create", container.status()?, "created")?;
            container.start()?;
            expect_eq("status after start", container.status()?, "running")?;
            container.stop()?;
            expect_eq("status after the end", container.status()?, "stopped")
        },
    },
    Case {
        name: "state.running-means-the-program-runs",
        at: "runtime.md#runtimeState",
        must: "`running`: the container process has executed the user-specified program but has not exited (after step 8 in the lifecycle)",
        needs: CONTAINER,
        check: |bench| {
            let container = bench.container(["pause"])?.create()?;
            let program =
                || std::fs::read(format!("/proc/{}/cmdline", container.pid()?)).map_err(anyhow::Error::from);
            ensure!(!program()?.starts_with(b"/probe\0"), "the program runs before start");
            container.start()?;
            expect_eq("status", container.status()?, "running")?;
            ensure!(program()?.starts_with(b"/probe\0"), "status is running before the program is");
            Ok(())
        },
    },
    Case {
        name: "state.annotations-are-those-of-the-config",
        at: "runtime.md#runtimeState",
        must: "**`annotations`** (map, OPTIONAL) contains the list of annotations associated with the container.",
        needs: CONTAINER,
        check: |bench| {
            let annotations = json!({ "org.example.key": "value", "empty": "" });
            let container = bench.container(["pause"])?.set("/annotations", annotations.clone())?.create()?;
            expect_eq("annotations", container.state()?["annotations"].clone(), annotations)
        },
    },
    Case {
        name: "state.no-annotations-is-absent-or-empty",
        at: "runtime.md#runtimeState",
        must: "If no annotations were provided then this property MAY either be absent or an empty map.",
        needs: CONTAINER,
        check: |bench| {
            let state = bench.container(["pause"])?.create()?.state()?;
            let annotations = state.get("annotations");
            ensure!(annotations.is_none_or(|map| *map == json!({})), "annotations are {annotations:?}");
            Ok(())
        },
    },
    Case {
        name: "state.bundle-is-absolute",
        at: "runtime.md#runtimeState",
        must: "**`bundle`** (string, REQUIRED) is the absolute path to the container's bundle directory.",
        needs: CONTAINER,
        check: |bench| {
            let container = bench.container(["pause"])?.create()?;
            let state = container.state()?;
            let bundle = state["bundle"].as_str().unwrap_or_default();
            ensure!(bundle.starts_with('/'), "bundle is {bundle:?}");
            ensure!(
                std::path::Path::new(bundle).join("config.json").try_exists()?,
                "{bundle} holds no config.json"
            );
            Ok(())
        },
    },
    Case {
        name: "state.is-of-one-container-alone",
        at: "runtime.md#runtimeScopeContainer",
        must: "The entity using a runtime to create a container MUST be able to use the operations defined in this specification against that same container.",
        needs: CONTAINER,
        check: |bench| {
            let one = bench.container(["pause"])?.start()?;
            let two = bench.container(["pause"])?.create()?;
            two.kill("KILL")?.success()?;
            two.wait_for("stopped")?;
            expect_eq("status of the other", one.status()?, "running")?;
            ensure!(one.state()?["pid"] != two_pid(&two.state()?), "both have one pid");
            Ok(())
        },
    },
    Case {
        name: "state.unknown-container-is-an-error",
        at: "runtime.md#runtimeQueryState",
        must: "Attempting to query a container that does not exist MUST generate an error.",
        needs: CONTAINER,
        check: |bench| {
            let call = |words: &[&str]| Bench::runtime(bench).call(words, bench.left());
            call(&["state", "conformance-nobody"])?.failure("state of an unknown container")?;
            call(&["state"])?.failure("state without an id").map(drop)
        },
    },
    Case {
        name: "state.adheres-to-its-schema",
        at: "runtime.md#runtimeState",
        must: "When serialized in JSON, the format MUST adhere to the JSON Schema schema/state-schema.json.",
        needs: CONTAINER,
        check: |bench| {
            let annotations = json!({ "org.example.key": "value" });
            let container = bench.container(["pause"])?.set("/annotations", annotations)?.create()?;
            adheres(&container.state()?).context("created")?;
            container.start()?;
            adheres(&container.state()?).context("running")?;
            container.stop()?;
            adheres(&container.state()?).context("stopped")
        },
    },
    Case {
        name: "state.reading-changes-nothing",
        at: "runtime.md#runtimeQueryState",
        must: RETURNS,
        needs: CONTAINER,
        check: |bench| {
            let container = bench.container(["pause"])?.start()?;
            let first = container.state()?;
            expect_eq("the second answer", container.state()?, first)
        },
    },
];

/// A stopped container may have no pid, or 0.
fn two_pid(state: &Value) -> Value {
    state.get("pid").filter(|pid| **pid != json!(0)).cloned().unwrap_or(json!("none"))
}

/// What schema/state-schema.json says of each member.
fn adheres(state: &Value) -> Result<()> {
    for name in ["ociVersion", "id", "bundle"] {
        ensure!(state[name].is_string(), "{name} is {}", state[name]);
    }
    let status = state["status"].as_str().unwrap_or_default();
    ensure!(["creating", "created", "running", "stopped"].contains(&status), "status is {}", state["status"]);
    let pid = state.get("pid");
    ensure!(pid.is_none_or(|pid| pid.as_u64().is_some()), "pid is {pid:?}");
    let annotations = state.get("annotations").filter(|annotations| !annotations.is_null());
    let is_map = |value: &Value| value.as_object().is_some_and(|map| map.values().all(Value::is_string));
    ensure!(annotations.is_none_or(is_map), "annotations are {annotations:?}");
    Ok(())
}
