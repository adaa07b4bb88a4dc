//! create, state, start, kill, delete in the order of runtime.md, and every verb in the wrong status.

mod common;

use std::fs;
use std::io::Write;
use std::process::Stdio;

use common::{Bundle, LIMIT, RUNTIME};
use conformance::host::{Need, skip, wait_until};
use serde_json::json;

#[test]
fn a_container_walks_from_created_to_deleted() {
    if skip("a_container_walks_from_created_to_deleted", Need::Root) {
        return;
    }
    let bundle = Bundle::shell("echo ran; sleep 1000").set("/annotations", json!({ "a": "b" }));
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

#[test]
fn start_is_for_created_containers_only() {
    if skip("start_is_for_created_containers_only", Need::Root) {
        return;
    }
    let bundle = Bundle::new(&["sleep", "1000"]);
    bundle.start();
    bundle.call(&["start", &bundle.id]).fails("cannot start an already running container");
    bundle.call(&["kill", &bundle.id, "9"]).ok();
    bundle.wait_for("stopped");
    bundle.call(&["start", &bundle.id]).fails("cannot start a container that has stopped");
}

#[test]
fn kill_of_a_stopped_container_is_an_error_in_the_words_that_managers_look_for() {
    if skip("kill_of_a_stopped_container_is_an_error_in_the_words_that_managers_look_for", Need::Root) {
        return;
    }
    let bundle = Bundle::new(&["true"]);
    bundle.start().wait_for("stopped");
    let want = format!("kill container {}: container not running", bundle.id);
    bundle.call(&["kill", &bundle.id, "TERM"]).fails(&want);
    bundle.call(&["kill", "--all", &bundle.id, "9"]).ok();
}

#[test]
fn an_id_in_use_is_refused_and_its_container_stays_as_it_is() {
    if skip("an_id_in_use_is_refused_and_its_container_stays_as_it_is", Need::Root) {
        return;
    }
    let bundle = Bundle::new(&["sleep", "1000"]);
    bundle.start();
    let want = format!("create container {0}: container with given ID already exists: {0}", bundle.id);
    bundle.call(&["create", &bundle.id]).fails(&want);
    assert_eq!(bundle.status(), "running");
}

#[test]
fn an_unknown_id_is_an_error_for_every_verb_but_a_forced_delete() {
    let bundle = Bundle::new(&["true"]);
    for verb in ["state", "start", "kill", "delete"] {
        bundle.call(&[verb, "no-such"]).fails("container no-such does not exist");
    }
    bundle.call(&["delete", "--force", "no-such"]).ok();
}

#[test]
fn the_pid_file_is_there_and_whole_when_create_returns() {
    if skip("the_pid_file_is_there_and_whole_when_create_returns", Need::Root) {
        return;
    }
    let bundle = Bundle::new(&["sleep", "1000"]);
    // a relative path belongs to the caller's working directory, which here is the bundle
    bundle.write().call_detached(&["create", "--pid-file", "pid", &bundle.id]).ok();
    let pid = fs::read_to_string(bundle.path().join("pid")).unwrap();
    assert_eq!(json!(pid.parse::<i32>().unwrap()), bundle.state()["pid"]);
}

#[test]
fn a_failed_start_says_why_and_the_container_is_stopped() {
    if skip("a_failed_start_says_why_and_the_container_is_stopped", Need::Root) {
        return;
    }
    let bundle = Bundle::new(&["/bin/garbage"]);
    let file = bundle.rootfs("bin/garbage");
    fs::write(&file, "no program").unwrap();
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    bundle.create().ok();
    let want =
        format!("start container {}: run the program: exec: \"/bin/garbage\": Exec format error", bundle.id);
    bundle.call(&["start", &bundle.id]).fails(&want);
    bundle.wait_for("stopped");
    bundle.call(&["delete", &bundle.id]).ok();
    bundle.assert_nothing_left();
}

#[test]
fn what_a_killed_create_leaves_is_seen_as_creating_and_can_be_deleted() {
    if skip("what_a_killed_create_leaves_is_seen_as_creating_and_can_be_deleted", Need::Root) {
        return;
    }
    let bundle = Bundle::new(&["sleep", "1000"]);
    let gate = bundle.path().join("gate");
    // the hook holds create up between the clone and the record of init
    let script = format!("touch {0}.there; while test -e {0}; do sleep 0.01; done", gate.display());
    let hook = json!([{ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"] }]);
    let bundle = bundle.set("/hooks/createRuntime", hook);
    fs::write(&gate, "").unwrap();
    bundle.write();
    let mut create =
        bundle.command(&["create", &bundle.id]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
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

#[test]
fn the_standard_streams_are_the_containers_and_the_runtime_keeps_none_open() {
    if skip("the_standard_streams_are_the_containers_and_the_runtime_keeps_none_open", Need::Root) {
        return;
    }
    let bundle = Bundle::new(&["cat"]);
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

#[test]
fn a_signal_to_the_foreground_runtime_reaches_the_container() {
    if skip("a_signal_to_the_foreground_runtime_reaches_the_container", Need::Root) {
        return;
    }
    let bundle = Bundle::shell("trap 'exit 9' TERM; touch /ready; while true; do sleep 0.01; done");
    let mut child = bundle.write().command(&["run", &bundle.id]).spawn().unwrap();
    let ready = bundle.rootfs("ready");
    wait_until(LIMIT, "the trap", || fs::exists(&ready).unwrap()).unwrap();
    let pid = nix::unistd::Pid::from_raw(child.id() as i32);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(9));
    bundle.assert_nothing_left();
}

#[test]
fn the_exit_status_is_the_programs_own_or_128_and_the_signal() {
    if skip("the_exit_status_is_the_programs_own_or_128_and_the_signal", Need::Root) {
        return;
    }
    for (line, code) in [("exit 42", 42), ("exit 0", 0), ("exit 255", 255), ("sleep 0.05", 0)] {
        let bundle = Bundle::shell(line);
        assert_eq!(bundle.run().code, code, "{line}");
        bundle.assert_nothing_left();
    }
    // The first process of a pid namespace ignores what it does not handle; from outside KILL always works.
    let bundle = Bundle::new(&["sleep", "1000"]);
    let mut child = bundle.write().command(&["run", &bundle.id]).spawn().unwrap();
    wait_until(LIMIT, "the container", || bundle.call(&["state", &bundle.id]).out.contains("running"))
        .unwrap();
    bundle.call(&["kill", &bundle.id, "KILL"]).ok();
    assert_eq!(child.wait().unwrap().code(), Some(137));
}

#[test]
fn a_directory_as_the_only_word_is_the_bundle_and_the_id_is_made_up() {
    if skip("a_directory_as_the_only_word_is_the_bundle_and_the_id_is_made_up", Need::Root) {
        return;
    }
    // terminal true as images have it, and no terminal here: plain pipes
    let bundle = Bundle::shell("echo one; tty; exit 5").set("/process/terminal", json!(true));
    bundle.write();
    let name = bundle.path().file_name().unwrap().to_str().unwrap().to_owned();
    for word in [bundle.path().to_str().unwrap(), &name] {
        let mut command = std::process::Command::new(RUNTIME);
        command.arg("--root").arg(bundle.state_root()).args(["run", word]);
        let call: common::Call = command
            .current_dir(bundle.path().parent().unwrap())
            .stdin(Stdio::null())
            .output()
            .unwrap()
            .into();
        assert_eq!((call.code, call.out.as_str()), (5, "one\nnot a tty\n"), "{call:?}");
    }
    bundle.assert_nothing_left();
}

#[test]
fn a_detached_run_returns_at_once_and_keep_keeps() {
    if skip("a_detached_run_returns_at_once_and_keep_keeps", Need::Root) {
        return;
    }
    let bundle = Bundle::new(&["sleep", "1000"]);
    bundle.write().call_detached(&["run", "--detach", &bundle.id]).ok();
    assert_eq!(bundle.status(), "running");

    let kept = Bundle::new(&["true"]);
    kept.write().call(&["run", "--keep", &kept.id]).ok();
    assert_eq!(kept.status(), "stopped");
}
