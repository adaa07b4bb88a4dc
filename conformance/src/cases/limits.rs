//! config-linux.md#configLinuxControlGroups: disks, huge pages, RDMA and networks, and what the other version of cgroups
//! does not have. No machine has all of it: what cannot be set has to be an error, and never nothing.

use std::fs::DirEntry;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::cgroups::{V1, V2, files};
use super::{CGROUP, must_know};
use crate::case::{Bench, Case, Lacking, expect_eq};
use crate::container::Container;
use crate::host::Need;

const APPLY: &str = "If the runtime cannot apply a property as specified in the configuration, it MUST generate an error and a new container MUST NOT be created.";
const RATE: &str =
    "**`rate`** *(uint64, REQUIRED)* - bandwidth rate limit in bytes per second for the device";
const DISKS_V1: &[Need] = &[Need::OwnCgroup, Need::CgroupV1, Need::V1Controller("blkio")];
const DISKS_V2: &[Need] = &[Need::OwnCgroup, Need::CgroupV2, Need::Controller("io")];
const HUGE_V2: &[Need] = &[Need::OwnCgroup, Need::V2Controller("hugetlb")];

pub(super) const CASES: &[Case] = &[
    Case {
        name: "cgroup.disk-throttles-v1",
        at: "config-linux.md#configLinuxBlockIO",
        must: RATE,
        needs: DISKS_V1,
        check: |bench| {
            let disk = disk()?;
            let lines: Vec<String> = RATES.iter().map(|(_, rate)| format!("{disk} {rate}")).collect();
            let file = |kind| format!("blkio.throttle.{kind}_device");
            let names = ["read_bps", "write_bps", "read_iops", "write_iops"].map(file);
            let wanted: Vec<_> = names.iter().zip(&lines).map(|(n, l)| (n.as_str(), l.as_str())).collect();
            files(bench, "/linux/resources/blockIO", throttles(&disk)?, "blkio", &wanted)
        },
    },
    Case {
        name: "cgroup.disk-throttles-v2",
        at: "config-linux.md#configLinuxBlockIO",
        must: RATE,
        needs: DISKS_V2,
        check: |bench| {
            let disk = disk()?;
            let keys = ["rbps", "wbps", "riops", "wiops"].iter().zip(RATES);
            let rates: String = keys.map(|(key, (_, rate))| format!(" {key}={rate}")).collect();
            let line = format!("{disk}{rates}");
            files(bench, "/linux/resources/blockIO", throttles(&disk)?, "", &[("io.max", &line)])
        },
    },
    Case {
        name: "cgroup.disk-weight-is-set-or-an-error",
        at: "runtime.md#runtimeCreate",
        must: APPLY,
        needs: CGROUP,
        check: |bench| {
            let Some(container) = made(bench, "/linux/resources/blockIO", json!({ "weight": 500 }))? else {
                return Ok(());
            };
            // the scale of the second is another one
            let there = ["blkio.weight", "blkio.bfq.weight", "io.bfq.weight", "io.weight"];
            let seen = there.iter().find_map(|file| {
                let controller = if file.starts_with("io") { "" } else { "blkio" };
                container.cgroup_file(controller, file).ok()
            });
            let seen = seen.context("the kernel has no such weights, and nobody said so")?;
            ensure!(!seen.split(' ').any(|word| word == "100"), "the weight is {seen:?}");
            Ok(())
        },
    },
    Case {
        name: "cgroup.huge-pages-v2",
        at: "config-linux.md#configLinuxHugePageLimits",
        must: "**`hugepageLimits`** (array of objects, OPTIONAL) represents the `hugetlb` controller which allows to limit the HugeTLB reservations (if supported) or usage (page fault).",
        needs: HUGE_V2,
        check: |bench| {
            let limits = json!([{ "pageSize": "2MB", "limit": 4 << 20 }]);
            let container =
                bench.container(["pause"])?.set("/linux/resources/hugepageLimits", limits)?.start()?;
            let reserved = container.cgroup_file("", "hugetlb.2MB.rsvd.max");
            let seen = reserved.or_else(|_| container.cgroup_file("", "hugetlb.2MB.max"))?;
            expect_eq("the limit", seen, (4 << 20).to_string())
        },
    },
    Case {
        name: "cgroup.huge-pages-of-no-size-are-an-error",
        at: "runtime.md#runtimeCreate",
        must: APPLY,
        needs: CGROUP,
        check: |bench| {
            let limits = json!([{ "pageSize": "3MB", "limit": 3 << 20 }]);
            bench.container(["pause"])?.set("/linux/resources/hugepageLimits", limits)?.refused().map(drop)
        },
    },
    Case {
        name: "cgroup.rdma-of-no-device-is-an-error",
        at: "runtime.md#runtimeCreate",
        must: APPLY,
        needs: CGROUP,
        check: |bench| {
            let limits = json!({ "no_such_device": { "hcaHandles": 3, "hcaObjects": 10_000 } });
            bench.container(["pause"])?.set("/linux/resources/rdma", limits)?.refused().map(drop)
        },
    },
    Case {
        name: "cgroup.network-class-is-set-or-an-error",
        at: "runtime.md#runtimeCreate",
        must: APPLY,
        needs: CGROUP,
        check: |bench| {
            let class = json!({ "classID": 1_048_577 });
            match made(bench, "/linux/resources/network", class)? {
                Some(container) => {
                    let seen = container.cgroup_file("net_cls", "net_cls.classid");
                    expect_eq("the class", seen.context("nobody said that it is not there")?, "1048577")
                }
                None => Ok(()),
            }
        },
    },
    Case {
        name: "cgroup.network-priority-is-set-or-an-error",
        at: "runtime.md#runtimeCreate",
        must: APPLY,
        needs: CGROUP,
        check: |bench| {
            let priorities = json!({ "priorities": [{ "name": "lo", "priority": 7 }] });
            match made(bench, "/linux/resources/network", priorities)? {
                Some(container) => {
                    let seen = container.cgroup_file("net_prio", "net_prio.ifpriomap");
                    let seen = seen.context("nobody said that it is not there")?;
                    ensure!(seen.lines().any(|line| line == "lo 7"), "the priorities are {seen:?}");
                    Ok(())
                }
                None => Ok(()),
            }
        },
    },
    Case {
        name: "cgroup.limit-that-only-v1-has-is-an-error-v2",
        at: "config-linux.md#configLinuxUnified",
        must: "If the conversion is not possible the runtime MUST generate an error.",
        needs: V2,
        check: |bench| {
            for (part, limits) in
                [("blockIO", json!({ "leafWeight": 300 })), ("memory", json!({ "swappiness": 17 }))]
            {
                let setup = bench.container(["pause"])?.set(&format!("/linux/resources/{part}"), limits)?;
                setup.refused().context(part)?;
            }
            Ok(())
        },
    },
    Case {
        name: "cgroup.unified-is-an-error-v1",
        at: "config-linux.md#configLinuxUnified",
        must: "The runtime MUST generate an error when the configuration refers to a cgroup controller that is not present or that cannot be enabled.",
        needs: V1,
        check: |bench| {
            let unified = json!({ "memory.high": "50331648" });
            bench.container(["pause"])?.set("/linux/resources/unified", unified)?.refused().map(drop)
        },
    },
    Case {
        name: "cgroup.memory-is-checked-before-an-update-v2",
        at: "config-linux.md#configLinuxMemory",
        must: "If enabled (`true`), runtime MAY check if a new memory limit is lower than the current usage, and MUST reject the new limit.",
        needs: V2,
        check: |bench| {
            let memory = json!({ "limit": 64 << 20 });
            let container = bench.container(["pause"])?.set("/linux/resources/memory", memory)?.start()?;
            let file = bench.dir().join("resources.json");
            let resources = json!({ "memory": { "limit": 4096, "checkBeforeUpdate": true } });
            std::fs::write(&file, resources.to_string())?;
            let words = ["update", "--resources", &file.display().to_string(), &container.id];
            let outcome = bench.runtime().call(&words, bench.left())?;
            must_know(bench, "command:update", &outcome)?;
            outcome.failure("an update to less than is in use")?;
            expect_eq("memory.max", container.cgroup_file("", "memory.max")?, (64 << 20).to_string())?;
            expect_eq("status after it", container.status()?, "running")
        },
    },
];

/// The four lists of rates, and a rate for each.
const RATES: [(&str, u32); 4] = [
    ("throttleReadBpsDevice", 104_857_600),
    ("throttleWriteBpsDevice", 209_715_200),
    ("throttleReadIOPSDevice", 30_000),
    ("throttleWriteIOPSDevice", 40_000),
];

fn throttles(disk: &str) -> Result<Value> {
    let (major, minor) = disk.split_once(':').context("a device without numbers")?;
    let (major, minor): (u32, u32) = (major.parse()?, minor.parse()?);
    let device = |rate| json!([{ "major": major, "minor": minor, "rate": rate }]);
    Ok(RATES.iter().map(|(name, rate)| ((*name).to_owned(), device(*rate))).collect())
}

/// `MAJOR:MINOR` of a whole disk of this machine that holds something.
fn disk() -> Result<String> {
    let read = |disk: &DirEntry, file| std::fs::read_to_string(disk.path().join(file)).unwrap_or_default();
    let mut disks = std::fs::read_dir("/sys/block").into_iter().flatten().flatten();
    match disks.find(|disk| !["", "0"].contains(&read(disk, "size").trim())) {
        Some(disk) => Ok(read(&disk, "dev").trim().to_owned()),
        None => bail!(Lacking("block-device")),
    }
}

/// The container with these limits, or none where `create` said that it cannot be had.
fn made<'a>(bench: &'a Bench, pointer: &str, limits: Value) -> Result<Option<Container<'a>>> {
    let (outcome, container) = bench.container(["pause"])?.set(pointer, limits)?.try_create()?;
    if outcome.status.success() {
        return Ok(Some(container));
    }
    ensure!(container.state().is_err(), "create failed, yet there is a container");
    Ok(None)
}
