//! config.md#configLinuxProcess: the five sets, no_new_privs; config-linux.md#configLinuxSeccomp in short.

use anyhow::{Result, anyhow, ensure};
use rustix::thread::CapabilitySet;
use serde_json::{Value, json};

use super::{CONTAINER, ROOT, USERS};
use crate::case::{Case, expect_eq};
use crate::host;
use crate::inside::{Report, capability, every_capability as every};

const SETS: [(&str, &str); 5] = [
    ("bounding", "CapBnd"),
    ("effective", "CapEff"),
    ("permitted", "CapPrm"),
    ("inheritable", "CapInh"),
    ("ambient", "CapAmb"),
];

pub(super) const CASES: &[Case] = &[
    Case {
        name: "capabilities.of-root-are-the-configured-sets",
        at: "config.md#configLinuxProcess",
        must: "**`effective`** (array of strings, OPTIONAL) the `effective` field is an array of effective capabilities that are kept for the process.",
        needs: CONTAINER,
        check: |bench| {
            let sets = json!({
                "bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_SETUID"],
                "permitted": ["CAP_CHOWN", "CAP_KILL"],
                "effective": ["CAP_KILL", "CAP_CHOWN"],
            });
            let report = bench.reporter([])?.set("/process/capabilities", sets)?.report()?;
            // the kernel gives a program of root its bounding set, unless no_new_privs is set: then the permitted one
            sets_are(&report, "CapBnd", &["CAP_CHOWN", "CAP_KILL", "CAP_SETUID"])
        },
    },
    Case {
        name: "capabilities.empty-sets-give-none",
        at: "config.md#configLinuxProcess",
        must: "**`bounding`** (array of strings, OPTIONAL) the `bounding` field is an array of bounding capabilities that are kept for the process.",
        needs: CONTAINER,
        check: |bench| {
            let none: Value = SETS.iter().map(|(name, _)| ((*name).to_owned(), json!([]))).collect();
            let report = bench.reporter([])?.set("/process/capabilities", none)?.report()?;
            SETS.iter().try_for_each(|(_, set)| sets_are(&report, set, &[]))
        },
    },
    Case {
        name: "capabilities.of-a-user-are-ambient",
        at: "config.md#configLinuxProcess",
        must: "**`ambient`** (array of strings, OPTIONAL) the `ambient` field is an array of ambient capabilities that are kept for the process.",
        needs: USERS,
        check: |bench| {
            let all = ["CAP_NET_BIND_SERVICE", "CAP_KILL"];
            let sets: Value = SETS.iter().map(|(name, _)| ((*name).to_owned(), json!(all))).collect();
            let setup = bench.reporter([])?.set("/process/capabilities", sets)?;
            let report = setup.set("/process/user", json!({ "uid": 1000, "gid": 1000 }))?.report()?;
            SETS.iter().try_for_each(|(_, set)| sets_are(&report, set, &all))
        },
    },
    Case {
        name: "capabilities.of-a-user-without-ambient-are-lost",
        at: "config.md#configLinuxProcess",
        must: "**`ambient`** (array of strings, OPTIONAL) the `ambient` field is an array of ambient capabilities that are kept for the process.",
        needs: USERS,
        check: |bench| {
            let report =
                bench.reporter([])?.set("/process/user", json!({ "uid": 1000, "gid": 1000 }))?.report()?;
            sets_are(&report, "CapEff", &[])?;
            sets_are(&report, "CapPrm", &[])?;
            sets_are(&report, "CapBnd", &crate::bundle::CAPABILITIES)
        },
    },
    Case {
        name: "capabilities.unknown-one-only-warns",
        at: "config.md#configLinuxProcess",
        must: "Any value which cannot be mapped to a relevant kernel interface, or cannot be granted otherwise MUST be logged as a warning by the runtime.",
        needs: CONTAINER,
        check: |bench| {
            let report =
                bench.reporter([])?.set("/process/capabilities/bounding/-", "CAP_NO_SUCH")?.report()?;
            sets_are(&report, "CapBnd", &crate::bundle::CAPABILITIES)
        },
    },
    Case {
        name: "capabilities.those-that-cannot-be-granted-are-no-error",
        at: "config.md#configLinuxProcess",
        must: "Runtimes SHOULD NOT fail if the container configuration requests capabilities that cannot be granted, for example, if the runtime operates in a restricted environment with a limited set of capabilities.",
        needs: ROOT,
        check: |bench| {
            // a thread ends with what it has lost, and what it starts has lost it too
            let restricted = || -> Result<Report> {
                rustix::thread::remove_capability_from_bounding_set(CapabilitySet::SYS_BOOT)?;
                let sets: Value = SETS.iter().map(|(name, _)| ((*name).to_owned(), json!(every()))).collect();
                bench.reporter([])?.set("/process/capabilities", sets)?.report()
            };
            let report = std::thread::scope(|scope| scope.spawn(restricted).join());
            let report = report.map_err(|_| anyhow!("the thread is gone"))??;
            let missing = host::capabilities("CapBnd")? & !report.capabilities("CapBnd")?;
            ensure!(
                missing & !capability("CAP_SYS_BOOT")? == 0,
                "the program lacks {missing:x} that the caller has"
            );
            Ok(())
        },
    },
    Case {
        name: "process.new-privileges-can-be-had-where-nobody-forbids-it",
        at: "config.md#configLinuxProcess",
        must: "**`noNewPrivileges`** (bool, OPTIONAL) setting `noNewPrivileges` to true prevents the process from gaining additional privileges.",
        needs: CONTAINER,
        check: |bench| {
            let report = bench.reporter([])?.remove("/process/noNewPrivileges").report()?;
            expect_eq("NoNewPrivs", report.status("NoNewPrivs"), "0")
        },
    },
    Case {
        name: "capabilities.absent-means-none",
        at: "config.md#configLinuxProcess",
        must: "**`capabilities`** (object, OPTIONAL) is an object containing arrays that specifies the sets of capabilities for the process.",
        needs: CONTAINER,
        check: |bench| {
            let report = bench.reporter([])?.set("/process/capabilities", json!({}))?.report()?;
            sets_are(&report, "CapBnd", &[])?;
            sets_are(&report, "CapEff", &[])
        },
    },
    Case {
        name: "process.no-new-privileges-is-set",
        at: "config.md#configLinuxProcess",
        must: "**`noNewPrivileges`** (bool, OPTIONAL) setting `noNewPrivileges` to true prevents the process from gaining additional privileges.",
        needs: CONTAINER,
        check: |bench| {
            for (wanted, seen) in [(true, "1"), (false, "0")] {
                let report = bench.reporter([])?.set("/process/noNewPrivileges", wanted)?.report()?;
                expect_eq("NoNewPrivs", report.status("NoNewPrivs"), seen)?;
            }
            Ok(())
        },
    },
    Case {
        name: "seccomp.filter-is-on",
        at: "config-linux.md#configLinuxSeccomp",
        must: "**`defaultAction`** *(string, REQUIRED)* - the default action for seccomp.",
        needs: CONTAINER,
        check: |bench| {
            let profile = json!({
                "defaultAction": "SCMP_ACT_ALLOW",
                "syscalls": [{ "names": ["getcwd"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95 }],
            });
            let report = bench.reporter([])?.set("/linux/seccomp", profile)?.report()?;
            expect_eq("Seccomp", report.status("Seccomp"), "2")?;
            expect_eq("cwd, which getcwd refuses to say", report.at("/cwd"), "")
        },
    },
    Case {
        name: "seccomp.absent-means-no-filter",
        at: "config-linux.md#configLinuxSeccomp",
        must: "Seccomp provides application sandboxing mechanism in the Linux kernel.",
        needs: CONTAINER,
        check: |bench| {
            let own = std::fs::read_to_string("/proc/self/status")?;
            let own = own.lines().find_map(|line| line.strip_prefix("Seccomp:\t")).unwrap_or("0");
            expect_eq("Seccomp", bench.reporter([])?.report()?.status("Seccomp"), own)
        },
    },
];

fn sets_are(report: &Report, set: &str, names: &[&str]) -> Result<()> {
    let mut want = 0;
    for name in names {
        want |= capability(name)?;
    }
    expect_eq(set, format!("{:016x}", report.capabilities(set)?), format!("{want:016x}"))
}
