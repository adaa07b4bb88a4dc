//! An ordinary user's containers, in scopes of their own manager.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::{Command, Stdio};

use conformance::host::{Need, skip, wait_until};
use serde_json::json;

use super::common::{self, Bundle, Call, LIMIT};
use super::{dir, is_there, read};

/// The user of `as-user`.
const USER: u32 = 1000;

/// Hands a whole tree to the user.
fn give(path: &Path) {
    chown(path, Some(USER), Some(USER)).unwrap();
    if path.is_dir() {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        fs::read_dir(path)
            .unwrap()
            .flatten()
            .map(|e| e.path())
            .filter(|p| !p.is_symlink())
            .for_each(|p| give(&p));
    }
}

/// A bundle that belongs to the user, with a copy of the program, which may lie where the user cannot go.
fn users_bundle() -> Bundle {
    let map = json!([{ "containerID": 0, "hostID": USER, "size": 1 }]);
    let mut bundle = Bundle::new(&["sleep", "1000"])
        .set("/linux/namespaces/-", json!({ "type": "user" }))
        .set("/linux/uidMappings", map.clone())
        .set("/linux/gidMappings", map)
        .set("/linux/resources/pids", json!({ "limit": 19 }))
        .set("/linux/resources/memory", json!({ "limit": 67_108_864 }));
    for mount in bundle.config["mounts"].as_array_mut().unwrap() {
        // the group tty is nobody's in this namespace
        mount["options"].as_array_mut().unwrap().retain(|option| option != "gid=5");
    }
    common::copy_runtime(&bundle.write().path().join("runtime"));
    give(bundle.path());
    bundle
}

/// Where the user calls from.
#[derive(Clone, Copy)]
enum From {
    /// A scope of their own manager
    Manager,
    /// A cgroup that is root's, like a login session's
    Elsewhere,
}

fn as_user(bundle: &Bundle, from: From, words: &[&str]) -> Call {
    let open = |name: &str| fs::File::create(bundle.path().join(name)).unwrap();
    let program = bundle.path().join("runtime");
    let mut command = match from {
        From::Manager => Command::new("as-user"),
        From::Elsewhere => {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=1000", "--regid=1000", "--clear-groups", "env", "-i"]);
            command.arg("XDG_RUNTIME_DIR=/run/user/1000");
            command
        }
    };
    command.arg(program).arg("--root").arg(bundle.state_root()).args(words);
    let command = command.current_dir(bundle.path()).stdin(Stdio::null());
    let status = command.stdout(open("out")).stderr(open("err")).status().unwrap();
    let read = |name: &str| fs::read_to_string(bundle.path().join(name)).unwrap();
    Call { code: status.code().unwrap(), out: read("out"), err: read("err") }
}

#[test]
fn a_user_with_a_delegated_tree_has_limits_without_systemds_help() {
    let test = "a_user_with_a_delegated_tree_has_limits_without_systemds_help";
    if skip(test, Need::Systemd) || skip(test, Need::Program("as-user")) {
        return;
    }
    let bundle = users_bundle();
    let runtime = |words: &[&str]| {
        let mut all = vec!["--cgroup-manager=cgroupfs"];
        all.extend(words);
        as_user(&bundle, From::Manager, &all)
    };
    runtime(&["run", "--detach", &bundle.id]).ok();
    let dir = dir(&bundle);
    assert!(dir.starts_with("/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/"), "{dir:?}");
    assert_eq!((read(&dir, "memory.max").as_str(), read(&dir, "pids.max").as_str()), ("67108864", "19"));
    runtime(&["update", "--pids-limit", "23", &bundle.id]).ok();
    assert_eq!(read(&dir, "pids.max"), "23");
    runtime(&["pause", &bundle.id]).ok();
    assert_eq!(bundle.status(), "paused");
    runtime(&["resume", &bundle.id]).ok();
    runtime(&["delete", "--force", &bundle.id]).ok();
    assert!(!is_there(&dir));
    bundle.assert_nothing_left();
}

fn show_as_user(unit: &str, property: &str) -> String {
    let words = ["systemctl", "--user", "show", "--value", "--property", property, unit];
    let output = Command::new("as-user").args(words).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// With these words before the command.
fn a_user_has_limits(test: &str, from: From, flags: &[&str]) {
    if skip(test, Need::Systemd) || skip(test, Need::Program("as-user")) {
        return;
    }
    assert!(Command::new("as-user").arg("true").status().unwrap().success());
    let bundle = users_bundle();
    let runtime = |words: &[&str]| as_user(&bundle, from, &[flags, words].concat());
    runtime(&["run", "--detach", &bundle.id]).ok();
    let unit = format!("mocker-{}.scope", bundle.id);
    let dir = dir(&bundle);
    let manager = "/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service";
    assert_eq!(dir, Path::new(manager).join("user.slice").join(&unit));
    let says = |limit: &str, tasks: &str| {
        assert_eq!((read(&dir, "memory.max").as_str(), read(&dir, "pids.max").as_str()), (limit, tasks));
        assert_eq!(show_as_user(&unit, "MemoryMax"), limit);
        assert_eq!(show_as_user(&unit, "TasksMax"), tasks);
    };
    says("67108864", "19");
    let reload = || Command::new("as-user").args(["systemctl", "--user", "daemon-reload"]).status().unwrap();
    reload();
    says("67108864", "19");
    runtime(&["update", "--pids-limit", "23", &bundle.id]).ok();
    reload();
    says("67108864", "23");
    // a process that comes later is in the same cgroup
    let path = format!("/user.slice/user-1000.slice/user@1000.service/user.slice/{unit}");
    let detached = ["exec", "--detach", "--pid-file", "pid", &bundle.id, "sleep", "1000"];
    runtime(&detached).ok();
    let pid = fs::read_to_string(bundle.path().join("pid")).unwrap();
    assert_eq!(fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap().trim(), format!("0::{path}"));
    runtime(&["delete", "--force", &bundle.id]).ok();
    wait_until(LIMIT, "the unit's end", || show_as_user(&unit, "LoadState") == "not-found").unwrap();
    bundle.assert_nothing_left();
    assert!(!is_there(&dir));
}

#[test]
fn a_user_has_limits_by_a_manager_of_their_own() {
    a_user_has_limits("a_user_has_limits_by_a_manager_of_their_own", From::Manager, &["--systemd-cgroup"]);
}

#[test]
fn a_user_has_limits_from_a_session_outside_their_manager_too() {
    let test = "a_user_has_limits_from_a_session_outside_their_manager_too";
    a_user_has_limits(test, From::Elsewhere, &["--cgroup-manager", "systemd"]);
}

#[test]
fn a_user_who_may_make_no_cgroup_has_limits_by_their_manager_unasked() {
    a_user_has_limits(
        "a_user_who_may_make_no_cgroup_has_limits_by_their_manager_unasked",
        From::Elsewhere,
        &[],
    );
}

#[test]
fn without_a_manager_the_places_are_named_where_one_was_looked_for() {
    let test = "without_a_manager_the_places_are_named_where_one_was_looked_for";
    if skip(test, Need::Root) || skip(test, Need::UserNamespace) {
        return;
    }
    let bundle = users_bundle();
    let mut command = Command::new("setpriv");
    command.args(["--reuid=1000", "--regid=1000", "--clear-groups", "env", "-i"]);
    command.arg(format!("XDG_RUNTIME_DIR={}", bundle.path().display()));
    command.arg(bundle.path().join("runtime")).arg("--root").arg(bundle.state_root());
    command.args(["--cgroup-manager=systemd", "run", &bundle.id]).current_dir(bundle.path());
    let call = Call::from(command.output().unwrap());
    let at = bundle.path().display();
    call.fails(&format!(
        "create container {}: connect to systemd --user: nobody listens at {at}/systemd/private, {at}/bus",
        bundle.id
    ));
    bundle.assert_nothing_left();
}
