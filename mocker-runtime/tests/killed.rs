//! A runtime that is killed at any moment leaves nothing that a forced delete does not take away, and what `state`
//! and `list` say in between is true.

#![allow(clippy::unwrap_used, reason = "a test ends where its set-up fails")]

mod common;
#[path = "common/trace.rs"]
mod trace;

use std::fs;

use common::{Bundle, LIMIT};
use conformance::host::{Need, skip, wait_until};
use trace::{End, kill_at};

/// Every how many system calls the runtime is killed: each of them, unless somebody is in a hurry.
fn stride() -> usize {
    std::env::var("MOCKER_STRIDE").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// Processes that have the container's name among their words: the runtime's own, init before its program.
fn processes(bundle: &Bundle) -> usize {
    let has_name = |path: std::path::PathBuf| {
        fs::read(path.join("cmdline")).is_ok_and(|words| String::from_utf8_lossy(&words).contains(&bundle.id))
    };
    fs::read_dir("/proc").unwrap().flatten().filter(|entry| has_name(entry.path())).count()
}

/// What is said of the container must be so.
fn check_state(bundle: &Bundle, at: usize) {
    let listed = bundle.call(&["list", "-q"]);
    assert_eq!((listed.code, listed.err.as_str()), (0, ""), "list after a kill at {at}: {listed:?}");
    let call = bundle.call(&["state", &bundle.id]);
    if call.code != 0 {
        assert!(call.err.contains("does not exist"), "state after a kill at {at}: {call:?}");
        assert_eq!(listed.out, "", "list after a kill at {at}");
        return;
    }
    assert_eq!(listed.out.trim(), bundle.id, "list after a kill at {at}");
    let mut state: serde_json::Value = serde_json::from_str(&call.out).unwrap();
    let alive = |pid: &serde_json::Value| {
        fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|text| !text.contains(") Z "))
    };
    let lives = |state: &serde_json::Value| match state["status"].as_str().unwrap() {
        "created" | "running" => true,
        "stopped" | "creating" => false,
        other => unreachable!("{other} after a kill at {at}"),
    };
    if lives(&state) && !alive(&state["pid"]) {
        // It has died since, and a look from after its death must say so.
        state = bundle.state();
        assert!(!lives(&state), "after a kill at {at}: {state}");
    }
}

/// Kills `words` before each of its system calls, each time on a container that `before` has brought about.
fn kill_everywhere(program: &[&str], before: impl Fn(&Bundle), words: impl Fn(&Bundle) -> Vec<String>) {
    let mut at = 1;
    loop {
        let bundle = Bundle::new(program);
        bundle.write();
        before(&bundle);
        let words = words(&bundle);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let end = kill_at(&bundle, &words, at);
        check_state(&bundle, at);
        bundle.call(&["delete", "--force", &bundle.id]).ok();
        wait_until(LIMIT, "the end of all processes", || processes(&bundle) == 0).unwrap();
        bundle.assert_nothing_left();
        if let End::Exited { code, calls } = end {
            assert_eq!(code, 0, "{words:?} after {calls} calls");
            assert!(at > 20, "{words:?} was never killed");
            return;
        }
        at += stride();
    }
}

fn own(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn a_create_killed_at_any_system_call_is_cleared_away() {
    if skip("a_create_killed_at_any_system_call_is_cleared_away", Need::Root) {
        return;
    }
    kill_everywhere(&["sleep", "1000"], |_| {}, |bundle| own(&["create", &bundle.id]));
}

#[test]
fn a_start_killed_at_any_system_call_is_cleared_away() {
    if skip("a_start_killed_at_any_system_call_is_cleared_away", Need::Root) {
        return;
    }
    let create = |bundle: &Bundle| {
        bundle.create().ok();
    };
    kill_everywhere(&["sleep", "1000"], create, |bundle| own(&["start", &bundle.id]));
}

#[test]
fn an_exec_killed_at_any_system_call_is_cleared_away() {
    if skip("an_exec_killed_at_any_system_call_is_cleared_away", Need::Root) {
        return;
    }
    let start = |bundle: &Bundle| {
        bundle.start();
    };
    kill_everywhere(&["sleep", "1000"], start, |bundle| own(&["exec", "-d", &bundle.id, "sleep", "1000"]));
}

#[test]
fn a_delete_killed_at_any_system_call_is_finished_by_the_next() {
    if skip("a_delete_killed_at_any_system_call_is_finished_by_the_next", Need::Root) {
        return;
    }
    let start = |bundle: &Bundle| {
        bundle.start();
    };
    kill_everywhere(&["sleep", "1000"], start, |bundle| own(&["delete", "--force", &bundle.id]));
}
