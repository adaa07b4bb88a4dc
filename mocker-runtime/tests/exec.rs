//! exec, ps, list, pause and resume.

#![allow(clippy::unwrap_used, reason = "a test ends where its set-up fails")]

mod common;

use std::fs;
use std::io::Write;
use std::process::Stdio;

use common::{Bundle, Caller, LIMIT};
use conformance::host::{Need, skip, wait_until};
use serde_json::json;

/// A running container.
fn running(caller: Caller) -> Bundle {
    let bundle = caller.with_cgroup(&["sleep", "1000"]);
    bundle.start();
    bundle
}

#[test]
fn a_process_enters_every_namespace_of_the_container() {
    for caller in Caller::all("a_process_enters_every_namespace_of_the_container") {
        let bundle = running(caller);
        let line = "for kind in cgroup ipc mnt net pid uts; do \
         test $(readlink /proc/self/ns/$kind) = $(readlink /proc/1/ns/$kind) || echo $kind; done";
        let call = bundle.call(&["exec", &bundle.id, "sh", "-c", line]);
        assert_eq!(call.ok(), "");
        // and its cgroup
        let same = "test \"$(cat /proc/self/cgroup)\" = \"$(cat /proc/1/cgroup)\" && echo same";
        assert_eq!(bundle.call(&["exec", &bundle.id, "sh", "-c", same]).ok(), "same\n");
    }
}

#[test]
fn the_exit_status_is_the_processes_own_and_255_when_exec_fails_itself() {
    for caller in Caller::all("the_exit_status_is_the_processes_own_and_255_when_exec_fails_itself") {
        let bundle = running(caller);
        assert_eq!(bundle.call(&["exec", &bundle.id, "sh", "-c", "exit 42"]).code, 42);
        assert_eq!(bundle.call(&["exec", &bundle.id, "sh", "-c", "kill -TERM $$"]).code, 143);
        let call = bundle.call(&["exec", &bundle.id, "no-such"]);
        let want = format!(
            "mocker-runtime: exec in container {}: find the program: exec: \"no-such\": executable file not found in $PATH\n",
            bundle.id
        );
        assert_eq!((call.code, call.err), (255, want));
        assert_eq!(bundle.status(), "running");
    }
}

#[test]
fn flags_change_the_containers_own_process() {
    if skip("flags_change_the_containers_own_process", Need::Root) {
        return;
    }
    let bundle = Bundle::new(&["sleep", "1000"])
        .set("/process/env/-", json!("KEPT=1"))
        .set("/process/cwd", json!("/bin"));
    bundle.start();
    let look = "id -u; id -g; id -G; pwd; echo $KEPT $NEW";
    let words =
        ["exec", "--user", "7:8", "-g", "9", "--cwd", "/dev", "-e", "NEW=2", &bundle.id, "sh", "-c", look];
    assert_eq!(bundle.call(&words).ok(), "7\n8\n8 9\n/dev\n1 2\n");
    // what stands after the id belongs to the command
    assert_eq!(bundle.call(&["exec", &bundle.id, "echo", "--user", "-e"]).ok(), "--user -e\n");
    assert_eq!(bundle.call(&["exec", &bundle.id, "pwd"]).ok(), "/bin\n");
}

#[test]
fn a_process_file_is_taken_as_it_is_and_the_bundle_is_not_needed() {
    for caller in Caller::all("a_process_file_is_taken_as_it_is_and_the_bundle_is_not_needed") {
        let bundle = running(caller);
        fs::remove_file(bundle.path().join("config.json")).unwrap();
        // the ordinary user has no other id
        let id = if caller == Caller::Root { 3 } else { 0 };
        let process = json!({ "args": ["sh", "-c", "umask; id -u"], "env": ["PATH=/bin"], "cwd": "/", "user": { "uid": id, "gid": id, "umask": 63 } });
        let file = bundle.path().join("process.json");
        fs::write(&file, process.to_string()).unwrap();
        assert_eq!(
            bundle.call(&["exec", "--process", "process.json", &bundle.id]).ok(),
            format!("0077\n{id}\n")
        );
        assert_eq!(bundle.call(&["exec", &bundle.id, "echo", "here"]).ok(), "here\n");
    }
}

#[test]
fn a_detached_process_has_its_pid_in_the_file_and_lives_on() {
    for caller in Caller::all("a_detached_process_has_its_pid_in_the_file_and_lives_on") {
        let bundle = running(caller);
        let words = ["exec", "--detach", "--pid-file", "pid", &bundle.id, "sleep", "999"];
        bundle.call_detached(&words).ok();
        let pid: i32 = fs::read_to_string(bundle.path().join("pid")).unwrap().parse().unwrap();
        let pids: Vec<i32> =
            serde_json::from_str(&bundle.call(&["ps", "--format", "json", &bundle.id]).ok()).unwrap();
        assert!(pids.contains(&pid) && pids.len() == 2, "{pid} {pids:?}");
        let table = bundle.call(&["ps", &bundle.id]).ok();
        assert!(table.contains("sleep 999") && table.contains("sleep 1000"), "{table}");
        bundle.call(&["delete", "--force", &bundle.id]).ok();
        assert!(!fs::exists(format!("/proc/{pid}")).unwrap());
        bundle.assert_nothing_left();
    }
}

#[test]
fn input_and_signals_reach_the_process() {
    for caller in Caller::all("input_and_signals_reach_the_process") {
        let bundle = running(caller);
        let mut cat = bundle
            .command(&["exec", &bundle.id, "cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        cat.stdin.take().unwrap().write_all(b"through\n").unwrap();
        assert_eq!(String::from_utf8_lossy(&cat.wait_with_output().unwrap().stdout), "through\n");

        let trap = "trap 'exit 9' TERM; touch /ready; while true; do sleep 0.01; done";
        let mut child = bundle.command(&["exec", &bundle.id, "sh", "-c", trap]).spawn().unwrap();
        wait_until(LIMIT, "the trap", || fs::exists(bundle.rootfs("ready")).unwrap()).unwrap();
        let pid = nix::unistd::Pid::from_raw(child.id() as i32);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(9));
    }
}

#[test]
fn what_enters_has_the_containers_keyring_or_the_callers_if_the_container_has_it() {
    let test = "what_enters_has_the_containers_keyring_or_the_callers_if_the_container_has_it";
    if skip(test, Need::Root) || skip(test, Need::Path("/proc/keys")) {
        return;
    }
    for (flags, own) in [(&[][..], "1\n"), (&["--no-new-keyring"], "0\n")] {
        let bundle = Bundle::new(&["sleep", "1000"]).set("/linux/maskedPaths", json!([]));
        bundle.write().call_detached(&[&["run", "-d"], flags, &[bundle.id.as_str()]].concat()).ok();
        let line = format!("grep -c '_ses[.]{}:' /proc/keys", bundle.id);
        assert_eq!(bundle.call(&["exec", &bundle.id, "sh", "-c", &line]).out, own, "{flags:?}");
    }
}

#[test]
fn a_container_that_has_stopped_cannot_be_entered() {
    for caller in Caller::all("a_container_that_has_stopped_cannot_be_entered") {
        let bundle = caller.bundle(&["true"]);
        bundle.start().wait_for("stopped");
        let call = bundle.call(&["exec", &bundle.id, "true"]);
        assert!(
            call.code == 255 && call.err.contains("cannot exec in a container that has stopped"),
            "{call:?}"
        );
    }
}

#[test]
fn a_runtime_in_a_chroot_makes_containers_that_nobody_leaves_by_exec() {
    if skip("a_runtime_in_a_chroot_makes_containers_that_nobody_leaves_by_exec", Need::Root) {
        return;
    }
    // The bundle's own root file system serves as the chroot: it has a shell, and gets the runtime and itself.
    let bundle = Bundle::new(&["sleep", "1000"]);
    bundle.write();
    let chroot = bundle.rootfs("");
    common::copy_runtime(&chroot.join("bin/runtime"));
    for dir in ["proc", "sys", "dev", "inner/rootfs/bin"] {
        fs::create_dir_all(chroot.join(dir)).unwrap();
    }
    fs::copy(bundle.path().join("config.json"), chroot.join("inner/config.json")).unwrap();
    for name in ["busybox", "sh", "sleep", "ls", "test"] {
        fs::copy(chroot.join("bin/busybox"), chroot.join("inner/rootfs/bin").join(name)).unwrap();
    }
    fs::write(chroot.join("inner/rootfs/inside"), "").unwrap();
    let line = format!(
        "set -e; mount --bind {0} {0}; for d in proc sys dev; do mount --rbind /$d {0}/$d; done
         rt='chroot {0} /bin/runtime --root /run'
         $rt create -b /inner {1}; $rt start {1}; $rt exec {1} test -e /inside && echo inside
         $rt delete --force {1}",
        chroot.to_string_lossy().trim_end_matches('/'),
        bundle.id
    );
    let open = |name: &str| fs::File::create(bundle.path().join(name)).unwrap();
    let mut shell = conformance::host::in_mount_namespace("sh");
    let status = shell.args(["-c", &line]).stdout(open("out")).stderr(open("err")).status().unwrap();
    let said = fs::read_to_string(bundle.path().join("err")).unwrap();
    assert!(status.success(), "{said}");
    assert_eq!(bundle.output(), "inside\n", "{said}");
}
