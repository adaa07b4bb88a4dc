//! An ordinary user without anybody's help: one id, no cgroup of their own.

#![allow(clippy::unwrap_used, reason = "a test ends where its set-up fails")]

mod common;

use std::fs;

use common::{Bundle, Call, USER};
use conformance::host::{Need, in_mount_namespace, skip};
use serde_json::json;

/// A bundle that belongs to the user.
fn bundle(line: &str) -> Bundle {
    let bundle = Bundle::shell(line).of_user();
    bundle.write();
    bundle
}

#[test]
fn an_ordinary_user_runs_a_container_and_is_root_in_it() {
    let test = "an_ordinary_user_runs_a_container_and_is_root_in_it";
    if skip(test, Need::Root) || skip(test, Need::UserNamespace) {
        return;
    }
    let bundle = bundle(
        "id -u; hostname; echo x >/dev/null && touch /made; mount -t tmpfs none /sys/kernel 2>/dev/null; exit 7",
    );
    let run = bundle.call_detached(&["run", &bundle.id]);
    assert_eq!((run.code, run.out.as_str()), (7, "0\nconformance\n"), "{run:?}");
    let owner = std::os::unix::fs::MetadataExt::uid(&fs::metadata(bundle.rootfs("made")).unwrap());
    assert_eq!(owner, USER);
    bundle.assert_nothing_left();
}

#[test]
fn an_ordinary_user_creates_enters_kills_and_deletes() {
    let test = "an_ordinary_user_creates_enters_kills_and_deletes";
    if skip(test, Need::Root) || skip(test, Need::UserNamespace) {
        return;
    }
    let bundle = bundle("sleep 1000");
    bundle.call_detached(&["create", &bundle.id]).ok();
    bundle.call_detached(&["start", &bundle.id]).ok();
    let entered = bundle.call_detached(&[
        "exec",
        &bundle.id,
        "sh",
        "-c",
        "id -u; test $(readlink /proc/self/ns/mnt) = $(readlink /proc/1/ns/mnt) && echo same",
    ]);
    assert_eq!(entered.ok(), "0\nsame\n");
    bundle.call_detached(&["kill", &bundle.id, "KILL"]).ok();
    bundle.wait_for("stopped");
    bundle.call_detached(&["delete", &bundle.id]).ok();
    bundle.assert_nothing_left();
}

#[test]
fn a_limit_that_the_user_may_not_set_is_an_error() {
    let test = "a_limit_that_the_user_may_not_set_is_an_error";
    if skip(test, Need::Root) || skip(test, Need::UserNamespace) {
        return;
    }
    let bundle = bundle("true").set("/linux/resources/pids/limit", json!(10));
    bundle.write();
    let run = bundle.call_detached(&["run", &bundle.id]);
    assert!(run.code == 1 && run.err.contains("pids.max"), "{run:?}");
    bundle.assert_nothing_left();
}

#[test]
fn a_user_with_subordinate_ids_has_more_than_one_in_the_container() {
    let test = "a_user_with_subordinate_ids_has_more_than_one_in_the_container";
    if skip(test, Need::Root) || skip(test, Need::UserNamespace) || skip(test, Need::Program("newuidmap")) {
        return;
    }
    let map = json!([
        { "containerID": 0, "hostID": USER, "size": 1 }, { "containerID": 1, "hostID": 300_000, "size": 1000 },
    ]);
    let bundle = bundle("id -u; id -g; id -G; touch /tmp/made; cat /proc/self/uid_map")
        .set("/linux/uidMappings", map.clone())
        .set("/linux/gidMappings", map)
        .set("/process/user", json!({ "uid": 7, "gid": 8, "additionalGids": [9] }));
    bundle.write();
    fs::create_dir(bundle.rootfs("tmp")).unwrap();
    fs::set_permissions(bundle.rootfs("tmp"), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    common::copy_runtime(&bundle.path().join("runtime"));
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    fs::write(bundle.path().join("passwd"), format!("{passwd}tester:x:{USER}:{USER}::/:/bin/sh\n")).unwrap();
    fs::write(bundle.path().join("subids"), format!("tester:300000:1000\n{USER}:300000:1000\n")).unwrap();
    let line = format!(
        "touch /etc/subuid /etc/subgid 2>/dev/null; mount --bind passwd /etc/passwd && \
         mount --bind subids /etc/subuid && mount --bind subids /etc/subgid && \
         exec setpriv --reuid {USER} --regid {USER} --clear-groups ./runtime --root state run {}",
        bundle.id
    );
    let mut shell = in_mount_namespace("sh");
    let run: Call = shell.args(["-c", &line]).current_dir(bundle.path()).output().unwrap().into();
    let words: Vec<&str> = run.out.split_whitespace().collect();
    assert_eq!(words, ["7", "8", "8", "9", "0", "4711", "1", "1", "300000", "1000"], "{run:?}");
    let owner = std::os::unix::fs::MetadataExt::uid(&fs::metadata(bundle.rootfs("tmp/made")).unwrap());
    assert_eq!(owner, 300_006);
    bundle.assert_nothing_left();
}

#[test]
fn flags_that_the_user_may_not_clear_stay_on_what_they_bind() {
    let test = "flags_that_the_user_may_not_clear_stay_on_what_they_bind";
    if skip(test, Need::Root) || skip(test, Need::UserNamespace) {
        return;
    }
    let bundle = bundle("grep ' /data ' /proc/mounts; touch /data/x 2>/dev/null || echo refused")
        .mount(common::mount("bind", "source", "/data", &["bind", "ro"]));
    bundle.write();
    fs::create_dir(bundle.path().join("source")).unwrap();
    common::copy_runtime(&bundle.path().join("runtime"));
    let line = format!(
        "mount -t tmpfs -o nosuid,nodev,noexec,mode=777 none source && \
         exec setpriv --reuid {USER} --regid {USER} --clear-groups ./runtime --root state run {}",
        bundle.id
    );
    let mut shell = in_mount_namespace("sh");
    let run: Call = shell.args(["-c", &line]).current_dir(bundle.path()).output().unwrap().into();
    assert_eq!(run.code, 0, "{run:?}");
    for word in ["ro,", "nosuid", "nodev", "noexec", "refused"] {
        assert!(run.out.contains(word), "{word}: {run:?}");
    }
}

#[test]
fn every_command_of_an_ordinary_user_acts_or_says_what_it_cannot() {
    let test = "every_command_of_an_ordinary_user_acts_or_says_what_it_cannot";
    if skip(test, Need::Root) || skip(test, Need::UserNamespace) {
        return;
    }
    let bundle = bundle("sleep 1000");
    let id = bundle.id.as_str();
    bundle.call_detached(&["run", "-d", id]).ok();
    let state: serde_json::Value = serde_json::from_str(&bundle.call_detached(&["state", id]).ok()).unwrap();
    assert_eq!(state["status"], "running");
    assert_eq!(bundle.call_detached(&["list", "-q"]).ok(), format!("{id}\n"));
    // Without a cgroup there is nothing to freeze, to limit or to count in.
    for words in [&["pause", id][..], &["update", "--pids-limit", "5", id], &["ps", id], &["resume", id]] {
        let said = bundle.call_detached(words);
        let one = said.err.lines().filter(|line| line.starts_with("mocker-runtime: ")).count();
        assert_eq!((said.code, one), (1, 1), "{words:?}: {said:?}");
    }
    let stats: serde_json::Value =
        serde_json::from_str(&bundle.call_detached(&["events", "--stats", id]).ok()).unwrap();
    assert_eq!(stats["data"]["memory"], json!({}), "{stats}");
    assert_eq!(bundle.call_detached(&["exec", "--user", "0:0", "--cwd", "/bin", id, "pwd"]).ok(), "/bin\n");
    let later = json!([{ "destination": "/late", "type": "tmpfs", "source": "tmpfs", "options": [] }]);
    fs::write(bundle.path().join("later.json"), later.to_string()).unwrap();
    bundle.call_detached(&["mounts", "add", id, "later.json"]).ok();
    assert!(bundle.call_detached(&["exec", id, "cat", "/proc/mounts"]).ok().contains(" /late "));
    bundle.call_detached(&["mounts", "remove", id, "later.json"]).ok();
    bundle.call_detached(&["kill", "--all", id, "KILL"]).ok();
    bundle.wait_for("stopped");
    bundle.call_detached(&["delete", id]).ok();
    bundle.call_detached(&["delete", "--force", id]).ok();
    bundle.assert_nothing_left();
}

#[test]
fn the_root_of_a_user_namespace_execs_and_joins_a_pid_namespace_though_it_cannot_come_back() {
    let test = "the_root_of_a_user_namespace_execs_and_joins_a_pid_namespace_though_it_cannot_come_back";
    if skip(test, Need::Root) || skip(test, Need::UserNamespace) {
        return;
    }
    let plain = |bundle: Bundle| {
        let mut bundle = bundle.set("/linux/cgroupsPath", json!(null));
        for mount in bundle.config["mounts"].as_array_mut().unwrap() {
            // the group tty is nobody's in this namespace
            mount["options"].as_array_mut().unwrap().retain(|option| option != "gid=5");
        }
        bundle
    };
    let first = plain(Bundle::new(&["sleep", "1000"]));
    let mut second = plain(Bundle::shell("test -e /proc/1/cmdline && test $$ -gt 1 && echo beside"));
    let hook = format!("readlink /proc/self/ns/pid >{}", second.path().join("hook").display());
    second.config["hooks"] = json!({ "createRuntime": [{ "path": "/bin/sh", "args": ["sh", "-c", hook] }] });
    for namespace in second.config["linux"]["namespaces"].as_array_mut().unwrap() {
        if namespace["type"] == "pid" {
            namespace["path"] = json!("/proc/PID/ns/pid");
        }
    }
    let (first, second) = (first.write(), second.write());
    let script = r#"
        rt="$0 --root $1/state"
        $rt run --detach --bundle $1 --pid-file $1/pid first
        trap '$rt delete --force first' EXIT
        $rt exec first sh -c 'test $(readlink /proc/self/ns/pid) = $(readlink /proc/1/ns/pid) && echo inside'
        sed -i "s/PID/$(cat $1/pid)/" $2/config.json
        $rt run --bundle $2 second
        test $(cat $2/hook) = $(readlink /proc/self/ns/pid) && echo outside"#;
    let mut command = in_mount_namespace("unshare");
    command.args(["--user", "--map-root-user", "--mount", "--", "sh", "-eu", "-c", script, common::RUNTIME]);
    command.args([first.path(), second.path()]).stdin(std::process::Stdio::null());
    let out = fs::File::create(first.path().join("said")).unwrap();
    let status = command.stdout(out.try_clone().unwrap()).stderr(out).status().unwrap();
    let said = fs::read_to_string(first.path().join("said")).unwrap();
    assert_eq!((status.code(), said.as_str()), (Some(0), "inside\nbeside\noutside\n"));
}
