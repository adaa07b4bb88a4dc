//! What a machine may lack and a configuration may ask for all the same; and the terminal.

use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use serde_json::json;

use super::CONTAINER;
use crate::case::{Bench, Case, expect_eq};
use crate::host;

const APPLY: &str = "If the runtime cannot apply a property as specified in the configuration, it MUST generate an error and a new container MUST NOT be created.";

pub(super) const CASES: &[Case] = &[
    Case {
        name: "labels.unknown-apparmor-profile-is-an-error",
        at: "runtime.md#runtimeCreate",
        must: APPLY,
        needs: CONTAINER,
        check: |bench| {
            let setup = bench.container(["pause"])?;
            setup.set("/process/apparmorProfile", "no_such_profile_of_conformance")?.refused_by_start()
        },
    },
    Case {
        name: "labels.selinux-label-that-cannot-be-set-is-an-error",
        at: "runtime.md#runtimeCreate",
        must: APPLY,
        needs: CONTAINER,
        check: |bench| {
            let setup = bench.container(["pause"])?;
            setup.set("/process/selinuxLabel", "no_u:such_r:label_t:s0")?.refused_by_start()
        },
    },
    Case {
        name: "labels.mount-label-that-cannot-be-set-is-an-error",
        at: "runtime.md#runtimeCreate",
        must: APPLY,
        needs: CONTAINER,
        check: |bench| {
            let setup = bench.container(["pause"])?;
            setup.set("/linux/mountLabel", "no_u:such_r:label_t:s0")?.refused_by_start()
        },
    },
    Case {
        name: "intel-rdt.unknown-class-is-an-error",
        at: "config-linux.md#configLinuxIntelRdt",
        must: "If no mounted `resctrl` pseudo-filesystem is available in the runtime mount namespace, the runtime MUST generate an error.",
        needs: CONTAINER,
        check: |bench| {
            let class = json!({ "closID": "no-such-class-of-conformance" });
            bench.container(["pause"])?.set("/linux/intelRdt", class)?.refused().map(drop)
        },
    },
    Case {
        name: "console.size-is-that-of-the-config",
        at: "config.md#configProcess",
        must: "**`consoleSize`** (object, OPTIONAL) specifies the console size in characters of the terminal.",
        needs: CONTAINER,
        check: |bench| expect_eq("size of the terminal", console(bench)?, "33 77"),
    },
    Case {
        name: "console.size-without-a-terminal-is-ignored",
        at: "config.md#configProcess",
        must: "Runtimes MUST ignore `consoleSize` if `terminal` is `false` or unset.",
        needs: CONTAINER,
        check: |bench| {
            let size = json!({ "height": 33, "width": 77 });
            bench.reporter([])?.set("/process/consoleSize", size)?.report().map(drop)
        },
    },
];

/// Rows and columns of a container's terminal, as stty says them of the handle that the runtime hands over.
fn console(bench: &Bench) -> Result<String> {
    let path = bench.dir().join("console");
    let socket = UnixListener::bind(&path)?;
    socket.set_nonblocking(true)?;
    let setup = bench.container(["pause"])?.word("--console-socket").word(&path.display().to_string());
    let setup = setup.set("/process/terminal", true)?;
    let size = json!({ "height": 33, "width": 77 });
    let _container = setup.set("/process/consoleSize", size)?.start()?;
    let mut stream = None;
    host::wait_until(bench.left(), "the terminal", || {
        stream = socket.accept().ok();
        stream.is_some()
    })?;
    let (stream, _) = stream.context("nobody called")?;
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(bench.left()))?;
    let (_, terminal) = crate::socket::receive(&stream)?;
    let terminal = terminal.context("no descriptor came with the message")?;
    let output = Command::new("stty").arg("size").stdin(Stdio::from(terminal)).output()?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
