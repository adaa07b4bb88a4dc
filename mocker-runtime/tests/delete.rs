//! `delete`: what may be deleted.

#![allow(clippy::unwrap_used, reason = "a test ends where its set-up fails")]

mod common;

use common::Bundle;
use conformance::host::{Need, skip};

#[test]
fn delete_of_a_running_container_fails_and_leaves_it_running() {
    if skip("delete_of_a_running_container_fails_and_leaves_it_running", Need::Root) {
        return;
    }
    let bundle = Bundle::new(&["sleep", "1000"]);
    bundle.start();
    let want = format!("delete container {}: cannot delete a container that is running", bundle.id);
    bundle.call(&["delete", &bundle.id]).fails(&want);
    assert_eq!(bundle.status(), "running");
    bundle.call(&["delete", "--force", &bundle.id]).ok();
    bundle.assert_nothing_left();
}

#[test]
fn a_created_container_can_be_deleted_and_its_program_never_runs() {
    if skip("a_created_container_can_be_deleted_and_its_program_never_runs", Need::Root) {
        return;
    }
    let bundle = Bundle::shell("echo ran");
    bundle.create().ok();
    bundle.call(&["delete", &bundle.id]).ok();
    assert_eq!(bundle.output(), "");
    bundle.assert_nothing_left();
}
