//! The executable itself: static, and deaf to NSS.

mod common;

use std::fs;
use std::process::Command;

use common::{Bundle, RUNTIME};
use conformance::host::{Need, in_mount_namespace, skip};

#[test]
fn the_program_is_one_static_file() {
    let headers = Command::new("readelf")
        .args(["--program-headers", "--dynamic", "--wide", RUNTIME])
        .output()
        .unwrap();
    let text = String::from_utf8(headers.stdout).unwrap();
    assert!(
        headers.status.success() && text.contains("LOAD"),
        "readelf could not read it"
    );
    assert!(!text.contains("INTERP"), "it asks for a loader:\n{text}");
    assert!(!text.contains("(NEEDED)"), "it needs a library:\n{text}");
}

#[test]
fn modules_named_in_nsswitch_conf_are_never_loaded() {
    if skip("modules_named_in_nsswitch_conf_are_never_loaded", Need::Root) {
        return;
    }
    let bundle = Bundle::new(&["id", "-u"]);
    bundle.write();
    let file = bundle.path().join("nsswitch.conf");
    fs::write(
        &file,
        "passwd: systemd nosuch\ngroup: systemd nosuch\nhosts: resolve nosuch\n",
    )
    .unwrap();
    let line = format!(
        "mount --bind {} /etc/nsswitch.conf && exec {RUNTIME} --root {} run {}",
        file.display(),
        bundle.state_root().display(),
        bundle.id
    );
    let call: common::Call = in_mount_namespace("sh")
        .args(["-c", &line])
        .current_dir(bundle.path())
        .output()
        .unwrap()
        .into();
    assert_eq!(call.ok(), "0\n");
}

#[test]
fn the_version_has_the_lines_that_docker_reads() {
    let bundle = Bundle::new(&["true"]);
    let text = bundle.call(&["--version"]).ok();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("mocker-runtime version "), "{text}");
    assert!(
        lines[1].starts_with("commit: ") && lines[2] == "spec: 1.3.0",
        "{text}"
    );
}
