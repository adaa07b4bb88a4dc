//! What cannot be saved or restored, and what is left then: a container that goes on, or nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use conformance::host::{Need, skip, wait_until};
use serde_json::{Value, json};

use super::common::{Bundle, Call, LIMIT};
use super::stream::Network;
use super::{COUNTER, counting, lacks};

#[test]
fn a_checkpoint_that_fails_leaves_the_container_running() {
    let test = "a_checkpoint_that_fails_leaves_the_container_running";
    if lacks(test) || skip(test, Need::Program("ip")) {
        return;
    }
    let network = Network::new();
    // criu finds the connection when everything else is saved. Init does not care what becomes of it: some
    // kernels interrupt a waiting nc.
    let line = "sleep 1000 | nc -l -p 4000 >/got & \
         (sleep 1000 | while ! nc 127.0.0.1 4000; do sleep 0.02; done) & \
         while true; do i=$((i+1)); echo $i >/count; sleep 0.02; done";
    let bundle = Bundle::shell(line).set("/linux/namespaces/1/path", json!(network.path()));
    fs::hard_link(bundle.rootfs("bin/busybox"), bundle.rootfs("bin/nc")).unwrap();
    let ours = bundle.ours().start();
    let connected =
        || fs::read_to_string(format!("/proc/{}/net/tcp", network.pid())).unwrap().contains(" 01 ");
    wait_until(LIMIT, "the connection", connected).unwrap();
    let call = ours.call(&["checkpoint", &bundle.id]);
    assert!(call.code == 1 && call.err.contains("criu failed: type DUMP errno"), "{call:?}");
    assert_eq!(bundle.status(), "running");
    let count = || fs::read_to_string(bundle.rootfs("count")).unwrap_or_default();
    let now = count();
    wait_until(LIMIT, "the next number after a failure", || !count().is_empty() && count() != now).unwrap();
}

#[test]
fn an_ordinary_user_is_told_that_only_root_has_criu_and_the_container_goes_on() {
    let test = "an_ordinary_user_is_told_that_only_root_has_criu_and_the_container_goes_on";
    if skip(test, Need::Root) || skip(test, Need::UserNamespace) {
        return;
    }
    let bundle = Bundle::new(&["sleep", "1000"]).of_user();
    bundle.start();
    let images = bundle.path().join("images").display().to_string();
    let other = format!("{}-b", bundle.id);
    for (act, id) in [("checkpoint", &bundle.id), ("restore", &other)] {
        bundle
            .call(&[act, "--image-path", &images, id])
            .fails(&format!("{act} container {id}: criu saves and restores containers for root only"));
    }
    assert_eq!(bundle.status(), "running");
    bundle.call(&["delete", "--force", &bundle.id]).ok();
    bundle.assert_nothing_left();
}

#[test]
fn hooks_run_when_the_namespaces_are_there_and_one_that_fails_leaves_nothing() {
    if lacks("hooks_run_when_the_namespaces_are_there_and_one_that_fails_leaves_nothing") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let script = dir.path().join("hook");
    // Writes its name and, like a network plugin, does something in init's network namespace.
    let lines = format!(
        "#!/bin/sh\npid=$(sed 's/.*\"pid\":\\([0-9]*\\).*/\\1/')\n\
         test -e /proc/$pid/ns/net && echo $1 $(readlink /proc/$pid/ns/net) >>{}\ntest ! -e {}/fail-$1\n",
        log.display(),
        dir.path().display()
    );
    fs::write(&script, lines).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let hook = |name: &str| json!([{ "path": script, "args": ["hook", name] }]);
    let names = ["prestart", "createRuntime", "createContainer", "poststart", "poststop"];
    let hooks: Value =
        names.iter().map(|name| ((*name).to_owned(), hook(name))).collect::<serde_json::Map<_, _>>().into();
    let bundle = Bundle::shell(COUNTER).set("/hooks", hooks);
    let ours = bundle.ours().start();
    bundle.count();
    ours.checkpoint(&[]);
    fs::remove_file(&log).unwrap();

    fs::write(dir.path().join("fail-createRuntime"), "").unwrap();
    let call = ours.call(&["restore", "--detach", &bundle.id]);
    call.fails(&format!(
        "restore container {}: run the createRuntime hook {}: exit status: 1",
        bundle.id,
        script.display()
    ));
    bundle.assert_nothing_left();
    fs::remove_file(dir.path().join("fail-createRuntime")).unwrap();
    fs::remove_file(&log).unwrap();

    let before = bundle.count();
    ours.restore(&[]);
    bundle.counts_on(before);
    let namespace = fs::read_link(format!("/proc/{}/ns/net", bundle.state()["pid"])).unwrap();
    let want = format!("prestart {0}\ncreateRuntime {0}\n", namespace.display());
    assert_eq!(fs::read_to_string(&log).unwrap(), want);
}

#[test]
fn what_cannot_be_saved_is_told_and_goes_on() {
    if lacks("what_cannot_be_saved_is_told_and_goes_on") {
        return;
    }
    let bundle = counting();
    let ours = bundle.ours();
    let id = bundle.id.as_str();
    let fails = |words: &[&str], sentence: &str| ours.call(words).fails(sentence);
    fails(&["checkpoint", "none"], "container none does not exist");
    fails(&["checkpoint", "--parent-path", "/x", id], "--parent-path must be relative");
    let images = bundle.path().join("checkpoint");
    fails(
        &["checkpoint", "--parent-path", "../none", id],
        &format!(
            "checkpoint container {id}: invalid --parent-path: {}/../none: No such file or directory",
            images.display()
        ),
    );
    fails(
        &["checkpoint", "--status-fd", "77", id],
        "invalid --status-fd argument: descriptor 77: Bad file descriptor",
    );
    let call = ours.call(&["checkpoint", "--empty-ns", "user", id]);
    assert!(call.code == 1 && call.err.contains("namespace \"user\" is not supported"), "{call:?}");
    let call = ours.call(&["checkpoint", "--page-server", "nowhere", id]);
    assert!(call.code == 1 && call.err.contains("\"nowhere\" is not of the form ADDRESS:PORT"), "{call:?}");
    let call = ours.call(&["checkpoint", "--manage-cgroups-mode", "odd", id]);
    assert_eq!(call.code, 1, "{call:?}");

    // without a criu, and with one from long ago
    let missing = format!("checkpoint container {id}: exec: \"criu\": executable file not found in $PATH");
    let call: Call = ours.command(&["checkpoint", id]).env("PATH", "/nonexistent").output().unwrap().into();
    call.fails(&missing);
    let old = tempfile::tempdir().unwrap();
    let script = old.path().join("criu");
    // { 3, 11 }, success, VERSION, whose number would be the end of a line for the shell
    let answer = r"\x52\x04\x08\x03\x10\x0b\x10\x01\x08\x0a";
    fs::write(&script, format!("#!/bin/bash\nread -r -n 1 -u $2\nprintf '{answer}' >&$2\n")).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let call: Call = ours.command(&["checkpoint", id]).env("PATH", old.path()).output().unwrap().into();
    call.fails(&format!("checkpoint container {id}: criu 3.11 is too old: 3.16 is the oldest that will do"));
    bundle.counts_on(bundle.count());
    assert_eq!(bundle.status(), "running");
    bundle.call(&["kill", id, "KILL"]).ok();
    bundle.wait_for("stopped");
    fails(
        &["checkpoint", id],
        &format!("checkpoint container {id}: cannot checkpoint a container that has stopped"),
    );
    ours.delete();
    bundle.create().ok();
    fails(
        &["checkpoint", id],
        &format!("checkpoint container {id}: cannot checkpoint a container that was not started"),
    );
}

#[test]
fn a_restore_that_fails_leaves_nothing() {
    if lacks("a_restore_that_fails_leaves_nothing") {
        return;
    }
    let bundle = counting();
    let ours = bundle.ours();
    let id = bundle.id.as_str();
    ours.checkpoint(&["--work-path", "work"]);
    let call = ours.call(&["restore", "--detach", "--image-path", "none", id]);
    let none = bundle.path().join("none");
    call.fails(&format!("restore container {id}: open {}: No such file or directory", none.display()));
    bundle.assert_nothing_left();
    assert!(!fs::exists(none).unwrap());
    let call: Call = ours.command(&["restore", id]).env("PATH", "/nonexistent").output().unwrap().into();
    call.fails(&format!("restore container {id}: exec: \"criu\": executable file not found in $PATH"));
    bundle.assert_nothing_left();
    // criu's own refusal: its word, its reason, where its log is
    fs::remove_file(bundle.path().join("checkpoint/mountpoints-13.img")).ok();
    for entry in fs::read_dir(bundle.path().join("checkpoint")).unwrap().flatten() {
        if entry.file_name().to_string_lossy().starts_with("core-1.") {
            fs::write(entry.path(), "no image").unwrap();
        }
    }
    let call = ours.call(&["restore", "--detach", "--work-path", "work", "--pid-file", "pid", id]);
    let first = call.err.lines().next().unwrap_or_default();
    assert!(first.contains(&format!("restore container {id}: criu failed: type RESTORE errno ")), "{call:?}");
    assert!(first.contains("(criu/"), "{call:?}");
    assert!(call.err.contains("restore.log"), "{call:?}");
    assert_eq!(call.code, 1);
    bundle.assert_nothing_left();
    assert!(!fs::exists(bundle.path().join("pid")).unwrap());
    let host = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!host.contains("criu-root"), "criu's mounts are left: {host}");
}
