//! `run`: signals, statuses, and names that are made up.

#![allow(clippy::unwrap_used, reason = "a test ends where its set-up fails")]

mod common;

use std::fs;
use std::process::Stdio;

use common::{Bundle, Caller, LIMIT, RUNTIME};
use conformance::host::{Need, skip, wait_until};
use serde_json::json;

#[test]
fn a_signal_to_the_foreground_runtime_reaches_the_container() {
    for caller in Caller::all("a_signal_to_the_foreground_runtime_reaches_the_container") {
        let bundle = caller.shell("trap 'exit 9' TERM; touch /ready; while true; do sleep 0.01; done");
        let mut child = bundle.write().command(&["run", &bundle.id]).spawn().unwrap();
        let ready = bundle.rootfs("ready");
        wait_until(LIMIT, "the trap", || fs::exists(&ready).unwrap()).unwrap();
        let pid = nix::unistd::Pid::from_raw(child.id() as i32);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(9));
        bundle.assert_nothing_left();
    }
}

#[test]
fn the_exit_status_is_the_programs_own_or_128_and_the_signal() {
    for caller in Caller::all("the_exit_status_is_the_programs_own_or_128_and_the_signal") {
        for (line, code) in [("exit 42", 42), ("exit 0", 0), ("exit 255", 255), ("sleep 0.05", 0)] {
            let bundle = caller.shell(line);
            assert_eq!(bundle.run().code, code, "{line}");
            bundle.assert_nothing_left();
        }
        // The first process of a pid namespace ignores what it does not handle; from outside KILL always works.
        let bundle = caller.bundle(&["sleep", "1000"]);
        let mut child = bundle.write().command(&["run", &bundle.id]).spawn().unwrap();
        wait_until(LIMIT, "the container", || bundle.call(&["state", &bundle.id]).out.contains("running"))
            .unwrap();
        bundle.call(&["kill", &bundle.id, "KILL"]).ok();
        assert_eq!(child.wait().unwrap().code(), Some(137));
    }
}

#[test]
fn a_directory_as_the_only_word_is_the_bundle_and_the_id_is_made_up() {
    if skip("a_directory_as_the_only_word_is_the_bundle_and_the_id_is_made_up", Need::Root) {
        return;
    }
    // terminal true as images have it, and no terminal here: plain pipes
    let bundle = Bundle::shell("echo one; tty; exit 5").set("/process/terminal", json!(true));
    bundle.write();
    let name = bundle.path().file_name().unwrap().to_str().unwrap().to_owned();
    for word in [bundle.path().to_str().unwrap(), &name] {
        let mut command = std::process::Command::new(RUNTIME);
        command.arg("--root").arg(bundle.state_root()).args(["run", word]);
        let call: common::Call = command
            .current_dir(bundle.path().parent().unwrap())
            .stdin(Stdio::null())
            .output()
            .unwrap()
            .into();
        assert_eq!((call.code, call.out.as_str()), (5, "one\nnot a tty\n"), "{call:?}");
    }
    bundle.assert_nothing_left();
}

#[test]
fn a_detached_run_returns_at_once_and_keep_keeps() {
    for caller in Caller::all("a_detached_run_returns_at_once_and_keep_keeps") {
        let bundle = caller.bundle(&["sleep", "1000"]);
        bundle.write().call_detached(&["run", "--detach", &bundle.id]).ok();
        assert_eq!(bundle.status(), "running");

        let kept = caller.bundle(&["true"]);
        kept.write().call(&["run", "--keep", &kept.id]).ok();
        assert_eq!(kept.status(), "stopped");
    }
}
