//! Published holes of other runtimes, and their kin, as attacks: each works on a runtime without the defence.
//! SECURITY.md has the table; a doc comment here says where the attack was seen to work.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use common::{Bundle, LIMIT, mount};
use conformance::host::{Need, skip, wait_until};
use serde_json::{Value, json};

/// What the processes of a container may have open before they are its own: a number, and what it leads to.
fn descriptors(pid: &serde_json::Value) -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().map(|entry| entry.unwrap().path());
    entries
        .filter_map(|path| {
            let number = path.file_name().unwrap().to_string_lossy().into_owned();
            Some((number, fs::read_link(&path).ok()?))
        })
        .collect()
}

/// CVE-2024-21626, and the oldest of its kind, CVE-2015-3627. Until its execve init has what it needs open, and the
/// image says by which path its program is found: one that begins at /proc/self/fd/N leads to whatever N is. Seen to
/// work here while the host's /proc was still open then: a program of one container ran in another one.
#[test]
fn no_path_of_the_program_begins_at_a_descriptor_of_the_runtime() {
    if skip("no_path_of_the_program_begins_at_a_descriptor_of_the_runtime", Need::Root) {
        return;
    }
    let victim = Bundle::new(&["sleep", "1000"]);
    fs::copy(victim.rootfs("bin/busybox"), victim.rootfs("bin/secret")).unwrap();
    victim.start();
    let pid = &victim.state()["pid"];
    let attacker = Bundle::new(&["sleep", "1000"]);
    attacker.create().ok();
    for (number, leads_to) in descriptors(&attacker.state()["pid"]) {
        let text = leads_to.to_string_lossy().into_owned();
        let harmless = ["socket:", "pipe:", "/dev/null"].iter().any(|kind| text.starts_with(kind));
        let ours = leads_to.starts_with(attacker.state_root()) || number.parse::<u32>().unwrap() < 3;
        assert!(harmless || ours, "descriptor {number} of init leads to {text}");
    }
    attacker.call(&["start", &attacker.id]).ok();
    let own = (0, "bin\ndev\nproc\nsys\n");
    for number in 3..12 {
        for below in [format!("{pid}/root/bin/secret"), "bin/sh".to_owned()] {
            let program = format!("/proc/self/fd/{number}/{below}");
            let call = attacker.call(&["exec", &attacker.id, &program, "echo", "out"]);
            assert_eq!((call.code, call.out.as_str()), (255, ""), "{program}: {call:?}");
        }
        let cwd = format!("/proc/self/fd/{number}");
        // The container's own root may be open; nothing else is a place to be in.
        let call = attacker.call(&["exec", "--cwd", &cwd, &attacker.id, "ls"]);
        assert!([(255, ""), own].contains(&(call.code, call.out.as_str())), "{cwd}: {call:?}");
    }
    // The same for the container's own program.
    for number in 3..9 {
        let program = format!("/proc/self/fd/{number}/{pid}/root/bin/secret");
        let call = Bundle::new(&[&program, "echo", "out"]).run();
        assert_eq!((call.code, call.out.as_str()), (1, ""), "{program}: {call:?}");
        let cwd = format!("/proc/self/fd/{number}");
        let call = Bundle::new(&["ls"]).set("/process/cwd", json!(cwd)).run();
        assert!([(1, ""), own].contains(&(call.code, call.out.as_str())), "{cwd}: {call:?}");
    }
}

/// CVE-2016-9962 and CVE-2019-5736: a process of the container looks into one that is on its way in. Seen to work
/// with prctl(2) made to do nothing (strace --inject): the environment of whoever called the runtime could be read.
#[test]
fn a_process_on_its_way_in_cannot_be_looked_into() {
    if skip("a_process_on_its_way_in_cannot_be_looked_into", Need::Root) {
        return;
    }
    let bundle = Bundle::new(&["sleep", "1000"]);
    bundle.create().ok();
    for look in [
        "readlink /proc/1/fd/0",
        "readlink /proc/1/exe",
        "cat /proc/1/environ",
        "ls /proc/1/root/",
        "ls /proc/1/cwd/",
    ] {
        let call = bundle.call(&["exec", &bundle.id, "sh", "-c", look]);
        assert!(call.code != 0 && call.out.is_empty(), "{look}: {call:?}");
    }
}

/// CVE-2015-3631, CVE-2019-16884, CVE-2019-19921, CVE-2023-27561, CVE-2023-28642, CVE-2025-52881, CVE-2025-62596:
/// settings are written, and limits read, through a /proc that is none. Seen to work here for the highest
/// capability, which init read from the container's own /proc: all but one stayed in the bounding set.
#[test]
fn a_made_up_proc_takes_no_setting_and_gives_no_rights() {
    if skip("a_made_up_proc_takes_no_setting_and_gives_no_rights", Need::Root) {
        return;
    }
    let look = "cat /real/sys/net/ipv4/ip_default_ttl; grep CapBnd /real/self/status";
    let bundle = Bundle::shell(&format!("{look}; exec sleep 1000"))
        .set("/mounts/0", mount("proc", "proc", "/real", &[]))
        .set("/linux/sysctl", json!({ "net.ipv4.ip_default_ttl": "99" }))
        .set(
            "/process/capabilities",
            json!({ "bounding": ["CAP_KILL"], "effective": ["CAP_KILL"], "permitted": ["CAP_KILL"] }),
        );
    symlink("busybox", bundle.rootfs("bin/grep")).unwrap();
    let made_up =
        [("sys/net/ipv4/ip_default_ttl", "7"), ("sys/kernel/cap_last_cap", "0"), ("self/attr/exec", "")];
    for (file, content) in made_up {
        let file = bundle.rootfs("proc").join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, content).unwrap();
    }
    bundle.start();
    let want = "99\nCapBnd:\t0000000000000020\n";
    wait_until(LIMIT, "the output", || bundle.output().ends_with(want)).unwrap();
    let call = bundle.call(&["exec", "--cap", "CAP_CHOWN", &bundle.id, "sh", "-c", look]);
    assert_eq!(call.ok(), "99\nCapBnd:\t0000000000000021\n");
    for (file, content) in made_up {
        assert_eq!(fs::read_to_string(bundle.rootfs("proc").join(file)).unwrap(), content, "{file}");
    }
}

/// CVE-2024-9676 of containers/storage, GHSA-mjcv-p78q-w5fw of containerd: the image's passwd is something else.
/// Seen to work here: init read /proc/self/pagemap, which has no end worth waiting for, into memory.
#[test]
fn a_passwd_that_is_no_file_or_has_no_end_is_passed_by() {
    if skip("a_passwd_that_is_no_file_or_has_no_end_is_passed_by", Need::Root) {
        return;
    }
    for target in ["/proc/self/pagemap", "/proc/kmsg", "/dev/zero", "/proc/self/fd/0", "/fifo", "/etc"] {
        let bundle = Bundle::shell("echo $HOME");
        fs::create_dir(bundle.rootfs("etc")).unwrap();
        symlink(target, bundle.rootfs("etc/passwd")).unwrap();
        let fifo = bundle.rootfs("fifo");
        assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        bundle.write();
        let run = format!(
            "ulimit -v 1000000; exec {} --root {} run {}",
            common::RUNTIME,
            bundle.state_root().display(),
            bundle.id
        );
        let output =
            std::process::Command::new("sh").args(["-c", &run]).current_dir(bundle.path()).output().unwrap();
        assert_eq!(common::Call::from(output).ok(), "/\n", "{target}");
    }
}

/// CVE-2026-41579 of runc, CVE-2026-47766 of crun: the image's /dev is a link to a directory of the host, and nothing is
/// mounted there. Seen to work on runc 1.1.5, which removes ptmx and makes links there, and on crun 1.8.1.
#[test]
fn a_dev_that_is_a_link_changes_nothing_of_the_host() {
    if skip("a_dev_that_is_a_link_changes_nothing_of_the_host", Need::Root) {
        return;
    }
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("ptmx"), "the host's").unwrap();
    let up = format!("{}{}", "../".repeat(20), outside.path().display());
    for target in [outside.path().to_str().unwrap(), &up] {
        let bundle = without_dev(Bundle::new(&["true"]));
        symlink(target, bundle.rootfs("dev")).unwrap();
        bundle.run();
        let names: Vec<_> =
            fs::read_dir(outside.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["ptmx"]);
        assert_eq!(fs::read_to_string(outside.path().join("ptmx")).unwrap(), "the host's");
    }
}

/// Leaves /dev to the image.
fn without_dev(mut bundle: Bundle) -> Bundle {
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    mounts.retain(|mount| !mount["destination"].as_str().unwrap().starts_with("/dev"));
    bundle
}

/// CVE-2025-52565 of runc, CVE-2026-88264 and CVE-2026-88265 of crun: /dev/console and /dev/null are links, directories
/// or files of the image. Seen to work on crun 1.28 for the
/// console: the file that the link names was made on the host.
#[test]
fn a_planted_console_or_null_device_is_refused_and_leads_nowhere() {
    if skip("a_planted_console_or_null_device_is_refused_and_leads_nowhere", Need::Root) {
        return;
    }
    let outside = tempfile::tempdir().unwrap();
    let victim = outside.path().join("victim");
    fs::write(&victim, "the host's").unwrap();
    let before = fs::metadata(&victim).unwrap();
    let fresh = outside.path().join("fresh");
    for (name, target, sentence) in [
        ("console", &victim, "/dev/console is a symbolic link in the root file system"),
        ("console", &fresh, "/dev/console is a symbolic link in the root file system"),
        ("console", &PathBuf::from("/proc/sysrq-trigger"), "/dev/console is a symbolic link"),
        ("null", &victim, "make /dev/null: something else is there already"),
        ("null", &fresh, "make /dev/null: something else is there already"),
    ] {
        let bundle = without_dev(Bundle::new(&["true"])).set("/process/terminal", json!(name == "console"));
        let bundle = bundle.mount(mount("devpts", "devpts", "/dev/pts", &["newinstance", "ptmxmode=0666"]));
        fs::create_dir(bundle.rootfs("dev")).unwrap();
        symlink(target, bundle.rootfs("dev").join(name)).unwrap();
        let socket = bundle.path().join("console");
        let _listener = UnixListener::bind(&socket).unwrap();
        let mut words = vec!["create", bundle.id.as_str()];
        if name == "console" {
            words.extend(["--console-socket", "console"]);
        }
        let call = bundle.write().call_detached(&words);
        assert!(call.code == 1 && call.err.contains(sentence), "{name} -> {}: {call:?}", target.display());
        bundle.assert_nothing_left();
    }
    let after = fs::metadata(&victim).unwrap();
    assert_eq!(
        (before.uid(), before.mode(), before.ctime_nsec()),
        (after.uid(), after.mode(), after.ctime_nsec())
    );
    assert_eq!(fs::read_to_string(&victim).unwrap(), "the host's");
    assert!(fs::symlink_metadata(&fresh).is_err(), "a file was made outside");
}

/// CVE-2025-54867 of youki, CVE-2019-18837 of crun: what is mounted goes where a link of the image says.
#[test]
fn proc_and_sys_behind_links_are_refused_and_nothing_appears_outside() {
    if skip("proc_and_sys_behind_links_are_refused_and_nothing_appears_outside", Need::Root) {
        return;
    }
    let outside = tempfile::tempdir().unwrap();
    for name in ["proc", "sys"] {
        let bundle = Bundle::new(&["true"]);
        symlink(outside.path(), bundle.rootfs(name)).unwrap();
        let kind = if name == "sys" { "sysfs" } else { "proc" };
        bundle.run().fails(&format!(
            "create container {}: mount the filesystems: mount {kind} at /{name}: /{name} is, or lies behind, a symbolic \
             link in the root file system",
            bundle.id
        ));
        bundle.assert_nothing_left();
    }
    let bundle = Bundle::new(&["ls", "/data"]).mount(mount("tmpfs", "tmpfs", "/data/in", &[]));
    symlink(outside.path(), bundle.rootfs("data")).unwrap();
    bundle.run();
    assert!(fs::read_dir(outside.path()).unwrap().next().is_none(), "a directory was made outside");
}

/// CVE-2021-30465, CVE-2024-45310 and CVE-2025-31133 of runc: another container changes a shared directory while mounts
/// are made in it. What a race that is won would have made outside is looked for.
#[test]
fn a_directory_that_becomes_a_link_and_back_leads_no_mount_outside() {
    if skip("a_directory_that_becomes_a_link_and_back_leads_no_mount_outside", Need::Root) {
        return;
    }
    let (shared, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::create_dir(shared.path().join("turns")).unwrap();
    symlink(outside.path(), shared.path().join("other")).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                exchange(&shared.path().join("turns"), &shared.path().join("other"));
            }
        });
        for _ in 0..12 {
            let volume = json!({ "destination": "/shared", "type": "bind", "source": shared.path(), "options": ["rbind"] });
            let bundle = Bundle::new(&["true"]).mount(volume).mount(mount(
                "tmpfs",
                "tmpfs",
                "/shared/turns/made/here",
                &[],
            ));
            bundle.run();
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(fs::read_dir(outside.path()).unwrap().next().is_none(), "something was made outside");
}

/// Two names change places in one step.
fn exchange(one: &Path, other: &Path) {
    let from = rustix::fs::CWD;
    rustix::fs::renameat_with(from, one, from, other, rustix::fs::RenameFlags::EXCHANGE).unwrap();
}

/// CVE-2026-30892 of crun: `exec -u 1` was root. CVE-2022-29162 of runc, CVE-2022-27650 of crun, CVE-2025-27612 of
/// libcontainer: exec gave inheritable capabilities that nobody asked for.
#[test]
fn a_process_of_exec_is_the_user_that_was_named_and_inherits_nothing() {
    if skip("a_process_of_exec_is_the_user_that_was_named_and_inherits_nothing", Need::Root) {
        return;
    }
    let bundle = Bundle::new(&["sleep", "1000"]);
    bundle.start();
    let look = "id -u; id -g; while read -r n v; do case $n in CapInh:|CapAmb:) echo $v;; esac; done </proc/self/status";
    let exec = |words: &[&str]| {
        let words: Vec<&str> = [&["exec"], words, &[bundle.id.as_str(), "sh", "-c", look]].concat();
        bundle.call(&words)
    };
    let none = "0000000000000000\n".repeat(2);
    for (user, ids) in
        [("1", "1\n0\n"), ("1:2", "1\n2\n"), ("01", "1\n0\n"), ("4294967294", "4294967294\n0\n")]
    {
        assert_eq!(exec(&["-u", user]).ok(), format!("{ids}{none}"), "{user}");
        assert_eq!(
            exec(&["-u", user, "--cap", "CAP_NET_RAW"]).ok(),
            format!("{ids}{none}"),
            "{user} with a capability"
        );
    }
    for user in ["4294967296", "1:4294967296", "-1", "1:", ":1", "", "1:1:1", "root", " 1"] {
        let call = exec(&["-u", user]);
        assert_eq!((call.code, call.out.as_str()), (1, ""), "{user}: {call:?}");
    }
}

/// What crun 1.28 and 1.29 closed without a number: a sub-cgroup that lies elsewhere.
#[test]
fn no_sub_cgroup_lies_outside_of_the_containers() {
    if skip("no_sub_cgroup_lies_outside_of_the_containers", Need::Root) {
        return;
    }
    let bundle = Bundle::new(&["sleep", "1000"]);
    bundle.start();
    let own = bundle.call(&["exec", &bundle.id, "cat", "/proc/self/cgroup"]).ok();
    for path in ["..", "../..", "/../.."] {
        let call = bundle.call(&["exec", "--cgroup", path, &bundle.id, "cat", "/proc/self/cgroup"]);
        assert_eq!(call.ok(), own, "{path}");
    }
}

/// CVE-2019-16884 again, CVE-2022-23648 of containerd: an image's volume lies over a part of /proc, by name or by a link,
/// and is filled with what was there. Seen to work here: all of procfs was copied, for as long as there was room.
#[test]
fn a_volume_inside_proc_is_refused() {
    if skip("a_volume_inside_proc_is_refused", Need::Root) {
        return;
    }
    for (place, options) in [
        ("/proc", &["tmpcopyup"][..]),
        ("/proc/sys", &[]),
        ("/a/../proc/self", &[]),
        ("/link", &["tmpcopyup"]),
        ("/link/sys", &[]),
    ] {
        let bundle = Bundle::new(&["true"]).mount(mount("tmpfs", "tmpfs", place, options));
        symlink("/proc", bundle.rootfs("link")).unwrap();
        let call = bundle.run();
        assert!(
            call.code == 1 && call.err.contains(&format!("{place} lies inside /proc")),
            "{place}: {call:?}"
        );
        bundle.assert_nothing_left();
    }
    // What managers show in the kernel's place is fine.
    let bundle = Bundle::new(&["cat", "/proc/uptime"]);
    let shown = bundle.path().join("shown");
    fs::write(&shown, "1 1\n").unwrap();
    let bundle = bundle.mount(
        json!({ "destination": "/proc/uptime", "type": "bind", "source": shown, "options": ["bind"] }),
    );
    assert_eq!(bundle.run().ok(), "1 1\n");
}

/// CVE-2026-55686 of podman: the working directory is behind a link of the image, and is made where it leads.
#[test]
fn a_working_directory_behind_a_link_is_made_inside() {
    if skip("a_working_directory_behind_a_link_is_made_inside", Need::Root) {
        return;
    }
    let outside = tempfile::tempdir().unwrap();
    let bundle = Bundle::new(&["pwd"]).set("/process/cwd", json!("/link/made"));
    symlink(outside.path(), bundle.rootfs("link")).unwrap();
    assert_eq!(bundle.run().ok(), format!("{}/made\n", outside.path().display()));
    assert!(fs::read_dir(outside.path()).unwrap().next().is_none(), "the directory was made outside");
}

/// CVE-2021-41091 of moby, CVE-2024-25621 of containerd: what is kept of a container can be read by everybody. Seen to
/// work here: the copy of config.json, with the environment, could be read by any user who knew the container's id.
#[test]
fn what_is_kept_of_a_container_is_its_makers_alone() {
    if skip("what_is_kept_of_a_container_is_its_makers_alone", Need::Root) {
        return;
    }
    let bundle = Bundle::new(&["sleep", "1000"]);
    bundle.create().ok();
    let home = bundle.state_root().join(&bundle.id);
    for entry in fs::read_dir(&home).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().mode() & 0o7777;
        assert_eq!(mode & 0o077, 0, "{:?} has the mode {mode:o}", entry.file_name());
    }
    assert_eq!(fs::metadata(&home).unwrap().mode() & 0o066, 0);
}

/// CVE-2023-25809 of runc: without a cgroup namespace the whole tree of the host is bound, and writable whatever the
/// mount says. A root without CAP_DAC_OVERRIDE could not write to the top of it anyway.
#[test]
fn a_container_without_a_cgroup_namespace_sees_its_own_cgroup_and_writes_none() {
    if skip("a_container_without_a_cgroup_namespace_sees_its_own_cgroup_and_writes_none", Need::Root) {
        return;
    }
    let attack = "for d in /bin /sys/fs/cgroup /sys/fs/cgroup/*; do \
                  mkdir $d/evil && busybox rmdir $d/evil && echo $d; done; true";
    let rights =
        ["bounding", "effective", "permitted"].map(|set| (set.to_owned(), json!(["CAP_DAC_OVERRIDE"])));
    let bundle = Bundle::shell(attack)
        .mount(mount("cgroup", "cgroup", "/sys/fs/cgroup", &["ro"]))
        .set("/process/capabilities", Value::Object(rights.into_iter().collect()));
    assert_eq!(bundle.run().ok(), "/bin\n");
}
