//! config.md#configProcess: the program and what surrounds it.

use anyhow::{Context, ensure};
use serde_json::json;

use super::{CONTAINER, USERS};
use crate::case::{Case, expect_eq};

const RLIM: &str = "`rlim.rlim_cur` MUST match the configured value.";

pub(super) const CASES: &[Case] = &[
    Case {
        name: "process.args-arrive-as-they-are",
        at: "config.md#configProcess",
        must: "**`args`** (array of strings, OPTIONAL) with similar semantics to IEEE Std 1003.1-2008 `execvp`'s *argv*.",
        needs: CONTAINER,
        check: |bench| {
            let words = ["report", "", "a b", "--x=1", "$HOME", "ü\n"];
            let report = bench.container(words)?.report()?;
            expect_eq(
                "args",
                report.list("/args"),
                ["/probe", "report", "", "a b", "--x=1", "$HOME", "ü\n"].as_slice(),
            )
        },
    },
    Case {
        name: "process.program-is-found-in-the-containers-path",
        at: "config.md#configProcess",
        must: "This specification extends the IEEE standard in that at least one entry is REQUIRED (non-Windows), and that entry is used with the same semantics as `execvp`'s *file*.",
        needs: CONTAINER,
        check: |bench| {
            let setup = bench
                .reporter([])?
                .set("/process/args/0", "probe")?
                .set("/process/env", json!(["PATH=/none:/"]))?;
            expect_eq("args[0]", setup.report()?.at("/args/0"), "probe")
        },
    },
    Case {
        name: "process.env-is-that-of-the-config",
        at: "config.md#configProcess",
        must: "**`env`** (array of strings, OPTIONAL) with the same semantics as IEEE Std 1003.1-2008's `environ`.",
        needs: CONTAINER,
        check: |bench| {
            let setup = bench
                .reporter([])?
                .set("/process/env", json!(["PATH=/x", "EMPTY=", "EQUALS=a=b", "UTF=ü"]))?;
            let mut env = setup.report()?.list("/env");
            // runc sets HOME from the container's passwd when the config has none, and managers count on it
            env.retain(|pair| !pair.starts_with("HOME="));
            env.sort();
            expect_eq("the environment", env, ["EMPTY=", "EQUALS=a=b", "PATH=/x", "UTF=ü"].as_slice())
        },
    },
    Case {
        name: "process.cwd-is-set",
        at: "config.md#configProcess",
        must: "**`cwd`** (string, REQUIRED) is the working directory that will be set for the executable.",
        needs: CONTAINER,
        check: |bench| {
            expect_eq("cwd", bench.reporter([])?.set("/process/cwd", "/data")?.report()?.at("/cwd"), "/data")
        },
    },
    Case {
        name: "process.relative-cwd-is-an-error",
        at: "config.md#configProcess",
        must: "This value MUST be an absolute path.",
        needs: CONTAINER,
        check: |bench| bench.container(["pause"])?.set("/process/cwd", "data")?.refused_by_start(),
    },
    Case {
        name: "process.user-and-group-are-set",
        at: "config.md#configPOSIXUser",
        must: "**`uid`** (int, REQUIRED) specifies the user ID in the container namespace.",
        needs: USERS,
        check: |bench| {
            let report =
                bench.reporter([])?.set("/process/user", json!({ "uid": 1234, "gid": 5678 }))?.report()?;
            expect_eq(
                "real, effective, saved and file system uid",
                report.status("Uid"),
                "1234\t1234\t1234\t1234",
            )?;
            expect_eq(
                "real, effective, saved and file system gid",
                report.status("Gid"),
                "5678\t5678\t5678\t5678",
            )
        },
    },
    Case {
        name: "process.additional-groups-are-exactly-those",
        at: "config.md#configPOSIXUser",
        must: "**`additionalGids`** (array of ints, OPTIONAL) specifies additional group IDs in the container namespace to be added to the process.",
        needs: USERS,
        check: |bench| {
            let user = json!({ "uid": 1, "gid": 2, "additionalGids": [5, 6, 70_000] });
            let groups = bench.reporter([])?.set("/process/user", user)?.report()?.status("Groups");
            let mut groups: Vec<&str> = groups.split(' ').filter(|gid| *gid != "2").collect();
            groups.sort_unstable();
            expect_eq("supplementary groups", groups, ["5", "6", "70000"].as_slice())
        },
    },
    Case {
        name: "process.no-groups-of-the-caller",
        at: "config.md#configPOSIXUser",
        must: "**`additionalGids`** (array of ints, OPTIONAL) specifies additional group IDs in the container namespace to be added to the process.",
        needs: USERS,
        check: |bench| {
            let groups = bench
                .reporter([])?
                .set("/process/user", json!({ "uid": 1, "gid": 2 }))?
                .report()?
                .status("Groups");
            ensure!(["", "2"].contains(&groups.as_str()), "supplementary groups are {groups:?}");
            Ok(())
        },
    },
    Case {
        name: "process.umask-is-set",
        at: "config.md#configPOSIXUser",
        must: "**`umask`** (int, OPTIONAL) specifies the umask of the user.",
        needs: CONTAINER,
        check: |bench| {
            for (umask, text) in [(0o027, "0027"), (0, "0000"), (0o777, "0777")] {
                let report = bench.reporter([])?.set("/process/user/umask", umask)?.report()?;
                expect_eq("umask", report.status("Umask"), text)?;
            }
            Ok(())
        },
    },
    Case {
        name: "process.rlimits-match",
        at: "config.md#configPOSIXProcess",
        must: RLIM,
        needs: CONTAINER,
        check: |bench| {
            let limits = [("RLIMIT_NOFILE", 512, 600), ("RLIMIT_CORE", 0, 4096), ("RLIMIT_NPROC", 300, 400)];
            let limits = limits.map(|(kind, soft, hard)| json!({ "type": kind, "soft": soft, "hard": hard }));
            let report = bench.reporter([])?.set("/process/rlimits", limits.as_slice())?.report()?;
            for limit in &limits {
                let kind = limit["type"].as_str().unwrap_or_default();
                let want = json!({ "soft": limit["soft"], "hard": limit["hard"] });
                expect_eq(kind, report.at(&format!("/rlimits/{kind}")), want)?;
            }
            Ok(())
        },
    },
    Case {
        name: "process.every-rlimit-is-known",
        at: "config.md#configPOSIXProcess",
        must: "For each entry in `rlimits`, a getrlimit(3) on `type` MUST succeed.",
        needs: CONTAINER,
        check: |bench| {
            let plain = bench.reporter([])?.report()?.at("/rlimits");
            let kinds = plain.as_object().context("no limits")?;
            // below what the caller has, and each another one; too much to be felt
            let value = |at: usize, kind: &str| {
                let hard = plain[kind]["hard"].as_u64().unwrap_or(u64::MAX);
                hard.min((1 << 40) + u64::try_from(at).unwrap_or_default())
            };
            let limit = |(at, kind): (usize, &String)| json!({ "type": kind, "soft": value(at, kind), "hard": value(at, kind) });
            let limits: Vec<_> = kinds.keys().enumerate().map(limit).collect();
            let report = bench.reporter([])?.set("/process/rlimits", limits.clone())?.report()?;
            for limit in limits {
                let kind = limit["type"].as_str().unwrap_or_default();
                let want = json!({ "soft": limit["soft"], "hard": limit["hard"] });
                expect_eq(kind, report.at(&format!("/rlimits/{kind}")), want)?;
            }
            Ok(())
        },
    },
    Case {
        name: "process.unknown-rlimit-is-an-error",
        at: "config.md#configPOSIXProcess",
        must: "The runtime MUST generate an error for any values which cannot be mapped to a relevant kernel interface.",
        needs: CONTAINER,
        check: |bench| {
            let limit = json!([{ "type": "RLIMIT_NO_SUCH", "soft": 1, "hard": 1 }]);
            bench.container(["pause"])?.set("/process/rlimits", limit)?.refused().map(drop)
        },
    },
    Case {
        name: "process.duplicate-rlimit-is-an-error",
        at: "config.md#configPOSIXProcess",
        must: "If `rlimits` contains duplicated entries with same `type`, the runtime MUST generate an error.",
        needs: CONTAINER,
        check: |bench| {
            let limit = json!({ "type": "RLIMIT_CORE", "soft": 10, "hard": 20 });
            bench.container(["pause"])?.set("/process/rlimits", json!([limit, limit]))?.refused().map(drop)
        },
    },
    Case {
        name: "process.oom-score-is-set",
        at: "config.md#configLinuxProcess",
        must: "If `oomScoreAdj` is set, the runtime MUST set `oom_score_adj` to the given value.",
        needs: CONTAINER,
        check: |bench| {
            let report = bench.reporter([])?.set("/process/oomScoreAdj", 123)?.report()?;
            expect_eq("oom_score_adj", report.at("/oomScoreAdj"), "123")
        },
    },
    Case {
        name: "process.oom-score-stays-when-not-set",
        at: "config.md#configLinuxProcess",
        must: "If `oomScoreAdj` is not set, the runtime MUST NOT change the value of `oom_score_adj`.",
        needs: CONTAINER,
        check: |bench| {
            let own = std::fs::read_to_string("/proc/self/oom_score_adj")?;
            expect_eq("oom_score_adj", bench.reporter([])?.report()?.at("/oomScoreAdj"), own.trim())
        },
    },
    Case {
        name: "process.no-descriptors-but-the-standard-ones",
        at: "runtime-linux.md#runtimeLinuxFileDescriptors",
        must: "By default, only the `stdin`, `stdout` and `stderr` file descriptors are kept open for the application by the runtime.",
        needs: CONTAINER,
        check: |bench| {
            expect_eq(
                "open descriptors",
                bench.reporter([])?.report()?.list("/fds"),
                ["0", "1", "2"].as_slice(),
            )
        },
    },
    Case {
        name: "process.exit-status-is-passed-through",
        at: "runtime.md#runtimeLifecycle",
        must: "The runtime MUST run the user-specified program, as specified by `process`.",
        needs: CONTAINER,
        check: |bench| {
            for status in ["0", "1", "255"] {
                let setup = bench.container(["exit", status])?;
                let bundle = setup.bundle().display().to_string();
                let container = setup.create()?;
                container.kill("KILL")?.success()?;
                container.wait_for("stopped")?;
                container.delete()?.success()?;
                let call =
                    bench.runtime().call(&["run", "--bundle", &bundle, &container.id], bench.left())?;
                expect_eq("exit status of run", call.status.code(), status.parse::<i32>()?)?;
            }
            Ok(())
        },
    },
    Case {
        name: "process.absent-is-an-error-at-start",
        at: "runtime.md#runtimeStart",
        must: "This operation MUST generate an error if `process` was not set.",
        needs: CONTAINER,
        check: |bench| bench.container([])?.remove("/process").refused_by_start(),
    },
    Case {
        name: "process.terminal-wants-a-socket-from-create",
        at: "config.md#configProcess",
        must: "**`terminal`** (bool, OPTIONAL) specifies whether a terminal is attached to the process, defaults to false.",
        needs: CONTAINER,
        check: |bench| {
            let refused = bench.container(["pause"])?.set("/process/terminal", true)?.refused();
            refused.context("terminal without a console socket").map(drop)
        },
    },
    Case {
        name: "process.personality-is-set",
        at: "config-linux.md#configLinuxPersonality",
        must: "**`personality`** (object, OPTIONAL) sets the Linux execution personality.",
        needs: CONTAINER,
        check: |bench| {
            let report =
                bench.reporter([])?.set("/linux/personality", json!({ "domain": "LINUX32" }))?.report()?;
            expect_eq("/proc/self/personality", report.at("/personality"), "00000008")
        },
    },
];
