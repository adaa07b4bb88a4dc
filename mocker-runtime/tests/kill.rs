//! `kill`: names and numbers, and the words for those that are dead.

#![allow(clippy::unwrap_used, reason = "a test ends where its set-up fails")]

mod common;

use common::{Caller, LIMIT};
use conformance::host::wait_until;

#[test]
fn kill_of_a_stopped_container_is_an_error_in_the_words_that_managers_look_for() {
    for caller in Caller::all("kill_of_a_stopped_container_is_an_error_in_the_words_that_managers_look_for") {
        let bundle = caller.bundle(&["true"]);
        bundle.start().wait_for("stopped");
        let want = format!("kill container {}: container not running", bundle.id);
        bundle.call(&["kill", &bundle.id, "TERM"]).fails(&want);
        bundle.call(&["kill", "--all", &bundle.id, "9"]).ok();
    }
}

#[test]
fn a_signal_reaches_init_by_name_number_and_real_time_name() {
    for caller in Caller::all("a_signal_reaches_init_by_name_number_and_real_time_name") {
        for (signal, number) in [("USR1", 10), ("SIGTERM", 15), ("10", 10), ("RTMIN+3", 37)] {
            let line = format!("trap 'exit 3' {number}; echo ready; while :; do sleep 0.05; done");
            let bundle = caller.shell(&line);
            bundle.start();
            wait_until(LIMIT, "the trap", || bundle.output().contains("ready")).unwrap();
            bundle.call(&["kill", &bundle.id, signal]).ok();
            bundle.wait_for("stopped");
        }
    }
}

#[test]
fn all_processes_get_a_signal_with_all_and_none_left_is_no_error() {
    for caller in Caller::all("all_processes_get_a_signal_with_all_and_none_left_is_no_error") {
        // In the host's pid namespace nothing dies with init.
        let mut bundle = caller.with_cgroup(&["sh", "-c", "sleep 1000 & wait"]);
        if caller == Caller::User {
            // who has no pid namespace of their own may show the host's processes, but not mount them anew
            for mount in bundle.config["mounts"].as_array_mut().unwrap() {
                if mount["type"] == "proc" {
                    *mount = common::mount("bind", "/proc", "/proc", &["rbind"]);
                }
            }
        }
        bundle.config["linux"]["namespaces"].as_array_mut().unwrap().retain(|space| space["type"] != "pid");
        bundle.start();
        let ids = || bundle.call(&["ps", "--format", "json", &bundle.id]).out;
        wait_until(LIMIT, "both processes", || ids().contains(',')).unwrap();
        bundle.call(&["kill", "--all", &bundle.id, "KILL"]).ok();
        bundle.wait_for("stopped");
        bundle.call(&["kill", "--all", &bundle.id, "KILL"]).ok();
        bundle.call(&["delete", &bundle.id]).ok();
        bundle.assert_nothing_left();
    }
}
