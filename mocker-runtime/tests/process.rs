//! The process: where it runs, who it belongs to, what watches it.

#![allow(clippy::unwrap_used, reason = "a test ends where its set-up fails")]

mod common;

use std::fs;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::process::Command;

use common::{Bundle, Call, LIMIT, RUNTIME};
use conformance::host::{Need, skip, wait_until};
use serde_json::json;

const APPARMOR: Need = Need::Path("/sys/kernel/security/apparmor");

#[test]
fn memory_comes_from_the_nodes_of_the_policy() {
    let test = "memory_comes_from_the_nodes_of_the_policy";
    if skip(test, Need::Root) || skip(test, Need::Path("/proc/self/numa_maps")) {
        return;
    }
    let policy = json!({ "mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"] });
    let bundle = Bundle::shell("head -n 1 /proc/self/numa_maps").set("/linux/memoryPolicy", policy);
    let out = bundle.run().ok();
    assert!(out.contains("bind=static:0"), "{out}");
    let bundle =
        Bundle::new(&["true"]).set("/linux/memoryPolicy", json!({ "mode": "MPOL_DEFAULT", "nodes": "0" }));
    bundle.run().fails(&format!(
        "create container {}: set the limits: set_mempolicy mode 0x0 nodes [1]: Invalid argument",
        bundle.id
    ));
    bundle.assert_nothing_left();
}

#[test]
fn the_scheduler_and_the_disk_priority_are_those_of_the_config() {
    let test = "the_scheduler_and_the_disk_priority_are_those_of_the_config";
    if skip(test, Need::Root) {
        return;
    }
    // Policy and priority are fields 41 and 40 of proc_pid_stat(5), nice is 19.
    let line = "set -- $(cat /proc/self/stat); echo ${41} ${40} ${19}; busybox ionice -p $$";
    for (scheduler, want) in [
        (json!({ "policy": "SCHED_OTHER", "nice": 7 }), "0 0 7"),
        (json!({ "policy": "SCHED_BATCH", "nice": -3 }), "3 0 -3"),
        (json!({ "policy": "SCHED_IDLE" }), "5 0 0"),
        (json!({ "policy": "SCHED_FIFO", "priority": 9 }), "1 9 0"),
        (json!({ "policy": "SCHED_RR", "priority": 2, "flags": ["SCHED_FLAG_RESET_ON_FORK"] }), "0 0 0"),
    ] {
        let bundle = Bundle::shell(line)
            .set("/process/scheduler", scheduler.clone())
            .set("/process/ioPriority", json!({ "class": "IOPRIO_CLASS_BE", "priority": 3 }));
        let call = bundle.run();
        // A cgroup of version 1 without real-time runtime has no real-time processes, and says so.
        let real_time = matches!(scheduler["policy"].as_str(), Some("SCHED_FIFO" | "SCHED_RR"));
        if real_time && call.code == 1 {
            assert!(
                call.err.contains("sched_setattr") && call.err.contains("Operation not permitted"),
                "{call:?}"
            );
        } else {
            assert_eq!(call.ok(), format!("{want}\nbest-effort: prio 3\n"), "{scheduler}");
        }
    }
    let deadline =
        json!({ "policy": "SCHED_DEADLINE", "runtime": 10_000, "deadline": 5_000, "period": 20_000 });
    let bundle = Bundle::new(&["true"]).set("/process/scheduler", deadline);
    let call = bundle.run();
    assert!(call.code == 1 && call.err.contains("set the limits: sched_setattr"), "{call:?}");
    bundle.assert_nothing_left();
}

#[test]
fn a_terminal_of_the_config_has_its_size_and_writes_lines_as_they_are() {
    let test = "a_terminal_of_the_config_has_its_size_and_writes_lines_as_they_are";
    if skip(test, Need::Root) {
        return;
    }
    let bundle = Bundle::shell("stty size; exec sleep 1000")
        .set("/process/terminal", json!(true))
        .set("/process/consoleSize", json!({ "height": 33, "width": 77 }));
    let socket = UnixListener::bind(bundle.path().join("socket")).unwrap();
    bundle.write().call_detached(&["create", "--console-socket", "socket", &bundle.id]).ok();
    let (stream, _) = socket.accept().unwrap();
    let mut master = fs::File::from(conformance::socket::receive(&stream).unwrap().1.unwrap());
    bundle.call(&["start", &bundle.id]).ok();
    let mut text = [0_u8; 6];
    std::io::Read::read_exact(&mut master, &mut text).unwrap();
    // ONLCR is clear: no carriage return stands before the line's end.
    assert_eq!(&text, b"33 77\n");
}

#[test]
fn a_process_of_exec_runs_on_the_processors_that_it_is_given() {
    if skip("a_process_of_exec_runs_on_the_processors_that_it_is_given", Need::Root) {
        return;
    }
    let all = fs::read_to_string("/proc/self/status").unwrap();
    let allowed = |text: &str| {
        text.lines().find_map(|line| line.strip_prefix("Cpus_allowed:")).unwrap_or_default().trim().to_owned()
    };
    let exec = |affinity: serde_json::Value| {
        let bundle = Bundle::new(&["sleep", "1000"]).set("/process/execCPUAffinity", affinity);
        bundle.start();
        let init = bundle.state()["pid"].clone();
        let of_init = allowed(&fs::read_to_string(format!("/proc/{init}/status")).unwrap());
        (of_init, bundle.call(&["exec", &bundle.id, "cat", "/proc/self/status"]))
    };
    let (init, call) = exec(json!({ "initial": "0", "final": "0" }));
    assert_eq!(allowed(&call.ok()).trim_start_matches(['0', ',']), "1");
    assert_eq!(init, allowed(&all), "init is not concerned");
    let bundle = Bundle::new(&["true"]).set("/process/execCPUAffinity", json!({ "final": "0-a" }));
    bundle
        .run()
        .fails("process.execCPUAffinity.final: the list \"0-a\" has \"0-a\", which is no range of numbers");
}

#[test]
fn what_the_caller_was_bound_to_does_not_bind_the_container() {
    if skip("what_the_caller_was_bound_to_does_not_bind_the_container", Need::Root) {
        return;
    }
    let bundle = Bundle::shell("grep Cpus_allowed: /proc/self/status");
    bundle.write();
    let mut command = Command::new("taskset");
    command.args(["-c", "0", RUNTIME, "--root"]).arg(bundle.state_root()).args(["run", &bundle.id]);
    let call: Call = command.current_dir(bundle.path()).output().unwrap().into();
    let own = fs::read_to_string("/proc/self/status").unwrap();
    assert!(own.contains(call.ok().trim()), "{own}");
}

#[test]
fn a_label_that_nobody_understands_is_an_error() {
    if skip("a_label_that_nobody_understands_is_an_error", Need::Root) {
        return;
    }
    let fails = |pointer: &str, sentence: &str| {
        let bundle = Bundle::new(&["true"]).set(pointer, json!("label"));
        bundle.run().fails(&format!("create container {}: {sentence}", bundle.id));
        bundle.assert_nothing_left();
    };
    if !fs::exists("/sys/fs/selinux/enforce").unwrap() {
        fails(
            "/process/selinuxLabel",
            "process.selinuxLabel is set, but SELinux is not enabled on this host",
        );
        fails("/linux/mountLabel", "linux.mountLabel is set, but SELinux is not enabled on this host");
    }
    if !APPARMOR.is_met() {
        let sentence = "process.apparmorProfile is set, but AppArmor is not enabled on this host";
        fails("/process/apparmorProfile", sentence);
        let bundle = Bundle::new(&["sleep", "1000"]);
        bundle.start();
        let call = bundle.call(&["exec", "--apparmor", "label", &bundle.id, "true"]);
        assert!(call.code == 255 && call.err.contains(sentence), "{call:?}");
    }
}

#[test]
fn the_program_runs_under_its_apparmor_profile() {
    let test = "the_program_runs_under_its_apparmor_profile";
    if skip(test, Need::Root) || skip(test, APPARMOR) {
        return;
    }
    let bundle =
        Bundle::new(&["cat", "/proc/self/attr/current"]).set("/process/apparmorProfile", json!("unconfined"));
    assert_eq!(bundle.run().ok(), "unconfined\n");
    let bundle = Bundle::new(&["true"]).set("/process/apparmorProfile", json!("no-such-profile"));
    bundle.run().fails(&format!(
        "create container {}: set the security labels: set the AppArmor profile \"no-such-profile\": write \
         \"exec no-such-profile\" to /proc/self/attr/apparmor/exec: No such file or directory",
        bundle.id
    ));
    bundle.assert_nothing_left();
}

#[test]
fn the_callers_groups_stay_with_the_program_when_the_annotation_says_so() {
    if skip("the_callers_groups_stay_with_the_program_when_the_annotation_says_so", Need::Root) {
        return;
    }
    for (keep, want) in [(true, "0 11 22\n"), (false, "0\n")] {
        let mut bundle = Bundle::new(&["id", "-G"]);
        if keep {
            bundle = bundle.set("/annotations/run.oci.keep_original_groups", json!("1"));
        }
        bundle.write();
        let mut command = Command::new("setpriv");
        command
            .args(["--groups", "11,22", RUNTIME, "--root"])
            .arg(bundle.state_root())
            .args(["run", &bundle.id]);
        let call: Call = command.current_dir(bundle.path()).output().unwrap().into();
        assert_eq!(call.ok(), want);
    }
}

#[test]
fn a_handle_on_the_process_goes_to_the_socket_that_is_named() {
    if skip("a_handle_on_the_process_goes_to_the_socket_that_is_named", Need::Root) {
        return;
    }
    let bundle = Bundle::new(&["sleep", "1000"]);
    let socket = UnixListener::bind(bundle.path().join("socket")).unwrap();
    let pid_of = |listener: &UnixListener| {
        let (stream, _) = listener.accept().unwrap();
        let handle = conformance::socket::receive(&stream).unwrap().1.unwrap();
        use std::os::fd::AsRawFd;
        let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", handle.as_raw_fd())).unwrap();
        text.lines().find_map(|line| line.strip_prefix("Pid:")).unwrap().trim().to_owned()
    };
    bundle.write().call_detached(&["create", "--pidfd-socket", "socket", &bundle.id]).ok();
    assert_eq!(pid_of(&socket), bundle.state()["pid"].to_string());
    bundle.call(&["start", &bundle.id]).ok();
    let words = ["exec", "-d", "--pidfd-socket", "socket", "--pid-file", "pid", &bundle.id, "sleep", "1000"];
    bundle.call_detached(&words).ok();
    assert_eq!(pid_of(&socket), fs::read_to_string(bundle.path().join("pid")).unwrap());
}

/// Until the service manager has heard both lines and let the barrier go.
fn heard(manager: &UnixDatagram) -> Vec<String> {
    let mut lines = Vec::new();
    manager.set_read_timeout(Some(LIMIT)).unwrap();
    for _ in 0..3 {
        let (text, _fd) = conformance::socket::receive(manager).unwrap();
        lines.push(text.trim().to_owned());
    }
    lines
}

#[test]
fn a_service_manager_hears_when_the_program_is_ready() {
    if skip("a_service_manager_hears_when_the_program_is_ready", Need::Root) {
        return;
    }
    for detach in [true, false] {
        let bundle = Bundle::shell("echo $NOTIFY_SOCKET; ls /run/notify; exec sleep 1000");
        let manager = UnixDatagram::bind(bundle.path().join("manager")).unwrap();
        let mut command = bundle.write().command(&["run", &bundle.id]);
        if detach {
            command.arg("-d");
        }
        let out = fs::File::create(bundle.path().join("out")).unwrap();
        command.env("NOTIFY_SOCKET", bundle.path().join("manager")).stdout(out);
        let mut child = command.spawn().unwrap();
        // The program's word, said by the test in its place: busybox has none for it.
        let socket = bundle.state_root().join(&bundle.id).join("notify/notify.sock");
        let program = UnixDatagram::unbound().unwrap();
        wait_until(LIMIT, "the socket", || program.send_to(b"STATUS=warm\nREADY=1\n", &socket).is_ok())
            .unwrap();
        let lines = heard(&manager);
        let pid = if detach { bundle.state()["pid"].to_string() } else { child.id().to_string() };
        assert_eq!(lines, ["READY=1".to_owned(), format!("MAINPID={pid}"), "BARRIER=1".to_owned()]);
        wait_until(LIMIT, "the output", || bundle.output().lines().count() == 2).unwrap();
        assert_eq!(bundle.output(), "/run/notify/notify.sock\nnotify.sock\n");
        bundle.call(&["kill", &bundle.id, "KILL"]).ok();
        child.wait().unwrap();
    }
}

#[test]
fn start_waits_for_the_program_to_be_ready_or_to_end() {
    if skip("start_waits_for_the_program_to_be_ready_or_to_end", Need::Root) {
        return;
    }
    let bundle = Bundle::new(&["true"]);
    let manager = bundle.path().join("manager");
    let _listens = UnixDatagram::bind(&manager).unwrap();
    let call = |words: &[&str]| {
        let out = fs::File::create(bundle.path().join("out")).unwrap();
        let mut command = bundle.write().command(words);
        command.env("NOTIFY_SOCKET", &manager).stdout(out).status().unwrap()
    };
    assert!(call(&["create", &bundle.id]).success());
    // It never says a word, but its end is one.
    assert!(call(&["start", &bundle.id]).success());
    bundle.wait_for("stopped");
}
