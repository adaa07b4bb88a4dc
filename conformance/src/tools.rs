//! The validation programs of runtime-tools: built by whoever has them, run and read here.
//!
//! Each is an executable that drives the runtime named by RUNTIME and prints TAP. Some ask for containers without
//! a mount namespace, whose mounts then land wherever the program runs: so each runs in a private one.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal};

use crate::host::{self, Need};

/// What TAP says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tap {
    /// Tests that passed, or failed as TODO says they may.
    pub passed: usize,
    /// Descriptions of those that failed.
    pub failed: Vec<String>,
    /// Tests skipped, or 1 for a plan that skips all.
    pub skipped: usize,
    /// The plan's number.
    pub planned: Option<usize>,
    /// What diagnostics call an error.
    pub errors: Vec<String>,
    /// The words behind `Bail out!`.
    pub bailed: Option<String>,
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// All its tests passed.
    Passed,
    /// The reason.
    Failed(String),
    /// It skipped everything, or the machine lacks what it needs.
    Skipped(String),
}

/// A program and its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// File name without its ending.
    pub name: String,
    /// How it ended.
    pub result: End,
    /// Why no correct runtime passes it.
    pub impossible: Option<&'static str>,
}

/// Programs that no correct runtime passes, and why.
const IMPOSSIBLE: &[(&str, &str)] = &[
    ("hooks", "expects an output that its own hook does not write"),
    ("misc_props", "its helper is never copied in"),
    ("delete", "its container id is empty"),
    ("prestart", "expects the hook at start; runtime-spec 1.3 has it in create"),
    ("poststart_fail", "wants a warning; runtime-spec 1.3 makes a failing poststart hook an error"),
    ("process_capabilities_fail", "wants an error; runtime-spec 1.3 has an unknown capability only warn"),
    ("process_rlimits", "no known runtime passes it"),
    (
        "hooks_stdin",
        "expects status created of prestart hooks; runtime-spec 1.3 runs them in create, as creating",
    ),
    ("pidfile", "wants to kill a program that has ended, which runtime-spec has fail"),
    ("start", "wants start to succeed without a process, which runtime-spec has fail"),
    ("linux_cgroups_pids", "compares addresses, not numbers"),
    ("linux_cgroups_relative_pids", "compares addresses, not numbers"),
    ("delete_resources", "compares addresses, not numbers"),
    ("linux_cgroups_memory", "sets a limit of kernel memory, which Linux 5.16 took away"),
    ("linux_cgroups_relative_memory", "sets a limit of kernel memory, which Linux 5.16 took away"),
];

/// What a program needs of the machine.
fn need(name: &str) -> Option<Need> {
    match name {
        "delete_resources" | "delete_only_create_resources" => Some(Need::CgroupV1),
        "linux_cgroups_blkio" | "linux_cgroups_relative_blkio" => {
            Some(Need::Path("/sys/fs/cgroup/blkio/blkio.weight"))
        }
        "linux_cgroups_hugetlb" | "linux_cgroups_relative_hugetlb" => Some(Need::V1Controller("hugetlb")),
        "linux_cgroups_network" | "linux_cgroups_relative_network" => Some(Need::V1Controller("net_cls")),
        "process_capabilities" => Some(Need::Capability(24, "CAP_SYS_RESOURCE")),
        _ if name.starts_with("linux_cgroups_") => Some(Need::CgroupV1),
        "linux_mount_label" => Some(Need::Path("/sys/fs/selinux/enforce")),
        "linux_process_apparmor_profile" => Some(Need::Path("/sys/kernel/security/apparmor/profiles")),
        _ => None,
    }
}

/// Why no correct runtime passes this program, if so.
pub fn impossible(name: &str) -> Option<&'static str> {
    IMPOSSIBLE.iter().find(|(held, _)| *held == name).map(|(_, reason)| *reason)
}

/// The executables below a folder, by name.
pub fn programs(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let listing = fs::read_dir(dir).with_context(|| format!("read {}", dir.display()))?;
    for entry in listing {
        let path = entry?.path();
        let meta = path.metadata()?;
        if meta.is_dir() {
            found.extend(programs(&path)?);
        } else if meta.permissions().mode() & 0o111 != 0 {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Runs one program against a runtime, in a mount namespace of its own, with a time limit.
pub fn run(program: &Path, runtime: &Path, workdir: &Path, limit: Duration) -> Result<Ended> {
    let name = stem(program);
    let impossible = impossible(&name);
    let lacking = need(&name).filter(|need| !need.is_met());
    let result = match lacking {
        Some(need) => End::Skipped(format!("this host has no {}", need.name())),
        None => judge(program, runtime, workdir, limit)?,
    };
    Ok(Ended { name, result, impossible })
}

/// A program's name without its ending.
fn stem(program: &Path) -> String {
    program.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn judge(program: &Path, runtime: &Path, workdir: &Path, limit: Duration) -> Result<End> {
    let name = stem(program);
    let dir = tempfile::tempdir()?;
    let output = dir.path().join("tap");
    let mut child = host::in_mount_namespace(program)
        .env("RUNTIME", runtime)
        .current_dir(workdir)
        .stdin(Stdio::null())
        .stdout(File::create(&output)?)
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .with_context(|| format!("run {}", program.display()))?;
    let group = Pid::from_child(&child);
    let mut status = None;
    let in_time = host::wait_until(limit, "its end", || {
        status = child.try_wait().ok().flatten();
        status.is_some()
    });
    // also what it left running
    rustix::process::kill_process_group(group, Signal::KILL).ok();
    if in_time.is_err() {
        child.wait()?;
    }
    let tap = parse(&String::from_utf8_lossy(&fs::read(&output)?));
    Ok(match status {
        None => End::Failed(format!("did not end within {} s", limit.as_secs())),
        // One that wants a failure ends without a word when it has seen it.
        Some(status) if name.ends_with("_fail") && status.success() && tap == Tap::default() => End::Passed,
        Some(status) => verdict(&tap, status.code()),
    })
}

fn verdict(tap: &Tap, status: Option<i32>) -> End {
    let ran = tap.passed + tap.failed.len() + tap.skipped;
    if let Some(words) = &tap.bailed {
        return End::Failed(format!("bailed out: {words}"));
    }
    if let Some(first) = tap.failed.first() {
        return End::Failed(format!("{} of {ran}: {first}", tap.failed.len()));
    }
    match (ran, tap.planned, status) {
        (_, Some(planned), _) if planned != 0 && planned != ran => {
            End::Failed(format!("{ran} of {planned} planned tests ran"))
        }
        (_, _, Some(0)) if tap.passed == 0 && tap.skipped > 0 => End::Skipped("its own decision".to_owned()),
        // Some look at something only where it goes wrong, and count no tests.
        (0, Some(0), Some(0)) => match tap.errors.first() {
            None => End::Passed,
            Some(error) => End::Failed(error.clone()),
        },
        (0, ..) => End::Failed("printed no test".to_owned()),
        (_, _, Some(0)) => End::Passed,
        (_, _, Some(status)) => End::Failed(format!("exit status {status}")),
        (_, _, None) => End::Failed("died by a signal".to_owned()),
    }
}

/// Reads TAP; indented subtests and comments do not count.
pub fn parse(text: &str) -> Tap {
    let mut tap = Tap::default();
    for line in text.lines() {
        if let Some(words) = line.strip_prefix("Bail out!") {
            tap.bailed = Some(words.trim().to_owned());
        } else if let Some(plan) = line.strip_prefix("1..") {
            let number = plan.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
            tap.planned = number.parse().ok();
            if tap.planned == Some(0) && plan.to_ascii_uppercase().contains("SKIP") {
                tap.skipped += 1;
            }
        } else if let Some(error) = line.trim().strip_prefix("\"error\": ") {
            tap.errors.push(error.trim_matches(['"', ',']).to_owned());
        } else if let Some(rest) = line.strip_prefix("not ok").or_else(|| line.strip_prefix("ok")) {
            let (what, directive) = rest.split_once('#').unwrap_or((rest, ""));
            let directive = directive.trim().to_ascii_uppercase();
            match () {
                () if directive.starts_with("SKIP") => tap.skipped += 1,
                () if line.starts_with("ok") || directive.starts_with("TODO") => tap.passed += 1,
                () => tap.failed.push(what.trim().to_owned()),
            }
        }
    }
    tap
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, status: i32) -> End {
        verdict(&parse(text), Some(status))
    }

    #[test]
    fn tap_is_read_with_its_directives() {
        let tap = parse(
            "TAP version 13\n1..4\nok 1 - a\nnot ok 2 - b\n  ok 9 - inner\nok 3 # SKIP no\nnot ok 4 # TODO later\n# x\n",
        );
        assert_eq!((tap.passed, tap.skipped, tap.planned), (2, 1, Some(4)));
        assert_eq!(tap.failed, ["2 - b"]);
    }

    #[test]
    fn only_a_complete_and_clean_output_passes() {
        assert_eq!(of("ok 1 - a\n1..1\n", 0), End::Passed);
        for (text, status) in [
            ("", 0),
            ("1..2\nok 1 - a\n", 0),
            ("1..1\nok 1 - a\n", 1),
            ("1..1\nnot ok 1 - a\n", 0),
            ("1..1\nok 1 - a\nBail out! no runtime\n", 0),
        ] {
            assert!(matches!(of(text, status), End::Failed(_)), "{text:?} {status}");
        }
        assert!(matches!(of("1..0 # SKIP no selinux\n", 0), End::Skipped(_)));
        assert_eq!(of("TAP version 13\n1..0\n", 0), End::Passed);
        let complaint = "TAP version 13\n  ---\n  {\n    \"error\": \"too late\"\n  }\n  ...\n1..0\n";
        assert_eq!(of(complaint, 0), End::Failed("too late".to_owned()));
        assert!(matches!(of("1..1\nok 1 # SKIP no\n", 0), End::Skipped(_)));
    }
}
