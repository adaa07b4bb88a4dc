//! The systemd driver: with the real one in the VM, for root and for a user; elsewhere with a bus of the
//! test's own.

#![allow(clippy::unwrap_used, reason = "a test ends where its set-up fails")]
#![allow(clippy::panic, reason = "a call that was not made is a failure of the test")]

#[path = "common/bus.rs"]
mod bus;
mod common;

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bus::Bus;
use common::{Bundle, Call, LIMIT};
use conformance::host::{Need, skip, wait_until};
use serde_json::json;

/// The user of `as-user`.
const USER: u32 = 1000;
/// What a command may wait for systemd, and much more for an emulated machine.
const PATIENCE: Duration = Duration::from_secs(150);

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

/// Hands a whole tree to the user.
fn give(path: &Path) {
    chown(path, Some(USER), Some(USER)).unwrap();
    if path.is_dir() {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        fs::read_dir(path)
            .unwrap()
            .flatten()
            .map(|e| e.path())
            .filter(|p| !p.is_symlink())
            .for_each(|p| give(&p));
    }
}

/// A bundle that belongs to the user, with a copy of the program, which may lie where the user cannot go.
fn users_bundle() -> Bundle {
    let map = json!([{ "containerID": 0, "hostID": USER, "size": 1 }]);
    let mut bundle = Bundle::new(&["sleep", "1000"])
        .set("/linux/namespaces/-", json!({ "type": "user" }))
        .set("/linux/uidMappings", map.clone())
        .set("/linux/gidMappings", map)
        .set("/linux/resources/pids", json!({ "limit": 19 }))
        .set("/linux/resources/memory", json!({ "limit": 67_108_864 }));
    for mount in bundle.config["mounts"].as_array_mut().unwrap() {
        // the group tty is nobody's in this namespace
        mount["options"].as_array_mut().unwrap().retain(|option| option != "gid=5");
    }
    common::copy_runtime(&bundle.write().path().join("runtime"));
    give(bundle.path());
    bundle
}

/// Where the user calls from.
#[derive(Clone, Copy)]
enum From {
    /// A scope of their own manager
    Manager,
    /// A cgroup that is root's, like a login session's
    Elsewhere,
}

fn as_user(bundle: &Bundle, from: From, words: &[&str]) -> Call {
    let open = |name: &str| fs::File::create(bundle.path().join(name)).unwrap();
    let program = bundle.path().join("runtime");
    let mut command = match from {
        From::Manager => Command::new("as-user"),
        From::Elsewhere => {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=1000", "--regid=1000", "--clear-groups", "env", "-i"]);
            command.arg("XDG_RUNTIME_DIR=/run/user/1000");
            command
        }
    };
    command.arg(program).arg("--root").arg(bundle.state_root()).args(words);
    let command = command.current_dir(bundle.path()).stdin(Stdio::null());
    let status = command.stdout(open("out")).stderr(open("err")).status().unwrap();
    let read = |name: &str| fs::read_to_string(bundle.path().join(name)).unwrap();
    Call { code: status.code().unwrap(), out: read("out"), err: read("err") }
}

#[test]
fn a_user_with_a_delegated_tree_has_limits_without_systemds_help() {
    let test = "a_user_with_a_delegated_tree_has_limits_without_systemds_help";
    if skip(test, Need::Systemd) || skip(test, Need::Program("as-user")) {
        return;
    }
    let bundle = users_bundle();
    let runtime = |words: &[&str]| {
        let mut all = vec!["--cgroup-manager=cgroupfs"];
        all.extend(words);
        as_user(&bundle, From::Manager, &all)
    };
    runtime(&["run", "--detach", &bundle.id]).ok();
    let dir = dir(&bundle);
    assert!(dir.starts_with("/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/"), "{dir:?}");
    assert_eq!((read(&dir, "memory.max").as_str(), read(&dir, "pids.max").as_str()), ("67108864", "19"));
    runtime(&["update", "--pids-limit", "23", &bundle.id]).ok();
    assert_eq!(read(&dir, "pids.max"), "23");
    runtime(&["pause", &bundle.id]).ok();
    assert_eq!(bundle.status(), "paused");
    runtime(&["resume", &bundle.id]).ok();
    runtime(&["delete", "--force", &bundle.id]).ok();
    assert!(!is_there(&dir));
    bundle.assert_nothing_left();
}

fn show_as_user(unit: &str, property: &str) -> String {
    let words = ["systemctl", "--user", "show", "--value", "--property", property, unit];
    let output = Command::new("as-user").args(words).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// With these words before the command.
fn a_user_has_limits(test: &str, from: From, flags: &[&str]) {
    if skip(test, Need::Systemd) || skip(test, Need::Program("as-user")) {
        return;
    }
    assert!(Command::new("as-user").arg("true").status().unwrap().success());
    let bundle = users_bundle();
    let runtime = |words: &[&str]| as_user(&bundle, from, &[flags, words].concat());
    runtime(&["run", "--detach", &bundle.id]).ok();
    let unit = format!("mocker-{}.scope", bundle.id);
    let dir = dir(&bundle);
    let manager = "/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service";
    assert_eq!(dir, Path::new(manager).join("user.slice").join(&unit));
    let says = |limit: &str, tasks: &str| {
        assert_eq!((read(&dir, "memory.max").as_str(), read(&dir, "pids.max").as_str()), (limit, tasks));
        assert_eq!(show_as_user(&unit, "MemoryMax"), limit);
        assert_eq!(show_as_user(&unit, "TasksMax"), tasks);
    };
    says("67108864", "19");
    let reload = || Command::new("as-user").args(["systemctl", "--user", "daemon-reload"]).status().unwrap();
    reload();
    says("67108864", "19");
    runtime(&["update", "--pids-limit", "23", &bundle.id]).ok();
    reload();
    says("67108864", "23");
    // a process that comes later is in the same cgroup
    let path = format!("/user.slice/user-1000.slice/user@1000.service/user.slice/{unit}");
    let detached = ["exec", "--detach", "--pid-file", "pid", &bundle.id, "sleep", "1000"];
    runtime(&detached).ok();
    let pid = fs::read_to_string(bundle.path().join("pid")).unwrap();
    assert_eq!(fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap().trim(), format!("0::{path}"));
    runtime(&["delete", "--force", &bundle.id]).ok();
    wait_until(LIMIT, "the unit's end", || show_as_user(&unit, "LoadState") == "not-found").unwrap();
    bundle.assert_nothing_left();
    assert!(!is_there(&dir));
}

#[test]
fn a_user_has_limits_by_a_manager_of_their_own() {
    a_user_has_limits("a_user_has_limits_by_a_manager_of_their_own", From::Manager, &["--systemd-cgroup"]);
}

#[test]
fn a_user_has_limits_from_a_session_outside_their_manager_too() {
    let test = "a_user_has_limits_from_a_session_outside_their_manager_too";
    a_user_has_limits(test, From::Elsewhere, &["--cgroup-manager", "systemd"]);
}

#[test]
fn a_user_who_may_make_no_cgroup_has_limits_by_their_manager_unasked() {
    a_user_has_limits(
        "a_user_who_may_make_no_cgroup_has_limits_by_their_manager_unasked",
        From::Elsewhere,
        &[],
    );
}

/// A call of a runtime that takes a bus of the test's own for the system's.
fn over(bus: &Bus, bundle: &Bundle, words: &[&str]) -> Call {
    let open = |name: &str| fs::File::create(bundle.path().join(name)).unwrap();
    let mut command = bundle.write().command(&["--systemd-cgroup"]);
    command.args(words).env("DBUS_SYSTEM_BUS_ADDRESS", bus.address());
    let status = command.stdout(open("out")).stderr(open("err")).status().unwrap();
    let read = |name: &str| fs::read_to_string(bundle.path().join(name)).unwrap();
    Call { code: status.code().unwrap(), out: read("out"), err: read("err") }
}

/// What version 1's systemd must have been asked for.
#[track_caller]
fn assert_told(bus: &Bus, unit: &str) {
    let [start] = &bus.asked("StartTransientUnit")[..] else {
        panic!("{:?}", bus.asked("StartTransientUnit"))
    };
    assert_eq!(start.words, [unit, "replace", "[]"]);
    for (property, value) in [
        ("Slice", "\"mtest-v1.slice\""),
        ("Delegate", "true"),
        ("DefaultDependencies", "false"),
        ("MemoryAccounting", "true"),
        ("BlockIOAccounting", "true"),
        ("MemoryLimit", "67108864"),
        ("CPUShares", "512"),
        ("CPUQuotaPerSecUSec", "130000"),
        ("TasksMax", "17"),
        ("AllowedCPUs", "[1]"),
        ("DevicePolicy", "\"strict\""),
    ] {
        assert_eq!(start.properties.get(property).map(String::as_str), Some(value), "{property}");
    }
    assert!(start.properties["DeviceAllow"].contains("(\"/dev/char/10:229\",\"rw\")"), "{start:?}");
}

#[test]
fn on_version_1_systemd_is_told_the_limits_and_all_hierarchies_have_them() {
    let test = "on_version_1_systemd_is_told_the_limits_and_all_hierarchies_have_them";
    if skip(test, Need::Root) || skip(test, Need::CgroupV1) {
        return;
    }
    let bus = Bus::new();
    let bundle = Bundle::new(&["sleep", "1000"]);
    let name = bundle.id.clone();
    let bundle = bundle.set("/linux/cgroupsPath", json!(format!("mtest-v1.slice:p:{name}"))).set(
        "/linux/resources",
        json!({
            "memory": { "limit": 67_108_864 },
            "cpu": { "shares": 512, "quota": 12_345, "cpus": "0" },
            "pids": { "limit": 17 },
            "devices": [{ "allow": false }, { "allow": true, "type": "c", "major": 10, "minor": 229, "access": "rw" }],
        }),
    );
    over(&bus, &bundle, &["run", "--detach", &bundle.id]).ok();
    let unit = format!("p-{name}.scope");
    assert_told(&bus, &unit);
    let pid = bundle.state()["pid"].to_string();
    let below = format!("mtest.slice/mtest-v1.slice/{unit}");
    let at =
        |controller: &str, file: &str| read(&Path::new("/sys/fs/cgroup").join(controller).join(&below), file);
    for (controller, file, want) in [
        ("memory", "memory.limit_in_bytes", "67108864"),
        ("cpu", "cpu.shares", "512"),
        ("cpu", "cpu.cfs_quota_us", "13000"),
        ("pids", "pids.max", "17"),
        ("cpuset", "cpuset.cpus", "0"),
    ] {
        if skip(test, Need::Controller(controller)) {
            continue;
        }
        assert_eq!(at(controller, file), want);
        assert!(at(controller, "cgroup.procs").lines().eq([pid.as_str()]), "{controller}");
    }
    over(&bus, &bundle, &["update", "--pids-limit", "23", &bundle.id]).ok();
    let [set] = &bus.asked("SetUnitProperties")[..] else { panic!("{:?}", bus.asked("SetUnitProperties")) };
    assert_eq!((set.words[0].as_str(), set.properties["TasksMax"].as_str()), (unit.as_str(), "23"));
    assert_eq!(at("pids", "pids.max"), "23");
    over(&bus, &bundle, &["delete", "--force", &bundle.id]).ok();
    let [stop] = &bus.asked("StopUnit")[..] else { panic!("{:?}", bus.asked("StopUnit")) };
    assert_eq!(stop.words, [unit.as_str(), "replace"]);
    assert!(common::find_dirs(Path::new("/sys/fs/cgroup"), &unit).is_empty());
}

#[test]
fn what_systemd_is_too_old_for_is_written_alone_and_a_name_is_taken_after_a_reset() {
    let test = "what_systemd_is_too_old_for_is_written_alone_and_a_name_is_taken_after_a_reset";
    if skip(test, Need::Root) || skip(test, Need::CgroupV1) {
        return;
    }
    let mut exists = Some(());
    let bus = Bus::with(move |asked| match asked.member.as_str() {
        "StartTransientUnit" if exists.take().is_some() => {
            Some(("org.freedesktop.systemd1.UnitExists", "Unit x already exists.".to_owned()))
        }
        "StartTransientUnit" if asked.properties.contains_key("TasksMax") => Some((
            "org.freedesktop.DBus.Error.PropertyReadOnly",
            "Cannot set property TasksMax, or unknown property.".to_owned(),
        )),
        _ => None,
    });
    let bundle = Bundle::new(&["sleep", "1000"]).set("/linux/resources/pids", json!({ "limit": 17 }));
    over(&bus, &bundle, &["run", "--detach", &bundle.id]).ok();
    assert_eq!((bus.asked("StartTransientUnit").len(), bus.asked("ResetFailedUnit").len()), (3, 1));
    let dir = format!("/sys/fs/cgroup/pids/system.slice/mocker-{}.scope", bundle.id);
    assert_eq!(read(Path::new(&dir), "pids.max"), "17");
    over(&bus, &bundle, &["delete", "--force", &bundle.id]).ok();
}

#[test]
fn a_refusal_of_systemds_is_told_and_nothing_is_left() {
    let test = "a_refusal_of_systemds_is_told_and_nothing_is_left";
    if skip(test, Need::Root) || skip(test, Need::CgroupV1) {
        return;
    }
    let bus = Bus::with(|asked| {
        let refused = asked.member == "StartTransientUnit";
        refused.then(|| ("org.freedesktop.DBus.Error.InvalidArgs", "Unit name is not valid.".to_owned()))
    });
    let bundle = Bundle::new(&["true"]);
    let id = &bundle.id;
    over(&bus, &bundle, &["run", id])
        .fails(&format!("create container {id}: start the unit mocker-{id}.scope: Unit name is not valid"));
    assert!(bus.asked("StopUnit").is_empty());
    bundle.assert_nothing_left();
}

#[test]
fn a_bus_that_never_answers_keeps_nobody_waiting() {
    let test = "a_bus_that_never_answers_keeps_nobody_waiting";
    if skip(test, Need::Root) {
        return;
    }
    // one that says nothing at all, one that falls silent after the introduction, one that takes no caller
    let dir = tempfile::tempdir().unwrap();
    let silent = UnixListener::bind(dir.path().join("silent")).unwrap();
    let hooked = Bus::with(|asked| match asked.member.as_str() {
        "StartTransientUnit" => loop {
            std::thread::park();
        },
        _ => None,
    });
    let full = UnixListener::bind(dir.path().join("full")).unwrap();
    rustix::net::listen(&full, 0).unwrap();
    let _queued = std::os::unix::net::UnixStream::connect(dir.path().join("full")).unwrap();
    let begun = Instant::now();
    let calls: Vec<(Bundle, std::process::Child, &str)> = [
        (dir.path().join("silent"), "connect to SOCKET: there is no answer within 30 s"),
        (hooked.socket(), "start the unit mocker-ID.scope: there is no answer within 30 s"),
        (dir.path().join("full"), "connect to SOCKET: there is no answer within 30 s"),
    ]
    .into_iter()
    .map(|(socket, sentence)| {
        let bundle = Bundle::new(&["true"]);
        let address = format!("unix:path={}", socket.display());
        let mut command = bundle.write().command(&["--systemd-cgroup", "run", &bundle.id]);
        let sentence = sentence.replace("SOCKET", &socket.to_string_lossy()).replace("ID", &bundle.id);
        fs::write(bundle.path().join("sentence"), sentence).unwrap();
        let child = command.env("DBUS_SYSTEM_BUS_ADDRESS", address).stderr(Stdio::piped()).spawn().unwrap();
        (bundle, child, "")
    })
    .collect();
    for (bundle, child, _) in calls {
        let call = Call::from(child.wait_with_output().unwrap());
        let sentence = fs::read_to_string(bundle.path().join("sentence")).unwrap();
        call.fails(&format!("create container {}: {sentence}", bundle.id));
        bundle.assert_nothing_left();
    }
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    drop(silent);
}

#[test]
fn without_a_manager_the_places_are_named_where_one_was_looked_for() {
    let test = "without_a_manager_the_places_are_named_where_one_was_looked_for";
    if skip(test, Need::Root) || skip(test, Need::UserNamespace) {
        return;
    }
    let bundle = users_bundle();
    let mut command = Command::new("setpriv");
    command.args(["--reuid=1000", "--regid=1000", "--clear-groups", "env", "-i"]);
    command.arg(format!("XDG_RUNTIME_DIR={}", bundle.path().display()));
    command.arg(bundle.path().join("runtime")).arg("--root").arg(bundle.state_root());
    command.args(["--cgroup-manager=systemd", "run", &bundle.id]).current_dir(bundle.path());
    let call = Call::from(command.output().unwrap());
    let at = bundle.path().display();
    call.fails(&format!(
        "create container {}: connect to systemd --user: nobody listens at {at}/systemd/private, {at}/bus",
        bundle.id
    ));
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
    let name = bundle.id.clone();
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
