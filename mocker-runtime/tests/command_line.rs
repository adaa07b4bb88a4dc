//! Words that every command shares, and commands without a container.

#![allow(clippy::unwrap_used, reason = "a test ends where its set-up fails")]

mod common;

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::Command;

use common::{Bundle, Call, LIMIT, RUNTIME};
use conformance::host::{Need, in_mount_namespace, skip};
use serde_json::json;

#[test]
fn completions_name_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = Command::new(RUNTIME).args(["completion", shell]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        for command in ["create", "checkpoint", "restore", "mounts", "events"] {
            assert!(text.contains(command), "{shell} does not complete {command}");
        }
    }
    let call: Call = Command::new(RUNTIME).args(["completion", "tea"]).output().unwrap().into();
    assert_eq!(call.code, 1, "{call:?}");
}

#[test]
fn the_manual_has_a_page_for_every_command_with_its_options() {
    let dir = tempfile::tempdir().unwrap();
    let pages = dir.path().join("man");
    let call: Call = Command::new(RUNTIME).arg("man").arg(&pages).output().unwrap().into();
    assert_eq!(call.ok(), "");
    let help: Call = Command::new(RUNTIME).arg("--help").output().unwrap().into();
    let listed = help.ok().split_once("Commands:\n").unwrap().1.to_owned();
    let names = listed
        .lines()
        .take_while(|line| !line.is_empty())
        .map(|line| line.split_whitespace().next().unwrap());
    let mut count = 0;
    for name in names {
        let page = fs::read_to_string(pages.join(format!("mocker-runtime-{name}.1"))).unwrap();
        let help: Call = Command::new(RUNTIME).args([name, "--help"]).output().unwrap().into();
        for word in help.ok().split_whitespace().filter(|word| word.starts_with("--")) {
            let flag = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
            assert!(page.contains(&flag.replace('-', "\\-")), "{name}: no --{flag} in its page");
        }
        count += 1;
    }
    assert!(count > 18, "{count}");
    let call: Call = Command::new(RUNTIME).arg("man").output().unwrap().into();
    assert!(call.ok().contains("mocker\\-runtime\\-checkpoint(1)"));
    let call: Call = Command::new(RUNTIME).args(["man", "/dev/null/x"]).output().unwrap().into();
    call.fails("write the manual into /dev/null/x: Not a directory");
}

/// Calls the runtime where a socket of the test's stands at the log's path.
fn logged(path: &str, target: &str) -> String {
    let bundle = Bundle::new(&["true"]);
    let socket = UnixDatagram::bind(bundle.path().join("log")).unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    let dir = std::path::Path::new(path).parent().unwrap().display().to_string();
    // A tmpfs over a directory of the host's that is there in any case: only this namespace sees it.
    let line = format!(
        "mkdir -p {dir} 2>/dev/null; mount -t tmpfs none $(dirname {dir}) && mkdir -p {dir} && \
         touch {path} && mount --bind {} {path} && exec {RUNTIME} --log {target} state none",
        bundle.path().join("log").display()
    );
    let call: Call = in_mount_namespace("sh").args(["-c", &line]).output().unwrap().into();
    assert_eq!(
        (call.code, call.err.lines().last()),
        (1, Some("mocker-runtime: container none does not exist"))
    );
    let mut text = [0_u8; 4096];
    let n = socket.recv(&mut text).unwrap();
    String::from_utf8_lossy(&text[..n]).into_owned()
}

#[test]
fn the_reason_of_a_failure_goes_to_the_journal() {
    if skip("the_reason_of_a_failure_goes_to_the_journal", Need::Root) {
        return;
    }
    let text = logged("/run/systemd/journal/socket", "journald:shop");
    assert_eq!(text, "MESSAGE=container none does not exist\nPRIORITY=3\nSYSLOG_IDENTIFIER=shop\n");
}

#[test]
fn a_log_that_is_not_there_is_an_error() {
    let call: Call = Command::new(RUNTIME).args(["--log", "/not/there/log", "list"]).output().unwrap().into();
    call.fails("open the log file /not/there/log: No such file or directory");
}

#[test]
fn the_log_level_decides_what_is_said() {
    if skip("the_log_level_decides_what_is_said", Need::Root) {
        return;
    }
    let bundle = Bundle::new(&["true"]).set("/process/capabilities/bounding", json!(["CAP_TEA"]));
    bundle.write();
    for (level, want) in [("debug", 2), ("warning", 1), ("error", 0)] {
        let call = bundle.call(&["--log-level", level, "run", &bundle.id]);
        let has = |word: &str| usize::from(call.err.contains(word));
        assert_eq!(has("debug: ") + has("warning: "), want, "{level}: {call:?}");
    }
}

#[test]
fn another_file_can_stand_for_the_bundles_config() {
    if skip("another_file_can_stand_for_the_bundles_config", Need::Root) {
        return;
    }
    let bundle = Bundle::new(&["echo", "other"]);
    bundle.write();
    fs::rename(bundle.path().join("config.json"), bundle.path().join("other.json")).unwrap();
    assert_eq!(bundle.call(&["run", "--config", "other.json", &bundle.id]).ok(), "other\n");
    bundle
        .call(&["run", "--config", "none.json", &bundle.id])
        .fails(&format!("read {}: No such file or directory", bundle.path().join("none.json").display()));
}

#[test]
fn a_regular_expression_names_several_containers() {
    if skip("a_regular_expression_names_several_containers", Need::Root) {
        return;
    }
    let bundle = Bundle::new(&["sleep", "1000"]);
    bundle.write();
    let id = |word: &str| format!("{}-{word}", bundle.id);
    for word in ["tea-1", "tea-2", "coffee"] {
        bundle.call_detached(&["run", "-d", &id(word)]).ok();
    }
    let status = |word: &str| {
        let state = bundle.call(&["state", &id(word)]).ok();
        serde_json::from_str::<serde_json::Value>(&state).unwrap()["status"].as_str().unwrap().to_owned()
    };
    bundle.call(&["kill", "--regex", "tea-[0-9]$", "KILL"]).ok();
    for word in ["tea-1", "tea-2"] {
        conformance::host::wait_until(LIMIT, "the end", || status(word) == "stopped").unwrap();
    }
    assert_eq!(status("coffee"), "running");
    // One that runs is an error, and the others are deleted all the same.
    let call = bundle.call(&["delete", "--regex", "."]);
    assert!(call.code == 1 && call.err.contains("coffee"), "{call:?}");
    assert_eq!(bundle.call(&["list", "-q"]).ok(), format!("{}\n", id("coffee")));
    bundle.call(&["delete", "--force", "--regex", "coffee"]).ok();
    bundle
        .call(&["delete", "--regex", "("])
        .fails("the regular expression \"(\" is wrong: found open group without closing ')'");
    bundle.assert_nothing_left();
}

#[test]
fn hooks_write_to_the_files_that_the_annotations_name() {
    if skip("hooks_write_to_the_files_that_the_annotations_name", Need::Root) {
        return;
    }
    let hook = |word: &str| json!([{ "path": "/bin/sh", "args": ["sh", "-c", format!("echo {word}; echo {word}-error >&2")] }]);
    let bundle = Bundle::new(&["true"])
        .set("/hooks/createRuntime", hook("create"))
        .set("/hooks/createContainer", hook("inside"))
        .set("/hooks/poststop", hook("stop"));
    let path = |name: &str| bundle.path().join(name).display().to_string();
    let (out, err) = (path("hooks.out"), path("hooks.err"));
    let bundle = bundle
        .set("/annotations/run.oci.hooks.stdout", json!(out))
        .set("/annotations/run.oci.hooks.stderr", json!(err));
    bundle.run().ok();
    assert_eq!(fs::read_to_string(out).unwrap(), "create\ninside\nstop\n");
    assert_eq!(fs::read_to_string(err).unwrap(), "create-error\ninside-error\nstop-error\n");
}

#[test]
fn root_of_a_user_namespace_goes_without_cgroups_that_it_may_not_make() {
    let test = "root_of_a_user_namespace_goes_without_cgroups_that_it_may_not_make";
    if skip(test, Need::Root) || skip(test, Need::UserNamespace) {
        return;
    }
    let bundle = Bundle::shell("id -u; echo $?");
    bundle.write();
    // Like podman's: root here, and nobody who may make cgroups outside.
    let setpriv = |rootless: &str| -> Call {
        common::give(bundle.path(), 4711);
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "4711", "--regid", "4711", "--clear-groups", "unshare", "--user"]);
        command.args(["--map-root-user", "--mount"]).arg(bundle.path().join("runtime"));
        command.args(["--rootless", rootless, "--root"]).arg(bundle.state_root());
        command.args(["run", &bundle.id]).current_dir(bundle.path()).output().unwrap().into()
    };
    common::copy_runtime(&bundle.path().join("runtime"));
    let bundle_config = fs::read_to_string(bundle.path().join("config.json")).unwrap();
    // The group tty has no id there.
    fs::write(bundle.path().join("config.json"), bundle_config.replace("\"gid=5\",", "")).unwrap();
    for rootless in ["auto", "true"] {
        assert_eq!(setpriv(rootless).ok(), "0\n0\n", "{rootless}");
    }
    let call = setpriv("false");
    assert!(call.code == 1 && call.err.contains("cgroup"), "{call:?}");
    bundle.assert_nothing_left();
}

#[test]
fn errors_go_to_the_log_as_one_object_on_one_line() {
    let bundle = Bundle::new(&["true"]);
    let log = bundle.path().join("log.json");
    let words = ["--log", log.to_str().unwrap(), "--log-format", "json", "state", "no-such"];
    bundle.call(&words).fails("container no-such does not exist");
    let text = fs::read_to_string(&log).unwrap();
    let line: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&line["level"], &line["msg"]), (&json!("error"), &json!("container no-such does not exist")));
    assert!(line["time"].as_str().unwrap().ends_with('Z'));
}
