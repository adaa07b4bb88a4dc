//! config-linux.md#configLinuxNamespaces, hostname, domainname, sysctl.

use std::os::unix::fs::MetadataExt;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::{CONTAINER, ROOT, USERS};
use crate::case::{Bench, Case, expect_eq};
use crate::container::Container;
use crate::host;

/// The names of the specification and those below /proc/PID/ns.
const KINDS: [(&str, &str); 5] =
    [("pid", "pid"), ("network", "net"), ("mount", "mnt"), ("ipc", "ipc"), ("uts", "uts")];

pub(super) const CASES: &[Case] = &[
    Case {
        name: "namespaces.listed-ones-are-new",
        at: "config-linux.md#configLinuxNamespaces",
        must: "If `path` is not specified, the runtime MUST create a new container namespace of type `type`.",
        needs: CONTAINER,
        check: |bench| {
            let setup =
                bench.container(["pause"])?.set("/linux/namespaces/-", json!({ "type": "cgroup" }))?;
            let container = setup.start()?;
            for (kind, file) in KINDS.into_iter().chain([("cgroup", "cgroup")]) {
                ensure!(inode(&container, file)? != own(file)?, "the {kind} namespace is the runtime's own");
            }
            Ok(())
        },
    },
    Case {
        name: "namespaces.unlisted-ones-are-inherited",
        at: "config-linux.md#configLinuxNamespaces",
        must: "If a namespace type is not specified in the `namespaces` array, the container MUST inherit the runtime namespace of that type.",
        needs: CONTAINER,
        check: |bench| {
            // without a network namespace of its own a sysfs cannot be mounted: it is left out
            let setup = bench.container(["pause"])?.without_namespace("ipc").without_namespace("uts");
            let setup =
                setup.without_namespace("network").remove("/hostname").set("/mounts/5", tmpfs("/sys"))?;
            let container = setup.set("/mounts/4", tmpfs("/data"))?.start()?;
            // an ordinary user's container has a user namespace in any case
            let inherited: &[&str] =
                if host::is_root() { &["ipc", "uts", "net", "user"] } else { &["ipc", "uts", "net"] };
            for file in inherited {
                expect_eq(&format!("the {file} namespace"), inode(&container, file)?, own(file)?)?;
            }
            Ok(())
        },
    },
    Case {
        name: "namespaces.by-path-are-joined",
        at: "config-linux.md#configLinuxNamespaces",
        must: "The runtime MUST place the container process in the namespace associated with that `path`.",
        needs: ROOT,
        check: |bench| {
            let first = bench.container(["pause"])?.start()?;
            let mut setup = bench.container(["pause"])?.remove("/hostname");
            for (kind, file) in [("network", "net"), ("ipc", "ipc"), ("uts", "uts"), ("pid", "pid")] {
                setup = setup.without_namespace(kind);
                setup = setup
                    .set("/linux/namespaces/-", json!({ "type": kind, "path": ns_path(&first, file)? }))?;
            }
            let second = setup.start()?;
            for file in ["net", "ipc", "uts", "pid"] {
                expect_eq(&format!("the {file} namespace"), inode(&second, file)?, inode(&first, file)?)?;
            }
            ensure!(inode(&second, "mnt")? != inode(&first, "mnt")?, "the mount namespace is the other's");
            Ok(())
        },
    },
    Case {
        name: "namespaces.path-of-another-type-is-an-error",
        at: "config-linux.md#configLinuxNamespaces",
        must: "The runtime MUST generate an error if `path` is not associated with a namespace of type `type`.",
        needs: ROOT,
        check: |bench| {
            for path in ["/proc/self/ns/net", "/no/such/file", "/etc/hostname"] {
                let setup = bench.container(["pause"])?.without_namespace("ipc");
                let setup = setup.set("/linux/namespaces/-", json!({ "type": "ipc", "path": path }))?;
                setup.refused().context(path)?;
            }
            Ok(())
        },
    },
    Case {
        name: "namespaces.duplicates-are-an-error",
        at: "config-linux.md#configLinuxNamespaces",
        must: "If a `namespaces` field contains duplicated namespaces with same `type`, the runtime MUST generate an error.",
        needs: CONTAINER,
        check: |bench| {
            let setup = bench.container(["pause"])?.set("/linux/namespaces/-", json!({ "type": "ipc" }))?;
            setup.refused().map(drop)
        },
    },
    Case {
        name: "namespaces.pid-makes-the-program-pid-1",
        at: "config-linux.md#configLinuxNamespaces",
        must: "**`pid`** processes inside the container will only be able to see other processes inside the same container or inside the same pid namespace.",
        needs: CONTAINER,
        check: |bench| {
            let report = bench.reporter(["/proc"])?.report()?;
            expect_eq("pid inside", report.at("/pid"), 1)?;
            let entries = report.look("/proc", "entries");
            let pids = entries.as_array().into_iter().flatten().filter_map(|name| name.as_str());
            let pids: Vec<&str> = pids.filter(|name| name.parse::<u32>().is_ok()).collect();
            expect_eq("processes in /proc", pids, ["1"].as_slice())
        },
    },
    Case {
        name: "namespaces.user-maps-ids",
        at: "config-linux.md#configLinuxUserNamespaceMappings",
        must: "**`hostID`** *(uint32, REQUIRED)* - is the starting uid/gid on the host to be mapped to *containerID*.",
        needs: USERS,
        check: |bench| {
            let map = json!([{ "containerID": 0, "hostID": 100_000, "size": 65_536 }]);
            let setup = bench.container(["pause"])?.set("/linux/namespaces/-", json!({ "type": "user" }))?;
            crate::bundle::open_to_others(setup.bundle())?;
            let container =
                setup.set("/linux/uidMappings", map.clone())?.set("/linux/gidMappings", map)?.start()?;
            let meta = std::fs::metadata(format!("/proc/{}", container.pid()?))?;
            expect_eq(
                "owner on the host",
                [meta.uid(), meta.gid()].as_slice(),
                [100_000, 100_000].as_slice(),
            )?;
            ensure!(inode(&container, "user")? != own("user")?, "the user namespace is the runtime's own");
            Ok(())
        },
    },
    Case {
        name: "namespaces.user-leaves-the-owners-of-the-root",
        at: "config-linux.md#configLinuxUserNamespaceMappings",
        must: "The runtime SHOULD NOT modify the ownership of referenced filesystems to realize the mapping.",
        needs: USERS,
        check: |bench| {
            let setup = super::idmap::with_users(bench.container(["exit", "0"])?)?;
            let file = setup.rootfs("/etc/file");
            setup.run()?;
            let meta = std::fs::metadata(file)?;
            expect_eq("owner of /etc/file", [meta.uid(), meta.gid()].as_slice(), [0, 0].as_slice())
        },
    },
    Case {
        name: "namespaces.user-without-mappings-is-an-error",
        at: "config-linux.md#configLinuxUserNamespaceMappings",
        must: "**`size`** *(uint32, REQUIRED)* - is the number of ids to be mapped.",
        needs: ROOT,
        check: |bench| {
            let setup = bench.container(["pause"])?.set("/linux/namespaces/-", json!({ "type": "user" }))?;
            setup.refused().map(drop)
        },
    },
    Case {
        name: "hostname.is-set-inside-only",
        at: "config.md#configHostname",
        must: "**`hostname`** (string, OPTIONAL) specifies the container's hostname as seen by processes running inside the container.",
        needs: CONTAINER,
        check: |bench| {
            let before = rustix::system::uname().nodename().to_owned();
            expect_eq(
                "hostname",
                bench.reporter([])?.set("/hostname", "mrsdalloway")?.report()?.at("/hostname"),
                "mrsdalloway",
            )?;
            ensure!(
                rustix::system::uname().nodename() == before.as_c_str(),
                "the machine's own hostname has changed"
            );
            Ok(())
        },
    },
    Case {
        name: "hostname.without-uts-namespace-is-an-error",
        at: "config.md#configValidValues",
        must: "Runtimes MUST generate an error when invalid or unsupported values are encountered.",
        needs: CONTAINER,
        check: |bench| bench.container(["pause"])?.without_namespace("uts").refused().map(drop),
    },
    Case {
        name: "domainname.is-set",
        at: "config.md#configDomainname",
        must: "**`domainname`** (string, OPTIONAL) specifies the container's domainname as seen by processes running inside the container.",
        needs: CONTAINER,
        check: |bench| {
            let report = bench.reporter([])?.set("/domainname", "foobarbaz.test")?.report()?;
            expect_eq("domainname", report.at("/domainname"), "foobarbaz.test")
        },
    },
    Case {
        name: "network.new-namespace-has-only-the-loopback",
        at: "config-linux.md#configLinuxNamespaces",
        must: "**`network`** the container will have its own network stack.",
        needs: CONTAINER,
        check: |bench| {
            let mut interfaces = bench.reporter([])?.report()?.list("/interfaces");
            interfaces.sort();
            expect_eq("interfaces", interfaces, fresh_interfaces()?)
        },
    },
    Case {
        name: "sysctl.is-set-inside-only",
        at: "config-linux.md#configLinuxSysctl",
        must: "**`sysctl`** (object, OPTIONAL) allows kernel parameters to be modified at runtime for the container.",
        needs: CONTAINER,
        check: sysctl_inside_only,
    },
    Case {
        name: "sysctl.of-the-machine-is-an-error",
        at: "config.md#configValidValues",
        must: "Runtimes MUST generate an error when invalid or unsupported values are encountered.",
        needs: CONTAINER,
        check: |bench| {
            for name in ["vm.no_such_thing", "net.ipv4.no_such_thing"] {
                bench
                    .container(["pause"])?
                    .set("/linux/sysctl", json!({ name: "1" }))?
                    .refused()
                    .context(name)?;
            }
            Ok(())
        },
    },
];

fn sysctl_inside_only(bench: &Bench) -> Result<()> {
    let (shmmni, forward) = ("kernel/shmmni", "net/ipv4/ip_forward");
    let machine = |name: &str| std::fs::read_to_string(format!("/proc/sys/{name}"));
    let before = [machine(shmmni)?, machine(forward)?];
    let wanted = json!({ "kernel.shmmni": "1234", "net.ipv4.ip_forward": "1" });
    let container = bench.container(["pause"])?.set("/linux/sysctl", wanted)?.start()?;
    // /proc/sys shows the reader's own namespaces: it has to be read by a program inside
    let read = |name: &str| -> Result<String> {
        let pid = container.pid()?.to_string();
        let user: &[&str] = if host::is_root() { &[] } else { &["--user", "--preserve-credentials"] };
        let words = ["--target", &pid, "--ipc", "--net", "--", "cat", &format!("/proc/sys/{name}")];
        let output = Command::new("nsenter").args(user).args(words).output()?;
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    };
    expect_eq("kernel.shmmni inside", read(shmmni)?, "1234")?;
    expect_eq("net.ipv4.ip_forward inside", read(forward)?, "1")?;
    ensure!([machine(shmmni)?, machine(forward)?] == before, "the machine's own values have changed");
    Ok(())
}

fn tmpfs(place: &str) -> serde_json::Value {
    crate::bundle::mount(place, "tmpfs", &[])
}

fn ns_path(container: &Container<'_>, file: &str) -> Result<String> {
    Ok(format!("/proc/{}/ns/{file}", container.pid()?))
}

fn inode(container: &Container<'_>, file: &str) -> Result<u64> {
    Ok(std::fs::metadata(ns_path(container, file)?)?.ino())
}

fn own(file: &str) -> Result<u64> {
    Ok(std::fs::metadata(format!("/proc/thread-self/ns/{file}"))?.ino())
}

/// Those of a network namespace that nothing has been done to: the loopback, and what the kernel adds on its own.
fn fresh_interfaces() -> Result<Vec<String>> {
    let words: &[&str] = if host::is_root() { &["--net"] } else { &["--user", "--net"] };
    let output = Command::new("unshare").args(words).args(["cat", "/proc/thread-self/net/dev"]).output()?;
    ensure!(output.status.success(), "unshare: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    let names = text.lines().filter_map(|line| line.split_once(':'));
    let mut names: Vec<String> = names.map(|(name, _)| name.trim().to_owned()).collect();
    names.sort();
    Ok(names)
}
