//! A bus of the test's own in systemd's place: where it is old, refuses, or says nothing at all.
#![allow(clippy::panic, reason = "a call that was not made is a failure of the test")]

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use conformance::host::{Need, skip};
use serde_json::json;

use super::bus::Bus;
use super::common::{self, Bundle, Call};
use super::read;

/// What a command may wait for systemd, and much more for an emulated machine.
const PATIENCE: Duration = Duration::from_secs(150);

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
        let sentence = sentence.replace("ID", &bundle.id).replace("SOCKET", &socket.to_string_lossy());
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
