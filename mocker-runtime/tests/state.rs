//! `state`, through the whole life of a container.

#![allow(clippy::unwrap_used, reason = "a test ends where its set-up fails")]

mod common;

use std::fs;

use common::{Bundle, Caller, LIMIT};
use conformance::host::wait_until;
use serde_json::json;

#[test]
fn a_container_walks_from_created_to_deleted() {
    for caller in Caller::all("a_container_walks_from_created_to_deleted") {
        let bundle = caller.shell("echo ran; sleep 1000").set("/annotations", json!({ "a": "b" }));
        bundle.create().ok();
        let state = bundle.state();
        assert_eq!(state["status"], "created");
        assert_eq!(state["id"], bundle.id.as_str());
        assert_eq!(state["bundle"], bundle.path().to_str().unwrap());
        assert_eq!(state["annotations"], json!({ "a": "b" }));
        let pid = state["pid"].as_i64().unwrap();
        assert!(fs::exists(format!("/proc/{pid}")).unwrap());
        assert_eq!(bundle.output(), "", "the program ran before start");

        bundle.call(&["start", &bundle.id]).ok();
        assert_eq!(bundle.status(), "running");
        wait_until(LIMIT, "the program's output", || bundle.output() == "ran\n").unwrap();

        bundle.call(&["kill", &bundle.id, "KILL"]).ok();
        bundle.wait_for("stopped");
        assert_eq!(bundle.state()["pid"], 0);
        bundle.call(&["delete", &bundle.id]).ok();
        bundle.call(&["state", &bundle.id]).fails(&format!("container {} does not exist", bundle.id));
        bundle.assert_nothing_left();
    }
}

#[test]
fn an_unknown_id_is_an_error_for_every_verb_but_a_forced_delete() {
    let bundle = Bundle::new(&["true"]);
    for verb in ["state", "start", "kill", "delete"] {
        bundle.call(&[verb, "no-such"]).fails("container no-such does not exist");
    }
    bundle.call(&["delete", "--force", "no-such"]).ok();
}
