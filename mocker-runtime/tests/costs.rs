//! What commands cost, in counts that no other load on the machine changes: system calls, page faults, memory.
//!
//! Each bound is what was counted with the program that `cargo test` builds, and about 15 % more. That program is not
//! optimised, and the standard library asks before it closes a descriptor whether it is open: a released one makes a
//! sixth fewer system calls, and half of the page faults.

#![allow(clippy::unwrap_used, reason = "a test ends where its set-up fails")]

mod common;
#[path = "common/trace.rs"]
mod trace;

use std::fs;
use std::process::{Child, Command, Stdio};

use common::{Bundle, LIMIT, RUNTIME};
use conformance::host::{Need, in_mount_namespace, skip, wait_until};
use trace::{End, count_all, kill_at};

/// A bundle as docker makes it: devices, masked paths, docker's seccomp profile.
fn docker_like(args: &[&str]) -> Bundle {
    let profile = serde_json::from_str(include_str!("profiles/docker.json")).unwrap();
    let bundle = Bundle::new(args).set("/linux/seccomp", profile);
    bundle.write();
    bundle
}

/// A call of the runtime that stops itself first, where version 2 is the only hierarchy of cgroups.
fn stopped_on_version_2(bundle: &Bundle, words: &[&str]) -> Child {
    let line =
        "umount -R /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup && kill -STOP $$ && exec \"$@\"";
    let mut command = in_mount_namespace("sh");
    command.args(["-c", line, "sh", RUNTIME, "--root"]).arg(bundle.state_root()).args(words);
    command.current_dir(bundle.path()).stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap()
}

/// A number of a file of /proc/PID that has `name: number kB`.
fn kilobytes(pid: u32, file: &str, name: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap()
}

#[test]
fn a_run_makes_no_more_system_calls_than_before() {
    const MOST: usize = 415;
    if skip("a_run_makes_no_more_system_calls_than_before", Need::Root) {
        return;
    }
    let bundle = docker_like(&["true"]);
    let calls = count_all(stopped_on_version_2(&bundle, &["run", &bundle.id]));
    assert!(calls <= MOST, "run with all its processes makes {calls} system calls");
    bundle.assert_nothing_left();
}

#[test]
fn a_run_that_waits_has_touched_no_more_memory_than_before() {
    const MOST_FAULTS: u64 = 373;
    const MOST_KILOBYTES: u64 = 9195;
    if skip("a_run_that_waits_has_touched_no_more_memory_than_before", Need::Root) {
        return;
    }
    let bundle = docker_like(&["sleep", "1000"]);
    let mut run = bundle.command(&["run", &bundle.id]).stdout(Stdio::null()).spawn().unwrap();
    let pid = run.id();
    let stat = || fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    wait_until(LIMIT, "the program", || bundle.call(&["state", &bundle.id]).out.contains("running")).unwrap();
    wait_until(LIMIT, "the wait for its end", || stat().contains(") S ")).unwrap();
    // proc_pid_stat(5): minflt is field 10, the state after the name is field 3
    let faults: u64 = stat().rsplit_once(") ").unwrap().1.split(' ').nth(7).unwrap().parse().unwrap();
    let peak = kilobytes(pid, "status", "VmHWM:");
    bundle.call(&["kill", &bundle.id, "KILL"]).ok();
    run.wait().unwrap();
    assert!(faults <= MOST_FAULTS, "{faults} page faults");
    assert!(peak <= MOST_KILOBYTES, "{peak} kB at most");
}

#[test]
fn a_container_that_waits_for_its_start_has_no_more_memory_of_its_own_than_before() {
    const MOST_KILOBYTES: u64 = 690;
    if skip("a_container_that_waits_for_its_start_has_no_more_memory_of_its_own_than_before", Need::Root) {
        return;
    }
    let bundle = docker_like(&["true"]);
    bundle.create().ok();
    let pid = bundle.state()["pid"].as_u64().unwrap() as u32;
    let own = kilobytes(pid, "smaps_rollup", "Anonymous:");
    assert!(own <= MOST_KILOBYTES, "{own} kB");
}

/// The system calls of a command itself, without its children.
fn cost(bundle: &Bundle, words: &[&str]) -> usize {
    match kill_at(bundle, words, usize::MAX / 2) {
        End::Exited { code: 0, calls } => calls,
        end => unreachable!("{words:?}: {end:?}"),
    }
}

#[test]
fn nothing_but_a_list_costs_more_where_there_are_many_containers() {
    const OTHERS: usize = 200;
    const MOST_OF_STATE: usize = 41;
    if skip("nothing_but_a_list_costs_more_where_there_are_many_containers", Need::Root) {
        return;
    }
    let bundle = Bundle::new(&["sleep", "1000"]);
    bundle.write();
    let id = bundle.id.as_str();
    let costs = || -> Vec<(&str, usize)> {
        let lines: [&[&str]; 6] = [
            &["create", id],
            &["start", id],
            &["state", id],
            &["kill", id, "CONT"],
            &["delete", "--force", id],
            &["run", "--detach", id],
        ];
        let costs = lines.iter().map(|words| (words[0], cost(&bundle, words))).collect();
        bundle.call(&["delete", "--force", id]).ok();
        costs
    };
    // The first of all makes the directory for it.
    costs();
    let alone = costs();
    bundle.create().ok();
    for other in 0..OTHERS {
        // A record is all that a container is to others; its process is of no matter to them.
        let (from, to) = (bundle.state_root().join(id), bundle.state_root().join(format!("other-{other}")));
        fs::create_dir(&to).unwrap();
        for file in ["state.json", "config.json"] {
            fs::copy(from.join(file), to.join(file)).unwrap();
        }
    }
    bundle.call(&["delete", "--force", id]).ok();
    let among_many = costs();
    for ((command, alone), (_, among_many)) in alone.iter().zip(&among_many) {
        // One more or less where a thread was waited for (`sys/aside.rs`).
        assert!(
            alone.abs_diff(*among_many) <= 1,
            "{command}: {alone} alone, {among_many} beside {OTHERS} others"
        );
    }
    let state = alone.iter().find(|(command, _)| *command == "state").unwrap().1;
    assert!(state <= MOST_OF_STATE, "state makes {state} system calls");
    // Nor are there ever as many descriptors open as there are containers.
    let line =
        format!("ulimit -n {}; exec {RUNTIME} --root {} list -q", OTHERS / 4, bundle.state_root().display());
    let list = std::process::Command::new("sh").args(["-c", &line]).output().unwrap();
    let found = String::from_utf8(list.stdout).unwrap().lines().count();
    let said = String::from_utf8_lossy(&list.stderr);
    assert_eq!((found, said.lines().next()), (OTHERS, None), "{line}");
    for other in 0..OTHERS {
        fs::remove_dir_all(bundle.state_root().join(format!("other-{other}"))).unwrap();
    }
}

#[test]
fn the_version_costs_little_more_than_the_start_of_a_program() {
    const MOST: usize = 21;
    if skip("the_version_costs_little_more_than_the_start_of_a_program", Need::Root) {
        return;
    }
    let line = "kill -STOP $$ && exec \"$@\"";
    let words = ["-c", line, "sh", RUNTIME, "--version"];
    let calls = count_all(Command::new("sh").args(words).stdout(Stdio::null()).spawn().unwrap());
    assert!(calls <= MOST, "--version makes {calls} system calls");
}

/// What valgrind counts of a command that makes no call it does not know (clone3, pidfd_send_signal and mounts), which depends on neither the machine nor its mood.
fn instructions(words: &[&str]) -> u64 {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null", RUNTIME]).args(words);
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    let count = said.lines().find_map(|line| line.split_once("Collected : ")).unwrap().1;
    count.parse().unwrap()
}

#[test]
fn short_commands_take_no_more_instructions_than_before() {
    const NAME: &str = "short_commands_take_no_more_instructions_than_before";
    if skip(NAME, Need::Root) || skip(NAME, Need::Program("valgrind")) {
        return;
    }
    let bundle = Bundle::new(&["sleep", "1000"]);
    bundle.write();
    bundle.create().ok();
    let (root, id) = (bundle.state_root(), bundle.id.as_str());
    let root = root.to_str().unwrap();
    for (words, most) in [
        (&["--version"][..], 480_000),
        (&["--root", root, "state", id], 830_000),
        (&["--root", root, "list"], 760_000),
    ] {
        let count = instructions(words);
        assert!(count <= most, "{words:?}: {count} instructions");
    }
}

/// The kernel lets whoever moves another process wait until all of the machine's forks and exits are through.
#[test]
fn processes_go_to_their_cgroups_of_version_1_by_themselves() {
    let test = "processes_go_to_their_cgroups_of_version_1_by_themselves";
    if skip(test, Need::Root) || skip(test, Need::CgroupV1) {
        return;
    }
    let (short, long) = (Bundle::new(&["true"]), Bundle::new(&["sleep", "1000"]));
    short.write();
    long.write().call_detached(&["run", "--detach", &long.id]).ok();
    for (bundle, words) in [(&short, &["run", &short.id][..]), (&long, &["exec", &long.id, "true"])] {
        let mut command = Command::new("strace");
        command.args(["-f", "-z", "-e", "trace=open,openat", RUNTIME, "--root"]).arg(bundle.state_root());
        let out = command.args(words).current_dir(bundle.path()).stdin(Stdio::null()).output().unwrap();
        let trace = String::from_utf8_lossy(&out.stderr);
        assert!(!trace.contains("/cgroup.procs\""), "{words:?} moves a process: {trace}");
        assert!(trace.matches("/tasks\"").count() > 1, "{words:?} moves none: {trace}");
    }
    let own = fs::read_to_string(format!("/proc/{}/cgroup", long.state()["pid"])).unwrap();
    let elsewhere = own.lines().find(|line| !line.ends_with(&*long.id));
    assert_eq!(elsewhere, None, "{own}");
    long.call(&["delete", "--force", &long.id]).ok();
}
