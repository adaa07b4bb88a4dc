//! Bad input: each with its one sentence, exit status 1, and nothing left behind.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use common::{Bundle, mount};
use conformance::host::{Need, skip};
use serde_json::json;

/// `run` must fail with this sentence (`ID` and `DIR` stand for the bundle's) and leave nothing.
#[track_caller]
fn refused(bundle: &Bundle, sentence: &str) {
    let want = sentence.replace("ID", &bundle.id).replace("DIR", &bundle.path().to_string_lossy());
    bundle.run().fails(&want);
    bundle.assert_nothing_left();
}

#[test]
fn a_bundle_without_config_json_is_named() {
    let bundle = Bundle::new(&["true"]);
    bundle.call(&["run", "x"]).fails(&format!("bundle {} has no config.json", bundle.path().display()));
}

#[test]
fn broken_json_is_named_with_line_and_column() {
    let bundle = Bundle::new(&["true"]);
    let file = bundle.path().join("config.json");
    fs::write(&file, "{\n \"ociVersion\": \"1.0.0\",\n \"root\": [,]\n}").unwrap();
    bundle.call(&["run", "x"]).fails(&format!("{}: expected value at line 3 column 11", file.display()));
}

#[test]
fn a_config_that_cannot_be_done_is_refused_before_anything_is_made() {
    for (pointer, value, sentence) in [
        ("/ociVersion", json!("2.0.0"), "ociVersion \"2.0.0\" has major version 2, not 1"),
        ("/process/args", json!([]), "process.args is empty"),
        ("/process/cwd", json!("tmp"), "process.cwd \"tmp\" is not absolute"),
        ("/windows", json!({}), "windows is not supported"),
        (
            "/process/rlimits/0/type",
            json!("RLIMIT_TEA"),
            "process.rlimits has the unknown type \"RLIMIT_TEA\"",
        ),
        ("/linux/namespaces/0/type", json!("tea"), "linux.namespaces has the unknown type \"tea\""),
        ("/linux/rootfsPropagation", json!("tea"), "linux.rootfsPropagation \"tea\" is not a propagation"),
        (
            "/linux/sysctl",
            json!({ "kernel.panic": "1" }),
            "sysctl \"kernel.panic\" is not in a separate kernel namespace",
        ),
    ] {
        let bundle = Bundle::new(&["true"]);
        let bundle = if pointer.contains("rlimits") {
            bundle.set("/process/rlimits", json!([{ "type": "", "soft": 1, "hard": 1 }]))
        } else {
            bundle
        };
        let bundle = bundle.set(pointer, value);
        let call = bundle.run();
        assert!(call.err.contains(sentence), "{pointer}: {call:?}");
        assert_eq!(call.code, 1);
        bundle.assert_nothing_left();
    }
}

#[test]
fn a_program_that_cannot_be_run_is_named_in_the_words_that_managers_look_for() {
    if skip("a_program_that_cannot_be_run_is_named_in_the_words_that_managers_look_for", Need::Root) {
        return;
    }
    for (program, words) in [
        ("no-such", "executable file not found in $PATH"),
        ("/bin/no-such", "no such file or directory"),
        ("/bin/plain", "permission denied"),
        ("plain", "permission denied"),
        ("/bin", "is a directory"),
    ] {
        let bundle = Bundle::new(&[program]);
        let plain = bundle.rootfs("bin/plain");
        fs::write(&plain, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&plain, fs::Permissions::from_mode(0o644)).unwrap();
        refused(&bundle, &format!("create container ID: find the program: exec: {program:?}: {words}"));
    }
}

#[test]
fn a_missing_root_file_system_is_named() {
    if skip("a_missing_root_file_system_is_named", Need::Root) {
        return;
    }
    let bundle = Bundle::new(&["true"]).set("/root/path", json!("gone"));
    refused(
        &bundle,
        "create container ID: prepare the root file system: the root file system DIR/gone does not exist",
    );
    let bundle = Bundle::new(&["true"]).set("/root/path", json!("config.json"));
    refused(
        &bundle,
        "create container ID: prepare the root file system: the root file system DIR/config.json is not a directory",
    );
}

#[test]
fn a_mount_that_fails_is_named_with_its_place_and_the_file_systems_own_words() {
    if skip("a_mount_that_fails_is_named_with_its_place_and_the_file_systems_own_words", Need::Root) {
        return;
    }
    for (mount, sentence) in [
        (
            mount("bind", "/no/such/source", "/data", &["bind"]),
            "mount /no/such/source at /data: open_tree \"/no/such/source\": No such file or directory",
        ),
        (
            mount("teafs", "none", "/data", &[]),
            "mount teafs at /data: fsopen teafs: this kernel has no file system \"teafs\"",
        ),
        (
            mount("tmpfs", "tmpfs", "/data", &["size=tea"]),
            "mount tmpfs at /data: set option \"size=tea\" of tmpfs: tmpfs: Bad value for 'size': Invalid argument",
        ),
    ] {
        let bundle = Bundle::new(&["true"]).mount(mount);
        refused(&bundle, &format!("create container ID: mount the filesystems: {sentence}"));
    }
}

#[test]
fn proc_behind_a_symlink_of_the_image_is_refused() {
    if skip("proc_behind_a_symlink_of_the_image_is_refused", Need::Root) {
        return;
    }
    let bundle = Bundle::new(&["true"]);
    std::os::unix::fs::symlink("/tmp", bundle.rootfs("proc")).unwrap();
    refused(
        &bundle,
        "create container ID: mount the filesystems: mount proc at /proc: \
         /proc is, or lies behind, a symbolic link in the root file system",
    );
}

#[test]
fn wrong_words_are_one_line_and_status_1() {
    let bundle = Bundle::new(&["true"]);
    bundle.call(&["run"]).fails("the following required arguments were not provided: <ID|BUNDLE>");
    bundle.call(&["frobnicate"]).fails("unrecognized subcommand 'frobnicate'");
    bundle.call(&["kill", "x", "TEA"]).fails("invalid value 'TEA' for '[SIGNAL]': unknown signal \"TEA\"");
    bundle.call(&["state", "a/b"]).fails(
        "invalid value 'a/b' for '<ID>': container id \"a/b\" has a character outside [A-Za-z0-9_+-.]",
    );
}

#[test]
fn a_terminal_without_anybody_to_hold_it_is_refused() {
    let bundle = Bundle::new(&["true"]).set("/process/terminal", json!(true));
    bundle.create().fails("process.terminal is true, but there is no --console-socket");
    bundle.assert_nothing_left();
}
