//! checkpoint and restore, with a criu that works on this kernel.

#![allow(clippy::unwrap_used, reason = "a test ends where its set-up fails")]

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Child, Command, Stdio};

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
    let bundle = counting();
    let ours = bundle.ours();
    let background = "sleep 1000 </dev/null >/dev/null 2>&1 & echo $!";
    let pid = bundle.call(&["exec", &bundle.id, "sh", "-c", background]).ok();
    for _ in 0..2 {
        ours.checkpoint(&[]);
        let before = bundle.count();
        ours.restore(&[]);
        bundle.counts_on(before);
        bundle.call(&["exec", &bundle.id, "test", "-d", &format!("/proc/{}", pid.trim())]).ok();
    }
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
    let bundle = counting();
    let ours = bundle.ours();
    ours.checkpoint(&["--leave-running", "--manage-cgroups-mode", "ignore"]);
    bundle.counts_on(bundle.count());
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
fn in_the_foreground_the_exit_status_is_the_containers_own() {
    if lacks("in_the_foreground_the_exit_status_is_the_containers_own") {
        return;
    }
    let bundle = Bundle::shell(&format!("trap 'exit 42' TERM; {COUNTER}"));
    let ours = bundle.ours().start();
    bundle.count();
    ours.checkpoint(&[]);
    let before = bundle.count();
    let mut restored = ours.command(&["restore", &bundle.id]).spawn().unwrap();
    bundle.counts_on(before);
    let pid = nix::unistd::Pid::from_raw(restored.id() as i32);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    assert_eq!(restored.wait().unwrap().code(), Some(42));
    bundle.assert_nothing_left();
}

#[test]
fn a_run_in_the_foreground_whose_container_is_saved_ends_by_itself() {
    if lacks("a_run_in_the_foreground_whose_container_is_saved_ends_by_itself") {
        return;
    }
    let bundle = Bundle::shell(COUNTER);
    let ours = bundle.ours();
    let mut run = ours.command(&["run", &bundle.id]);
    let mut run = run.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    bundle.count();
    ours.checkpoint(&[]);
    assert_eq!(run.wait().unwrap().code(), Some(137));
    bundle.assert_nothing_left();
}

#[test]
fn pipes_are_replaced_by_the_streams_of_the_restore() {
    if lacks("pipes_are_replaced_by_the_streams_of_the_restore") {
        return;
    }
    let bundle = Bundle::shell("i=0; while true; do i=$((i+1)); echo $i; sleep 0.02; done");
    let ours = bundle.ours();
    let piped = |words: &[&str]| {
        let (read, write) = std::io::pipe().unwrap();
        let errors = write.try_clone().unwrap();
        let status = ours.command(words).stdout(write).stderr(errors).status().unwrap();
        assert!(status.success(), "{words:?}");
        BufReader::new(read)
    };
    let number = |from: &mut BufReader<std::io::PipeReader>| -> u64 {
        let mut line = String::new();
        from.read_line(&mut line).unwrap();
        line.trim().parse().unwrap_or_else(|_| panic!("{line:?} is no number"))
    };
    let mut before = piped(&["run", "--detach", &bundle.id]);
    assert_eq!(number(&mut before), 1);
    ours.checkpoint(&[]);
    let mut rest = String::new();
    before.read_to_string(&mut rest).unwrap();
    let last: u64 = rest.lines().last().map_or(1, |line| line.parse().unwrap());
    let mut after = piped(&["restore", "--detach", &bundle.id]);
    assert_eq!(number(&mut after), last + 1);
    // and again: the pipes of the restore are those of the next checkpoint
    ours.checkpoint(&[]);
    let mut rest = String::new();
    after.read_to_string(&mut rest).unwrap();
    let last: u64 = rest.lines().last().unwrap().parse().unwrap();
    let mut after = piped(&["restore", "--detach", &bundle.id]);
    assert_eq!(number(&mut after), last + 1);
}

/// What a console socket is sent.
fn take_terminal(listener: &std::os::unix::net::UnixListener) -> fs::File {
    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
    let (stream, _) = listener.accept().unwrap();
    let mut text = [0; 64];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut iov = [std::io::IoSliceMut::new(&mut text)];
    recvmsg(&stream, &mut iov, &mut control, RecvFlags::CMSG_CLOEXEC).unwrap();
    let fd = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    fd.unwrap().into()
}

#[test]
fn a_terminal_is_sent_to_the_console_socket_again() {
    if lacks("a_terminal_is_sent_to_the_console_socket_again") {
        return;
    }
    let bundle =
        Bundle::shell("while read line; do echo got $line; done").set("/process/terminal", json!(true));
    let ours = bundle.ours();
    let socket = bundle.path().join("tty.sock");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let socket = socket.to_string_lossy();
    let talk = |mut terminal: &fs::File, words: &str| {
        use std::io::Write;
        let mut from = BufReader::new(terminal);
        terminal.write_all(format!("{words}\n").as_bytes()).unwrap();
        let mut line = String::new();
        while !line.starts_with("got ") {
            line.clear();
            assert_ne!(from.read_line(&mut line).unwrap(), 0, "the terminal has ended");
        }
        line
    };
    ours.quietly(&["run", "--detach", "--console-socket", &socket, &bundle.id]);
    let mut terminal = take_terminal(&listener);
    assert_eq!(talk(&terminal, "one"), "got one\n");
    for words in ["two", "three"] {
        ours.checkpoint(&[]);
        ours.restore(&["--console-socket", &socket]);
        terminal = take_terminal(&listener);
        assert_eq!(talk(&terminal, words), format!("got {words}\n"));
    }
}

/// A network namespace of a process of ours, with a loopback interface that is up.
struct Network(Child);

impl Network {
    fn new() -> Self {
        let line = "ip link set lo up && echo up && exec sleep 1000";
        let mut unshare = Command::new("unshare");
        unshare.args(["--net", "--kill-child", "sh", "-c", line]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = unshare.env("PATH", search()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "up\n");
        Self(child)
    }

    fn path(&self) -> String {
        format!("/proc/{}/ns/net", self.0.id())
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

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
        || fs::read_to_string(format!("/proc/{}/net/tcp", network.0.id())).unwrap().contains(" 01 ");
    wait_until(LIMIT, "the connection", connected).unwrap();
    let call = ours.call(&["checkpoint", &bundle.id]);
    assert!(call.code == 1 && call.err.contains("criu failed: type DUMP errno"), "{call:?}");
    assert_eq!(bundle.status(), "running");
    let count = || fs::read_to_string(bundle.rootfs("count")).unwrap_or_default();
    let now = count();
    wait_until(LIMIT, "the next number after a failure", || !count().is_empty() && count() != now).unwrap();
}

#[test]
fn a_tcp_connection_goes_on_in_a_network_namespace_that_stayed() {
    let test = "a_tcp_connection_goes_on_in_a_network_namespace_that_stayed";
    if lacks(test) || skip(test, Need::Program("ip")) {
        return;
    }
    let network = Network::new();
    let line = "sleep 1000 | nc -l -p 4000 >/got & \
         while true; do i=$((i+1)); echo $i; sleep 0.02; done | \
         while ! nc 127.0.0.1 4000; do sleep 0.02; done";
    let bundle = Bundle::shell(line).set("/linux/namespaces/1/path", json!(network.path()));
    fs::hard_link(bundle.rootfs("bin/busybox"), bundle.rootfs("bin/nc")).unwrap();
    let ours = bundle.ours().start();
    let got = || fs::read_to_string(bundle.rootfs("got")).unwrap_or_default();
    wait_until(LIMIT, "the first line", || got().contains('\n')).unwrap();
    ours.checkpoint(&["--tcp-established"]);
    let before = got();
    ours.restore(&["--tcp-established"]);
    wait_until(LIMIT, "the next lines", || got().len() > before.len() + 20).unwrap();
    let all = got();
    let (whole, _) = all.rsplit_once('\n').unwrap();
    let numbers: Vec<u64> = whole.lines().map(|line| line.parse().unwrap()).collect();
    assert!(numbers.iter().zip(1..).all(|(got, want)| *got == want), "{numbers:?}");
    let of_init = fs::read_link(format!("/proc/{}/ns/net", bundle.state()["pid"])).unwrap();
    assert_eq!(of_init, fs::read_link(network.path()).unwrap());
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
fn the_caller_is_told_when_pages_are_served_and_the_container_stays_till_then() {
    let test = "the_caller_is_told_when_pages_are_served_and_the_container_stays_till_then";
    if lacks(test) || lacks_feature(test, "uffd-noncoop") {
        return;
    }
    let bundle = counting();
    let (read, write) = std::io::pipe().unwrap();
    let port = 20_000 + std::process::id() % 10_000;
    // The pipe under a number that is known.
    let line = format!(
        "exec \"$0\" --root {} checkpoint --lazy-pages --page-server 127.0.0.1:{port} --status-fd 5 {} \
         5>&1 >/dev/null 2>said",
        bundle.state_root().display(),
        bundle.id
    );
    let mut dump = {
        let mut command = Command::new("sh");
        command.args(["-c", &line, RUNTIME]).current_dir(bundle.path()).env("PATH", search());
        command.stdin(Stdio::null()).stdout(write).spawn().unwrap()
    };
    let mut byte = Vec::new();
    { read }.read_to_end(&mut byte).unwrap();
    let said = || fs::read_to_string(bundle.path().join("said")).unwrap();
    assert_eq!(byte, [0], "{}", said());
    // It is kept until it has been served; that nobody wants any of it is fine.
    assert!(bundle.state_root().join(&bundle.id).is_dir());
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], port as u16));
    drop(std::net::TcpStream::connect_timeout(&address, LIMIT).unwrap());
    assert!(dump.wait().unwrap().success(), "{}", said());
    bundle.assert_nothing_left();
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

#[test]
fn runc_restores_what_was_saved_here_and_the_other_way_round() {
    let test = "runc_restores_what_was_saved_here_and_the_other_way_round";
    if lacks(test) || skip(test, Need::Program("runc")) {
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
