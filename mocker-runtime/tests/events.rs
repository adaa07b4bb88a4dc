//! events: what a container uses, kills for want of memory, and the end.

#![allow(clippy::unwrap_used, reason = "a test ends where its set-up fails")]

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Stdio};

use common::{Bundle, Caller, LIMIT};
use conformance::host::{Need, skip, wait_until};
use serde_json::{Value, json};

/// `events` at work; ended when it is dropped.
struct Events {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Events {
    /// Watches from its first line on.
    fn of(bundle: &Bundle) -> Self {
        let mut child = bundle
            .command(&["events", "--interval", "20ms", &bundle.id])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut events = Self { child, lines };
        assert_eq!(events.next().unwrap()["type"], "stats");
        events
    }

    /// None at the end.
    fn next(&mut self) -> Option<Value> {
        self.lines.next().map(|line| serde_json::from_str(&line.unwrap()).unwrap())
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn stats(bundle: &Bundle) -> Value {
    serde_json::from_str(&bundle.call(&["events", "--stats", &bundle.id]).ok()).unwrap()
}

#[test]
fn stats_are_what_the_kernels_files_say() {
    for caller in Caller::all("stats_are_what_the_kernels_files_say") {
        let bundle = caller
            .with_cgroup(&["sh", "-c", "while true; do true; done"])
            .set("/linux/resources/memory/limit", json!(67_108_864))
            .set("/linux/resources/pids/limit", json!(23));
        bundle.start();
        let event = stats(&bundle);
        assert_eq!((&event["type"], &event["id"]), (&json!("stats"), &json!(bundle.id)));
        let data = &event["data"];
        assert_eq!(data["pids"], json!({ "current": 1, "limit": 23 }));
        assert_eq!(data["memory"]["usage"]["limit"], 67_108_864);
        assert!(data["memory"]["usage"]["usage"].as_u64().unwrap() > 0, "{data}");
        assert!(data["memory"]["raw"].as_object().unwrap().len() > 10, "{data}");
        // some kernels count whole ticks only
        let total = || stats(&bundle)["data"]["cpu"]["usage"]["total"].as_u64();
        let before = total();
        wait_until(LIMIT, "processor time", || total() > before).unwrap();
        // and a container that stands still is still counted
        bundle.call(&["pause", &bundle.id]).ok();
        assert_eq!(stats(&bundle)["data"]["pids"]["current"], 1);
        bundle.call(&["resume", &bundle.id]).ok();
    }
}

#[test]
fn every_member_of_the_document_is_there_for_go_to_read() {
    if skip("every_member_of_the_document_is_there_for_go_to_read", Need::Root) {
        return;
    }
    let bundle = Bundle::new(&["sleep", "1000"]);
    bundle.create().ok();
    let data = stats(&bundle)["data"].take();
    let members: Vec<&str> = data.as_object().unwrap().keys().map(String::as_str).collect();
    let want = ["blkio", "cpu", "cpuset", "hugetlb", "intel_rdt", "memory", "network_interfaces", "pids"];
    assert_eq!(members, want);
    assert_eq!((&data["intel_rdt"], &data["network_interfaces"]), (&json!({}), &Value::Null));
    // pressure, as runc tells it, on kernels that count it
    if Need::CgroupV2.is_met() && fs::read("/proc/pressure/cpu").is_ok() {
        for resource in ["cpu", "memory", "blkio"] {
            // what is nothing but zeros is left out
            for (kind, stall) in data[resource]["psi"].as_object().unwrap() {
                assert!(["some", "full"].contains(&kind.as_str()), "{resource}: {data}");
                assert!(stall["avg10"].is_number() && stall["avg60"].is_number(), "{resource}: {data}");
                assert!(stall["avg300"].is_number() && stall["total"].is_u64(), "{resource}: {data}");
            }
        }
    }
    if Need::CgroupV1.is_met() {
        assert!(!data["cpu"]["usage"]["percpu"].as_array().unwrap().is_empty(), "{data}");
        assert!(data["memory"]["kernelTCP"].is_object(), "{data}");
    }
}

#[test]
fn events_come_in_each_interval_and_end_with_the_container() {
    if skip("events_come_in_each_interval_and_end_with_the_container", Need::Root) {
        return;
    }
    let bundle = Bundle::new(&["sleep", "1000"]);
    bundle.start();
    let mut events = Events::of(&bundle);
    for _ in 0..3 {
        assert_eq!(events.next().unwrap()["type"], "stats");
    }
    bundle.call(&["kill", &bundle.id, "KILL"]).ok();
    while let Some(event) = events.next() {
        assert_eq!(event["type"], "stats");
    }
    assert_eq!(events.child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_kill_for_want_of_memory_is_told_and_ends_the_container_with_137() {
    let test = "a_kill_for_want_of_memory_is_told_and_ends_the_container_with_137";
    if skip(test, Need::Root) || skip(test, Need::Controller("memory")) {
        return;
    }
    let bundle = Bundle::shell("busybox tail -c 60000000 /dev/zero; echo $?; sleep 1000")
        .set("/linux/resources/memory/limit", json!(20_000_000))
        .set("/linux/resources/memory/swap", json!(20_000_000));
    bundle.create().ok();
    let mut events = Events::of(&bundle);
    bundle.call(&["start", &bundle.id]).ok();
    let oom = std::iter::from_fn(|| events.next()).find(|event| event["type"] == "oom");
    assert_eq!(oom.unwrap(), json!({ "type": "oom", "id": bundle.id }));
    wait_until(LIMIT, "its status", || bundle.output() == "137\n").unwrap();
    assert_eq!(bundle.status(), "running");
}

#[test]
fn a_kill_that_ends_the_container_is_told_before_the_end() {
    let test = "a_kill_that_ends_the_container_is_told_before_the_end";
    if skip(test, Need::Root) || skip(test, Need::Controller("memory")) {
        return;
    }
    let bundle = Bundle::new(&["busybox", "tail", "-c", "60000000", "/dev/zero"])
        .set("/linux/resources/memory/limit", json!(20_000_000))
        .set("/linux/resources/memory/swap", json!(20_000_000));
    bundle.create().ok();
    let mut events = Events::of(&bundle);
    bundle.call(&["start", &bundle.id]).ok();
    let kinds: Vec<Value> = std::iter::from_fn(|| events.next()).map(|event| event["type"].clone()).collect();
    assert!(kinds.contains(&json!("oom")), "{kinds:?}");
    assert_eq!(events.child.wait().unwrap().code(), Some(0));
}

#[test]
fn what_has_no_events_is_told_by_name() {
    if skip("what_has_no_events_is_told_by_name", Need::Root) {
        return;
    }
    let bundle = Bundle::new(&["true"]);
    bundle.call(&["events", "no-such"]).fails("container no-such does not exist");
    bundle.start().wait_for("stopped");
    let sentence = format!("container with id {} is not running", bundle.id);
    bundle.call(&["events", &bundle.id]).fails(&sentence);
    bundle.call(&["events", "--stats", &bundle.id]).fails(&sentence);
    bundle.call(&["events", "--interval", "0s", &bundle.id]).fails(
        "invalid value '0s' for '--interval <TIME>': \"0s\" is not a time above 0 such as 500ms, 5s or 1m30s",
    );
}
