//! Limits hold on version 1, hybrid and version 2, and no directory is left.

#![allow(clippy::unwrap_used, reason = "a test ends where its set-up fails")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::Bundle;
use conformance::host::{Need, cgroup, skip};
use serde_json::json;

/// A limit in config.json, and the file that shows it: in version 1, in version 2.
const LIMITS: [(&str, i64, [&str; 3], [&str; 2]); 3] = [
    (
        "/linux/resources/memory/limit",
        67_108_864,
        ["memory", "memory.limit_in_bytes", "67108864"],
        ["memory.max", "67108864"],
    ),
    ("/linux/resources/pids/limit", 23, ["pids", "pids.max", "23"], ["pids.max", "23"]),
    ("/linux/resources/cpu/shares", 512, ["cpu", "cpu.shares", "512"], ["cpu.weight", "59"]),
];

/// A path below every hierarchy that no other test uses.
fn own_path(bundle: &Bundle) -> String {
    format!("/mocker-test/{}", bundle.id)
}

/// The container's directory.
fn dir(bundle: &Bundle, controller: &str) -> PathBuf {
    let root = Path::new("/sys/fs/cgroup");
    let mount = if Need::CgroupV2.is_met() { root.to_owned() } else { root.join(controller) };
    mount.join(own_path(bundle).trim_start_matches('/'))
}

fn limits_are_written(test: &str, need: Need) {
    if skip(test, Need::Root) || skip(test, need) {
        return;
    }
    let mut bundle = Bundle::new(&["sleep", "1000"]);
    let path = own_path(&bundle);
    bundle = bundle.set("/linux/cgroupsPath", json!(path));
    for (pointer, value, _, _) in LIMITS {
        bundle = bundle.set(pointer, json!(value));
    }
    bundle.start();
    let pid = bundle.state()["pid"].to_string();
    for (pointer, _, [controller, file, want], [file_2, want_2]) in LIMITS {
        let (file, want) = if need == Need::CgroupV2 { (file_2, want_2) } else { (file, want) };
        let dir = dir(&bundle, controller);
        let read = |file: &str| fs::read_to_string(dir.join(file)).unwrap();
        assert_eq!(read(file).trim(), want, "{pointer}");
        assert!(read("cgroup.procs").lines().any(|line| line == pid), "init is not in {}", dir.display());
    }
    bundle.call(&["delete", "--force", &bundle.id]).ok();
    bundle.assert_nothing_left();
}

#[test]
fn limits_are_in_the_files_of_version_1() {
    limits_are_written("limits_are_in_the_files_of_version_1", Need::CgroupV1);
}

#[test]
fn limits_are_in_the_files_of_version_2() {
    limits_are_written("limits_are_in_the_files_of_version_2", Need::CgroupV2);
}

#[test]
fn a_container_over_its_memory_is_killed() {
    if skip("a_container_over_its_memory_is_killed", Need::Root) {
        return;
    }
    let bundle = Bundle::shell("head -c 60000000 /dev/zero >/dev/shm/file && echo survived")
        .set("/linux/resources/memory/limit", json!(20_000_000));
    let call = bundle.run();
    assert!(!call.out.contains("survived"), "{call:?}");
    bundle.assert_nothing_left();
    // init itself, whose end is the container's
    let bundle = Bundle::new(&["busybox", "tail", "-c", "60000000", "/dev/zero"])
        .set("/linux/resources/memory", json!({ "limit": 20_000_000, "swap": 20_000_000 }));
    assert_eq!(bundle.run().code, 137);
    bundle.assert_nothing_left();
}

#[test]
fn no_more_processes_than_allowed_can_be_made() {
    if skip("no_more_processes_than_allowed_can_be_made", Need::Root) {
        return;
    }
    let bundle = Bundle::shell("for i in 1 2 3 4 5 6 7 8; do sleep 1000 & done; echo all")
        .set("/linux/resources/pids/limit", json!(4));
    let call = bundle.run();
    assert!(call.err.contains("can't fork"), "{call:?}");
    bundle.assert_nothing_left();
}

#[test]
fn a_device_that_no_rule_allows_cannot_be_opened_and_an_allowed_one_can() {
    if skip("a_device_that_no_rule_allows_cannot_be_opened_and_an_allowed_one_can", Need::Root) {
        return;
    }
    // 1:11 is /dev/kmsg: there on every kernel, and not among the default devices
    let open = "mknod /dev/k c 1 11 && cat /dev/null && head -c 0 /dev/k && echo opened";
    let mut bundle = Bundle::shell(open);
    for set in ["bounding", "effective", "permitted"] {
        for capability in ["CAP_MKNOD", "CAP_SYSLOG"] {
            bundle = bundle.set(&format!("/process/capabilities/{set}/-"), json!(capability));
        }
    }
    let denied = bundle.run();
    assert!(denied.err.contains("Operation not permitted") && !denied.out.contains("opened"), "{denied:?}");

    let rule = json!({ "allow": true, "type": "c", "major": 1, "minor": 11, "access": "r" });
    let allowed = bundle.set("/linux/resources/devices/-", rule);
    let call = allowed.run();
    assert_eq!(call.out, "opened\n", "{call:?}");
}

#[test]
fn device_rules_are_in_force_before_the_first_hook() {
    if skip("device_rules_are_in_force_before_the_first_hook", Need::Root) {
        return;
    }
    // The first runs in the runtime's own cgroup until it enters the container's, the second as a child of init's.
    for (phase, seen) in [("createRuntime", "open\nshut\n"), ("createContainer", "shut\n")] {
        let bundle = Bundle::new(&["true"]);
        let (path, out) = (own_path(&bundle), bundle.path().join("out"));
        let bundle = bundle.set("/linux/cgroupsPath", json!(path));
        let procs = dir(&bundle, "devices").join("cgroup.procs");
        // 1:11 is /dev/kmsg: there on every kernel, and not among the default devices
        let node = bundle.path().join("node");
        let script = format!(
            "mknod {0} c 1 11; head -c 0 {0} && echo open >>{1}; echo 0 >{2}; head -c 0 {0} || echo shut >>{1}",
            node.display(),
            out.display(),
            procs.display()
        );
        let hook =
            json!([{ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"] }]);
        let bundle = bundle.set(&format!("/hooks/{phase}"), hook);
        bundle.run().ok();
        assert_eq!(fs::read_to_string(&out).unwrap(), seen, "{phase}");
    }
}

#[test]
fn a_cgroup_with_processes_of_somebody_else_is_refused_and_left_alone() {
    if skip("a_cgroup_with_processes_of_somebody_else_is_refused_and_left_alone", Need::Root) {
        return;
    }
    let first = Bundle::new(&["sleep", "1000"]);
    let path = own_path(&first);
    let first = first.set("/linux/cgroupsPath", json!(path));
    first.start();
    let second = Bundle::new(&["true"]).set("/linux/cgroupsPath", json!(path));
    let call = second.run();
    assert!(call.err.contains(&format!("{path} has processes in it")), "{call:?}");
    assert_eq!(first.status(), "running");
}

#[test]
fn a_limit_that_the_host_cannot_apply_names_controller_and_file() {
    if skip("a_limit_that_the_host_cannot_apply_names_controller_and_file", Need::Root) {
        return;
    }
    let bundle =
        Bundle::new(&["true"]).set("/linux/resources/rdma", json!({ "mlx5_1": { "hcaHandles": 3 } }));
    let call = bundle.run();
    assert_eq!(call.code, 1);
    // where there is a controller, it is the device that is not there
    let word = if Need::Controller("rdma").is_met() { "No such device" } else { "controller \"rdma\"" };
    assert!(call.err.contains("rdma.max") && call.err.contains(word), "{:?} {call:?}", cgroup());
    bundle.assert_nothing_left();
    if !Need::CgroupV2.is_met() {
        return;
    }
    // and so with what only processors of some makers have
    let bundle = Bundle::new(&["true"]).set("/linux/resources/unified", json!({ "misc.max": "tea 1" }));
    let call = bundle.run();
    let word = if Need::Controller("misc").is_met() { "Invalid argument" } else { "controller \"misc\"" };
    assert!(call.code == 1 && call.err.contains("misc.max") && call.err.contains(word), "{call:?}");
    bundle.assert_nothing_left();
}
