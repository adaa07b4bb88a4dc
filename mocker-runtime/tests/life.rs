//! A cgroup's life around its container's: what is in the way at a create, what is nested, what is left.

#![allow(clippy::unwrap_used, reason = "a test ends where its set-up fails")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use common::{Bundle, Call, LIMIT};
use conformance::host::{Need, skip, wait_until};
use serde_json::json;

/// A directory in the hierarchy that freezes; removed with the test.
struct Made(PathBuf);

impl Made {
    fn new(controller: &str, path: &str) -> Self {
        let root = Path::new("/sys/fs/cgroup");
        let mount = if Need::CgroupV2.is_met() { root.to_owned() } else { root.join(controller) };
        let made = Self(mount.join(path));
        fs::create_dir_all(&made.0).unwrap();
        made
    }

    fn freeze(&self, yes: bool) {
        let (file, words) = if Need::CgroupV2.is_met() {
            ("cgroup.freeze", ["0", "1"])
        } else {
            ("freezer.state", ["THAWED", "FROZEN"])
        };
        fs::write(self.0.join(file), words[usize::from(yes)]).unwrap();
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        fs::remove_dir(&self.0).ok();
    }
}

/// A call that must come to its end by itself.
fn within_limit(bundle: &Bundle, words: &[&str]) -> Call {
    let mut child =
        bundle.write().command(words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let ended = wait_until(LIMIT, "its end", || child.try_wait().unwrap().is_some());
    if ended.is_err() {
        child.kill().unwrap();
    }
    child.wait_with_output().unwrap().into()
}

fn is_there(path: &Path) -> bool {
    path.try_exists().unwrap()
}

#[test]
fn a_frozen_cgroup_is_refused_and_so_is_one_below_a_frozen_one() {
    let test = "a_frozen_cgroup_is_refused_and_so_is_one_below_a_frozen_one";
    if skip(test, Need::Root)
        || skip(test, Need::Controller(if Need::CgroupV2.is_met() { "pids" } else { "freezer" }))
    {
        return;
    }
    let bundle = Bundle::new(&["true"]);
    let name = format!("frozen-{}", bundle.id);
    let made = Made::new("freezer", &name);
    made.freeze(true);
    for path in [format!("/{name}"), format!("/{name}/below")] {
        let bundle = Bundle::new(&["true"]).set("/linux/cgroupsPath", json!(path));
        let call = within_limit(&bundle, &["run", &bundle.id]);
        assert!(call.code == 1 && call.err.contains(" is frozen\n"), "{path}: {call:?}");
        bundle.assert_nothing_left();
    }
    assert!(is_there(&made.0) && !is_there(&made.0.join("below")));
    made.freeze(false);
    let bundle = Bundle::shell("echo ran").set("/linux/cgroupsPath", json!(format!("/{name}/below")));
    assert_eq!(bundle.run().ok(), "ran\n");
    // what was there before the container is there after it
    assert!(is_there(&made.0) && !is_there(&made.0.join("below")));
}

#[test]
fn a_cgroup_that_is_half_there_is_completed_and_an_empty_one_is_taken() {
    let test = "a_cgroup_that_is_half_there_is_completed_and_an_empty_one_is_taken";
    if skip(test, Need::Root) {
        return;
    }
    // of version 1 in one hierarchy only; with a directory below it, as an earlier container leaves it
    let bundle = Bundle::shell("cat /proc/self/cgroup");
    let name = bundle.id.clone();
    let made = Made::new("pids", &format!("{name}/left/over"));
    let bundle = bundle.set("/linux/cgroupsPath", json!(format!("/{name}")));
    let out = bundle.run().ok();
    assert!(
        out.lines().any(|line| line.ends_with(&format!("pids:/{name}")) || line == format!("0::/{name}")),
        "{out}"
    );
    assert!(!is_there(&made.0));
    bundle.assert_nothing_left();
}

#[test]
fn a_parent_that_containers_share_goes_with_the_last_of_them() {
    let test = "a_parent_that_containers_share_goes_with_the_last_of_them";
    if skip(test, Need::Root) {
        return;
    }
    let ids: Vec<Bundle> = (0..3).map(|_| Bundle::new(&["sleep", "1000"])).collect();
    let parent = format!("shared-{}", ids[0].id);
    let bundles: Vec<Bundle> = ids
        .into_iter()
        .map(|bundle| {
            let path = format!("/{parent}/deep/{}", bundle.id);
            bundle.set("/linux/cgroupsPath", json!(path))
        })
        .collect();
    // the first makes the parent and is the first to go
    for bundle in &bundles {
        bundle.start();
    }
    let root = Path::new("/sys/fs/cgroup");
    for bundle in &bundles {
        assert!(!common::find_dirs(root, &parent).is_empty());
        bundle.call(&["delete", "--force", &bundle.id]).ok();
    }
    assert_eq!(common::find_dirs(root, &parent), Vec::<PathBuf>::new());
}

/// A bundle whose container may make cgroups below its own.
fn nesting(line: &str) -> Bundle {
    let bundle = Bundle::shell(line).set("/linux/namespaces/-", json!({ "type": "cgroup" }));
    bundle.mount(common::mount("cgroup", "cgroup", "/sys/fs/cgroup", &["rw"]))
}

#[test]
fn what_a_container_makes_below_its_cgroup_is_entered_killed_and_removed_with_it() {
    let test = "what_a_container_makes_below_its_cgroup_is_entered_killed_and_removed_with_it";
    if skip(test, Need::Root) || skip(test, Need::CgroupV2) {
        return;
    }
    // as a manager inside does it: itself into a leaf, then controllers for the others, one of them threaded
    let bundle = nesting(
        "cd /sys/fs/cgroup && mkdir init others others/deep threads && echo 1 >init/cgroup.procs &&
         echo +pids >cgroup.subtree_control && echo +pids >others/cgroup.subtree_control &&
         echo threaded >threads/cgroup.type; sleep 1000 & echo $! >others/deep/cgroup.procs;
         touch /ready; sleep 1001",
    );
    let path = format!("/{}", bundle.id);
    let bundle = bundle.set("/linux/cgroupsPath", json!(path));
    bundle.start();
    wait_until(LIMIT, "the cgroups", || is_there(&bundle.rootfs("ready"))).unwrap();
    let own = Path::new("/sys/fs/cgroup").join(&bundle.id);
    assert_eq!(bundle.output(), "");
    // one more process goes where init is, since the container's own cgroup takes none any more
    let entered = bundle.call(&["exec", &bundle.id, "cat", "/proc/self/cgroup"]).ok();
    assert_eq!(entered, "0::/init\n");
    let inner =
        bundle.call(&["exec", "--cgroup", "others/deep", &bundle.id, "cat", "/proc/self/cgroup"]).ok();
    assert_eq!(inner, "0::/others/deep\n");
    let pids = bundle.call(&["ps", "--format", "json", &bundle.id]).ok();
    assert_eq!(serde_json::from_str::<Vec<i32>>(&pids).unwrap().len(), 2, "{pids}");
    bundle.call(&["pause", &bundle.id]).ok();
    assert_eq!(bundle.status(), "paused");
    bundle.call(&["kill", "--all", &bundle.id, "KILL"]).ok();
    bundle.wait_for("stopped");
    bundle.call(&["delete", "--force", &bundle.id]).ok();
    assert!(!is_there(&own));
    bundle.assert_nothing_left();
}

#[test]
fn the_root_of_a_user_namespace_rules_below_its_own_cgroup_if_it_may_write_there() {
    let test = "the_root_of_a_user_namespace_rules_below_its_own_cgroup_if_it_may_write_there";
    if skip(test, Need::Root) || skip(test, Need::CgroupV2) || skip(test, Need::UserNamespace) {
        return;
    }
    let map = json!([{ "containerID": 0, "hostID": 100_000, "size": 65_536 }]);
    let in_namespace = |bundle: Bundle| {
        fs::set_permissions(bundle.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        std::os::unix::fs::chown(bundle.rootfs(""), Some(100_000), Some(100_000)).unwrap();
        bundle
            .set("/linux/namespaces/-", json!({ "type": "user" }))
            .set("/linux/uidMappings", map.clone())
            .set("/linux/gidMappings", map.clone())
            .set("/linux/resources/pids", json!({ "limit": 20 }))
    };
    let line = "cd /sys/fs/cgroup; mkdir below && echo 1 >below/cgroup.procs && cat /proc/self/cgroup;
        echo 30 >pids.max || echo limits are not ours";
    let bundle = in_namespace(nesting(line));
    let run = bundle.run();
    assert_eq!(run.out, "0::/below\nlimits are not ours\n", "{run:?}");
    bundle.assert_nothing_left();
    // read-only, it stays the host's root's
    let mut bundle = in_namespace(nesting("stat -c %u /sys/fs/cgroup"));
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    mounts.last_mut().unwrap()["options"] = json!(["ro"]);
    assert_eq!(bundle.run().out, "65534\n");
}

#[test]
fn all_processes_are_killed_without_a_pid_namespace_too() {
    let test = "all_processes_are_killed_without_a_pid_namespace_too";
    if skip(test, Need::Root) {
        return;
    }
    let mut bundle = Bundle::shell("sleep 1000 & sleep 1001 & sleep 1002 & echo; wait");
    bundle.config["linux"]["namespaces"].as_array_mut().unwrap().retain(|space| space["type"] != "pid");
    bundle.start();
    wait_until(LIMIT, "its children", || !bundle.output().is_empty()).unwrap();
    let pids = bundle.call(&["ps", "--format", "json", &bundle.id]).ok();
    let pids: Vec<i32> = serde_json::from_str(&pids).unwrap();
    assert_eq!(pids.len(), 4, "{pids:?}");
    bundle.call(&["kill", "--all", &bundle.id, "KILL"]).ok();
    let runs = |pid: &i32| {
        let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        !state.is_empty() && !state.contains(") Z ")
    };
    wait_until(LIMIT, "the end of all", || !pids.iter().any(runs)).unwrap();
    bundle.wait_for("stopped");
    bundle.call(&["delete", &bundle.id]).ok();
    bundle.assert_nothing_left();
}

#[test]
fn a_delegated_directory_is_inits_and_the_limits_stay_above_it() {
    let test = "a_delegated_directory_is_inits_and_the_limits_stay_above_it";
    if skip(test, Need::Root) {
        return;
    }
    let line = "cat /proc/self/cgroup; cd /sys/fs/cgroup/its/own; cat cgroup.controllers; mkdir more && echo made; sleep 1000";
    let bundle = nesting(line).set("/linux/resources/pids", json!({ "limit": 20 }));
    let path = format!("/{}", bundle.id);
    let bundle = bundle.set("/linux/cgroupsPath", json!(path));
    let bundle = bundle.set("/annotations", json!({ "run.oci.delegate-cgroup": "its/own" }));
    if !Need::CgroupV2.is_met() {
        let sentence = "annotation run.oci.delegate-cgroup: only cgroup version 2 can be delegated";
        return bundle.run().fails(sentence);
    }
    bundle.start();
    wait_until(LIMIT, "its words", || bundle.output().ends_with("made\n")).unwrap();
    let out = bundle.output();
    assert!(out.starts_with("0::/its/own\n") && out.contains("pids"), "{out}");
    let dir = Path::new("/sys/fs/cgroup").join(&bundle.id);
    let limit = |dir: &Path| fs::read_to_string(dir.join("pids.max")).unwrap();
    assert_eq!((limit(&dir), limit(&dir.join("its/own"))), ("20\n".to_owned(), "max\n".to_owned()));
    assert_eq!(bundle.call(&["exec", &bundle.id, "cat", "/proc/self/cgroup"]).ok(), "0::/its/own\n");
    bundle.call(&["delete", "--force", &bundle.id]).ok();
    bundle.assert_nothing_left();

    let bundle = bundle.set("/annotations", json!({ "run.oci.delegate-cgroup": "../out" }));
    bundle
        .run()
        .fails("annotation run.oci.delegate-cgroup: \"../out\" is no directory below the container's cgroup");
}

#[test]
fn a_container_runs_containers_in_a_copy_of_version_1() {
    let test = "a_container_runs_containers_in_a_copy_of_version_1";
    if skip(test, Need::Root) || skip(test, Need::CgroupV1) {
        return;
    }
    // the inner runtime sees the outer container's cgroups as the roots of its hierarchies
    let inner =
        Bundle::shell("echo innermost").set("/linux/resources/pids", json!({ "limit": 7 })).mount(json!({
            "destination": "/x", "type": "tmpfs", "source": "none",
        }));
    inner.write();
    let at = inner.path().display().to_string();
    let mut outer = nesting(&format!(
        "/runtime --root /tmp/r run --bundle {at} inner && ls -d /sys/fs/cgroup/pids/inner 2>/dev/null || echo gone"
    ));
    common::copy_runtime(&outer.rootfs("runtime"));
    for directory in ["tmp", at.trim_start_matches('/')] {
        fs::create_dir_all(outer.rootfs(directory)).unwrap();
    }
    outer = outer.mount(common::mount("bind", &at, &at, &["rbind"]));
    outer.config["linux"]["maskedPaths"] = json!([]);
    outer.config["linux"]["readonlyPaths"] = json!([]);
    outer.config["linux"]["resources"]["devices"] = json!([{ "allow": true, "access": "rwm" }]);
    let all: Vec<String> = [
        "SYS_ADMIN",
        "MKNOD",
        "CHOWN",
        "DAC_OVERRIDE",
        "SETUID",
        "SETGID",
        "SETPCAP",
        "SETFCAP",
        "KILL",
        "SYS_CHROOT",
        "NET_ADMIN",
        "SYS_RESOURCE",
        "FOWNER",
        "NET_RAW",
        "NET_BIND_SERVICE",
        "AUDIT_WRITE",
    ]
    .map(|name| format!("CAP_{name}"))
    .to_vec();
    for set in ["bounding", "effective", "permitted"] {
        outer = outer.set(&format!("/process/capabilities/{set}"), json!(all));
    }
    let run = outer.run();
    assert_eq!(run.out, "innermost\ngone\n", "{run:?}");
    outer.assert_nothing_left();
}
