//! `delete`: what may be deleted.

#![allow(clippy::unwrap_used, reason = "a test ends where its set-up fails")]

mod common;

use common::Caller;

#[test]
fn delete_of_a_running_container_fails_and_leaves_it_running() {
    for caller in Caller::all("delete_of_a_running_container_fails_and_leaves_it_running") {
        let bundle = caller.bundle(&["sleep", "1000"]);
        bundle.start();
        let want = format!("delete container {}: cannot delete a container that is running", bundle.id);
        bundle.call(&["delete", &bundle.id]).fails(&want);
        assert_eq!(bundle.status(), "running");
        bundle.call(&["delete", "--force", &bundle.id]).ok();
        bundle.assert_nothing_left();
    }
}

#[test]
fn a_created_container_can_be_deleted_and_its_program_never_runs() {
    for caller in Caller::all("a_created_container_can_be_deleted_and_its_program_never_runs") {
        let bundle = caller.shell("echo ran");
        bundle.create().ok();
        bundle.call(&["delete", &bundle.id]).ok();
        assert_eq!(bundle.output(), "");
        bundle.assert_nothing_left();
    }
}
