//! config-linux.md#configLinuxControlGroups: whose a cgroup is, where it is, and the less usual limits.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use nix::mount::{MntFlags, MsFlags};
use serde_json::json;

use super::CGROUP;
use super::cgroups::{V1, V2, files};
use super::idmap::with_users;
use crate::bundle;
use crate::case::{Bench, Case, expect_eq};
use crate::container::{Container, Setup};
use crate::host::Need;

const DELEGATE: &[Need] = &[Need::OwnCgroup, Need::CgroupV2, Need::Path("/sys/kernel/cgroup/delegate")];
const PIDS: &[Need] = &[Need::OwnCgroup, Need::Controller("pids")];

pub(super) const CASES: &[Case] = &[
    Case {
        name: "cgroup.same-path-is-the-same-place",
        at: "config-linux.md#configLinuxCgroupsPath",
        must: "If the value is specified, the runtime MUST consistently attach to the same place in the cgroups hierarchy given the same value of `cgroupsPath`.",
        needs: CGROUP,
        check: |bench| {
            let path = format!("/conformance-same-{}", std::process::id());
            let mut places = Vec::new();
            for _ in 0..2 {
                let container =
                    bench.container(["pause"])?.set("/linux/cgroupsPath", path.as_str())?.start()?;
                places.push(std::fs::read_to_string(format!("/proc/{}/cgroup", container.pid()?))?);
            }
            expect_eq("the cgroups of the second", places[1].as_str(), places[0].as_str())
        },
    },
    Case {
        name: "cgroup.pids-limit-of-zero-is-one",
        at: "config-linux.md#configLinuxPIDS",
        must: "Note: Even though it may superficially seem redundant, `0` is a valid limit value for the `pids` cgroup controller from the kernel's perspective and SHOULD be treated as such by runtimes.",
        needs: PIDS,
        check: |bench| {
            let controller = if Need::CgroupV2.is_met() { "" } else { "pids" };
            let container =
                bench.container(["pause"])?.set("/linux/resources/pids", json!({ "limit": 0 }))?.start()?;
            let limit = container.cgroup_file(controller, "pids.max")?;
            // beside the program's own task both allow none
            ensure!(["0", "1"].contains(&limit.as_str()), "pids.max is {limit:?}");
            Ok(())
        },
    },
    Case {
        name: "cgroup.memory-behaviour-v1",
        at: "config-linux.md#configLinuxMemory",
        must: "**`swappiness`** *(uint64, OPTIONAL)* - sets swappiness parameter of vmscan (See sysctl's vm.swappiness)",
        needs: V1,
        check: |bench| {
            let memory = json!({ "limit": 67_108_864, "swappiness": 17, "disableOOMKiller": true });
            let container = bench.container(["pause"])?.set("/linux/resources/memory", memory)?.start()?;
            expect_eq("swappiness", container.cgroup_file("memory", "memory.swappiness")?, "17")?;
            let control = container.cgroup_file("memory", "memory.oom_control")?;
            ensure!(control.lines().any(|line| line == "oom_kill_disable 1"), "oom_control is {control:?}");
            Ok(())
        },
    },
    Case {
        name: "cgroup.cpu-burst-v1",
        at: "config-linux.md#configLinuxCPU",
        must: "**`burst`** *(uint64, OPTIONAL)* - specifies the maximum amount of accumulated time in microseconds for which all tasks in a cgroup can run additionally for burst during one period (as defined by **`period`** below)",
        needs: V1,
        check: |bench| {
            let cpu = json!({ "quota": 40_000, "period": 80_000, "burst": 20_000 });
            files(bench, "/linux/resources/cpu", cpu, "cpu", &[("cpu.cfs_burst_us", "20000")])
        },
    },
    Case {
        name: "cgroup.cpu-burst-v2",
        at: "config-linux.md#configLinuxCPU",
        must: "**`burst`** *(uint64, OPTIONAL)* - specifies the maximum amount of accumulated time in microseconds for which all tasks in a cgroup can run additionally for burst during one period (as defined by **`period`** below)",
        needs: V2,
        check: |bench| {
            let cpu = json!({ "quota": 40_000, "period": 80_000, "burst": 20_000 });
            files(bench, "/linux/resources/cpu", cpu, "", &[("cpu.max.burst", "20000")])
        },
    },
    Case {
        name: "cgroup.cpu-shares-v2",
        at: "config-linux.md#configLinuxCPU",
        must: "**`shares`** *(uint64, OPTIONAL)* - specifies a relative share of CPU time available to the tasks in a cgroup",
        needs: V2,
        check: |bench| {
            // the scale is another one, and runtimes convert by different formulas: more is more all the same
            let weight = |shares: u64| -> Result<u64> {
                let cpu = json!({ "shares": shares });
                let container = bench.container(["pause"])?.set("/linux/resources/cpu", cpu)?.start()?;
                Ok(container.cgroup_file("", "cpu.weight")?.parse()?)
            };
            let (less, more) = (weight(128)?, weight(8192)?);
            ensure!(less < 100 && more > 100, "128 shares are the weight {less}, 8192 are {more}");
            Ok(())
        },
    },
    Case {
        name: "cgroup.unified-file-that-no-property-has-v2",
        at: "config-linux.md#configLinuxUnified",
        must: "Configuration unknown to the runtime MUST still be written to the relevant file.",
        needs: V2,
        check: |bench| {
            let unified = json!({ "memory.oom.group": "1", "cgroup.max.depth": "3" });
            let wanted = [("memory.oom.group", "1"), ("cgroup.max.depth", "3")];
            files(bench, "/linux/resources/unified", unified, "", &wanted)
        },
    },
    Case {
        name: "cgroup.owner-is-the-containers-where-it-may-write-v2",
        at: "config-linux.md#cgroup-ownership",
        must: "Runtimes SHOULD change the cgroup ownership if and only if the cgroup filesystem is to be mounted read/write",
        needs: V2,
        check: |bench| {
            let container = mounting_cgroups(bench, &["rw"])?;
            let dir = container.cgroup("")?;
            for file in ["", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"] {
                expect_eq(&format!("owner of {file:?}"), dir.join(file).metadata()?.uid(), 100_000)?;
            }
            Ok(())
        },
    },
    Case {
        name: "cgroup.owner-of-the-limits-stays-v2",
        at: "config-linux.md#cgroup-ownership",
        must: "The runtime SHOULD NOT change the ownership of any other files.",
        needs: V2,
        check: |bench| {
            let container = mounting_cgroups(bench, &["rw"])?;
            owners_stay(&[container.cgroup("")?.join("pids.max"), container.cgroup("")?.join("memory.max")])
        },
    },
    Case {
        name: "cgroup.owner-stays-where-the-mount-is-read-only-v2",
        at: "config-linux.md#cgroup-ownership",
        must: "If the configuration does not specify such a mount, the runtime SHOULD NOT change the cgroup ownership.",
        needs: V2,
        check: |bench| {
            let container = mounting_cgroups(bench, &["ro"])?;
            owners_stay(&[container.cgroup("")?, container.cgroup("")?.join("cgroup.procs")])
        },
    },
    Case {
        name: "cgroup.owner-stays-without-a-cgroup-namespace-v2",
        at: "config-linux.md#cgroup-ownership",
        must: "A runtime SHOULD NOT change the ownership of a container cgroup unless it will also create a new cgroup namespace for the container.",
        needs: V2,
        check: |bench| {
            let mount = bundle::mount("/sys/fs/cgroup", "cgroup", &["rw"]);
            let container = with_users(bench.container(["pause"])?)?.set("/mounts/-", mount)?.start()?;
            owners_stay(&[container.cgroup("")?, container.cgroup("")?.join("cgroup.procs")])
        },
    },
    Case {
        name: "cgroup.owner-of-the-kernels-list-changes-v2",
        at: "config-linux.md#cgroup-ownership",
        must: "A runtime that changes the cgroup ownership SHOULD only change the ownership of the container's cgroup directory and files within that directory that are listed in `/sys/kernel/cgroup/delegate`.",
        needs: DELEGATE,
        check: |bench| given_are(bench, &std::fs::read_to_string("/sys/kernel/cgroup/delegate")?),
    },
    Case {
        name: "cgroup.owner-of-a-listed-file-that-is-missing-v2",
        at: "config-linux.md#cgroup-ownership",
        must: "Runtimes MUST NOT fail in this scenario, and SHOULD change the ownership of the listed files that do exist in the cgroup.",
        needs: DELEGATE,
        check: |bench| {
            let list = "cgroup.threads\nno.such.file\n";
            let file = bench.dir().join("delegate");
            std::fs::write(&file, list)?;
            let _list = Covered::by(&file, "/sys/kernel/cgroup/delegate")?;
            given_are(bench, list)
        },
    },
    Case {
        name: "cgroup.owner-where-the-kernel-has-no-list-v2",
        at: "config-linux.md#cgroup-ownership",
        must: "If the `/sys/kernel/cgroup/delegate` file does not exist, the runtime MUST fall back to using the following list of files",
        needs: DELEGATE,
        check: |bench| {
            let empty = bench.dir().join("empty");
            std::fs::create_dir(&empty)?;
            let _nothing = Covered::by(&empty, "/sys/kernel/cgroup")?;
            given_are(bench, "cgroup.procs\ncgroup.subtree_control\ncgroup.threads\n")
        },
    },
    Case {
        name: "cgroup.owner-stays-v1",
        at: "config-linux.md#cgroup-ownership",
        must: "Runtimes SHOULD NOT change the ownership of container cgroups when cgroups v1 is in use.",
        needs: V1,
        check: |bench| {
            let container = mounting_cgroups(bench, &["rw"])?;
            owners_stay(&[container.cgroup("pids")?, container.cgroup("memory")?.join("cgroup.procs")])
        },
    },
];

/// A container with user and cgroup namespaces of its own, and a mount of its cgroups.
fn mounting_cgroups<'a>(bench: &'a Bench, options: &[&str]) -> Result<Container<'a>> {
    with_cgroups(bench, options)?.start()
}

fn with_cgroups<'a>(bench: &'a Bench, options: &[&str]) -> Result<Setup<'a>> {
    let setup =
        with_users(bench.container(["pause"])?)?.set("/linux/namespaces/-", json!({ "type": "cgroup" }))?;
    setup.set("/mounts/-", bundle::mount("/sys/fs/cgroup", "cgroup", options))
}

/// A path of the machine that shows something else as long as this lives, to this thread and what it starts.
struct Covered(&'static str);

impl Covered {
    fn by(source: &Path, place: &'static str) -> Result<Self> {
        nix::mount::mount(Some(source), place, None::<&str>, MsFlags::MS_BIND, None::<&str>)
            .with_context(|| format!("mount over {place}"))?;
        Ok(Self(place))
    }
}

impl Drop for Covered {
    fn drop(&mut self) {
        // what cannot be uncovered shows in every case after this one
        nix::mount::umount2(self.0, MntFlags::MNT_DETACH).ok();
    }
}

/// Of a cgroup that is given away, its folder and the files of this list have the new owner, and no others.
fn given_are(bench: &Bench, list: &str) -> Result<()> {
    // where a part of /sys is covered the kernel lets no user namespace have one of its own
    let plain = bundle::mount("/sys", "tmpfs", &["mode=755"]);
    let container = with_cgroups(bench, &["rw"])?.set("/mounts/5", plain)?.start()?;
    let dir = container.cgroup("")?;
    expect_eq("owner of the folder", dir.metadata()?.uid(), 100_000)?;
    for entry in dir.read_dir()?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = if list.lines().any(|listed| listed == name) { 100_000 } else { 0 };
        expect_eq(&format!("owner of {name}"), entry.metadata()?.uid(), owner)?;
    }
    Ok(())
}

fn owners_stay(paths: &[PathBuf]) -> Result<()> {
    for path in paths {
        let owner = path.metadata().with_context(|| path.display().to_string())?.uid();
        expect_eq(&format!("owner of {}", path.display()), owner, 0)?;
    }
    Ok(())
}
