//! The systemd driver: with the real one in the VM, for root and for a user; elsewhere with a bus of the
//! test's own.

#![allow(clippy::unwrap_used, reason = "a test ends where its set-up fails")]

#[path = "common/bus.rs"]
mod bus;
mod common;
#[path = "systemd/stand_in.rs"]
mod stand_in;
#[path = "systemd/user.rs"]
mod user;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Bundle, Call, LIMIT};
use conformance::host::{Need, skip, wait_until};
use serde_json::json;

/// A call with the flag.
fn call(bundle: &Bundle, words: &[&str]) -> Call {
    let mut all = vec!["--systemd-cgroup"];
    all.extend(words);
    bundle.write().call_detached(&all)
}

fn start(bundle: &Bundle) {
    call(bundle, &["run", "--detach", &bundle.id]).ok();
}

/// The cgroup of init in version 2.
fn dir(bundle: &Bundle) -> PathBuf {
    let text = fs::read_to_string(format!("/proc/{}/cgroup", bundle.state()["pid"])).unwrap();
    let own = text.lines().find_map(|line| line.strip_prefix("0::/")).unwrap();
    Path::new("/sys/fs/cgroup").join(own)
}

fn read(dir: &Path, file: &str) -> String {
    fs::read_to_string(dir.join(file)).unwrap().trim().to_owned()
}

fn is_there(path: &Path) -> bool {
    path.try_exists().unwrap()
}

fn systemctl(words: &[&str]) -> String {
    let output = Command::new("systemctl").args(words).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn show(unit: &str, property: &str) -> String {
    systemctl(&["show", "--value", "--property", property, unit])
}

/// Properties, the kernel's files, and what both say.
type Table<'a> = [(&'a str, &'a str, &'a str, &'a str)];

#[track_caller]
fn assert_says(unit: &str, dir: &Path, table: &Table<'_>) {
    for (property, shown, file, line) in table {
        assert_eq!(show(unit, property), *shown, "{property}");
        assert_eq!(read(dir, file), *line, "{file}");
    }
}

#[test]
fn systemctl_shows_the_limits_and_a_reload_changes_nothing_not_after_an_update_either() {
    let test = "systemctl_shows_the_limits_and_a_reload_changes_nothing_not_after_an_update_either";
    if skip(test, Need::Systemd) || skip(test, Need::CgroupV2) {
        return;
    }
    let bundle = Bundle::new(&["sleep", "1000"]).set(
        "/linux/resources",
        json!({
            "memory": { "limit": 67_108_864, "reservation": 33_554_432, "swap": 100_663_296 },
            "cpu": { "shares": 512, "quota": 12_345, "period": 50_000, "burst": 1000 },
            "pids": { "limit": 17 },
            "unified": { "memory.high": "60000000", "memory.min": "4096", "memory.oom.group": "1" },
        }),
    );
    start(&bundle);
    let unit = format!("mocker-{}.scope", bundle.id);
    let dir = dir(&bundle);
    assert_eq!(dir, Path::new("/sys/fs/cgroup/system.slice").join(&unit));
    let before = [
        ("MemoryMax", "67108864", "memory.max", "67108864"),
        ("MemoryLow", "33554432", "memory.low", "33554432"),
        ("MemorySwapMax", "33554432", "memory.swap.max", "33554432"),
        ("MemoryHigh", "60000000", "memory.high", "59998208"),
        ("MemoryMin", "4096", "memory.min", "4096"),
        ("OOMPolicy", "kill", "memory.oom.group", "1"),
        ("CPUWeight", "59", "cpu.weight", "59"),
        // to whole percents of a processor, since that is what systemd keeps
        ("CPUQuotaPerSecUSec", "250ms", "cpu.max", "12500 50000"),
        ("CPUQuotaPeriodUSec", "50ms", "cpu.max.burst", "1000"),
        ("TasksMax", "17", "pids.max", "17"),
        ("Delegate", "yes", "cgroup.freeze", "0"),
    ];
    assert_says(&unit, &dir, &before);
    systemctl(&["daemon-reload"]);
    assert_says(&unit, &dir, &before);

    bundle
        .call(&["update", "--memory", "80M", "--memory-swap", "96M", "--pids-limit", "23", &bundle.id])
        .ok();
    bundle.call(&["update", "--cpu-quota", "20000", "--cpu-share", "1024", &bundle.id]).ok();
    let after = [
        ("MemoryMax", "83886080", "memory.max", "83886080"),
        ("MemoryLow", "33554432", "memory.low", "33554432"),
        ("MemorySwapMax", "16777216", "memory.swap.max", "16777216"),
        ("MemoryHigh", "60000000", "memory.high", "59998208"),
        ("CPUWeight", "100", "cpu.weight", "100"),
        ("CPUQuotaPerSecUSec", "400ms", "cpu.max", "20000 50000"),
        ("TasksMax", "23", "pids.max", "23"),
    ];
    assert_says(&unit, &dir, &after);
    systemctl(&["daemon-reload"]);
    assert_says(&unit, &dir, &after);
    systemctl(&["set-property", "--runtime", &unit, "IOWeight=50"]);
    assert_says(&unit, &dir, &after);
    for (idle, weight) in [("1", "idle"), ("0", "[not set]")] {
        bundle.call(&["update", "--cpu-idle", idle, &bundle.id]).ok();
        systemctl(&["daemon-reload"]);
        assert_says(&unit, &dir, &[("CPUWeight", weight, "cpu.idle", idle)]);
    }

    bundle.call(&["delete", "--force", &bundle.id]).ok();
    wait_until(LIMIT, "the unit's end", || show(&unit, "LoadState") == "not-found").unwrap();
    bundle.assert_nothing_left();
    assert!(!is_there(&dir));
}

#[test]
fn throttles_are_properties_too_and_stay_over_a_reload_and_an_update() {
    let test = "throttles_are_properties_too_and_stay_over_a_reload_and_an_update";
    if skip(test, Need::Systemd) || skip(test, Need::CgroupV2) || skip(test, Need::Controller("io")) {
        return;
    }
    let (major, minor) = common::disk();
    let throttle = |key: &str, rate: u64| {
        let mut block = json!({});
        block[key] = json!([{ "major": major, "minor": minor, "rate": rate }]);
        block
    };
    let bundle = Bundle::new(&["sleep", "1000"])
        .set("/linux/resources/blockIO", throttle("throttleReadBpsDevice", 1_048_576));
    start(&bundle);
    let unit = format!("mocker-{}.scope", bundle.id);
    let dir = dir(&bundle);
    let device = format!("/dev/block/{major}:{minor}");
    let says = |read_rate: &str, writes: &str| {
        let line = format!("{major}:{minor} rbps={read_rate} wbps=max riops=max wiops={writes}");
        assert_eq!(read(&dir, "io.max"), line);
        assert_eq!(show(&unit, "IOReadBandwidthMax"), format!("{device} {read_rate}"));
    };
    says("1048576", "max");
    systemctl(&["daemon-reload"]);
    says("1048576", "max");
    for (key, rate) in [("throttleReadBpsDevice", 2_097_152), ("throttleWriteIOPSDevice", 200)] {
        fs::write(bundle.path().join("asked"), json!({ "blockIO": throttle(key, rate) }).to_string())
            .unwrap();
        bundle.call(&["update", "-r", "asked", &bundle.id]).ok();
    }
    says("2097152", "200");
    assert_eq!(show(&unit, "IOWriteIOPSMax"), format!("{device} 200"));
    systemctl(&["daemon-reload"]);
    // whatever makes systemd write its own limits once more
    systemctl(&["set-property", "--runtime", &unit, "IOWeight=50"]);
    says("2097152", "200");
}

#[test]
fn slices_are_made_and_annotations_become_properties() {
    let test = "slices_are_made_and_annotations_become_properties";
    if skip(test, Need::Systemd) || skip(test, Need::CgroupV2) {
        return;
    }
    let bundle =
        Bundle::new(&["sleep", "1000"]).set("/linux/cgroupsPath", json!("mtest-sub.slice:prefix:name"));
    let bundle = bundle.set(
        "/annotations",
        json!({
            "org.systemd.property.TimeoutStopSec": "uint64 7",
            "org.systemd.property.CollectMode": "'inactive-or-failed'",
            "org.systemd.property.Documentation": "['man:x(1)']",
            "run.oci.systemd.subgroup": "below/it",
        }),
    );
    start(&bundle);
    let scope = "/sys/fs/cgroup/mtest.slice/mtest-sub.slice/prefix-name.scope";
    assert_eq!(dir(&bundle), Path::new(scope).join("below/it"));
    let shown =
        ["TimeoutStopUSec", "CollectMode", "Documentation"].map(|name| show("prefix-name.scope", name));
    assert_eq!(shown, ["7s", "inactive-or-failed", "\"man:x(1)\""]);
    let entered = bundle.call(&["exec", &bundle.id, "cat", "/proc/self/cgroup"]).ok();
    assert!(entered.trim_end().ends_with("/prefix-name.scope/below/it"), "{entered}");
    bundle.call(&["delete", "--force", &bundle.id]).ok();
    wait_until(LIMIT, "the unit's end", || show("prefix-name.scope", "LoadState") == "not-found").unwrap();
    assert!(!is_there(Path::new(scope)));
    systemctl(&["stop", "mtest-sub.slice", "mtest.slice"]);
}

#[test]
fn a_device_stays_refused_and_an_allowed_one_usable_over_a_reload() {
    let test = "a_device_stays_refused_and_an_allowed_one_usable_over_a_reload";
    if skip(test, Need::Systemd) || skip(test, Need::CgroupV2) {
        return;
    }
    // 1:11 is /dev/kmsg: there on every kernel, and not among the default devices
    let mut bundle = Bundle::shell("mknod /dev/k c 1 11; touch /ready; sleep 1000");
    for set in ["bounding", "effective", "permitted"] {
        for capability in ["CAP_MKNOD", "CAP_SYSLOG"] {
            bundle = bundle.set(&format!("/process/capabilities/{set}/-"), json!(capability));
        }
    }
    start(&bundle);
    wait_until(LIMIT, "the node", || bundle.rootfs("ready").is_file()).unwrap();
    let open = |path: &str| bundle.call(&["exec", &bundle.id, "head", "-c", "0", path]);
    let update = |rules: serde_json::Value| {
        fs::write(bundle.path().join("rules"), json!({ "devices": rules }).to_string()).unwrap();
        bundle.call(&["update", "-r", "rules", &bundle.id]).ok();
    };
    let deny = json!({ "allow": false, "access": "rwm" });
    let allow = json!({ "allow": true, "type": "c", "major": 1, "minor": 11, "access": "r" });
    let refused = |call: Call| assert!(call.err.contains("Operation not permitted"), "{call:?}");
    refused(open("/dev/k"));
    systemctl(&["daemon-reload"]);
    refused(open("/dev/k"));
    open("/dev/null").ok();
    update(json!([deny, allow]));
    open("/dev/k").ok();
    systemctl(&["daemon-reload"]);
    open("/dev/k").ok();
    update(json!([deny]));
    refused(open("/dev/k"));
    systemctl(&["daemon-reload"]);
    refused(open("/dev/k"));
    // all but one: systemd knows no such list, and ours decides alone
    let not_this = json!({ "allow": false, "type": "c", "major": 1, "minor": 11, "access": "r" });
    update(json!([{ "allow": true, "access": "rwm" }, not_this]));
    systemctl(&["daemon-reload"]);
    refused(open("/dev/k"));
    open("/dev/null").ok();
}

#[test]
fn a_failed_unit_of_the_name_is_forgotten_and_a_running_one_is_left_alone() {
    let test = "a_failed_unit_of_the_name_is_forgotten_and_a_running_one_is_left_alone";
    if skip(test, Need::Systemd) || skip(test, Need::CgroupV2) {
        return;
    }
    let bundle = Bundle::new(&["sleep", "1000"]);
    let unit = format!("mocker-{}.scope", bundle.id);
    let mut other = Command::new("systemd-run")
        .args(["--quiet", "--scope", &format!("--unit={unit}"), "sleep", "1000"])
        .spawn()
        .unwrap();
    wait_until(LIMIT, "the other's unit", || show(&unit, "ActiveState") == "active").unwrap();
    let refused = call(&bundle, &["run", "--detach", &bundle.id]);
    let sentence = format!(
        "create container {}: start the unit {unit}: Unit {unit} was already loaded or has a fragment file",
        bundle.id
    );
    refused.fails(&sentence);
    assert_eq!(show(&unit, "ActiveState"), "active");
    assert!(other.try_wait().unwrap().is_none(), "the other's process is gone");
    other.kill().unwrap();
    other.wait().unwrap();

    let failing = format!("--unit={unit}");
    let short = ["--quiet", "--scope", &failing, "-p", "RuntimeMaxSec=100ms", "sleep", "1000"];
    wait_until(LIMIT, "the end of the other's unit", || show(&unit, "LoadState") == "not-found").unwrap();
    Command::new("systemd-run").args(short).status().unwrap();
    wait_until(LIMIT, "a failed unit", || show(&unit, "ActiveState") == "failed").unwrap();
    start(&bundle);
    assert_eq!(show(&unit, "ActiveState"), "active");
}

#[test]
fn one_task_is_enough_for_a_container_of_one_and_no_more() {
    let test = "one_task_is_enough_for_a_container_of_one_and_no_more";
    if skip(test, Need::Systemd) || skip(test, Need::CgroupV2) {
        return;
    }
    let bundle = Bundle::shell("echo alone; sleep 1000; true").set("/linux/resources/pids/limit", json!(1));
    let run = call(&bundle, &["run", &bundle.id]);
    assert!(run.out == "alone\n" && run.err.contains("can't fork"), "{run:?}");
    bundle.assert_nothing_left();
}

#[test]
fn a_path_of_another_form_is_refused_and_without_the_flag_any_path_is_one() {
    let test = "a_path_of_another_form_is_refused_and_without_the_flag_any_path_is_one";
    if skip(test, Need::Root) {
        return;
    }
    let bundle = Bundle::shell("echo ran").set("/linux/cgroupsPath", json!("/a/b"));
    call(&bundle, &["run", &bundle.id]).fails(
        "expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups, got \"/a/b\" instead",
    );
    // runc asks systemd for it, which starts no slice with a process in it
    let name = bundle.id.clone();
    let bundle = bundle.set("/linux/cgroupsPath", json!(format!("a.slice:b:{name}.slice")));
    call(&bundle, &["run", &bundle.id]).fails(&format!(
        "linux.cgroupsPath \"a.slice:b:{name}.slice\" asks for a slice, and only a scope can hold a container"
    ));
    let bundle = bundle.set("/linux/cgroupsPath", json!(format!("a.slice:b:{name}")));
    bundle.create().ok();
    let found = common::find_dirs(Path::new("/sys/fs/cgroup"), &format!("a.slice:b:{name}"));
    assert!(!found.is_empty());
    bundle.call(&["delete", "--force", &bundle.id]).ok();
    assert!(found.iter().all(|dir| !is_there(dir)));
}

#[test]
fn with_cgroups_disabled_the_container_stays_in_the_callers() {
    let test = "with_cgroups_disabled_the_container_stays_in_the_callers";
    if skip(test, Need::Root) {
        return;
    }
    let bundle = Bundle::new(&["sleep", "1000"]);
    bundle.write().call_detached(&["--cgroup-manager", "disabled", "run", "--detach", &bundle.id]).ok();
    let init = fs::read_to_string(format!("/proc/{}/cgroup", bundle.state()["pid"])).unwrap();
    assert_eq!(init, fs::read_to_string("/proc/self/cgroup").unwrap());
    assert_eq!(bundle.call(&["exec", &bundle.id, "echo", "in"]).ok(), "in\n");
    bundle.call(&["delete", "--force", &bundle.id]).ok();
    bundle.assert_nothing_left();
}
