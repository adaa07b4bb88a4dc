//! Each limit of linux.resources in the kernel's file of its version, and limits that a container runs into.

#![allow(clippy::unwrap_used, reason = "a test ends where its set-up fails")]

mod common;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{Bundle, Call, LIMIT, disk};
use conformance::host::{Need, skip, wait_until};
use serde_json::{Value, json};

/// A container that sleeps, in a cgroup that no other test uses.
fn sleeper() -> Bundle {
    let bundle = Bundle::new(&["sleep", "1000"]);
    let path = format!("/{}", bundle.id);
    bundle.set("/linux/cgroupsPath", json!(path))
}

fn file(bundle: &Bundle, controller: &str, name: &str) -> PathBuf {
    let root = PathBuf::from("/sys/fs/cgroup");
    let mount = if Need::CgroupV2.is_met() { root } else { root.join(controller) };
    mount.join(&bundle.id).join(name)
}

fn read(bundle: &Bundle, controller: &str, name: &str) -> String {
    let path = file(bundle, controller, name);
    fs::read_to_string(&path).unwrap_or_else(|error| format!("{}: {error}", path.display())).trim().to_owned()
}

/// What is asked for, the controller and its file, and a line that the file has then.
type Row = (Value, &'static str, &'static str, String);

fn row(asked: Value, controller: &'static str, file: &'static str, line: &str) -> Row {
    (asked, controller, file, line.to_owned())
}

fn throttles() -> Value {
    let (major, minor) = disk();
    let rate = |rate: u64| json!([{ "major": major, "minor": minor, "rate": rate }]);
    json!({
        "throttleReadBpsDevice": rate(1_048_576), "throttleWriteBpsDevice": rate(2_097_152),
        "throttleReadIOPSDevice": rate(100), "throttleWriteIOPSDevice": rate(200),
    })
}

fn rows_1() -> Vec<Row> {
    let (major, minor) = disk();
    let device = |value: &str| format!("{major}:{minor} {value}");
    let mut rows = vec![
        row(json!({ "memory": { "limit": 67_108_864 } }), "memory", "memory.limit_in_bytes", "67108864"),
        row(
            json!({ "memory": { "reservation": 33_554_432 } }),
            "memory",
            "memory.soft_limit_in_bytes",
            "33554432",
        ),
        row(
            json!({ "memory": { "limit": 67_108_864, "swap": 100_663_296 } }),
            "memory",
            "memory.memsw.limit_in_bytes",
            "100663296",
        ),
        row(
            json!({ "memory": { "limit": 67_108_864, "swap": -1 } }),
            "memory",
            "memory.limit_in_bytes",
            "67108864",
        ),
        row(
            json!({ "memory": { "kernelTCP": 8_388_608 } }),
            "memory",
            "memory.kmem.tcp.limit_in_bytes",
            "8388608",
        ),
        row(json!({ "memory": { "swappiness": 17 } }), "memory", "memory.swappiness", "17"),
        row(
            json!({ "memory": { "disableOOMKiller": true } }),
            "memory",
            "memory.oom_control",
            "oom_kill_disable 1",
        ),
        row(json!({ "memory": { "useHierarchy": true } }), "memory", "memory.use_hierarchy", "1"),
        row(json!({ "cpu": { "shares": 512 } }), "cpu", "cpu.shares", "512"),
        row(json!({ "cpu": { "quota": 20_000 } }), "cpu", "cpu.cfs_quota_us", "20000"),
        row(json!({ "cpu": { "period": 50_000 } }), "cpu", "cpu.cfs_period_us", "50000"),
        row(json!({ "cpu": { "quota": 20_000, "burst": 1000 } }), "cpu", "cpu.cfs_burst_us", "1000"),
        row(json!({ "cpu": { "idle": 1 } }), "cpu", "cpu.idle", "1"),
        row(json!({ "cpu": { "realtimePeriod": 500_000 } }), "cpu", "cpu.rt_period_us", "500000"),
        row(json!({ "cpu": { "realtimeRuntime": 10_000 } }), "cpu", "cpu.rt_runtime_us", "10000"),
        row(json!({ "cpu": { "cpus": "0" } }), "cpuset", "cpuset.cpus", "0"),
        row(json!({ "cpu": { "mems": "0" } }), "cpuset", "cpuset.mems", "0"),
        row(json!({ "pids": { "limit": 23 } }), "pids", "pids.max", "23"),
        row(json!({ "pids": { "limit": 0 } }), "pids", "pids.max", "1"),
        row(json!({ "pids": { "limit": -1 } }), "pids", "pids.max", "max"),
    ];
    for (name, rate) in
        [("read_bps", "1048576"), ("write_bps", "2097152"), ("read_iops", "100"), ("write_iops", "200")]
    {
        let file: &'static str = format!("blkio.throttle.{name}_device").leak();
        rows.push((json!({ "blockIO": throttles() }), "blkio", file, device(rate)));
    }
    rows
}

fn rows_2() -> Vec<Row> {
    let (major, minor) = disk();
    let unified = |key: &str, value: &str| {
        let mut asked = json!({ "unified": {} });
        asked["unified"][key] = json!(value);
        asked
    };
    vec![
        row(json!({ "memory": { "limit": 67_108_864 } }), "memory", "memory.max", "67108864"),
        row(json!({ "memory": { "limit": -1 } }), "memory", "memory.swap.max", "max"),
        row(json!({ "memory": { "reservation": 33_554_432 } }), "memory", "memory.low", "33554432"),
        row(
            json!({ "memory": { "limit": 67_108_864, "swap": 100_663_296 } }),
            "memory",
            "memory.swap.max",
            "33554432",
        ),
        row(json!({ "memory": { "useHierarchy": true } }), "memory", "memory.max", "max"),
        row(json!({ "cpu": { "shares": 1024 } }), "cpu", "cpu.weight", "100"),
        row(json!({ "cpu": { "shares": 512 } }), "cpu", "cpu.weight", "59"),
        row(json!({ "cpu": { "quota": 20_000 } }), "cpu", "cpu.max", "20000 100000"),
        row(json!({ "cpu": { "period": 50_000 } }), "cpu", "cpu.max", "max 50000"),
        row(json!({ "cpu": { "quota": 20_000, "burst": 1000 } }), "cpu", "cpu.max.burst", "1000"),
        row(json!({ "cpu": { "idle": 1 } }), "cpu", "cpu.idle", "1"),
        row(json!({ "cpu": { "cpus": "0" } }), "cpuset", "cpuset.cpus", "0"),
        row(json!({ "cpu": { "mems": "0" } }), "cpuset", "cpuset.mems", "0"),
        row(json!({ "pids": { "limit": 23 } }), "pids", "pids.max", "23"),
        row(json!({ "pids": { "limit": 0 } }), "pids", "pids.max", "1"),
        row(json!({ "pids": { "limit": -1 } }), "pids", "pids.max", "max"),
        (
            json!({ "blockIO": throttles() }),
            "io",
            "io.max",
            format!("{major}:{minor} rbps=1048576 wbps=2097152 riops=100 wiops=200"),
        ),
        row(
            json!({ "hugepageLimits": [{ "pageSize": "2MB", "limit": 4_194_304 }] }),
            "hugetlb",
            "hugetlb.2MB.max",
            "4194304",
        ),
        row(
            json!({ "hugepageLimits": [{ "pageSize": "2MB", "limit": 4_194_304 }] }),
            "hugetlb",
            "hugetlb.2MB.rsvd.max",
            "4194304",
        ),
        row(unified("memory.high", "33554432"), "memory", "memory.high", "33554432"),
        row(unified("memory.min", "4096"), "memory", "memory.min", "4096"),
        row(unified("memory.oom.group", "1"), "memory", "memory.oom.group", "1"),
        row(unified("cpu.weight.nice", "0"), "cpu", "cpu.weight", "100"),
        row(unified("cpuset.cpus.partition", "member"), "cpuset", "cpuset.cpus.partition", "member"),
        row(unified("cgroup.max.depth", "7"), "pids", "cgroup.max.depth", "7"),
        row(unified("cgroup.max.descendants", "9"), "pids", "cgroup.max.descendants", "9"),
    ]
}

#[test]
fn every_limit_is_in_the_kernels_file_from_the_start_and_after_an_update() {
    let test = "every_limit_is_in_the_kernels_file_from_the_start_and_after_an_update";
    if skip(test, Need::Root) {
        return;
    }
    let rows = if Need::CgroupV2.is_met() { rows_2() } else { rows_1() };
    for (asked, controller, name, line) in rows {
        if skip(test, Need::Controller(controller)) {
            continue;
        }
        let has = |bundle: &Bundle| read(bundle, controller, name).lines().any(|found| found == line);
        let bundle = sleeper().set("/linux/resources", asked.clone());
        bundle.create().ok();
        assert!(has(&bundle), "{asked}: {name} is {:?}, not {line:?}", read(&bundle, controller, name));
        bundle.call(&["delete", "--force", &bundle.id]).ok();

        let bundle = sleeper();
        bundle.create().ok();
        fs::write(bundle.path().join("asked"), asked.to_string()).unwrap();
        let update = bundle.call(&["update", "-r", "asked", &bundle.id]);
        // runc ignores it in an update too, since the kernel refuses it where there are processes
        if asked["memory"]["kernelTCP"].is_null() {
            update.ok();
            assert!(has(&bundle), "update {asked}: {name} is {:?}", read(&bundle, controller, name));
        }
    }
}

#[test]
fn a_disks_weight_is_in_the_file_of_the_scheduler_that_the_kernel_has() {
    let test = "a_disks_weight_is_in_the_file_of_the_scheduler_that_the_kernel_has";
    let controller = if Need::CgroupV2.is_met() { "io" } else { "blkio" };
    if skip(test, Need::Root) || skip(test, Need::Controller(controller)) {
        return;
    }
    let bundle = sleeper().set("/linux/resources/blockIO", json!({ "weight": 500 }));
    let create = bundle.create();
    let files = [
        ("io.bfq.weight", "500"),
        ("io.weight", "4950"),
        ("blkio.weight", "500"),
        ("blkio.bfq.weight", "500"),
    ];
    let there = |name: &str| {
        bundle.state_root().join(&bundle.id).is_dir() && file(&bundle, controller, name).is_file()
    };
    match files.into_iter().find(|(name, _)| there(name)) {
        Some((name, want)) => {
            create.ok();
            let value = read(&bundle, controller, name);
            assert_eq!(value.lines().next().unwrap().trim_start_matches("default "), want, "{name}");
        }
        // neither scheduler's weights are in this kernel
        None => {
            let file =
                if controller == "io" { "set io.weight to 4950" } else { "set blkio.bfq.weight to 500" };
            assert!(create.code == 1 && create.err.contains(file), "{create:?}");
        }
    }
}

/// The program itself in a mount namespace whose /sys/fs/cgroup has these hierarchies of version 1 only.
fn with_hierarchies(bundle: &Bundle, hierarchies: &str, script: &str) -> Call {
    let script = format!(
        "set -e; mount -t tmpfs none /sys/fs/cgroup
        for c in {hierarchies}; do mkdir /sys/fs/cgroup/$c; mount -t cgroup -o $c $c /sys/fs/cgroup/$c; done
        R='{runtime} --root {root}' ID={id}; {script}",
        runtime = common::RUNTIME,
        root = bundle.state_root().display(),
        id = bundle.id,
    );
    let mut command = conformance::host::in_mount_namespace("sh");
    let open = |name: &str| fs::File::create(bundle.path().join(name)).unwrap();
    command.args(["-c", &script]).current_dir(bundle.write().path()).stdin(Stdio::null());
    let status = command.stdout(open("out")).stderr(open("err")).status().unwrap();
    let read = |name: &str| fs::read_to_string(bundle.path().join(name)).unwrap();
    Call { code: status.code().unwrap(), out: read("out"), err: read("err") }
}

/// A hierarchy whose last cgroup was still dying at its umount stays without one: it goes at the next. When the
/// kernel lets a cgroup go is its own affair (sockets may hold it for a minute), so nothing depends on it.
fn drop_hierarchies(hierarchies: &str) {
    let script = format!(
        "mount -t tmpfs none /sys/fs/cgroup
        for c in {hierarchies}; do mkdir /sys/fs/cgroup/$c; mount -t cgroup -o $c $c /sys/fs/cgroup/$c; done
        for c in {hierarchies}; do umount /sys/fs/cgroup/$c; done"
    );
    let gone = || {
        let table = fs::read_to_string("/proc/cgroups").unwrap();
        let unused = |name: &str| table.lines().any(|line| line.starts_with(&format!("{name}\t0\t")));
        hierarchies.split(' ').all(unused)
    };
    wait_until(Duration::from_secs(10), "the hierarchies' end", || {
        gone() || {
            conformance::host::in_mount_namespace("sh").args(["-c", &script]).status().unwrap();
            gone()
        }
    })
    .ok();
}

#[test]
fn network_classes_and_priorities_are_in_hierarchies_of_version_1() {
    let test = "network_classes_and_priorities_are_in_hierarchies_of_version_1";
    if skip(test, Need::Root) || skip(test, Need::CgroupV1) {
        return;
    }
    let asked = json!({ "classID": 1_048_577, "priorities": [{ "name": "lo", "priority": 5 }] });
    let bundle = sleeper().set("/linux/resources/network", asked);
    // without rules, since there is no devices hierarchy there
    let bundle = bundle.set("/linux/resources/devices", json!([]));
    let script = "$R create $ID >/dev/null
        cat /sys/fs/cgroup/net_cls/$ID/net_cls.classid; grep lo /sys/fs/cgroup/net_prio/$ID/net_prio.ifpriomap
        echo '{\"network\":{\"classID\":7}}' | $R update -r - $ID; cat /sys/fs/cgroup/net_cls/$ID/net_cls.classid
        $R delete --force $ID; ls -d /sys/fs/cgroup/*/$ID 2>/dev/null || echo gone";
    let call = with_hierarchies(&bundle, "pids devices net_cls net_prio", script);
    drop_hierarchies("net_cls net_prio");
    assert_eq!(call.ok(), "1048577\nlo 5\n7\ngone\n");
}

#[test]
fn without_cgroups_a_container_runs_and_a_limit_is_an_error() {
    let test = "without_cgroups_a_container_runs_and_a_limit_is_an_error";
    if skip(test, Need::Root) {
        return;
    }
    let bundle = Bundle::shell("echo ran");
    let call = with_hierarchies(&bundle, "", "$R run $ID");
    assert_eq!(call.ok(), "ran\n");
    let bundle = bundle.set("/linux/resources/pids", json!({ "limit": 5 }));
    with_hierarchies(&bundle, "", "$R run $ID")
        .fails("linux.resources: pids.max cannot be set to 5: this host has no cgroups");
    bundle
        .call(&["--cgroup-manager=disabled", "run", &bundle.id])
        .fails("pids.max cannot be set to 5: cgroups are disabled");
    bundle.assert_nothing_left();
}

/// A number of a file with `key number` lines.
fn number(text: &str, key: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
    line.unwrap_or_else(|| unreachable!("{key} is not in {text}")).parse().unwrap()
}

#[test]
fn a_busy_container_gets_no_more_processor_time_than_its_quota() {
    let test = "a_busy_container_gets_no_more_processor_time_than_its_quota";
    if skip(test, Need::Root) || skip(test, Need::Controller("cpu")) {
        return;
    }
    let bundle = Bundle::shell("while :; do :; done");
    let path = format!("/{}", bundle.id);
    let bundle = bundle.set("/linux/cgroupsPath", json!(path));
    let bundle = bundle.set("/linux/resources/cpu", json!({ "quota": 5_000, "period": 100_000 }));
    let begun = Instant::now();
    bundle.start();
    let stat = || read(&bundle, "cpu", "cpu.stat");
    wait_until(LIMIT, "30 periods in which it was held back", || number(&stat(), "nr_throttled") >= 30)
        .unwrap();
    let used = match Need::CgroupV2.is_met() {
        true => Duration::from_micros(number(&stat(), "usage_usec")),
        false => Duration::from_nanos(read(&bundle, "cpuacct", "cpuacct.usage").parse().unwrap()),
    };
    // a twentieth is allowed; what a slow machine's kernel counts while it is away is forgiven
    assert!(used < begun.elapsed() / 2 + Duration::from_millis(100), "{used:?} of {:?}", begun.elapsed());
}

#[test]
fn a_throttled_disk_is_read_and_written_no_faster() {
    let test = "a_throttled_disk_is_read_and_written_no_faster";
    let controller = if Need::CgroupV2.is_met() { "io" } else { "blkio" };
    if skip(test, Need::Root) || skip(test, Need::Controller(controller)) {
        return;
    }
    let work = Bundle::shell(
        "busybox dd if=/dev/zero of=/file bs=65536 count=16 oflag=direct 2>/dev/null && echo written",
    );
    let output = Command::new("stat").args(["-c", "%Hd:%Ld"]).arg(work.path()).output().unwrap();
    let device = String::from_utf8(output.stdout).unwrap();
    // a bundle on a tmpfs or in a part of a disk cannot be throttled
    let queue: &'static str = format!("/sys/dev/block/{}/queue", device.trim()).leak();
    if skip(test, Need::Path(queue)) {
        return;
    }
    let (major, minor) = device.trim().split_once(':').unwrap();
    let rate = json!([{ "major": major.parse::<u64>().unwrap(), "minor": minor.parse::<u64>().unwrap(), "rate": 524_288 }]);
    let bundle = work.set("/linux/resources/blockIO", json!({ "throttleWriteBpsDevice": rate }));
    let begun = Instant::now();
    assert_eq!(bundle.run().ok(), "written\n");
    // 1 MiB at half a MiB a second, of which the first slice is free
    assert!(begun.elapsed() > Duration::from_secs(1), "{:?}", begun.elapsed());
}
