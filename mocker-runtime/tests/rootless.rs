//! An ordinary user without anybody's help: one id, no cgroup of their own.

#![allow(clippy::unwrap_used, reason = "a test ends where its set-up fails")]

mod common;

use std::fs;
use std::process::Command;

use common::{Bundle, Call, give};
use conformance::host::{Need, skip};
use serde_json::json;

/// Nobody that exists.
const USER: u32 = 4711;

/// A bundle that belongs to the user.
fn bundle(line: &str) -> Bundle {
    let map = json!([{ "containerID": 0, "hostID": USER, "size": 1 }]);
    let mut bundle = Bundle::shell(line)
        .set("/linux/namespaces/-", json!({ "type": "user" }))
        .set("/linux/uidMappings", map.clone())
        .set("/linux/gidMappings", map);
    for mount in bundle.config["mounts"].as_array_mut().unwrap() {
        // the group tty is nobody's in this namespace
        mount["options"].as_array_mut().unwrap().retain(|option| option != "gid=5");
    }
    bundle.write();
    give(bundle.path(), USER);
    bundle
}

/// A call of the runtime as the user. The program itself may lie where the user cannot go: it is copied.
fn call(bundle: &Bundle, words: &[&str]) -> Call {
    let program = bundle.path().join("runtime");
    if !fs::exists(&program).unwrap() {
        fs::copy(common::RUNTIME, &program).unwrap();
    }
    let id = USER.to_string();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", &id, "--regid", &id, "--clear-groups"]).arg(&program);
    command.arg("--root").arg(bundle.state_root()).args(words).current_dir(bundle.path());
    command.stdin(std::process::Stdio::null());
    let open = |name: &str| fs::File::create(bundle.path().join(name)).unwrap();
    let status = command.stdout(open("out")).stderr(open("err")).status().unwrap();
    let read = |name: &str| fs::read_to_string(bundle.path().join(name)).unwrap();
    Call { code: status.code().unwrap(), out: read("out"), err: read("err") }
}

#[test]
fn an_ordinary_user_runs_a_container_and_is_root_in_it() {
    let test = "an_ordinary_user_runs_a_container_and_is_root_in_it";
    if skip(test, Need::Root) || skip(test, Need::UserNamespace) {
        return;
    }
    let bundle = bundle(
        "id -u; hostname; echo x >/dev/null && touch /made; mount -t tmpfs none /sys/kernel 2>/dev/null; exit 7",
    );
    let run = call(&bundle, &["run", &bundle.id]);
    assert_eq!((run.code, run.out.as_str()), (7, "0\nconformance\n"), "{run:?}");
    let owner = std::os::unix::fs::MetadataExt::uid(&fs::metadata(bundle.rootfs("made")).unwrap());
    assert_eq!(owner, USER);
    bundle.assert_nothing_left();
}

#[test]
fn an_ordinary_user_creates_enters_kills_and_deletes() {
    let test = "an_ordinary_user_creates_enters_kills_and_deletes";
    if skip(test, Need::Root) || skip(test, Need::UserNamespace) {
        return;
    }
    let bundle = bundle("sleep 1000");
    call(&bundle, &["create", &bundle.id]).ok();
    call(&bundle, &["start", &bundle.id]).ok();
    let entered = call(
        &bundle,
        &[
            "exec",
            &bundle.id,
            "sh",
            "-c",
            "id -u; test $(readlink /proc/self/ns/mnt) = $(readlink /proc/1/ns/mnt) && echo same",
        ],
    );
    assert_eq!(entered.ok(), "0\nsame\n");
    call(&bundle, &["kill", &bundle.id, "KILL"]).ok();
    bundle.wait_for("stopped");
    call(&bundle, &["delete", &bundle.id]).ok();
    bundle.assert_nothing_left();
}

#[test]
fn a_limit_that_the_user_may_not_set_is_an_error() {
    let test = "a_limit_that_the_user_may_not_set_is_an_error";
    if skip(test, Need::Root) || skip(test, Need::UserNamespace) {
        return;
    }
    let bundle = bundle("true").set("/linux/resources/pids/limit", json!(10));
    bundle.write();
    let run = call(&bundle, &["run", &bundle.id]);
    assert!(run.code == 1 && run.err.contains("pids.max"), "{run:?}");
    bundle.assert_nothing_left();
}
