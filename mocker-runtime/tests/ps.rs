//! `ps`: the container's processes, as the host numbers them.

#![allow(clippy::unwrap_used, reason = "a test ends where its set-up fails")]

mod common;

use common::{Caller, LIMIT};
use conformance::host::wait_until;

#[test]
fn the_processes_are_those_of_the_host_as_numbers_or_as_ps_shows_them() {
    for caller in Caller::all("the_processes_are_those_of_the_host_as_numbers_or_as_ps_shows_them") {
        let bundle = caller.with_cgroup(&["sh", "-c", "sleep 1234 & wait"]);
        bundle.start();
        let ids = || -> Vec<i64> {
            serde_json::from_str(&bundle.call(&["ps", "--format", "json", &bundle.id]).ok()).unwrap()
        };
        wait_until(LIMIT, "both processes", || ids().len() == 2).unwrap();
        assert!(ids().contains(&bundle.state()["pid"].as_i64().unwrap()));
        let table = bundle.call(&["ps", &bundle.id]).ok();
        assert!(table.lines().next().unwrap().contains("PID"), "{table}");
        assert_eq!(table.lines().count(), 3, "{table}");
        // Words of ps(1) after the id.
        let table = bundle.call(&["ps", &bundle.id, "-o", "pid,args"]).ok();
        assert!(table.contains("sleep 1234"), "{table}");
    }
}

#[test]
fn a_stopped_container_has_no_processes() {
    for caller in Caller::all("a_stopped_container_has_no_processes") {
        let bundle = caller.with_cgroup(&["true"]);
        bundle.start();
        bundle.wait_for("stopped");
        assert_eq!(bundle.call(&["ps", "--format", "json", &bundle.id]).out.trim(), "[]");
    }
}
