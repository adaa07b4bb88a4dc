//! checkpoint and restore, with a criu that works on this kernel.

#![allow(clippy::unwrap_used, reason = "a test ends where its set-up fails")]

mod common;
#[path = "checkpoint/failure.rs"]
mod failure;
#[path = "checkpoint/stream.rs"]
mod stream;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use common::{Bundle, Call, LIMIT, RUNTIME, mount};
use conformance::criu;
use conformance::host::{self, Need, skip, wait_until};
use serde_json::{Value, json};

/// Counts for ever, in a file of the root file system that is whole at any moment.
const COUNTER: &str =
    "i=0; while true; do i=$((i+1)); echo $i >/new; busybox mv /new /count; sleep 0.02; done";

fn lacks(test: &str) -> bool {
    skip(test, Need::Root) || skip(test, Need::Criu)
}

/// Something of the kernel that criu needs for this test alone.
fn lacks_feature(test: &str, feature: &str) -> bool {
    let criu = criu::folder().map(|folder| folder.join("criu")).unwrap_or_default();
    let check = Command::new(criu).args(["check", "--feature", feature]).output();
    let lacks = !check.is_ok_and(|output| output.status.success());
    if lacks {
        host::count_skip(test, &format!("criu:{feature}"));
    }
    lacks
}

/// PATH with criu in it.
fn search() -> String {
    let folder = criu::folder().map_or(Path::new("/none"), |folder| folder);
    format!("{}:{}:/usr/sbin:/sbin", folder.display(), std::env::var("PATH").unwrap_or_default())
}

/// A runtime with runc's command line, and a state directory of its own.
#[derive(Clone, Copy)]
struct Runtime<'a> {
    bundle: &'a Bundle,
    program: &'a Path,
}

impl Bundle {
    fn ours(&self) -> Runtime<'_> {
        Runtime { bundle: self.write(), program: Path::new(RUNTIME) }
    }

    /// What the counter has come to.
    fn count(&self) -> u64 {
        let read = || fs::read_to_string(self.rootfs("count")).ok()?.trim().parse().ok();
        let mut count = None;
        wait_until(LIMIT, "a count", || {
            count = read();
            count.is_some()
        })
        .unwrap();
        count.unwrap()
    }

    /// Waits until it has counted on, and fails if it has begun anew.
    #[track_caller]
    fn counts_on(&self, before: u64) {
        wait_until(LIMIT, "the counter to go on", || self.count() != before).unwrap();
        let now = self.count();
        assert!(now > before, "it was at {before} and is at {now}");
    }
}

impl Runtime<'_> {
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(self.program);
        let root = self.bundle.path().join(self.program.file_name().unwrap());
        let root = if self.program == Path::new(RUNTIME) { self.bundle.state_root() } else { root };
        command.arg("--root").arg(root).args(words).current_dir(self.bundle.path());
        command.env("PATH", search()).stdin(Stdio::null());
        command
    }

    fn call(&self, words: &[&str]) -> Call {
        self.command(words).output().unwrap().into()
    }

    /// A call whose streams lead nowhere, so that they can be saved.
    #[track_caller]
    fn quietly(&self, words: &[&str]) {
        let status = self.command(words).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        assert!(status.success(), "{words:?}: {status}");
    }

    #[track_caller]
    fn start(&self) -> Self {
        self.quietly(&["run", "--detach", &self.bundle.id]);
        *self
    }

    /// Into the folder `checkpoint` of the bundle.
    #[track_caller]
    fn checkpoint(&self, flags: &[&str]) {
        self.call(&[&["checkpoint"], flags, &[self.bundle.id.as_str()]].concat()).ok();
    }

    #[track_caller]
    fn restore(&self, flags: &[&str]) {
        self.restore_as(&self.bundle.id, flags);
    }

    /// What is left running must not hold this test's pipes.
    #[track_caller]
    fn restore_as(&self, id: &str, flags: &[&str]) {
        let words = [&["restore", "--detach"], flags, &[id]].concat();
        let open = |name: &str| fs::File::create(self.bundle.path().join(name)).unwrap();
        let status = self.command(&words).stdout(open("out")).stderr(open("err")).status().unwrap();
        let said = fs::read_to_string(self.bundle.path().join("err")).unwrap();
        assert!(status.success(), "{words:?}: {said}");
    }

    fn delete(&self) {
        self.call(&["delete", "--force", &self.bundle.id]);
    }
}

/// A running container that counts.
fn counting() -> Bundle {
    let bundle = Bundle::shell(COUNTER);
    bundle.ours().start();
    bundle.count();
    bundle
}

#[test]
fn a_container_goes_on_where_it_was_and_is_as_good_as_a_created_one() {
    if lacks("a_container_goes_on_where_it_was_and_is_as_good_as_a_created_one") {
        return;
    }
    let bundle = counting();
    let ours = bundle.ours();
    ours.checkpoint(&["--work-path", "work"]);
    bundle.assert_nothing_left();
    assert!(fs::exists(bundle.path().join("work/dump.log")).unwrap());
    assert!(!fs::exists(bundle.path().join("checkpoint/dump.log")).unwrap());
    let before = bundle.count();
    ours.restore(&["--work-path", "work", "--pid-file", "pid"]);
    bundle.counts_on(before);

    let state = bundle.state();
    assert_eq!(state["status"], "running");
    let pid: i64 = fs::read_to_string(bundle.path().join("pid")).unwrap().parse().unwrap();
    assert_eq!(state["pid"], pid);
    assert!(bundle.call(&["list"]).ok().contains(&pid.to_string()));
    // every namespace, the one for clocks too, which criu has added
    let line = "for kind in cgroup ipc mnt net pid time uts; do \
         test $(readlink /proc/self/ns/$kind) = $(readlink /proc/1/ns/$kind) || echo $kind; done";
    assert_eq!(bundle.call(&["exec", &bundle.id, "sh", "-c", line]).ok(), "");
    let same = "test \"$(cat /proc/self/cgroup)\" = \"$(cat /proc/1/cgroup)\" && echo same";
    assert_eq!(bundle.call(&["exec", &bundle.id, "sh", "-c", same]).ok(), "same\n");
    bundle.call(&["pause", &bundle.id]).ok();
    assert_eq!(bundle.status(), "paused");
    bundle.call(&["resume", &bundle.id]).ok();
    bundle
        .call(&["delete", &bundle.id])
        .fails(&format!("delete container {}: cannot delete a container that is running", bundle.id));
    bundle.call(&["kill", &bundle.id, "KILL"]).ok();
    bundle.wait_for("stopped").call(&["delete", &bundle.id]).ok();
    bundle.assert_nothing_left();
}

#[test]
fn it_can_be_saved_and_restored_again_and_again_with_what_exec_has_started() {
    if lacks("it_can_be_saved_and_restored_again_and_again_with_what_exec_has_started") {
        return;
    }
    let bundle = Bundle::shell(COUNTER).set("/linux/maskedPaths", json!([]));
    let ours = bundle.ours().start();
    bundle.count();
    // not one long sleep: some kernels interrupt it, and it ends then
    let background = "busybox tail -f /dev/null </dev/null >/dev/null 2>&1 & echo $!";
    let pid = bundle.call(&["exec", &bundle.id, "sh", "-c", background]).ok();
    let other = format!("{}-b", bundle.id);
    let flags = ["--no-new-keyring", "--no-pivot", "--preserve-fds=1"];
    let mut saved = bundle.id.as_str();
    for (id, flags, own) in [(&bundle.id, &[][..], "own\n"), (&other, &flags, "")] {
        ours.call(&["checkpoint", saved]).ok();
        let before = bundle.count();
        ours.restore_as(id, flags);
        bundle.counts_on(before);
        let exec = |line: &str| bundle.call(&["exec", id, "sh", "-c", line]);
        exec(&format!("test -d /proc/{}", pid.trim())).ok();
        // what enters it later has the keyring that the flag says
        assert_eq!(exec(&format!("grep -q '_ses[.]{id}:' /proc/keys && echo own")).out, own, "{id}");
        saved = id;
    }
    bundle.call(&["delete", "--force", &other]).ok();
}

#[test]
fn binds_of_every_kind_masks_and_a_read_only_root_come_back() {
    if lacks("binds_of_every_kind_masks_and_a_read_only_root_come_back") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let source = |name: &str| {
        let path = dir.path().join(name);
        fs::create_dir(&path).unwrap();
        path.to_string_lossy().into_owned()
    };
    let (data, outer, inner) = (source("data"), source("outer"), source("inner"));
    let file = dir.path().join("file").to_string_lossy().into_owned();
    fs::write(&file, "kept\n").unwrap();
    let line = "i=0; while true; do i=$((i+1)); echo $i >/data/count; sleep 0.02; done";
    let bundle = Bundle::shell(line)
        .set("/root/readonly", json!(true))
        .set("/linux/maskedPaths", json!(["/proc/keys", "/proc/acpi", "/sys/firmware", "/proc/nothing"]))
        .set("/linux/readonlyPaths", json!(["/proc/sys", "/proc/bus"]))
        .mount(mount("bind", &data, "/data", &["bind"]))
        .mount(mount("bind", &file, "/etc/file", &["rbind", "ro"]))
        .mount(mount("bind", &outer, "/conf", &["bind"]))
        .mount(mount("bind", &inner, "/conf/for/nested", &["bind"]));
    fs::create_dir_all(bundle.rootfs("real/conf")).unwrap();
    symlink("/real/conf", bundle.rootfs("conf")).unwrap();
    let count = || fs::read_to_string(dir.path().join("data/count")).unwrap_or_default();
    let ours = bundle.ours().start();
    wait_until(LIMIT, "the first count", || !count().is_empty()).unwrap();
    // what masks a file is the host's null device after a restore, under runc too
    let mounts = "cut -d' ' -f2,3,4 /proc/self/mounts | sort | sed 's/^.proc.keys .*/masked/'";
    for applet in ["cut", "sed", "sort"] {
        fs::hard_link(bundle.rootfs("bin/busybox"), bundle.rootfs("bin").join(applet)).unwrap();
    }
    let mounts = || bundle.call(&["exec", &bundle.id, "sh", "-c", mounts]).ok();
    let before = mounts();
    ours.checkpoint(&[]);
    let counted = count();
    // The places are made again, as by a create.
    fs::remove_dir_all(dir.path().join("outer/for")).unwrap();
    ours.restore(&[]);
    wait_until(LIMIT, "the counter to go on", || count() != counted && !count().is_empty()).unwrap();
    assert_eq!(mounts(), before);
    let look = "cat /etc/file; cat /proc/keys; ls /sys/firmware; touch /x /etc/file /proc/sys/x 2>/dev/null || echo no";
    assert_eq!(bundle.call(&["exec", &bundle.id, "sh", "-c", look]).ok(), "kept\nno\n");
    let host = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!host.contains("criu-root"), "criu's mounts are seen on the host: {host}");
}

#[test]
fn a_root_that_is_an_overlay_is_made_again() {
    let test = "a_root_that_is_an_overlay_is_made_again";
    if lacks(test) || skip(test, Need::Overlay) {
        return;
    }
    let options = ["lowerdir=lower", "upperdir=upper", "workdir=overlay-work"];
    let bundle = Bundle::shell(COUNTER).mount(mount("overlay", "overlay", "/", &options));
    fs::rename(bundle.rootfs(""), bundle.path().join("lower")).unwrap();
    for dir in ["rootfs", "upper", "overlay-work"] {
        fs::create_dir(bundle.path().join(dir)).unwrap();
    }
    let ours = bundle.ours().start();
    let count = || fs::read_to_string(bundle.path().join("upper/count")).unwrap_or_default();
    wait_until(LIMIT, "the first count", || !count().is_empty()).unwrap();
    ours.checkpoint(&[]);
    let before: u64 = count().trim().parse().unwrap();
    ours.restore(&[]);
    wait_until(LIMIT, "the next count", || count().trim().parse::<u64>().unwrap() > before).unwrap();
    assert_eq!(fs::read_dir(bundle.rootfs("")).unwrap().count(), 0);
    bundle.call(&["delete", "--force", &bundle.id]).ok();
    bundle.assert_nothing_left();
}

#[test]
fn the_cgroups_that_the_container_sees_come_back_with_a_namespace_and_without() {
    if lacks("the_cgroups_that_the_container_sees_come_back_with_a_namespace_and_without") {
        return;
    }
    for namespace in [false, true] {
        let mut bundle = Bundle::shell(COUNTER).mount(mount("cgroup", "cgroup", "/sys/fs/cgroup", &["ro"]));
        bundle = bundle.set("/linux/resources/pids", json!({ "limit": 50 }));
        if namespace {
            bundle = bundle.set("/linux/namespaces/-", json!({ "type": "cgroup" }));
        }
        let ours = bundle.ours().start();
        bundle.count();
        let look = "ls /sys/fs/cgroup; cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/pids/pids.max 2>/dev/null";
        let look = || bundle.call(&["exec", &bundle.id, "sh", "-c", &format!("{look}; true")]).ok();
        let before = look();
        ours.checkpoint(&[]);
        let counted = bundle.count();
        ours.restore(&[]);
        bundle.counts_on(counted);
        assert!(before.contains("50\n"), "{before}");
        assert_eq!(look(), before);
    }
}

#[test]
fn a_container_that_is_left_running_goes_on_and_another_is_made_from_its_images() {
    if lacks("a_container_that_is_left_running_goes_on_and_another_is_made_from_its_images") {
        return;
    }
    // in a file system that is saved with it: two containers would change one file under each other
    let bundle = Bundle::shell(&COUNTER.replace("/new", "/dev/shm/new").replace("/count", "/dev/shm/count"));
    let ours = bundle.ours().start();
    let count = || bundle.call(&["exec", &bundle.id, "cat", "/dev/shm/count"]).out;
    wait_until(LIMIT, "a count", || !count().is_empty()).unwrap();
    ours.checkpoint(&["--leave-running", "--manage-cgroups-mode", "ignore"]);
    let before = count();
    wait_until(LIMIT, "the next number", || count() != before).unwrap();
    assert_eq!(bundle.status(), "running");
    let other = format!("{}-b", bundle.id);
    let call = ours.call(&["restore", "--detach", &bundle.id]);
    call.fails(&format!("restore container {0}: container with given ID already exists: {0}", bundle.id));
    ours.restore_as(&other, &["--manage-cgroups-mode", "ignore"]);
    let pids = |id: &str| -> Vec<i64> {
        serde_json::from_str(&bundle.call(&["ps", "--format", "json", id]).ok()).unwrap()
    };
    let state: Value = serde_json::from_str(&bundle.call(&["state", &other]).ok()).unwrap();
    assert_eq!(state["status"], "running");
    assert!(pids(&other).contains(&state["pid"].as_i64().unwrap()));
    assert!(pids(&bundle.id).iter().all(|pid| !pids(&other).contains(pid)));
    bundle.call(&["delete", "--force", &other]).ok();
    assert_eq!(bundle.status(), "running");
}

#[test]
fn a_paused_container_can_be_saved() {
    if lacks("a_paused_container_can_be_saved") {
        return;
    }
    let bundle = counting();
    let ours = bundle.ours();
    bundle.call(&["pause", &bundle.id]).ok();
    ours.checkpoint(&["--leave-running"]);
    assert_eq!(bundle.status(), "paused");
    bundle.call(&["resume", &bundle.id]).ok();
    bundle.counts_on(bundle.count());
    bundle.call(&["pause", &bundle.id]).ok();
    ours.checkpoint(&[]);
    bundle.assert_nothing_left();
    let before = bundle.count();
    ours.restore(&[]);
    if bundle.status() == "paused" {
        bundle.call(&["resume", &bundle.id]).ok();
    }
    bundle.counts_on(before);
}

#[test]
fn a_chain_of_pre_dumps_ends_in_a_checkpoint_that_can_be_restored() {
    let test = "a_chain_of_pre_dumps_ends_in_a_checkpoint_that_can_be_restored";
    if lacks(test) || lacks_feature(test, "mem_dirty_track") {
        return;
    }
    let bundle = counting();
    let ours = bundle.ours();
    ours.checkpoint(&["--pre-dump", "--image-path", "one"]);
    bundle.counts_on(bundle.count());
    assert!(!fs::exists(bundle.path().join("one/descriptors.json")).unwrap());
    ours.checkpoint(&["--pre-dump", "--image-path", "two", "--parent-path", "../one"]);
    bundle.counts_on(bundle.count());
    ours.checkpoint(&["--image-path", "three", "--parent-path", "../two"]);
    assert!(fs::exists(bundle.path().join("three/parent")).unwrap());
    let before = bundle.count();
    ours.restore(&["--image-path", "three"]);
    bundle.counts_on(before);
}

#[test]
fn the_containers_own_file_of_settings_is_stronger_than_the_command_line() {
    if lacks("the_containers_own_file_of_settings_is_stronger_than_the_command_line") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("criu.conf");
    fs::write(&file, "log-file=own.log\n").unwrap();
    let bundle = Bundle::shell(COUNTER).set("/annotations/org.criu.config", json!(file));
    let ours = bundle.ours().start();
    bundle.count();
    ours.checkpoint(&["--work-path", "work"]);
    assert!(fs::exists(bundle.path().join("work/own.log")).unwrap());
    assert!(!fs::exists(bundle.path().join("work/dump.log")).unwrap());
}

#[test]
fn runc_restores_what_was_saved_here_and_the_other_way_round() {
    let test = "runc_restores_what_was_saved_here_and_the_other_way_round";
    // runc has criu lock the network by iptables
    if lacks(test) || skip(test, Need::Program("runc")) || skip(test, Need::Program("iptables-restore")) {
        return;
    }
    let runc = host::on_path("runc").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().to_string_lossy().into_owned();
    let bundle = Bundle::shell(COUNTER)
        .set("/linux/maskedPaths", json!(["/proc/keys", "/sys/firmware"]))
        .mount(mount("bind", &source, "/data", &["bind"]));
    let ours = bundle.ours();
    let theirs = Runtime { bundle: &bundle, program: &runc };
    // An old one knows no --manage-cgroups-mode ignore.
    theirs.start();
    for (saves, restores) in [(theirs, theirs), (theirs, ours), (ours, ours), (ours, theirs)] {
        bundle.count();
        saves.checkpoint(&[]);
        let before = bundle.count();
        restores.restore(&[]);
        bundle.counts_on(before);
    }
    theirs.delete();
}
