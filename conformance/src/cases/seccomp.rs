//! config-linux.md#configLinuxSeccomp: answers, listeners, flags.

use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::poll::{PollFd, PollFlags, PollTimeout};
use serde_json::{Value, json};

use super::CONTAINER;
use crate::case::{Bench, Case, expect_eq};
use crate::container::Setup;
use crate::host;
use crate::sys::supervisor;

const ERRNO: &str = "**`errnoRet`** *(uint, OPTIONAL)* - the errno return code to use.";
const LISTENER: &str = "**`listenerPath`** *(string, OPTIONAL)* - specifies the path of UNIX domain socket over which the runtime will send the container process state data structure when the `SCMP_ACT_NOTIFY` action is used.";

pub(super) const CASES: &[Case] = &[
    Case {
        name: "seccomp.a-refused-call-has-the-configured-errno",
        at: "config-linux.md#configLinuxSeccomp",
        must: ERRNO,
        needs: CONTAINER,
        check: |bench| {
            for (number, name) in [(18, "EXDEV"), (95, "EOPNOTSUPP")] {
                let rule = json!({ "names": UNLINK, "action": "SCMP_ACT_ERRNO", "errnoRet": number });
                expect_eq("the answer", unlinked(filtered(bench, rule)?)?, name)?;
            }
            Ok(())
        },
    },
    Case {
        name: "seccomp.a-refused-call-has-eperm-by-default",
        at: "config-linux.md#configLinuxSeccomp",
        must: "Some actions like `SCMP_ACT_ERRNO` and `SCMP_ACT_TRACE` allow to specify the errno code to return. When the action doesn't support an errno, the runtime MUST print and error and fail. The default is `EPERM`.",
        needs: CONTAINER,
        check: |bench| {
            let rule = json!({ "names": UNLINK, "action": "SCMP_ACT_ERRNO" });
            expect_eq("the answer", unlinked(filtered(bench, rule)?)?, "EPERM")
        },
    },
    Case {
        name: "seccomp.errno-of-an-action-without-one-is-an-error",
        at: "config-linux.md#configLinuxSeccomp",
        must: "When the action doesn't support an errno, the runtime MUST print and error and fail.",
        needs: CONTAINER,
        check: |bench| {
            for action in ["SCMP_ACT_KILL", "SCMP_ACT_LOG", "SCMP_ACT_TRAP"] {
                let rule = json!({ "names": UNLINK, "action": action, "errnoRet": 18 });
                filtered(bench, rule)?.refused().context(action)?;
            }
            Ok(())
        },
    },
    Case {
        name: "seccomp.killed-program-has-sigsys",
        at: "config-linux.md#configLinuxSeccomp",
        must: "**`action`** *(string, REQUIRED)* - the action for seccomp rules.",
        needs: CONTAINER,
        check: |bench| {
            for action in ["SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_TRAP"] {
                let rule = json!({ "names": UNLINK, "action": action });
                let container = filtered(bench, rule)?.start()?;
                expect_eq(action, container.exit_status()?, 128 + 31)?;
            }
            Ok(())
        },
    },
    Case {
        name: "seccomp.arguments-decide",
        at: "config-linux.md#configLinuxSeccomp",
        must: "**`args`** *(array of objects, OPTIONAL)* - the specific syscall in seccomp.",
        needs: CONTAINER,
        check: |bench| {
            // the third argument of openat(2) are its flags: 0x241 stands for O_WRONLY | O_CREAT | O_TRUNC
            for (value, answer) in [(0x41, "EXDEV"), (0x42, "ok")] {
                let condition =
                    json!({ "index": 2, "value": 0x43, "valueTwo": value, "op": "SCMP_CMP_MASKED_EQ" });
                let rule = json!({ "names": ["openat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 18, "args": [condition] });
                expect_eq("the answer", unlinked(filtered(bench, rule)?)?, answer)?;
            }
            Ok(())
        },
    },
    Case {
        name: "seccomp.every-operator-compares",
        at: "config-linux.md#configLinuxSeccomp",
        must: "**`op`** *(string, REQUIRED)* - the operator for syscall arguments in seccomp.",
        needs: CONTAINER,
        check: |bench| {
            // the fourth argument of an openat(2) that makes the file is its mode: 0666, 438
            for (operator, holds, fails) in [
                ("SCMP_CMP_NE", 439, 438),
                ("SCMP_CMP_LT", 439, 438),
                ("SCMP_CMP_LE", 438, 437),
                ("SCMP_CMP_EQ", 438, 439),
                ("SCMP_CMP_GE", 438, 439),
                ("SCMP_CMP_GT", 437, 438),
            ] {
                for (value, answer) in [(holds, "EXDEV"), (fails, "ok")] {
                    let makes =
                        json!({ "index": 2, "value": 0x40, "valueTwo": 0x40, "op": "SCMP_CMP_MASKED_EQ" });
                    let compares = json!({ "index": 3, "value": value, "op": operator });
                    let rule = json!({
                        "names": ["openat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 18, "args": [makes, compares],
                    });
                    let seen = unlinked(filtered(bench, rule)?)?;
                    expect_eq(
                        &format!("the answer where 438 is compared by {operator} with {value}"),
                        seen,
                        answer,
                    )?;
                }
            }
            Ok(())
        },
    },
    Case {
        name: "seccomp.unknown-action-is-an-error",
        at: "config.md#configValidValues",
        must: "Runtimes MUST generate an error when invalid or unsupported values are encountered.",
        needs: CONTAINER,
        check: |bench| {
            filtered(bench, json!({ "names": UNLINK, "action": "SCMP_ACT_NO_SUCH" }))?.refused().map(drop)
        },
    },
    Case {
        name: "seccomp.flags-are-taken",
        at: "config-linux.md#configLinuxSeccomp",
        must: "**`flags`** *(array of strings, OPTIONAL)* - list of flags to use with seccomp(2).",
        needs: CONTAINER,
        check: |bench| {
            for flag in
                ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_TSYNC"]
            {
                let rule = json!({ "names": UNLINK, "action": "SCMP_ACT_ERRNO" });
                let setup = filtered(bench, rule)?.set("/linux/seccomp/flags", json!([flag]))?;
                expect_eq("the answer", unlinked(setup).context(flag)?, "EPERM")?;
            }
            Ok(())
        },
    },
    Case {
        name: "seccomp.unknown-flag-is-an-error",
        at: "config.md#configValidValues",
        must: "Runtimes MUST generate an error when invalid or unsupported values are encountered.",
        needs: CONTAINER,
        check: |bench| {
            let rule = json!({ "names": UNLINK, "action": "SCMP_ACT_ERRNO" });
            let flags = json!(["SECCOMP_FILTER_FLAG_NO_SUCH"]);
            filtered(bench, rule)?.set("/linux/seccomp/flags", flags)?.refused().map(drop)
        },
    },
    Case {
        name: "seccomp.listener-decides",
        at: "config-linux.md#configLinuxSeccomp",
        must: LISTENER,
        needs: CONTAINER,
        check: |bench| {
            let (_, answer) = supervised(bench)?;
            expect_eq("the answer", answer, "EOPNOTSUPP")
        },
    },
    Case {
        name: "seccomp.listener-gets-the-process-state",
        at: "config-linux.md#containerprocessstate",
        must: "**`fds`** (array, OPTIONAL) is a string array containing the names of the file descriptors passed.",
        needs: CONTAINER,
        check: |bench| {
            let (state, _) = supervised(bench)?;
            expect_eq("fds", state["fds"].clone(), json!(["seccompFd"]))?;
            expect_eq("metadata", state["metadata"].clone(), "whatever")?;
            ensure!(
                state["ociVersion"].is_string() && state["state"]["ociVersion"].is_string(),
                "no ociVersion"
            );
            ensure!(state["pid"].as_i64().is_some_and(|pid| pid > 1), "pid is {}", state["pid"]);
            expect_eq("pid of the state", state["state"]["pid"].clone(), state["pid"].clone())?;
            let status = state["state"]["status"].as_str().unwrap_or_default();
            ensure!(["creating", "created"].contains(&status), "status is {status:?}");
            Ok(())
        },
    },
    Case {
        name: "seccomp.listener-hears-of-one-process-once",
        at: "config-linux.md#configLinuxSeccomp",
        must: "The runtime MUST send exactly one container process state per connection.",
        needs: CONTAINER,
        check: |bench| {
            let (more, _) = what_follows(bench)?;
            ensure!(more.is_empty(), "behind the state comes {more:?}");
            Ok(())
        },
    },
    Case {
        name: "seccomp.connection-ends-with-the-state",
        at: "config-linux.md#configLinuxSeccomp",
        must: "The connection MUST NOT be reused and it MUST be closed after sending a seccomp state.",
        needs: CONTAINER,
        check: |bench| {
            let (_, closed) = what_follows(bench)?;
            ensure!(closed, "the connection is still open");
            Ok(())
        },
    },
    Case {
        name: "seccomp.missing-listener-is-an-error",
        at: "config-linux.md#configLinuxSeccomp",
        must: "If sending to this socket fails, the runtime MUST generate an error.",
        needs: CONTAINER,
        check: |bench| {
            let rule = json!({ "names": UNLINK, "action": "SCMP_ACT_NOTIFY" });
            let setup = filtered(bench, rule)?.set("/linux/seccomp/listenerPath", "/no/such/socket")?;
            setup.refused_by_start()
        },
    },
    Case {
        name: "seccomp.listener-without-notify-is-ignored",
        at: "config-linux.md#configLinuxSeccomp",
        must: "If the `SCMP_ACT_NOTIFY` action is not used this value is ignored.",
        needs: CONTAINER,
        check: |bench| {
            let rule = json!({ "names": UNLINK, "action": "SCMP_ACT_ERRNO" });
            let setup = filtered(bench, rule)?.set("/linux/seccomp/listenerPath", "/no/such/socket")?;
            expect_eq("the answer", unlinked(setup)?, "EPERM")
        },
    },
    Case {
        name: "seccomp.metadata-without-a-listener-is-an-error",
        at: "config-linux.md#configLinuxSeccomp",
        must: "This field MUST NOT be set if `listenerPath` is not set.",
        needs: CONTAINER,
        check: |bench| {
            let rule = json!({ "names": UNLINK, "action": "SCMP_ACT_ERRNO" });
            filtered(bench, rule)?.set("/linux/seccomp/listenerMetadata", "whatever")?.refused().map(drop)
        },
    },
];

const UNLINK: [&str; 2] = ["unlink", "unlinkat"];

/// A reporter that makes and removes a file in /data, under a profile with one rule beside `allow`.
fn filtered(bench: &Bench, rule: Value) -> Result<Setup<'_>> {
    let profile = json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule] });
    bench.reporter(["/data"])?.set("/linux/seccomp", profile)
}

/// The kernel's word for it.
fn unlinked(setup: Setup<'_>) -> Result<String> {
    Ok(setup.report()?.look("/data", "write").as_str().unwrap_or_default().to_owned())
}

/// A run whose unlink is refused by a listener: what the listener was told, and what came of the call.
fn supervised(bench: &Bench) -> Result<(Value, String)> {
    let path = bench.dir().join("listener");
    let socket = UnixListener::bind(&path)?;
    let setup = filtered(bench, json!({ "names": UNLINK, "action": "SCMP_ACT_NOTIFY" }))?
        .set("/linux/seccomp/listenerPath", path.display().to_string())?
        .set("/linux/seccomp/listenerMetadata", "whatever")?;
    // the specification leaves open whether create or start brings the listener its state
    let container = setup.start()?;
    let stream = accept(bench, &socket)?;
    let (text, listener) = crate::socket::receive(&stream)?;
    let listener = listener.context("no descriptor came with the state")?;
    let state = serde_json::from_str(&text).with_context(|| format!("{text:?} is not JSON"))?;
    readable(bench.left(), &listener, "a call for the listener")?;
    supervisor::refuse(&listener, 95)?;
    container.wait_for("stopped")?;
    Ok((state, container.report()?.look("/data", "write").as_str().unwrap_or_default().to_owned()))
}

/// What a listener hears behind the state, and whether the connection ends soon.
fn what_follows(bench: &Bench) -> Result<(String, bool)> {
    let path = bench.dir().join("listener");
    let socket = UnixListener::bind(&path)?;
    let rule = json!({ "names": ["acct"], "action": "SCMP_ACT_NOTIFY" });
    let setup = filtered(bench, rule)?.set("/linux/seccomp/listenerPath", path.display().to_string())?;
    let _container = setup.start()?;
    let mut stream = accept(bench, &socket)?;
    let (_, _listener) = crate::socket::receive(&stream)?;
    stream.set_read_timeout(Some(Duration::from_secs(1).min(bench.left())))?;
    let mut rest = Vec::new();
    let ended = stream.read_to_end(&mut rest);
    Ok((String::from_utf8_lossy(&rest).into_owned(), ended.is_ok()))
}

fn accept(bench: &Bench, socket: &UnixListener) -> Result<UnixStream> {
    // before create or start returned; only a runtime that never calls is waited for
    let soon = Duration::from_secs(2).min(bench.left());
    readable(soon, socket, "the runtime to call the listener")?;
    let (stream, _) = socket.accept()?;
    stream.set_read_timeout(Some(bench.left()))?;
    Ok(stream)
}

fn readable(limit: Duration, fd: impl AsFd, what: &str) -> Result<()> {
    host::wait_until(limit, what, || {
        let mut polled = [PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
        nix::poll::poll(&mut polled, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
    })
}
