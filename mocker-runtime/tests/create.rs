//! `create`: ids, the pid file, streams, and what a killed one leaves.

#![allow(clippy::unwrap_used, reason = "a test ends where its set-up fails")]

mod common;

use std::fs;
use std::io::Write;
use std::process::Stdio;

use common::{Caller, LIMIT};
use conformance::host::wait_until;
use serde_json::json;

#[test]
fn an_id_in_use_is_refused_and_its_container_stays_as_it_is() {
    for caller in Caller::all("an_id_in_use_is_refused_and_its_container_stays_as_it_is") {
        let bundle = caller.bundle(&["sleep", "1000"]);
        bundle.start();
        let want = format!("create container {0}: container with given ID already exists: {0}", bundle.id);
        bundle.call(&["create", &bundle.id]).fails(&want);
        assert_eq!(bundle.status(), "running");
    }
}

#[test]
fn the_pid_file_is_there_and_whole_when_create_returns() {
    for caller in Caller::all("the_pid_file_is_there_and_whole_when_create_returns") {
        let bundle = caller.bundle(&["sleep", "1000"]);
        // a relative path belongs to the caller's working directory, which here is the bundle
        bundle.write().call_detached(&["create", "--pid-file", "pid", &bundle.id]).ok();
        let pid = fs::read_to_string(bundle.path().join("pid")).unwrap();
        assert_eq!(json!(pid.parse::<i32>().unwrap()), bundle.state()["pid"]);
    }
}

#[test]
fn what_a_killed_create_leaves_is_seen_as_creating_and_can_be_deleted() {
    for caller in Caller::all("what_a_killed_create_leaves_is_seen_as_creating_and_can_be_deleted") {
        let bundle = caller.bundle(&["sleep", "1000"]);
        let gate = bundle.path().join("gate");
        // the hook holds create up between the clone and the record of init
        let script = format!("touch {0}.there; while test -e {0}; do sleep 0.01; done", gate.display());
        let hook =
            json!([{ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"] }]);
        let bundle = bundle.set("/hooks/createRuntime", hook);
        fs::write(&gate, "").unwrap();
        bundle.write();
        let mut create = bundle
            .command(&["create", &bundle.id])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let there = bundle.path().join("gate.there");
        wait_until(LIMIT, "the hook", || fs::exists(&there).unwrap()).unwrap();
        assert_eq!(bundle.status(), "creating");
        let want = format!("delete container {}: ", bundle.id);
        assert!(
            !bundle.call(&["delete", "--force", &bundle.id]).err.contains(&want),
            "a create at work is not disturbed"
        );
        create.kill().unwrap();
        create.wait().unwrap();
        fs::remove_file(&gate).unwrap();
        wait_until(LIMIT, "the delete of what is left", || {
            bundle.call(&["delete", "--force", &bundle.id]).code == 0
                && bundle.call(&["state", &bundle.id]).code == 1
        })
        .unwrap();
        bundle.assert_nothing_left();
    }
}

#[test]
fn the_standard_streams_are_the_containers_and_the_runtime_keeps_none_open() {
    for caller in Caller::all("the_standard_streams_are_the_containers_and_the_runtime_keeps_none_open") {
        let bundle = caller.bundle(&["cat"]);
        let mut child = bundle
            .write()
            .command(&["run", &bundle.id])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(b"through\n").unwrap();
        // cat ends at the end of its input: were the other end held open somewhere, it would not
        let output = child.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "through\n");
        assert!(output.status.success());
    }
}
