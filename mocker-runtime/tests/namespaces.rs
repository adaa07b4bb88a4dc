//! Namespaces that are there already: another container's, the runtime's own.

#![allow(clippy::unwrap_used, reason = "a test ends where its set-up fails")]

mod common;

use std::fs;

use common::{Bundle, Call, RUNTIME, give, mount};
use conformance::host::{Need, in_mount_namespace, skip};
use serde_json::{Value, json};

fn namespace(pid: &Value, kind: &str) -> String {
    fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap().display().to_string()
}

#[test]
fn a_container_joins_the_user_namespace_of_another_one_and_those_that_it_owns() {
    let test = "a_container_joins_the_user_namespace_of_another_one_and_those_that_it_owns";
    if skip(test, Need::Root) || skip(test, Need::UserNamespace) {
        return;
    }
    let first = Bundle::new(&["sleep", "1000"]).with_users();
    first.start();
    let pid = first.state()["pid"].clone();
    let path = |kind: &str| format!("/proc/{pid}/ns/{kind}");
    let line =
        "id -u; cat /proc/self/uid_map; hostname; readlink /proc/self/ns/user; readlink /proc/self/ns/net";
    let second = Bundle::shell(line);
    give(&second.path().join("rootfs"), 100_000);
    let second = second.set(
        "/linux/namespaces",
        json!([
            { "type": "user", "path": path("user") }, { "type": "network", "path": path("net") },
            { "type": "ipc", "path": path("ipc") }, { "type": "pid" }, { "type": "mount" }, { "type": "uts" },
        ]),
    );
    let out = second.run().ok();
    let words: Vec<&str> = out.split_whitespace().collect();
    let (user, net) = (namespace(&pid, "user"), namespace(&pid, "net"));
    assert_eq!(words, ["0", "0", "100000", "65536", "conformance", &user, &net], "{out}");
    second.assert_nothing_left();
    // One that waits has a pid that the caller sees, and can be entered.
    let third = Bundle::new(&["sleep", "1000"]);
    give(&third.path().join("rootfs"), 100_000);
    let third = third.set(
        "/linux/namespaces",
        json!([
            { "type": "user", "path": path("user") }, { "type": "pid", "path": path("pid") },
            { "type": "network", "path": path("net") }, { "type": "ipc", "path": path("ipc") },
            { "type": "mount" }, { "type": "uts" },
        ]),
    );
    third.start();
    let own = third.state()["pid"].clone();
    assert_eq!(namespace(&own, "user"), user);
    assert_eq!(namespace(&own, "pid"), namespace(&pid, "pid"));
    let line = "id -u; readlink /proc/self/ns/user";
    assert_eq!(third.call(&["exec", &third.id, "sh", "-c", line]).ok(), format!("0\n{user}\n"));
    third.call(&["kill", &third.id, "KILL"]).ok();
    third.wait_for("stopped").call(&["delete", &third.id]).ok();
    third.assert_nothing_left();
}

#[test]
fn a_user_namespace_that_is_not_there_is_an_error_that_leaves_nothing() {
    if skip("a_user_namespace_that_is_not_there_is_an_error_that_leaves_nothing", Need::Root) {
        return;
    }
    let bundle = Bundle::new(&["true"]).set(
        "/linux/namespaces",
        json!([{ "type": "user", "path": "/proc/0/ns/user" }, { "type": "mount" }, { "type": "uts" }]),
    );
    let sentence = format!("create container {}: open /proc/0/ns/user: No such file or directory", bundle.id);
    bundle.run().fails(&sentence);
    bundle.assert_nothing_left();
}

/// A call in a mount namespace of the test's own, and what is mounted there afterwards below the bundle.
fn in_own_mounts(bundle: &Bundle, line: &str) -> Call {
    let runtime = format!("{RUNTIME} --root {}", bundle.write().state_root().display());
    let line = format!(
        "rt() {{ {runtime} \"$@\"; }}; {line}; grep -c {} /proc/self/mounts",
        bundle.path().display()
    );
    in_mount_namespace("sh").args(["-c", &line]).current_dir(bundle.path()).output().unwrap().into()
}

#[test]
fn a_container_without_a_mount_namespace_has_its_root_and_takes_its_mounts_away_with_it() {
    let test = "a_container_without_a_mount_namespace_has_its_root_and_takes_its_mounts_away_with_it";
    if skip(test, Need::Root) {
        return;
    }
    let spaces = json!([{ "type": "pid" }, { "type": "network" }, { "type": "ipc" }, { "type": "uts" }]);
    let line = "ls /data; ls /; readlink /proc/self/ns/mnt; touch /fixed/x 2>/dev/null || echo refused";
    let bundle = Bundle::shell(line)
        .set("/linux/namespaces", spaces.clone())
        .set("/linux/readonlyPaths", json!(["/fixed"]))
        .mount(mount("tmpfs", "tmpfs", "/data", &["rw"]));
    fs::create_dir(bundle.rootfs("fixed")).unwrap();
    let call = in_own_mounts(&bundle, &format!("rt run {}; readlink /proc/self/ns/mnt", bundle.id));
    let words: Vec<&str> = call.out.split_whitespace().collect();
    assert_eq!(words[..6], ["bin", "data", "dev", "fixed", "proc", "sys"], "{call:?}");
    assert_eq!((words[6], words[7], words[9]), (words[8], "refused", "0"), "{call:?}");
    bundle.assert_nothing_left();
    // exec enters the same root, and force takes the mounts of one that runs.
    let bundle = Bundle::new(&["sleep", "1000"]).set("/linux/namespaces", spaces.clone());
    let id = &bundle.id;
    let line = format!("rt run -d {id} >/dev/null; rt exec {id} ls /; rt exec {id} pwd; rt delete -f {id}");
    let call = in_own_mounts(&bundle, &line);
    assert_eq!(call.out, "bin\ndev\nproc\nsys\n/\n0\n", "{call:?}");
    bundle.assert_nothing_left();
    // Nor does a failure leave any.
    let bundle = Bundle::new(&["/not/there"]).set("/linux/namespaces", spaces);
    let call = in_own_mounts(&bundle, &format!("rt run {}", bundle.id));
    assert_eq!(call.out, "0\n", "{call:?}");
    bundle.assert_nothing_left();
}

#[test]
fn what_a_killed_create_mounted_on_the_host_goes_with_the_container() {
    let test = "what_a_killed_create_mounted_on_the_host_goes_with_the_container";
    if skip(test, Need::Root) {
        return;
    }
    // The hook ends its parent, the runtime, at a moment when everything is mounted.
    let bundle = Bundle::new(&["true"])
        .set("/linux/namespaces", json!([{ "type": "pid" }, { "type": "uts" }]))
        .set("/hooks/createRuntime", json!([{ "path": "/bin/sh", "args": ["sh", "-c", "kill -9 $PPID"] }]));
    let id = &bundle.id;
    let line = format!("rt create {id} 2>/dev/null; rt list -q; rt delete -f {id}");
    let call = in_own_mounts(&bundle, &line);
    assert_eq!(call.out, format!("{id}\n0\n"), "{call:?}");
    bundle.assert_nothing_left();
}
