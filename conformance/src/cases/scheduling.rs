//! config.md#configProcess and config-linux.md#configLinuxMemoryPolicy: when, where and from which memory a program runs.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{CONTAINER, USERS};
use crate::case::{Bench, Case, expect_eq};
use crate::container::Container;
use crate::host::{self, Need};
use crate::inside::Report;

const POLICY: &str = "**`memoryPolicy`** (object, OPTIONAL) sets the NUMA memory policy for the container.";
const INVALID: &str = "Runtimes MUST generate an error when invalid or unsupported values are encountered.";
const NUMA: &[Need] = &[Need::Container, Need::Path("/proc/self/numa_maps")];

pub(super) const CASES: &[Case] = &[
    Case {
        name: "scheduler.policy-and-nice-are-set",
        at: "config.md#configLinuxProcess",
        must: "**`policy`** (string, REQUIRED) represents the scheduling policy.",
        needs: CONTAINER,
        check: |bench| {
            for (policy, nice, number) in [("SCHED_OTHER", 7, "0"), ("SCHED_BATCH", 3, "3")] {
                let seen = scheduled(bench, json!({ "policy": policy, "nice": nice }))?;
                expect_eq(policy, seen, [number, "0", nice.to_string().as_str()].as_slice())?;
            }
            // Its nice value is the caller's, which nobody has asked to change.
            let mut seen = scheduled(bench, json!({ "policy": "SCHED_IDLE" }))?;
            seen.truncate(2);
            expect_eq("SCHED_IDLE", seen, ["5", "0"].as_slice())
        },
    },
    Case {
        name: "scheduler.unknown-policy-is-an-error",
        at: "config.md#configValidValues",
        must: INVALID,
        needs: CONTAINER,
        check: |bench| {
            let setup = bench.container(["pause"])?;
            setup.set("/process/scheduler", json!({ "policy": "SCHED_NO_SUCH" }))?.refused().map(drop)
        },
    },
    Case {
        name: "scheduler.unknown-flag-is-an-error",
        at: "config.md#configValidValues",
        must: INVALID,
        needs: CONTAINER,
        check: |bench| {
            let scheduler = json!({ "policy": "SCHED_OTHER", "flags": ["SCHED_FLAG_NO_SUCH"] });
            bench.container(["pause"])?.set("/process/scheduler", scheduler)?.refused().map(drop)
        },
    },
    Case {
        name: "io-priority.is-set",
        at: "config.md#configLinuxProcess",
        must: "**`ioPriority`** (object, OPTIONAL) configures the I/O priority settings for the container's processes within the process group.",
        needs: &[Need::Container, Need::Program("ionice")],
        check: |bench| {
            for (class, priority, seen) in [
                ("IOPRIO_CLASS_BE", 3, "best-effort: prio 3"),
                ("IOPRIO_CLASS_BE", 0, "best-effort: prio 0"),
                ("IOPRIO_CLASS_IDLE", 0, "idle"),
            ] {
                let wanted = json!({ "class": class, "priority": priority });
                let container = bench.container(["pause"])?.set("/process/ioPriority", wanted)?.start()?;
                let pid = container.pid()?.to_string();
                let said = std::process::Command::new("ionice").args(["-p", &pid]).output()?;
                expect_eq(class, String::from_utf8_lossy(&said.stdout).trim(), seen)?;
            }
            Ok(())
        },
    },
    Case {
        name: "io-priority.unknown-class-is-an-error",
        at: "config.md#configValidValues",
        must: INVALID,
        needs: CONTAINER,
        check: |bench| {
            let wanted = json!({ "class": "IOPRIO_CLASS_NO_SUCH", "priority": 3 });
            bench.container(["pause"])?.set("/process/ioPriority", wanted)?.refused().map(drop)
        },
    },
    Case {
        name: "memory-policy.is-set",
        at: "config-linux.md#configLinuxMemoryPolicy",
        must: POLICY,
        needs: NUMA,
        check: |bench| {
            for (policy, word) in [
                (json!({ "mode": "MPOL_BIND", "nodes": "0" }), "bind:0"),
                (
                    json!({ "mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"] }),
                    "bind=static:0",
                ),
                (json!({ "mode": "MPOL_PREFERRED", "nodes": "0" }), "prefer:0"),
                (json!({ "mode": "MPOL_INTERLEAVE", "nodes": "0-0" }), "interleave:0"),
                (json!({ "mode": "MPOL_LOCAL" }), "local"),
            ] {
                let container =
                    bench.container(["pause"])?.set("/linux/memoryPolicy", policy.clone())?.start()?;
                let path = format!("/proc/{}/numa_maps", container.pid()?);
                // not before it executes its program may an ordinary user look into it, and start can return earlier
                let mut maps = std::fs::read_to_string(&path);
                host::wait_until(bench.left(), "a look into the container process", || {
                    if maps.is_err() {
                        maps = std::fs::read_to_string(&path);
                    }
                    maps.is_ok()
                })?;
                let maps = maps?;
                // every mapping of a program without policies of its own has that of the process
                let seen = maps.split_whitespace().nth(1).unwrap_or_default();
                expect_eq(&format!("the policy of {policy}"), seen, word)?;
            }
            Ok(())
        },
    },
    Case {
        name: "memory-policy.unknown-mode-is-an-error",
        at: "config.md#configValidValues",
        must: INVALID,
        needs: CONTAINER,
        check: |bench| {
            let policy = json!({ "mode": "MPOL_NO_SUCH", "nodes": "0" });
            bench.container(["pause"])?.set("/linux/memoryPolicy", policy)?.refused().map(drop)
        },
    },
    Case {
        name: "memory-policy.that-the-kernel-refuses-is-an-error",
        at: "runtime.md#runtimeCreate",
        must: "If the runtime cannot apply a property as specified in the configuration, it MUST generate an error and a new container MUST NOT be created.",
        needs: NUMA,
        check: |bench| {
            let policy = json!({ "mode": "MPOL_BIND" });
            bench.container(["pause"])?.set("/linux/memoryPolicy", policy)?.refused().map(drop)
        },
    },
    Case {
        name: "exec-affinity.final-one-is-that-of-the-process",
        at: "config.md#configLinuxProcess",
        must: "**`final`** (string, OPTIONAL) is a list of CPUs the process will be run on after the transition to container's cgroup.",
        needs: &[Need::Container, Need::Path("/sys/devices/system/cpu/cpu1")],
        check: |bench| {
            for (affinity, list) in [("0", "0"), ("1", "1"), ("0-1", "0-1")] {
                let wanted = json!({ "initial": "0", "final": affinity });
                let container =
                    bench.container(["pause"])?.set("/process/execCPUAffinity", wanted)?.start()?;
                let report = container.exec(&[], &["/probe", "report"])?;
                expect_eq("processors of exec", report.status("Cpus_allowed_list"), list)?;
            }
            Ok(())
        },
    },
    Case {
        name: "exec-affinity.does-not-concern-the-container-process",
        at: "config.md#configLinuxProcess",
        must: "This setting is not applicable to the container's init process.",
        needs: &[Need::Container, Need::Path("/sys/devices/system/cpu/cpu1")],
        check: |bench| {
            let plain = bench.reporter([])?.report()?.status("Cpus_allowed_list");
            let wanted = json!({ "initial": "0", "final": "0" });
            let report = bench.reporter([])?.set("/process/execCPUAffinity", wanted)?.report()?;
            expect_eq("processors of init", report.status("Cpus_allowed_list"), plain)
        },
    },
    Case {
        name: "exec-affinity.absent-one-changes-nothing",
        at: "config.md#configLinuxProcess",
        must: "If omitted or empty, runtime SHOULD NOT change process' CPU affinity after the process is moved to container's cgroup, and the final affinity is determined by the Linux kernel.",
        needs: &[Need::Container, Need::Path("/sys/devices/system/cpu/cpu1")],
        check: |bench| {
            let container = bench.container(["pause"])?.start()?;
            let status = std::fs::read_to_string(format!("/proc/{}/status", container.pid()?))?;
            let of_init = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
            let report = container.exec(&[], &["/probe", "report"])?;
            expect_eq("processors of exec", report.status("Cpus_allowed_list"), of_init.unwrap_or("").trim())
        },
    },
    Case {
        name: "exec-affinity.processors-that-are-not-there-are-an-error",
        at: "config.md#configLinuxProcess",
        must: INVALID,
        needs: CONTAINER,
        check: |bench| {
            for when in ["initial", "final"] {
                let setup =
                    bench.container(["pause"])?.set("/process/execCPUAffinity", json!({ when: "no" }))?;
                // it is of use to an exec alone, which may be the first to look at it
                let (outcome, container) = setup.try_create()?;
                if outcome.status.success() {
                    container.start()?;
                    let seen = container.exec(&[], &["/probe", "report"]);
                    ensure!(seen.is_err(), "an exec whose {when} processors are {:?} succeeded", "no");
                }
            }
            Ok(())
        },
    },
    Case {
        name: "exec.has-what-its-process-file-says",
        at: "config.md#configProcess",
        must: "**`process`** (object, OPTIONAL) specifies the container process.",
        needs: USERS,
        check: |bench| {
            let container = bench.container(["pause"])?.start()?;
            let process = json!({
                "args": ["/probe", "report"], "cwd": "/data", "env": ["A=b", "HOME=/"],
                "user": { "uid": 7, "gid": 8, "additionalGids": [9] },
                "rlimits": [{ "type": "RLIMIT_NOFILE", "soft": 77, "hard": 99 }],
                "noNewPrivileges": true,
            });
            let report = exec(bench, &container, &process)?;
            expect_eq("cwd", report.at("/cwd"), "/data")?;
            expect_eq("environment", report.list("/env"), ["A=b", "HOME=/"].as_slice())?;
            expect_eq("uid", report.status("Uid"), "7\t7\t7\t7")?;
            expect_eq("gid", report.status("Gid"), "8\t8\t8\t8")?;
            ensure!(report.status("Groups").split(' ').any(|gid| gid == "9"), "group 9 is not there");
            expect_eq("open files", report.at("/rlimits/RLIMIT_NOFILE"), json!({ "soft": 77, "hard": 99 }))?;
            expect_eq("NoNewPrivs", report.status("NoNewPrivs"), "1")
        },
    },
    Case {
        name: "exec.has-the-umask-of-its-process-file",
        at: "config.md#configPOSIXUser",
        must: "**`umask`** (int, OPTIONAL) specifies the umask of the user.",
        needs: CONTAINER,
        check: |bench| {
            let container = bench.container(["pause"])?.start()?;
            let user = json!({ "uid": 0, "gid": 0, "umask": 0o027 });
            let process = json!({ "args": ["/probe", "report"], "cwd": "/", "user": user });
            expect_eq("umask", exec(bench, &container, &process)?.status("Umask"), "0027")
        },
    },
    Case {
        name: "exec.has-the-oom-score-of-its-process-file",
        at: "config.md#configLinuxProcess",
        must: "If `oomScoreAdj` is set, the runtime MUST set `oom_score_adj` to the given value.",
        needs: CONTAINER,
        check: |bench| {
            let container = bench.container(["pause"])?.start()?;
            let user = json!({ "uid": 0, "gid": 0 });
            let process =
                json!({ "args": ["/probe", "report"], "cwd": "/", "user": user, "oomScoreAdj": 321 });
            expect_eq("oom_score_adj", exec(bench, &container, &process)?.at("/oomScoreAdj"), "321")
        },
    },
];

/// What a reporter sees that `exec --process FILE` starts.
fn exec(bench: &Bench, container: &Container<'_>, process: &Value) -> Result<Report> {
    let file = bench.dir().join("process.json");
    std::fs::write(&file, process.to_string())?;
    container.exec(&["--process", &file.display().to_string()], &[])
}

/// Policy, real-time priority and nice value of a program: fields 41, 40 and 19 of proc_pid_stat(5).
fn scheduled(bench: &Bench, scheduler: Value) -> Result<Vec<String>> {
    let container = bench.container(["pause"])?.set("/process/scheduler", scheduler)?.start()?;
    stat(&container, &[41, 40, 19])
}

fn stat(container: &Container<'_>, numbers: &[usize]) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(format!("/proc/{}/stat", container.pid()?))?;
    // the second field is a name in parentheses that may hold anything
    let (_, rest) = text.rsplit_once(") ").context("a stat file without a name")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    let field = |number: &usize| fields.get(number - 3).map(|text| (*text).to_owned());
    numbers.iter().map(field).collect::<Option<_>>().context("a stat file that is too short")
}
