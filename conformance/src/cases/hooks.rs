//! config.md#configHooks: when, where, in which order, and with what.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::CONTAINER;
use crate::case::{Bench, Case, expect_eq};
use crate::container::{Container, Setup};

const STATE: &str = "The state of the container MUST be passed to hooks over stdin so that they may do work appropriate to the current state of the container.";

pub(super) const CASES: &[Case] = &[
    Case {
        name: "hooks.run-in-the-order-of-the-lifecycle",
        at: "runtime.md#runtimeLifecycle",
        must: "The `createRuntime` hooks MUST be invoked by the runtime.",
        needs: CONTAINER,
        check: |bench| {
            let container = all_hooks(bench)?.create()?;
            let created = ["prestart", "createRuntime", "createContainer"];
            expect_eq("hooks after create", names(bench)?, created.as_slice())?;
            container.start()?;
            expect_eq("hooks after start", names(bench)?, [&created[..], &["poststart"]].concat())?;
            container.wait_for("stopped")?;
            let inside = lines(&container.rootfs("/data/log"))?;
            expect_eq("startContainer hooks", inside.len(), 1)?;
            container.delete()?.success().context("delete")?;
            let all = ["prestart", "createRuntime", "createContainer", "poststart", "poststop"];
            expect_eq("hooks after delete", names(bench)?, all.as_slice())
        },
    },
    Case {
        name: "hooks.prestart-runs",
        at: "config.md#configHooksPrestart",
        must: "The `prestart` hooks MUST be called as part of the `create` operation after the runtime environment has been created (according to the configuration in config.json) but before the `pivot_root` or any equivalent operation has been executed.",
        needs: CONTAINER,
        check: |bench| runs_at_create(bench, "prestart"),
    },
    Case {
        name: "hooks.create-runtime-runs",
        at: "config.md#configHooksCreateRuntime",
        must: "The `createRuntime` hooks MUST be called as part of the `create` operation after the runtime environment has been created (according to the configuration in config.json) but before the `pivot_root` or any equivalent operation has been executed.",
        needs: CONTAINER,
        check: |bench| runs_at_create(bench, "createRuntime"),
    },
    Case {
        name: "hooks.create-container-runs",
        at: "config.md#configHooksCreateContainer",
        must: "The `createContainer` hooks MUST be called as part of the `create` operation after the runtime environment has been created (according to the configuration in config.json) but before the `pivot_root` or any equivalent operation has been executed.",
        needs: CONTAINER,
        check: |bench| runs_at_create(bench, "createContainer"),
    },
    Case {
        name: "hooks.start-container-runs",
        at: "config.md#configHooksStartContainer",
        must: "The `startContainer` hooks MUST be called before the user-specified process is executed as part of the `start` operation.",
        needs: CONTAINER,
        check: |bench| {
            let container = all_hooks(bench)?.create()?;
            let log = container.rootfs("/data/log");
            ensure!(lines(&log)?.is_empty(), "it ran in create");
            container.start()?;
            container.wait_for("stopped")?;
            expect_eq("lines of its log", lines(&log)?.len(), 1)
        },
    },
    Case {
        name: "hooks.poststart-runs-before-start-returns",
        at: "config.md#configHooksPoststart",
        must: "The `poststart` hooks MUST be called after the user-specified process is executed but before the `start` operation returns.",
        needs: CONTAINER,
        check: |bench| {
            let container = with_hook(bench.container(["pause"])?, bench, "poststart", "1")?.create()?;
            ensure!(lines(&log(bench))?.is_empty(), "it ran in create");
            container.start()?;
            expect_eq("lines of its log", lines(&log(bench))?.len(), 1)
        },
    },
    Case {
        name: "hooks.poststop-runs-before-delete-returns",
        at: "config.md#configHooksPoststop",
        must: "The `poststop` hooks MUST be called after the container is deleted but before the `delete` operation returns.",
        needs: CONTAINER,
        check: |bench| {
            let container = with_hook(bench.container(["exit", "0"])?, bench, "poststop", "1")?.run()?;
            ensure!(lines(&log(bench))?.is_empty(), "it ran before delete");
            container.delete()?.success().context("delete")?;
            expect_eq("lines of its log", lines(&log(bench))?.len(), 1)
        },
    },
    Case {
        name: "hooks.of-one-kind-run-in-the-listed-order",
        at: "config.md#configHooks",
        must: "Hooks MUST be called in the listed order.",
        needs: CONTAINER,
        check: |bench| {
            for kind in ["prestart", "createRuntime", "createContainer", "poststart", "poststop"] {
                let mut setup = bench.container(["exit", "0"])?;
                for name in ["1", "2", "3"] {
                    setup = with_hook(setup, bench, kind, name)?;
                }
                setup.run()?.delete()?.success()?;
                expect_eq(kind, names(bench)?, ["1", "2", "3"].as_slice())?;
                std::fs::remove_file(log(bench))?;
            }
            Ok(())
        },
    },
    Case {
        name: "hooks.get-the-state-on-stdin",
        at: "config.md#configHooks",
        must: STATE,
        needs: CONTAINER,
        check: |bench| {
            let container = all_hooks(bench)?.set("/annotations", json!({ "org.example.a": "b" }))?.run()?;
            container.delete()?.success()?;
            for line in lines(&log(bench))? {
                check_state(&line, &container).with_context(|| format!("state given to {}", line["hook"]))?;
            }
            Ok(())
        },
    },
    Case {
        name: "hooks.start-container-gets-the-state-on-stdin",
        at: "config.md#configHooks",
        must: STATE,
        needs: CONTAINER,
        check: |bench| {
            let container = all_hooks(bench)?.set("/annotations", json!({ "org.example.a": "b" }))?.run()?;
            let line = lines(&container.rootfs("/data/log"))?.pop().context("the hook did not run")?;
            check_state(&line, &container)?;
            let status = state_of(&line)?["status"].clone();
            ensure!(
                ["created", "running"].contains(&status.as_str().unwrap_or_default()),
                "status is {status}"
            );
            Ok(())
        },
    },
    Case {
        name: "hooks.pid-in-the-container-namespace-is-that-inside",
        at: "runtime.md#runtimeState",
        must: "For hooks executed in the container namespace, it is the pid as seen by the container.",
        needs: CONTAINER,
        check: |bench| {
            let setup = with_hook(bench.container(["exit", "0"])?, bench, "createContainer", "1")?;
            let inside = hook_entry("/probe", "2", "/data/log".as_ref());
            let container = setup.set("/hooks/startContainer/-", inside)?.run()?;
            for log in [log(bench), container.rootfs("/data/log")] {
                let line = lines(&log)?.pop().context("the hook did not run")?;
                expect_eq(&format!("pid told to hook {}", line["hook"]), state_of(&line)?["pid"].clone(), 1)?;
            }
            Ok(())
        },
    },
    Case {
        name: "hooks.state-has-the-status-of-its-step",
        at: "runtime.md#runtimeState",
        must: "The value MAY be one of: `creating`: the container is being created (step 2 in the lifecycle)",
        needs: CONTAINER,
        check: |bench| {
            let container = all_hooks(bench)?.run()?;
            container.delete()?.success()?;
            for line in lines(&log(bench))? {
                let hook = line["hook"].as_str().unwrap_or_default().to_owned();
                let allowed: &[&str] = match hook.as_str() {
                    "poststart" => &["running", "stopped"],
                    "poststop" => &["stopped"],
                    _ => &["creating", "created"],
                };
                let status = state_of(&line)?["status"].as_str().unwrap_or_default().to_owned();
                ensure!(allowed.contains(&status.as_str()), "{hook} was told {status:?}");
            }
            Ok(())
        },
    },
    Case {
        name: "hooks.pid-is-the-container-process",
        at: "runtime.md#runtimeState",
        must: "For hooks executed in the runtime namespace, it is the pid as seen by the runtime.",
        needs: CONTAINER,
        check: |bench| {
            let container = with_hook(bench.container(["pause"])?, bench, "createRuntime", "1")?.create()?;
            let line = lines(&log(bench))?.pop().context("the hook did not run")?;
            expect_eq("pid", state_of(&line)?["pid"].clone(), container.pid()?)
        },
    },
    Case {
        name: "hooks.args-and-env-are-those-of-the-config",
        at: "config.md#configHooks",
        must: "**`env`** (array of strings, OPTIONAL) with the same semantics as IEEE Std 1003.1-2008's `environ`.",
        needs: CONTAINER,
        check: |bench| {
            let mut hook = hook_entry(&bench.probe(), "x", &log(bench));
            hook["args"][0] = json!("another name");
            hook["env"] = json!(["ONLY=this", "EMPTY="]);
            bench.container(["exit", "0"])?.set("/hooks/createRuntime/-", hook)?.create()?;
            let line = lines(&log(bench))?.pop().context("the hook did not run")?;
            expect_eq("args[0]", line["args"][0].clone(), "another name")?;
            let mut env: Vec<&str> =
                line["env"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            env.sort_unstable();
            expect_eq("environment", env, ["EMPTY=", "ONLY=this"].as_slice())
        },
    },
    Case {
        name: "hooks.run-in-the-runtime-namespace",
        at: "config.md#configHooksCreateRuntime",
        must: "The `createRuntime` hooks MUST be executed in the runtime namespace.",
        needs: CONTAINER,
        check: |bench| {
            all_hooks(bench)?.run()?.delete()?.success()?;
            for line in lines(&log(bench))?.iter().filter(|line| line["hook"] != "createContainer") {
                for kind in ["mnt", "uts", "ipc", "net"] {
                    let own =
                        std::fs::read_link(format!("/proc/thread-self/ns/{kind}"))?.display().to_string();
                    expect_eq(
                        &format!("{kind} namespace of {}", line["hook"]),
                        line["namespaces"][kind].clone(),
                        own,
                    )?;
                }
            }
            Ok(())
        },
    },
    Case {
        name: "hooks.run-in-the-container-namespace",
        at: "config.md#configHooksCreateContainer",
        must: "The `createContainer` hooks MUST be executed in the container namespace.",
        needs: CONTAINER,
        check: |bench| {
            let container = with_hook(bench.container(["pause"])?, bench, "createContainer", "1")?;
            let inside = hook_entry("/probe", "2", "/data/log".as_ref());
            let container = container.set("/hooks/startContainer/-", inside)?.start()?;
            crate::host::wait_until(bench.left(), "the startContainer hook's line", || {
                lines(&container.rootfs("/data/log")).is_ok_and(|lines| !lines.is_empty())
            })?;
            let mut seen = lines(&log(bench))?;
            seen.extend(lines(&container.rootfs("/data/log"))?);
            expect_eq("hooks that ran", seen.len(), 2)?;
            for (line, kind) in
                seen.iter().flat_map(|line| ["mnt", "uts", "ipc", "net"].map(|kind| (line, kind)))
            {
                let own = container.namespace(kind)?;
                expect_eq(&format!("{kind} namespace"), line["namespaces"][kind].clone(), own)?;
            }
            Ok(())
        },
    },
];

/// The log of hooks that run outside the root file system.
pub(super) fn log(bench: &Bench) -> PathBuf {
    bench.dir().join("hooks.log")
}

pub(super) fn lines(log: &Path) -> Result<Vec<Value>> {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

pub(super) fn names(bench: &Bench) -> Result<Vec<Value>> {
    Ok(lines(&log(bench))?.into_iter().map(|line| line["hook"].clone()).collect())
}

pub(super) fn hook_entry(program: &str, name: &str, log: &Path) -> Value {
    json!({ "path": program, "args": [program, "hook", name, log] })
}

/// One more hook of this kind that writes its name to the log.
pub(super) fn with_hook<'a>(setup: Setup<'a>, bench: &Bench, kind: &str, name: &str) -> Result<Setup<'a>> {
    setup.set(&format!("/hooks/{kind}/-"), hook_entry(&bench.probe(), name, &log(bench)))
}

/// A container with one hook of each kind, named after it.
fn all_hooks(bench: &Bench) -> Result<Setup<'_>> {
    let mut setup = bench.container(["exit", "0"])?;
    for kind in ["prestart", "createRuntime", "createContainer", "poststart", "poststop"] {
        setup = with_hook(setup, bench, kind, kind)?;
    }
    setup.set("/hooks/startContainer/-", hook_entry("/probe", "startContainer", "/data/log".as_ref()))
}

fn runs_at_create(bench: &Bench, kind: &str) -> Result<()> {
    let container = with_hook(bench.container(["exit", "0"])?, bench, kind, "1")?.create()?;
    expect_eq("lines of its log after create", lines(&log(bench))?.len(), 1)?;
    container.start()?;
    expect_eq("lines of its log after start", lines(&log(bench))?.len(), 1)
}

fn state_of(line: &Value) -> Result<Value> {
    serde_json::from_str(line["stdin"].as_str().unwrap_or_default()).context("standard input is not JSON")
}

fn check_state(line: &Value, container: &Container<'_>) -> Result<()> {
    let state = state_of(line)?;
    expect_eq("id", state["id"].clone(), container.id.as_str())?;
    expect_eq("bundle", state["bundle"].clone(), container.bundle().display().to_string())?;
    expect_eq("annotations", state["annotations"].clone(), json!({ "org.example.a": "b" }))?;
    ensure!(state["ociVersion"].is_string(), "no ociVersion");
    Ok(())
}
