//! runtime.md: start, kill and delete.

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::{CGROUP, CONTAINER, ROOT};
use crate::case::{Bench, Case, expect_eq};

const KILL: &str = "Attempting to send a signal to a container that is neither `created` nor `running` MUST have no effect on the container and MUST generate an error.";
const START: &str = "Attempting to `start` a container that is not `created` MUST have no effect on the container and MUST generate an error.";
const DELETE: &str = "Attempting to `delete` a container that is not `stopped` MUST have no effect on the container and MUST generate an error.";

pub(super) const CASES: &[Case] = &[
    Case {
        name: "start.runs-the-program",
        at: "runtime.md#runtimeStart",
        must: "This operation MUST run the user-specified program as specified by `process`.",
        needs: CONTAINER,
        check: |bench| {
            let container = bench.container(["exit", "42"])?.start()?;
            expect_eq("exit status of the program", container.exit_status()?, 42)
        },
    },
    Case {
        name: "start.running-container-is-an-error",
        at: "runtime.md#runtimeStart",
        must: START,
        needs: CONTAINER,
        check: |bench| {
            let container = bench.container(["pause"])?.start()?;
            let before = container.state()?;
            container.call(&["start"])?.failure("start of a running container")?;
            expect_eq("state after it", container.state()?, before)
        },
    },
    Case {
        name: "start.stopped-container-is-an-error",
        at: "runtime.md#runtimeStart",
        must: START,
        needs: CONTAINER,
        check: |bench| {
            let container = bench.container(["exit", "0"])?.run()?;
            container.call(&["start"])?.failure("start of a stopped container")?;
            expect_eq("status after it", container.status()?, "stopped")
        },
    },
    Case {
        name: "start.unknown-container-is-an-error",
        at: "runtime.md#runtimeStart",
        must: "Attempting to `start` a container that is not `created` MUST have no effect on the container and MUST generate an error.",
        needs: CONTAINER,
        check: |bench| unknown(bench, "start"),
    },
    Case {
        name: "start.missing-program-is-an-error",
        at: "config.md#configProcess",
        must: "This specification extends the IEEE standard in that at least one entry is REQUIRED (non-Windows), and that entry is used with the same semantics as `execvp`'s *file*.",
        needs: CONTAINER,
        check: |bench| bench.container([])?.set("/process/args/0", "/no/such/program")?.refused_by_start(),
    },
    Case {
        name: "start.args-may-not-be-empty",
        at: "config.md#configProcess",
        must: "This specification extends the IEEE standard in that at least one entry is REQUIRED (non-Windows), and that entry is used with the same semantics as `execvp`'s *file*.",
        needs: CONTAINER,
        check: |bench| bench.container([])?.set("/process/args", json!([]))?.refused_by_start(),
    },
    Case {
        name: "kill.sends-the-signal",
        at: "runtime.md#runtimeKill",
        must: "This operation MUST send the specified signal to the container process.",
        needs: CONTAINER,
        check: |bench| {
            for (word, name) in [("TERM", "SIGTERM"), ("SIGUSR1", "SIGUSR1"), ("12", "SIGUSR2")] {
                let container = bench.container(["signal"])?.start()?;
                container.wait_for_line("ready")?;
                container.kill(word)?.success().with_context(|| format!("kill {word}"))?;
                container.wait_for("stopped")?;
                let seen = container.output()?;
                expect_eq("signal that arrived", seen.lines().last().unwrap_or_default(), name)?;
            }
            Ok(())
        },
    },
    Case {
        name: "kill.created-container-can-be-killed",
        at: "runtime.md#runtimeKill",
        must: KILL,
        needs: CONTAINER,
        check: |bench| {
            let container = bench.container(["pause"])?.create()?;
            container.kill("KILL")?.success().context("kill of a created container")?;
            container.wait_for("stopped")
        },
    },
    Case {
        name: "kill.stopped-container-is-an-error",
        at: "runtime.md#runtimeKill",
        must: KILL,
        needs: CONTAINER,
        check: |bench| {
            let container = bench.container(["exit", "0"])?.run()?;
            container.kill("TERM")?.failure("kill of a stopped container")?;
            expect_eq("status after it", container.status()?, "stopped")
        },
    },
    Case {
        name: "kill.unknown-container-is-an-error",
        at: "runtime.md#runtimeKill",
        must: KILL,
        needs: CONTAINER,
        check: |bench| unknown(bench, "kill"),
    },
    Case {
        name: "kill.unknown-signal-is-an-error",
        at: "runtime.md#runtimeKill",
        must: "This operation MUST send the specified signal to the container process.",
        needs: CONTAINER,
        check: |bench| {
            let container = bench.container(["pause"])?.start()?;
            container.kill("NOSUCHSIGNAL")?.failure("kill with an unknown signal")?;
            expect_eq("status after it", container.status()?, "running")
        },
    },
    Case {
        name: "delete.running-container-is-an-error",
        at: "runtime.md#runtimeDelete",
        must: DELETE,
        needs: CONTAINER,
        check: |bench| {
            let container = bench.container(["pause"])?.start()?;
            let before = container.state()?;
            container.delete()?.failure("delete of a running container")?;
            expect_eq("state after it", container.state()?, before)
        },
    },
    Case {
        name: "delete.created-container-is-an-error",
        at: "runtime.md#runtimeDelete",
        must: DELETE,
        needs: CONTAINER,
        check: |bench| {
            let container = bench.container(["pause"])?.create()?;
            container.delete()?.failure("delete of a created container")?;
            expect_eq("status after it", container.status()?, "created")
        },
    },
    Case {
        name: "delete.leaves-no-mount",
        at: "runtime.md#runtimeLifecycle",
        must: "The container MUST be destroyed by undoing the steps performed during create phase (step 2).",
        needs: ROOT,
        check: |bench| {
            let mounts = || std::fs::read_to_string("/proc/thread-self/mountinfo");
            let before = mounts()?;
            bench.container(["exit", "0"])?.run()?.delete()?.success()?;
            expect_eq("the mounts of the runtime namespace", mounts()?, before)
        },
    },
    Case {
        name: "delete.unknown-container-is-an-error",
        at: "runtime.md#runtimeDelete",
        must: DELETE,
        needs: CONTAINER,
        check: |bench| unknown(bench, "delete"),
    },
    Case {
        name: "delete.frees-the-id",
        at: "runtime.md#runtimeDelete",
        must: "Once a container is deleted its ID MAY be used by a subsequent container.",
        needs: CONTAINER,
        check: |bench| {
            let container = bench.container(["exit", "0"])?.run()?;
            container.delete()?.success().context("delete")?;
            ensure!(container.state().is_err(), "state knows a deleted container");
            let again = bench.container(["exit", "0"])?.id(&container.id).run()?;
            expect_eq("status of the second container", again.status()?, "stopped")
        },
    },
    Case {
        name: "delete.removes-the-cgroups",
        at: "runtime.md#runtimeDelete",
        must: "Deleting a container MUST delete the resources that were created during the `create` step.",
        needs: CGROUP,
        check: |bench| {
            let container = bench.container(["pause"])?.start()?;
            let controller = if crate::host::cgroup() == crate::host::Cgroup::V2 { "" } else { "pids" };
            let cgroup = container.cgroup(controller)?;
            ensure!(cgroup.try_exists()?, "{} is not there while it runs", cgroup.display());
            container.stop()?;
            container.delete()?.success().context("delete")?;
            ensure!(!cgroup.try_exists()?, "{} outlives its container", cgroup.display());
            Ok(())
        },
    },
    Case {
        name: "delete.leaves-the-bundle",
        at: "runtime.md#runtimeDelete",
        must: "Note that resources associated with the container, but not created by this container, MUST NOT be deleted.",
        needs: CONTAINER,
        check: |bench| {
            let container = bench.container(["write", "/data/mark", "x"])?.run()?;
            container.delete()?.success().context("delete")?;
            ensure!(container.rootfs("/data/mark").try_exists()?, "the root file system has lost a file");
            ensure!(container.bundle().join("config.json").try_exists()?, "the bundle has lost config.json");
            Ok(())
        },
    },
];

/// A verb with an id that nobody has.
fn unknown(bench: &Bench, verb: &str) -> Result<()> {
    let id = "conformance-nobody";
    let words: &[&str] = if verb == "kill" { &[verb, id, "TERM"] } else { &[verb, id] };
    bench.runtime().call(words, bench.left())?.failure(&format!("{verb} of an unknown container"))?;
    bench.runtime().call(&[verb], bench.left())?.failure(&format!("{verb} without an id"))?;
    Ok(())
}
