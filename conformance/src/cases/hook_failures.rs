//! runtime.md#runtimeLifecycle: what a failing hook does.

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::CONTAINER;
use super::hooks::{hook_entry, log, names, with_hook};
use crate::case::{Bench, Case, expect_eq};
use crate::container::Setup;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "hooks.failing-prestart-fails-create",
        at: "runtime.md#runtimeLifecycle",
        must: "If any `prestart` hook fails, the runtime MUST generate an error, stop the container, and continue the lifecycle at step 12.",
        needs: CONTAINER,
        check: |bench| fails_create(bench, "prestart"),
    },
    Case {
        name: "hooks.failing-create-runtime-fails-create",
        at: "runtime.md#runtimeLifecycle",
        must: "If any `createRuntime` hook fails, the runtime MUST generate an error, stop the container, and continue the lifecycle at step 12.",
        needs: CONTAINER,
        check: |bench| fails_create(bench, "createRuntime"),
    },
    Case {
        name: "hooks.failing-create-container-fails-create",
        at: "runtime.md#runtimeLifecycle",
        must: "If any `createContainer` hook fails, the runtime MUST generate an error, stop the container, and continue the lifecycle at step 12.",
        needs: CONTAINER,
        check: |bench| fails_create(bench, "createContainer"),
    },
    Case {
        name: "hooks.failing-start-container-stops-the-container",
        at: "runtime.md#runtimeLifecycle",
        must: "If any `startContainer` hook fails, the runtime MUST generate an error, stop the container, and continue the lifecycle at step 12.",
        needs: CONTAINER,
        check: |bench| {
            let mut hook = hook_entry("/probe", "1", "/data/log".as_ref());
            hook["args"].as_array_mut().context("args")?.push(json!("3"));
            let setup =
                bench.container(["write", "/data/mark", "x"])?.set("/hooks/startContainer/-", hook)?;
            let container = setup.create()?;
            // whether `start` itself tells is left to the runtime (runtime.md#runtimeErrors)
            container.call(&["start"])?;
            container.wait_for("stopped")?;
            ensure!(!container.rootfs("/data/mark").try_exists()?, "the program ran all the same");
            Ok(())
        },
    },
    Case {
        name: "hooks.failing-poststart-stops-the-container",
        at: "runtime.md#runtimeLifecycle",
        must: "If any `poststart` hook fails, the runtime MUST generate an error, stop the container, and continue the lifecycle at step 12.",
        needs: CONTAINER,
        check: |bench| {
            let container = failing(bench.container(["pause"])?, bench, "poststart")?.create()?;
            container.call(&["start"])?.failure("start with a failing hook")?;
            crate::host::wait_until(bench.left(), "the container's end", || {
                container.status().map_or(true, |status| status == "stopped")
            })?;
            // a call without time left is an error, too
            ensure!(!bench.left().is_zero(), "it still runs when the case's time is over");
            Ok(())
        },
    },
    Case {
        name: "hooks.failing-poststop-only-warns",
        at: "runtime.md#runtimeLifecycle",
        must: "If any `poststop` hook fails, the runtime MUST log a warning, but the remaining hooks and lifecycle continue as if the hook had succeeded.",
        needs: CONTAINER,
        check: |bench| {
            let setup = failing(bench.container(["exit", "0"])?, bench, "poststop")?;
            let container = with_hook(setup, bench, "poststop", "after")?.run()?;
            container.delete()?.success().context("delete with a failing hook")?;
            ensure!(container.state().is_err(), "the container is still there");
            expect_eq("hooks that ran", names(bench)?, ["failing", "after"].as_slice())
        },
    },
    Case {
        name: "hooks.failing-one-ends-the-list",
        at: "runtime.md#runtimeLifecycle",
        must: "If any `createRuntime` hook fails, the runtime MUST generate an error, stop the container, and continue the lifecycle at step 12.",
        needs: CONTAINER,
        check: |bench| {
            let setup = failing(bench.container(["pause"])?, bench, "createRuntime")?;
            with_hook(setup, bench, "createRuntime", "after")?.refused()?;
            expect_eq("hooks that ran", names(bench)?, ["failing"].as_slice())
        },
    },
    Case {
        name: "hooks.poststop-runs-after-a-failed-create",
        at: "runtime.md#runtimeLifecycle",
        must: "The `poststop` hooks MUST be invoked by the runtime.",
        needs: CONTAINER,
        check: |bench| {
            let setup = failing(bench.container(["pause"])?, bench, "createRuntime")?;
            let (outcome, container) = with_hook(setup, bench, "poststop", "poststop")?.try_create()?;
            outcome.failure("create with a failing hook")?;
            drop(container);
            expect_eq("hooks that ran", names(bench)?, ["failing", "poststop"].as_slice())
        },
    },
    Case {
        name: "hooks.too-slow-one-is-aborted",
        at: "config.md#configHooks",
        must: "**`timeout`** (int, OPTIONAL) is the number of seconds before aborting the hook.",
        needs: CONTAINER,
        check: |bench| {
            let hook = json!({ "path": bench.probe(), "args": ["probe", "pause"], "timeout": 1 });
            let before = bench.left();
            bench.container(["pause"])?.set("/hooks/createRuntime/-", hook)?.refused()?;
            ensure!(
                before - bench.left() < std::time::Duration::from_secs(8),
                "it took {:?}",
                before - bench.left()
            );
            Ok(())
        },
    },
    Case {
        name: "hooks.missing-program-is-an-error",
        at: "runtime.md#runtimeLifecycle",
        must: "If any `createRuntime` hook fails, the runtime MUST generate an error, stop the container, and continue the lifecycle at step 12.",
        needs: CONTAINER,
        check: |bench| {
            let hook = json!({ "path": "/no/such/hook" });
            bench.container(["pause"])?.set("/hooks/createRuntime/-", hook)?.refused().map(drop)
        },
    },
    Case {
        name: "hooks.relative-path-is-an-error",
        at: "config.md#configHooks",
        must: "This specification extends the IEEE standard in that **`path`** MUST be absolute.",
        needs: CONTAINER,
        check: |bench| {
            let hook = json!({ "path": "bin/true" });
            bench.container(["pause"])?.set("/hooks/createRuntime/-", hook)?.refused().map(drop)
        },
    },
];

/// One more hook of this kind that writes `failing` to the log and ends with 3.
fn failing<'a>(setup: Setup<'a>, bench: &Bench, kind: &str) -> Result<Setup<'a>> {
    let mut hook = hook_entry(&bench.probe(), "failing", &log(bench));
    hook["args"].as_array_mut().context("args")?.push(json!("3"));
    setup.set(&format!("/hooks/{kind}/-"), hook)
}

fn fails_create(bench: &Bench, kind: &str) -> Result<()> {
    failing(bench.container(["pause"])?, bench, kind)?.refused()?;
    expect_eq("hooks that ran", names(bench)?, ["failing"].as_slice())
}
