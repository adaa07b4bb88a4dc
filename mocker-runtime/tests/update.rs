//! update: new limits in the kernel's files, on version 1, hybrid and version 2.

#![allow(clippy::unwrap_used, reason = "a test ends where its set-up fails")]

mod common;

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::Stdio;

use common::{Bundle, Call, Caller};
use conformance::host::{Need, skip};
use serde_json::{Value, json};

/// A flag and its value, the file that shows it in version 1 and 2; each call stands on those before.
const FLAGS: [([&str; 2], [&str; 3], [&str; 3]); 15] = [
    (
        ["--memory", "64M"],
        ["memory", "memory.limit_in_bytes", "67108864"],
        ["memory", "memory.max", "67108864"],
    ),
    (
        ["--memory-reservation", "33554432"],
        ["memory", "memory.soft_limit_in_bytes", "33554432"],
        ["memory", "memory.low", "33554432"],
    ),
    (
        ["--memory-swap", "96m"],
        ["memory", "memory.memsw.limit_in_bytes", "100663296"],
        ["memory", "memory.swap.max", "33554432"],
    ),
    // the sum stays
    (
        ["--memory", "80M"],
        ["memory", "memory.memsw.limit_in_bytes", "100663296"],
        ["memory", "memory.swap.max", "16777216"],
    ),
    (["--cpu-share", "512"], ["cpu", "cpu.shares", "512"], ["cpu", "cpu.weight", "59"]),
    (["--cpu-quota", "50000"], ["cpu", "cpu.cfs_quota_us", "50000"], ["cpu", "cpu.max", "50000 100000"]),
    (["--cpu-period", "40000"], ["cpu", "cpu.cfs_period_us", "40000"], ["cpu", "cpu.max", "50000 40000"]),
    (["--cpu-burst", "1000"], ["cpu", "cpu.cfs_burst_us", "1000"], ["cpu", "cpu.max.burst", "1000"]),
    (["--cpu-quota", "-1"], ["cpu", "cpu.cfs_quota_us", "-1"], ["cpu", "cpu.max", "max 40000"]),
    (["--cpu-idle", "1"], ["cpu", "cpu.idle", "1"], ["cpu", "cpu.idle", "1"]),
    (["--cpuset-cpus", "0"], ["cpuset", "cpuset.cpus", "0"], ["cpuset", "cpuset.cpus", "0"]),
    (["--cpuset-mems", "0"], ["cpuset", "cpuset.mems", "0"], ["cpuset", "cpuset.mems", "0"]),
    (["--pids-limit", "23"], ["pids", "pids.max", "23"], ["pids", "pids.max", "23"]),
    (["--pids-limit", "-1"], ["pids", "pids.max", "max"], ["pids", "pids.max", "max"]),
    (["--pids-limit", "0"], ["pids", "pids.max", "1"], ["pids", "pids.max", "1"]),
];

/// A running container in a cgroup that no other test uses.
fn running(caller: Caller) -> Bundle {
    let mut bundle = caller.with_cgroup(&["sleep", "1000"]);
    if caller == Caller::Root {
        let path = format!("/{}", bundle.id);
        bundle = bundle.set("/linux/cgroupsPath", json!(path));
    }
    bundle.start();
    bundle
}

/// A file of the container's cgroup.
fn file(bundle: &Bundle, controller: &str, name: &str) -> PathBuf {
    let root = PathBuf::from("/sys/fs/cgroup");
    let mount = if Need::CgroupV2.is_met() { root } else { root.join(controller) };
    bundle.tree.as_ref().map_or(mount, |tree| tree.dir(controller)).join(&bundle.id).join(name)
}

fn read(bundle: &Bundle, controller: &str, name: &str) -> String {
    fs::read_to_string(file(bundle, controller, name)).unwrap().trim().to_owned()
}

/// `update` with resources on standard input.
fn update(bundle: &Bundle, resources: &Value) -> Call {
    let mut child = bundle
        .command(&["update", "--resources=-", &bundle.id])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(resources.to_string().as_bytes()).unwrap();
    child.wait_with_output().unwrap().into()
}

#[test]
fn every_flag_reaches_the_file_of_its_version() {
    let test = "every_flag_reaches_the_file_of_its_version";
    if skip(test, Need::Root) {
        return;
    }
    let bundle = running(Caller::Root);
    for ([flag, value], version_1, version_2) in FLAGS {
        let [controller, name, want] = if Need::CgroupV2.is_met() { version_2 } else { version_1 };
        if skip(test, Need::Controller(controller)) {
            continue;
        }
        assert_eq!(bundle.call(&["update", flag, value, &bundle.id]).ok(), "", "{flag} {value}");
        assert_eq!(read(&bundle, controller, name), want, "{flag} {value}");
    }
    bundle.call(&["delete", "--force", &bundle.id]).ok();
    bundle.assert_nothing_left();
}

#[test]
fn memory_and_swap_grow_and_shrink_in_one_call() {
    if skip("memory_and_swap_grow_and_shrink_in_one_call", Need::Root) {
        return;
    }
    let bundle = running(Caller::Root);
    for (limit, swap) in [(64, 96), (256, 512), (48, 60), (100, 100)] {
        let resources = json!({ "memory": { "limit": limit << 20, "swap": swap << 20 } });
        update(&bundle, &resources).ok();
        let want = match Need::CgroupV2.is_met() {
            true => [("memory.max", limit), ("memory.swap.max", swap - limit)],
            false => [("memory.limit_in_bytes", limit), ("memory.memsw.limit_in_bytes", swap)],
        };
        for (name, want) in want {
            assert_eq!(read(&bundle, "memory", name), (want << 20).to_string(), "{limit} {swap}");
        }
    }
    // without a limit of memory there is none of the sum
    bundle.call(&["update", "--memory", "-1", &bundle.id]).ok();
    let (name, none) = match Need::CgroupV2.is_met() {
        true => ("memory.swap.max", "max"),
        false => ("memory.memsw.limit_in_bytes", "9223372036854771712"),
    };
    assert_eq!(read(&bundle, "memory", name), none);
}

#[test]
fn a_paused_container_gets_its_limits_from_a_file_and_stays_paused() {
    for caller in Caller::all("a_paused_container_gets_its_limits_from_a_file_and_stays_paused") {
        let bundle = running(caller);
        bundle.call(&["pause", &bundle.id]).ok();
        let resources = json!({ "pids": { "limit": 31 }, "cpu": { "shares": 1024 }, "unknown": 1 });
        fs::write(bundle.path().join("limits.json"), resources.to_string()).unwrap();
        bundle.call(&["update", "-r", "limits.json", "--pids-limit", "7", &bundle.id]).ok();
        assert_eq!(read(&bundle, "pids", "pids.max"), "31");
        assert_eq!(bundle.status(), "paused");
        bundle.call(&["resume", &bundle.id]).ok();
    }
}

#[test]
fn a_value_that_the_kernel_refuses_leaves_all_limits_as_they_were() {
    for caller in Caller::all("a_value_that_the_kernel_refuses_leaves_all_limits_as_they_were") {
        let bundle = running(caller);
        bundle.call(&["update", "--pids-limit", "40", "--cpu-share", "300", &bundle.id]).ok();
        let call = update(&bundle, &json!({ "pids": { "limit": 50 }, "cpu": { "quota": 5, "shares": 900 } }));
        let (line, name) = match Need::CgroupV2.is_met() {
            true => ("5 100000", "cpu.max"),
            false => ("5", "cpu.cfs_quota_us"),
        };
        let path = file(&bundle, "cpu", name);
        call.fails(&format!(
            "update container {}: write {line:?} to {}: Invalid argument",
            bundle.id,
            path.display()
        ));
        assert_eq!(read(&bundle, "pids", "pids.max"), "40");
        let weight = if Need::CgroupV2.is_met() { ("cpu.weight", "39") } else { ("cpu.shares", "300") };
        assert_eq!(read(&bundle, "cpu", weight.0), weight.1);
    }
}

#[test]
fn devices_can_be_allowed_and_denied_again() {
    if skip("devices_can_be_allowed_and_denied_again", Need::Root) {
        return;
    }
    // 1:11 is /dev/kmsg: there on every kernel, and not among the default devices
    let mut bundle = Bundle::shell("mknod /dev/k c 1 11; touch /ready; sleep 1000");
    for set in ["bounding", "effective", "permitted"] {
        for capability in ["CAP_MKNOD", "CAP_SYSLOG"] {
            bundle = bundle.set(&format!("/process/capabilities/{set}/-"), json!(capability));
        }
    }
    bundle.start();
    conformance::host::wait_until(common::LIMIT, "the node", || bundle.rootfs("ready").is_file()).unwrap();
    let open = |path: &str| bundle.call(&["exec", &bundle.id, "head", "-c", "0", path]);
    let deny = json!({ "allow": false, "access": "rwm" });
    let allow = json!({ "allow": true, "type": "c", "major": 1, "minor": 11, "access": "r" });
    assert!(open("/dev/k").err.contains("Operation not permitted"));
    for _ in 0..2 {
        update(&bundle, &json!({ "devices": [deny, allow] })).ok();
        open("/dev/k").ok();
        // what names no devices leaves them alone
        update(&bundle, &json!({ "pids": { "limit": 100 } })).ok();
        open("/dev/k").ok();
        update(&bundle, &json!({ "devices": [deny] })).ok();
        assert!(open("/dev/k").err.contains("Operation not permitted"));
        open("/dev/null").ok();
    }
}

#[test]
fn a_limit_below_what_is_in_use_is_refused_when_it_shall_be_checked() {
    let test = "a_limit_below_what_is_in_use_is_refused_when_it_shall_be_checked";
    if skip(test, Need::Root) || skip(test, Need::CgroupV2) {
        return;
    }
    let bundle = running(Caller::Root);
    let call = update(&bundle, &json!({ "memory": { "limit": 4096, "checkBeforeUpdate": true } }));
    let act = format!("update container {}: memory.limit 4096 is less than the ", bundle.id);
    assert!(call.code == 1 && call.err.contains(&act), "{call:?}");
    assert_eq!(read(&bundle, "memory", "memory.max"), "max");
    assert_eq!(bundle.status(), "running");
}

#[test]
fn a_container_that_has_stopped_has_no_limits_to_change() {
    for caller in Caller::all("a_container_that_has_stopped_has_no_limits_to_change") {
        let bundle = caller.bundle(&["true"]);
        bundle.start().wait_for("stopped");
        bundle
            .call(&["update", "--pids-limit", "3", &bundle.id])
            .fails(&format!("update container {}: container not running", bundle.id));
    }
}

#[test]
fn wrong_words_are_told_by_name() {
    if skip("wrong_words_are_told_by_name", Need::Root) {
        return;
    }
    let bundle = Bundle::new(&["true"]);
    bundle.call(&["update", "no-such"]).fails("container no-such does not exist");
    bundle.create().ok();
    let id = bundle.id.as_str();
    bundle.call(&["update", "--memory", "1x", id]).fails(
        "invalid value '1x' for '--memory <BYTES>': \"1x\" is not a number of bytes, with b, k, m, g, t or p behind it",
    );
    bundle.call(&["update", "-r", "/no/such", id]).fails("read /no/such: No such file or directory");
    fs::write(bundle.path().join("broken"), "{\n\"pids\": 7}").unwrap();
    let call = bundle.call(&["update", "-r", "broken", id]);
    assert!(call.err.contains("parse the resources in broken: ") && call.err.contains("line 2"), "{call:?}");
    bundle
        .call(&["update", "--l3-cache-schema", "L3:0=f", id])
        .fails("Intel RDT/CAT: l3 cache schema is not enabled");
}
