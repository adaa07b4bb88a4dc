//! config.md#configProcess: the terminal.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use nix::poll::{PollFd, PollFlags, PollTimeout};
use serde_json::json;

use super::CONTAINER;
use crate::case::{Bench, Case, expect_eq};
use crate::container::{Container, Setup};
use crate::host;
use crate::inside::Report;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "console.is-the-programs-terminal",
        at: "config.md#configProcess",
        must: "**`terminal`** (bool, OPTIONAL) specifies whether a terminal is attached to the process, defaults to false.",
        needs: CONTAINER,
        check: |bench| {
            let streams = ["/proc/self/fd/0", "/proc/self/fd/1", "/proc/self/fd/2"];
            let (report, _) = reported(bench, bench.reporter(streams)?)?;
            for stream in streams {
                let link = report.look(stream, "link");
                let is_terminal =
                    link.as_str().is_some_and(|link| link.starts_with("/dev/pts/") || link == "/dev/console");
                ensure!(is_terminal, "{stream} is {link}");
            }
            Ok(())
        },
    },
    Case {
        name: "console.is-at-dev-console",
        at: "config-linux.md#configLinuxDefaultDevices",
        must: "`/dev/console` is set up if `terminal` is enabled in the config by bind mounting the pseudoterminal pty to `/dev/console`.",
        needs: CONTAINER,
        check: |bench| {
            let (report, _) = reported(bench, bench.reporter(["/dev/console", "/dev/pts/0"])?)?;
            expect_eq("kind of /dev/console", report.look("/dev/console", "kind"), "char")?;
            for number in ["major", "minor"] {
                let own = report.look("/dev/pts/0", number);
                expect_eq(&format!("{number} of /dev/console"), report.look("/dev/console", number), own)?;
            }
            Ok(())
        },
    },
    Case {
        name: "console.size-is-that-of-the-config",
        at: "config.md#configProcess",
        must: "**`consoleSize`** (object, OPTIONAL) specifies the console size in characters of the terminal.",
        needs: CONTAINER,
        check: |bench| {
            let size = json!({ "height": 33, "width": 77 });
            let setup = bench.container(["pause"])?.set("/process/consoleSize", size)?;
            let (_container, terminal) = attached(bench, setup)?;
            let output = Command::new("stty").arg("size").stdin(Stdio::from(terminal)).output()?;
            expect_eq("size of the terminal", String::from_utf8_lossy(&output.stdout).trim(), "33 77")
        },
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

/// Starts a container with a terminal; its other end, as the runtime hands it over.
fn attached<'a>(bench: &Bench, setup: Setup<'a>) -> Result<(Container<'a>, OwnedFd)> {
    let path = bench.dir().join("console");
    let socket = UnixListener::bind(&path)?;
    socket.set_nonblocking(true)?;
    let setup = setup.word("--console-socket").word(&path.display().to_string());
    let container = setup.set("/process/terminal", true)?.start()?;
    let mut stream = None;
    host::wait_until(bench.left(), "the terminal", || {
        stream = socket.accept().ok();
        stream.is_some()
    })?;
    let (stream, _) = stream.context("nobody called")?;
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(bench.left()))?;
    let (_, terminal) = crate::socket::receive(&stream)?;
    Ok((container, terminal.context("no descriptor came with the message")?))
}

/// What a reporter writes to its terminal, up to the end of the line.
fn reported<'a>(bench: &Bench, setup: Setup<'a>) -> Result<(Report, Container<'a>)> {
    let (container, terminal) = attached(bench, setup)?;
    let (mut terminal, mut text) = (File::from(terminal), Vec::new());
    while !text.ends_with(b"\n") {
        let polled = &mut [PollFd::new(std::os::fd::AsFd::as_fd(&terminal), PollFlags::POLLIN)];
        let patience = PollTimeout::try_from(bench.left()).unwrap_or(PollTimeout::MAX);
        ensure!(
            nix::poll::poll(polled, patience)? > 0,
            "the program says nothing: {:?}",
            String::from_utf8(text)
        );
        let mut part = [0; 4096];
        let length = terminal.read(&mut part).context("read the terminal")?;
        text.extend_from_slice(&part[..length]);
    }
    let report =
        serde_json::from_slice(&text).with_context(|| format!("{:?}", String::from_utf8_lossy(&text)))?;
    Ok((Report::new(report), container))
}
