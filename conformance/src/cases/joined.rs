//! config-linux.md: user namespaces of others, clocks, network devices.

use std::fs::File;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use nix::sched::CloneFlags;
use serde_json::{Value, json};

use super::CONTAINER;
use super::idmap::with_users;
use crate::case::{Bench, Case, expect_eq};
use crate::host::Need;

const NAMESPACE: &[Need] = &[Need::Root, Need::UserNamespace];
const CLOCKS: &[Need] = &[Need::Container, Need::Path("/proc/self/ns/time")];
const CABLE: &[Need] = &[Need::Root, Need::Program("ip"), Need::NetworkDevice("veth")];

pub(super) const CASES: &[Case] = &[
    Case {
        name: "namespaces.user-by-path-with-those-that-it-owns",
        at: "config-linux.md#configLinuxNamespaces",
        must: "The runtime MUST place the container process in the namespace associated with that `path`.",
        needs: NAMESPACE,
        check: |bench| {
            let first = with_users(bench.container(["pause"])?)?.start()?;
            let path = |file: &str| Ok::<_, anyhow::Error>(format!("/proc/{}/ns/{file}", first.pid()?));
            let mut setup = bench.reporter([])?.remove("/hostname");
            crate::bundle::open_to_others(setup.bundle())?;
            for (kind, file) in [("user", "user"), ("network", "net"), ("ipc", "ipc"), ("uts", "uts")] {
                let entry = json!({ "type": kind, "path": path(file)? });
                setup = setup.without_namespace(kind).set("/linux/namespaces/-", entry)?;
            }
            let report = setup.report()?;
            for file in ["user", "net", "ipc", "uts"] {
                let other = std::fs::read_link(path(file)?)?.display().to_string();
                expect_eq(file, report.at(&format!("/namespaces/{file}")), other)?;
            }
            expect_eq("uid inside", report.status("Uid"), "0\t0\t0\t0")?;
            expect_eq("hostname", report.at("/hostname"), "conformance")
        },
    },
    Case {
        name: "namespaces.mappings-of-a-joined-user-namespace-stay",
        at: "config-linux.md#configLinuxUserNamespaceMappings",
        must: "**`uidMappings`** (array of objects, OPTIONAL) describes the user namespace uid mappings from the host to the container.",
        needs: NAMESPACE,
        check: |bench| {
            use std::os::unix::fs::MetadataExt;
            let first = with_users(bench.container(["pause"])?)?.start()?;
            let path = format!("/proc/{}/ns/user", first.pid()?);
            let setup = bench.container(["pause"])?;
            crate::bundle::open_to_others(setup.bundle())?;
            let entry = json!({ "type": "user", "path": path });
            let container = setup.set("/linux/namespaces/-", entry)?.start()?;
            let owner = std::fs::metadata(format!("/proc/{}", container.pid()?))?.uid();
            expect_eq("owner on the host", owner, 100_000)
        },
    },
    Case {
        name: "time.offsets-are-those-of-the-clocks-inside",
        at: "config-linux.md#configLinuxTimeOffset",
        must: "**`timeOffsets`** (object, OPTIONAL) sets the offset for Time Namespace.",
        needs: CLOCKS,
        check: |bench| {
            let offsets = json!({ "monotonic": { "secs": 7881, "nanosecs": 2_718_281 }, "boottime": { "secs": 1_337 } });
            let setup = bench.container(["pause"])?.set("/linux/timeOffsets", offsets)?;
            let container = setup.set("/linux/namespaces/-", json!({ "type": "time" }))?.start()?;
            let inside = container.namespace("time")?;
            let text = std::fs::read_to_string(format!("/proc/{}/timens_offsets", container.pid()?))?;
            let seen: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
            expect_eq(
                "offsets",
                json!(seen),
                json!([["monotonic", "7881", "2718281"], ["boottime", "1337", "0"]]),
            )?;
            let own = std::fs::read_link("/proc/thread-self/ns/time")?;
            ensure!(inside != own.display().to_string(), "the time namespace is the runtime's own");
            Ok(())
        },
    },
    Case {
        name: "time.offset-of-an-unknown-clock-is-an-error",
        at: "config.md#configValidValues",
        must: "Runtimes MUST generate an error when invalid or unsupported values are encountered.",
        needs: CLOCKS,
        check: |bench| {
            let setup =
                bench.container(["pause"])?.set("/linux/timeOffsets", json!({ "sundial": { "secs": 1 } }))?;
            setup.set("/linux/namespaces/-", json!({ "type": "time" }))?.refused().map(drop)
        },
    },
    Case {
        name: "net-devices.move-in-with-their-addresses-and-are-up",
        at: "config-linux.md#configLinuxNetworkDevices",
        must: "The runtime MUST preserve existing network interface attributes, including all permanent IP addresses (IFA_F_PERMANENT flag) of any family with global scope (RT_SCOPE_UNIVERSE value) as defined in RFC 3549 Section 2.3.3.2.",
        needs: CABLE,
        check: |bench| {
            for (wanted, name) in [(json!({}), "outside"), (json!({ "name": "eth0" }), "eth0")] {
                moves_in(bench, wanted, name)?;
            }
            Ok(())
        },
    },
    Case {
        name: "net-devices.a-template-gives-a-name-of-its-own",
        at: "config-linux.md#configLinuxNetworkDevices",
        must: "In that case, the runtime MUST allow the move, and the kernel will generate a unique name for the interface within the container's network namespace.",
        needs: CABLE,
        check: |bench| moves_in(bench, json!({ "name": "net%d" }), "net0"),
    },
    Case {
        name: "net-devices.a-name-that-is-taken-is-an-error",
        at: "config-linux.md#configLinuxNetworkDevices",
        must: "If a network device with the specified name already exists in the container namespace, the runtime MUST generate an error, unless the user has provided a template by appending `%d` to the new name.",
        needs: CABLE,
        check: |bench| {
            let _cable = Cable::new()?;
            let devices = json!({ "outside": { "name": "lo" } });
            bench.container(["pause"])?.set("/linux/netDevices", devices)?.refused().map(drop)
        },
    },
    Case {
        name: "net-devices.stay-in-the-namespace-of-others",
        at: "config-linux.md#namespace-lifecycle-and-container-termination",
        must: "The runtime **MUST NOT** attempt to move the interface out of the namespace before deletion.",
        needs: CABLE,
        check: |bench| {
            let _cable = Cable::new()?;
            let others = bench.container(["pause"])?.start()?;
            let path = format!("/proc/{}/ns/net", others.pid()?);
            let setup = bench.container(["exit", "0"])?.without_namespace("network");
            let setup = setup.set("/linux/namespaces/-", json!({ "type": "network", "path": path }))?;
            let container = setup.set("/linux/netDevices", json!({ "outside": {} }))?.run()?;
            container.delete()?.success().context("delete")?;
            let inside = format!("--net={path}");
            let output = Command::new("nsenter").args([&inside, "ip", "link", "show", "outside"]).output()?;
            ensure!(output.status.success(), "it is gone: {}", String::from_utf8_lossy(&output.stderr));
            Ok(())
        },
    },
    Case {
        name: "net-devices.a-missing-one-is-an-error",
        at: "config-linux.md#configLinuxNetworkDevices",
        must: "The runtime MUST check if moving the network interface to the container namespace is possible.",
        needs: CONTAINER,
        check: |bench| {
            let devices = json!({ "nosuchdevice0": {} });
            bench.container(["pause"])?.set("/linux/netDevices", devices)?.refused().map(drop)
        },
    },
];

/// A network namespace of the case's own with two ends of a cable, of which `outside` has addresses.
struct Cable {
    before: File,
}

impl Cable {
    fn new() -> Result<Self> {
        let before = File::open("/proc/thread-self/ns/net")?;
        nix::sched::unshare(CloneFlags::CLONE_NEWNET).context("make a network namespace")?;
        let cable = Self { before };
        for words in [
            "link add outside type veth peer name peer",
            "addr add 10.9.8.7/24 dev outside",
            "addr add fd00::7/64 dev outside nodad",
            "link set outside up",
            "link set peer up",
        ] {
            let output = Command::new("ip").args(words.split(' ')).output()?;
            ensure!(output.status.success(), "ip {words}: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(cable)
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        // a thread that cannot go back shows in every case after this one
        nix::sched::setns(&self.before, CloneFlags::CLONE_NEWNET).ok();
    }
}

/// `outside` moves in under this name, with its addresses, and is up: `ip addr` says so in the container.
fn moves_in(bench: &Bench, wanted: Value, name: &str) -> Result<()> {
    let _cable = Cable::new()?;
    let setup = bench.container(["pause"])?.set("/linux/netDevices", json!({ "outside": wanted }))?;
    let container = setup.start()?;
    let pid = container.pid()?.to_string();
    let output = Command::new("nsenter").args(["--target", &pid, "--net", "ip", "addr"]).output()?;
    let seen = String::from_utf8_lossy(&output.stdout);
    for word in [format!(" {name}@").as_str(), "inet 10.9.8.7/24", "inet6 fd00::7/64", ",UP"] {
        ensure!(seen.contains(word), "{word:?} is not there: {seen}");
    }
    Ok(())
}
