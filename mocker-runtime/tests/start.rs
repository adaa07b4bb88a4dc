//! `start`: for created containers, once.

#![allow(clippy::unwrap_used, reason = "a test ends where its set-up fails")]

mod common;

use std::fs;

use common::Caller;

#[test]
fn start_is_for_created_containers_only() {
    for caller in Caller::all("start_is_for_created_containers_only") {
        let bundle = caller.bundle(&["sleep", "1000"]);
        bundle.start();
        bundle.call(&["start", &bundle.id]).fails("cannot start an already running container");
        bundle.call(&["kill", &bundle.id, "9"]).ok();
        bundle.wait_for("stopped");
        bundle.call(&["start", &bundle.id]).fails("cannot start a container that has stopped");
    }
}

#[test]
fn a_failed_start_says_why_and_the_container_is_stopped() {
    for caller in Caller::all("a_failed_start_says_why_and_the_container_is_stopped") {
        let bundle = caller.bundle(&["/bin/garbage"]);
        let file = bundle.rootfs("bin/garbage");
        fs::write(&file, "no program").unwrap();
        fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        bundle.create().ok();
        let want = format!(
            "start container {}: run the program: exec: \"/bin/garbage\": Exec format error",
            bundle.id
        );
        bundle.call(&["start", &bundle.id]).fails(&want);
        bundle.wait_for("stopped");
        bundle.call(&["delete", &bundle.id]).ok();
        bundle.assert_nothing_left();
    }
}
