//! `kill`: names and numbers, and the words for those that are dead.

#![allow(clippy::unwrap_used, reason = "a test ends where its set-up fails")]

mod common;

use common::{Bundle, LIMIT};
use conformance::host::{Need, skip, wait_until};
use serde_json::json;

#[test]
fn kill_of_a_stopped_container_is_an_error_in_the_words_that_managers_look_for() {
    if skip("kill_of_a_stopped_container_is_an_error_in_the_words_that_managers_look_for", Need::Root) {
        return;
    }
    let bundle = Bundle::new(&["true"]);
    bundle.start().wait_for("stopped");
    let want = format!("kill container {}: container not running", bundle.id);
    bundle.call(&["kill", &bundle.id, "TERM"]).fails(&want);
    bundle.call(&["kill", "--all", &bundle.id, "9"]).ok();
}

#[test]
fn a_signal_reaches_init_by_name_number_and_real_time_name() {
    if skip("a_signal_reaches_init_by_name_number_and_real_time_name", Need::Root) {
        return;
    }
    for (signal, number) in [("USR1", 10), ("SIGTERM", 15), ("10", 10), ("RTMIN+3", 37)] {
        let line = format!("trap 'exit 3' {number}; echo ready; while :; do sleep 0.05; done");
        let bundle = Bundle::shell(&line);
        bundle.start();
        wait_until(LIMIT, "the trap", || bundle.output().contains("ready")).unwrap();
        bundle.call(&["kill", &bundle.id, signal]).ok();
        bundle.wait_for("stopped");
    }
}

#[test]
fn all_processes_get_a_signal_with_all_and_none_left_is_no_error() {
    if skip("all_processes_get_a_signal_with_all_and_none_left_is_no_error", Need::Root) {
        return;
    }
    // In the host's pid namespace nothing dies with init.
    let bundle = Bundle::shell("sleep 1000 & wait");
    let spaces = json!([{ "type": "mount" }, { "type": "uts" }, { "type": "ipc" }, { "type": "network" }]);
    let bundle = bundle.set("/linux/namespaces", spaces);
    bundle.start();
    let ids = || bundle.call(&["ps", "--format", "json", &bundle.id]).out;
    wait_until(LIMIT, "both processes", || ids().contains(',')).unwrap();
    bundle.call(&["kill", "--all", &bundle.id, "KILL"]).ok();
    bundle.wait_for("stopped");
    bundle.call(&["kill", "--all", &bundle.id, "KILL"]).ok();
    bundle.call(&["delete", &bundle.id]).ok();
    bundle.assert_nothing_left();
}
