//! config-linux.md#configLinuxControlGroups, on v1 (hybrid too) and on v2.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{CGROUP, CONTAINER};
use crate::bundle;
use crate::case::{Bench, Case, expect_eq};
use crate::host::Need;

pub(super) const V1: &[Need] = &[Need::OwnCgroup, Need::CgroupV1];
pub(super) const V2: &[Need] = &[
    Need::OwnCgroup,
    Need::CgroupV2,
    Need::Controller("memory"),
    Need::Controller("pids"),
    Need::Controller("cpu"),
];
const MEMORY: &[Need] = &[Need::OwnCgroup, Need::Controller("memory")];
const CPUSET: &[Need] = &[Need::OwnCgroup, Need::Controller("cpuset")];
const RESOURCES: &str =
    "You can configure a container's cgroups via the `resources` field of the Linux configuration.";

pub(super) const CASES: &[Case] = &[
    Case {
        name: "cgroup.absolute-path-is-below-the-mount-point",
        at: "config-linux.md#configLinuxCgroupsPath",
        must: "In the case of an absolute path (starting with `/`), the runtime MUST take the path to be relative to the cgroups mount point.",
        needs: CGROUP,
        check: |bench| {
            let setup = bench.container(["pause"])?;
            let path = format!("/conformance-{}", std::process::id());
            let container = setup.set("/linux/cgroupsPath", path.as_str())?.start()?;
            let cgroups = std::fs::read_to_string(format!("/proc/{}/cgroup", container.pid()?))?;
            ensure!(
                cgroups.lines().any(|line| line.ends_with(&format!(":{path}"))),
                "its cgroups are {cgroups:?}"
            );
            Ok(())
        },
    },
    Case {
        name: "cgroup.memory-limit-v1",
        at: "config-linux.md#configLinuxMemory",
        must: "**`limit`** *(int64, OPTIONAL)* - sets limit of memory usage",
        needs: V1,
        check: |bench| {
            let memory = json!({ "limit": 67_108_864, "reservation": 33_554_432 });
            files(
                bench,
                "/linux/resources/memory",
                memory,
                "memory",
                &[("memory.limit_in_bytes", "67108864"), ("memory.soft_limit_in_bytes", "33554432")],
            )
        },
    },
    Case {
        name: "cgroup.memory-limit-v2",
        at: "config-linux.md#configLinuxMemory",
        must: "**`limit`** *(int64, OPTIONAL)* - sets limit of memory usage",
        needs: V2,
        check: |bench| {
            let memory = json!({ "limit": 67_108_864, "reservation": 33_554_432, "swap": 100_663_296 });
            files(
                bench,
                "/linux/resources/memory",
                memory,
                "",
                &[("memory.max", "67108864"), ("memory.low", "33554432"), ("memory.swap.max", "33554432")],
            )
        },
    },
    Case {
        name: "cgroup.pids-limit-v1",
        at: "config-linux.md#configLinuxPIDS",
        must: "**`limit`** *(int64, OPTIONAL)* - specifies the maximum number of tasks in the cgroup, with `-1` indicating no limit (`max`).",
        needs: V1,
        check: |bench| pids(bench, "pids"),
    },
    Case {
        name: "cgroup.pids-limit-v2",
        at: "config-linux.md#configLinuxPIDS",
        must: "**`limit`** *(int64, OPTIONAL)* - specifies the maximum number of tasks in the cgroup, with `-1` indicating no limit (`max`).",
        needs: V2,
        check: |bench| pids(bench, ""),
    },
    Case {
        name: "cgroup.cpu-v1",
        at: "config-linux.md#configLinuxCPU",
        must: "**`quota`** *(int64, OPTIONAL)* - specifies the total amount of time in microseconds for which all tasks in a cgroup can run during one period (as defined by **`period`** below)",
        needs: V1,
        check: |bench| {
            let cpu = json!({ "shares": 512, "quota": 40_000, "period": 80_000 });
            files(
                bench,
                "/linux/resources/cpu",
                cpu,
                "cpu",
                &[("cpu.shares", "512"), ("cpu.cfs_quota_us", "40000"), ("cpu.cfs_period_us", "80000")],
            )
        },
    },
    Case {
        name: "cgroup.cpu-v2",
        at: "config-linux.md#configLinuxCPU",
        must: "**`quota`** *(int64, OPTIONAL)* - specifies the total amount of time in microseconds for which all tasks in a cgroup can run during one period (as defined by **`period`** below)",
        needs: V2,
        check: |bench| {
            let cpu = json!({ "quota": 40_000, "period": 80_000 });
            files(bench, "/linux/resources/cpu", cpu, "", &[("cpu.max", "40000 80000")])
        },
    },
    Case {
        name: "cgroup.cpuset",
        at: "config-linux.md#configLinuxCPU",
        must: "**`cpus`** *(string, OPTIONAL)* - list of CPUs the container will run on.",
        needs: CPUSET,
        check: |bench| {
            let controller = if Need::CgroupV2.is_met() { "" } else { "cpuset" };
            let wanted = [("cpuset.cpus", "0"), ("cpuset.mems", "0")];
            files(bench, "/linux/resources/cpu", json!({ "cpus": "0", "mems": "0" }), controller, &wanted)
        },
    },
    Case {
        name: "cgroup.unified-v2",
        at: "config-linux.md#configLinuxUnified",
        must: "Each key in the map refers to a file in the cgroup unified hierarchy.",
        needs: V2,
        check: |bench| {
            let unified = json!({ "pids.max": "77", "memory.high": "50331648" });
            let wanted = [("pids.max", "77"), ("memory.high", "50331648")];
            files(bench, "/linux/resources/unified", unified, "", &wanted)
        },
    },
    Case {
        name: "cgroup.unified-without-its-controller-is-an-error",
        at: "config-linux.md#configLinuxUnified",
        must: "The runtime MUST generate an error when the configuration refers to a cgroup controller that is not present or that cannot be enabled.",
        needs: V2,
        check: |bench| {
            let unified = json!({ "nosuchcontroller.max": "1" });
            bench.container(["pause"])?.set("/linux/resources/unified", unified)?.refused().map(drop)
        },
    },
    Case {
        name: "cgroup.impossible-limit-is-an-error",
        at: "runtime.md#runtimeCreate",
        must: "If the runtime cannot apply a property as specified in the configuration, it MUST generate an error and a new container MUST NOT be created.",
        needs: CPUSET,
        check: |bench| {
            let cpu = json!({ "cpus": "99999" });
            bench.container(["pause"])?.set("/linux/resources/cpu", cpu)?.refused().map(drop)
        },
    },
    Case {
        name: "cgroup.limits-hold-for-the-program",
        at: "config-linux.md#configLinuxControlGroups",
        must: RESOURCES,
        needs: MEMORY,
        check: |bench| {
            // room for the runtime's own threads while it sets up, none for what exceeds memory
            let memory = json!({ "limit": 64 << 20 });
            let container = bench.container(["pause"])?.set("/linux/resources/memory", memory)?.start()?;
            let (controller, file) =
                if Need::CgroupV2.is_met() { ("", "cgroup.procs") } else { ("memory", "cgroup.procs") };
            let members = container.cgroup_file(controller, file)?;
            expect_eq("the cgroup's processes", members, container.pid()?.to_string())
        },
    },
    Case {
        name: "cgroup.mount-shows-the-container-its-own",
        at: "config-linux.md#configLinuxNamespaces",
        must: "**`cgroup`** the container will have an isolated view of the cgroup hierarchy.",
        needs: CONTAINER,
        check: |bench| {
            let entry = bundle::mount("/sys/fs/cgroup", "cgroup", &["ro", "nosuid", "nodev", "noexec"]);
            let setup = bench
                .reporter(["/sys/fs/cgroup"])?
                .set("/linux/namespaces/-", json!({ "type": "cgroup" }))?;
            let report = setup.set("/mounts/-", entry)?.report()?;
            let cgroups = report.text("/cgroup");
            let outside: Vec<&str> = cgroups.lines().filter(|line| !line.ends_with(":/")).collect();
            ensure!(outside.is_empty(), "it sees that it is in {outside:?}");
            expect_eq("reading /sys/fs/cgroup", report.look("/sys/fs/cgroup", "read"), "ok")?;
            let mounts = report.mounts();
            let mut hierarchies = mounts.iter().filter(|mount| mount.kind.starts_with("cgroup"));
            hierarchies.try_for_each(|mount| mount.has(&["ro", "nosuid", "nodev", "noexec"]))
        },
    },
];

fn pids(bench: &Bench, controller: &str) -> Result<()> {
    files(bench, "/linux/resources/pids", json!({ "limit": 123 }), controller, &[("pids.max", "123")])?;
    files(bench, "/linux/resources/pids", json!({ "limit": -1 }), controller, &[("pids.max", "max")])
}

/// Sets one part of `resources` and compares files of the container's cgroup.
pub(super) fn files(
    bench: &Bench,
    pointer: &str,
    value: Value,
    controller: &str,
    wanted: &[(&str, &str)],
) -> Result<()> {
    let container = bench.container(["pause"])?.set(pointer, value)?.start()?;
    for (file, want) in wanted {
        expect_eq(file, container.cgroup_file(controller, file).with_context(|| (*file).to_owned())?, *want)?;
    }
    Ok(())
}
