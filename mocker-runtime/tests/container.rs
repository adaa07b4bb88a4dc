//! What a container sees: its file system, its namespaces, its process, its hooks.

mod common;

use std::fs;

use common::{Bundle, mount};
use conformance::host::{Need, in_mount_namespace, skip};
use serde_json::json;

/// Runs a shell line in a changed bundle and compares what it prints.
#[track_caller]
fn prints(line: &str, change: impl FnOnce(Bundle) -> Bundle, want: &str) {
    let call = change(Bundle::shell(line)).run();
    assert_eq!((call.code, call.out.as_str()), (0, want), "{line}: {call:?}");
}

#[test]
fn masked_paths_are_empty_and_readonly_paths_refuse_writes() {
    if skip("masked_paths_are_empty_and_readonly_paths_refuse_writes", Need::Root) {
        return;
    }
    prints(
        "cat /secret/file; cat /token; ls /secret; touch /fixed/x 2>/dev/null || echo refused",
        |bundle| {
            fs::create_dir(bundle.rootfs("secret")).unwrap();
            fs::create_dir(bundle.rootfs("fixed")).unwrap();
            fs::write(bundle.rootfs("secret/file"), "secret").unwrap();
            fs::write(bundle.rootfs("token"), "secret").unwrap();
            bundle
                .set("/linux/maskedPaths", json!(["/secret", "/token", "/not/there"]))
                .set("/linux/readonlyPaths", json!(["/fixed", "/not/there"]))
        },
        "refused\n",
    );
}

#[test]
fn a_planted_dev_null_does_not_unmask() {
    if skip("a_planted_dev_null_does_not_unmask", Need::Root) {
        return;
    }
    // CVE-2025-31133: what is bound over a masked file must be the device
    let bundle = Bundle::new(&["cat", "/token"]).set("/linux/maskedPaths", json!(["/token"]));
    fs::create_dir(bundle.rootfs("dev")).unwrap();
    fs::write(bundle.rootfs("token"), "secret").unwrap();
    std::os::unix::fs::symlink("/token", bundle.rootfs("dev/null")).unwrap();
    let mut bundle = bundle;
    let keep = |mount: &serde_json::Value| !mount["destination"].as_str().unwrap().starts_with("/dev");
    bundle.config["mounts"].as_array_mut().unwrap().retain(keep);
    let call = bundle.run();
    assert!(call.code == 1 && !call.out.contains("secret"), "{call:?}");
    bundle.assert_nothing_left();
}

#[test]
fn bind_mounts_of_files_and_directories_appear_where_links_of_the_image_lead_inside_it() {
    if skip("bind_mounts_of_files_and_directories_appear_where_links_of_the_image_lead_inside_it", Need::Root)
    {
        return;
    }
    let bundle = Bundle::shell("cat /etc/resolv.conf; cat /run/resolve/stub; cat /data/file");
    fs::write(bundle.path().join("file"), "bound\n").unwrap();
    fs::create_dir(bundle.rootfs("etc")).unwrap();
    // a dangling link, as distributions with a local resolver have it
    std::os::unix::fs::symlink("../run/resolve/stub", bundle.rootfs("etc/resolv.conf")).unwrap();
    std::os::unix::fs::symlink("../../../../../outside", bundle.rootfs("data")).unwrap();
    let bundle = bundle.mount(mount("bind", "file", "/etc/resolv.conf", &["bind", "ro"])).mount(mount(
        "bind",
        ".",
        "/data",
        &["rbind", "ro"],
    ));
    let call = bundle.run();
    assert_eq!(call.out, "bound\n".repeat(3), "{call:?}");
    assert!(!fs::exists("/outside").unwrap());
}

#[test]
fn a_recursive_read_only_mount_covers_what_is_mounted_below_it() {
    if skip("a_recursive_read_only_mount_covers_what_is_mounted_below_it", Need::Root) {
        return;
    }
    for (option, want) in [("ro", "written\n"), ("rro", "refused\n")] {
        let bundle = Bundle::shell("touch /out/in/x 2>/dev/null && echo written || echo refused")
            .mount(mount("bind", "source", "/out", &["rbind", option]));
        let below = bundle.path().join("source/in");
        fs::create_dir_all(&below).unwrap();
        let line = format!(
            "mount -t tmpfs none {} && exec {} --root {} run {}",
            below.display(),
            common::RUNTIME,
            bundle.write().state_root().display(),
            bundle.id
        );
        let mut shell = in_mount_namespace("sh");
        let call: common::Call =
            shell.args(["-c", &line]).current_dir(bundle.path()).output().unwrap().into();
        assert_eq!(call.out, want, "{option}: {call:?}");
    }
}

#[test]
fn a_tmpfs_with_tmpcopyup_begins_with_what_the_image_has_there() {
    if skip("a_tmpfs_with_tmpcopyup_begins_with_what_the_image_has_there", Need::Root) {
        return;
    }
    let bundle = Bundle::shell(
        "cat /data/deep/file; stat -c '%a %u %g' /data/deep; readlink /data/link; touch /data/new",
    );
    fs::create_dir_all(bundle.rootfs("data/deep")).unwrap();
    fs::write(bundle.rootfs("data/deep/file"), "content\n").unwrap();
    std::os::unix::fs::symlink("deep/file", bundle.rootfs("data/link")).unwrap();
    std::os::unix::fs::chown(bundle.rootfs("data/deep"), Some(12), Some(34)).unwrap();
    let bundle = bundle.mount(mount("tmpfs", "tmpfs", "/data", &["tmpcopyup"]));
    let call = bundle.run();
    assert_eq!((call.code, call.out.as_str()), (0, "content\n755 12 34\ndeep/file\n"), "{call:?}");
    assert!(!fs::exists(bundle.rootfs("data/new")).unwrap(), "the image was written to");
}

#[test]
fn a_read_only_root_refuses_writes_and_the_working_directory_is_made_all_the_same() {
    if skip("a_read_only_root_refuses_writes_and_the_working_directory_is_made_all_the_same", Need::Root) {
        return;
    }
    prints(
        "pwd; touch /x 2>/dev/null || echo refused",
        |bundle| bundle.set("/root/readonly", json!(true)).set("/process/cwd", json!("/made/here")),
        "/made/here\nrefused\n",
    );
}

#[test]
fn the_program_has_the_user_groups_umask_limits_and_rights_of_the_config() {
    if skip("the_program_has_the_user_groups_umask_limits_and_rights_of_the_config", Need::Root) {
        return;
    }
    let look = "id -u; id -g; id -G; umask; ulimit -n; cat /proc/self/oom_score_adj; echo $HOME";
    prints(
        look,
        |bundle| {
            fs::create_dir(bundle.rootfs("etc")).unwrap();
            fs::write(bundle.rootfs("etc/passwd"), "a:x:1:1::/one:/bin/sh\nb:x:7:8:B,,:/home/b:/bin/sh\n")
                .unwrap();
            bundle
                .set(
                    "/process/user",
                    json!({ "uid": 7, "gid": 8, "umask": 0o027, "additionalGids": [9, 10] }),
                )
                .set("/process/rlimits", json!([{ "type": "RLIMIT_NOFILE", "soft": 64, "hard": 64 }]))
                .set("/process/oomScoreAdj", json!(100))
        },
        "7\n8\n8 9 10\n0027\n64\n100\n/home/b\n",
    );
}

#[test]
fn a_user_who_is_not_root_keeps_only_ambient_rights() {
    if skip("a_user_who_is_not_root_keeps_only_ambient_rights", Need::Root) {
        return;
    }
    let kill = json!(["CAP_KILL"]);
    let sets = json!({ "bounding": kill, "permitted": kill, "effective": kill, "inheritable": kill, "ambient": kill });
    prints(
        "while read -r name value; do case $name in Cap*|NoNewPrivs:) echo $name $value;; esac; done </proc/self/status",
        |bundle| {
            bundle.set("/process/user", json!({ "uid": 7, "gid": 8 })).set("/process/capabilities", sets)
        },
        "CapInh: 0000000000000020\nCapPrm: 0000000000000020\nCapEff: 0000000000000020\n\
         CapBnd: 0000000000000020\nCapAmb: 0000000000000020\nNoNewPrivs: 1\n",
    );
}

#[test]
fn names_and_sysctls_are_the_containers_and_not_the_machines() {
    if skip("names_and_sysctls_are_the_containers_and_not_the_machines", Need::Root) {
        return;
    }
    let before = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    prints(
        "hostname; cat /proc/sys/kernel/domainname /proc/sys/kernel/shmmni",
        |bundle| {
            bundle
                .set("/hostname", json!("inner"))
                .set("/domainname", json!("example"))
                .set("/linux/sysctl", json!({ "kernel.shmmni": "77" }))
        },
        "inner\nexample\n77\n",
    );
    assert_eq!(fs::read_to_string("/proc/sys/kernel/hostname").unwrap(), before);
}

#[test]
fn a_user_namespace_maps_ids_and_files_belong_to_its_root() {
    let test = "a_user_namespace_maps_ids_and_files_belong_to_its_root";
    if skip(test, Need::Root) || skip(test, Need::UserNamespace) {
        return;
    }
    let map = json!([{ "containerID": 0, "hostID": 100_000, "size": 65_536 }]);
    let bundle =
        Bundle::shell("id -u; cat /proc/self/uid_map; stat -c %u /bin; echo ok >/dev/null && touch /new")
            .set("/linux/namespaces/-", json!({ "type": "user" }))
            .set("/linux/uidMappings", map.clone())
            .set("/linux/gidMappings", map);
    for dir in ["proc", "dev", "sys"] {
        fs::create_dir(bundle.rootfs(dir)).unwrap();
    }
    // the way to the root file system must be open to the mapped root
    for path in [bundle.path().to_owned(), bundle.rootfs(""), bundle.rootfs("bin")] {
        std::os::unix::fs::chown(path, Some(100_000), Some(100_000)).unwrap();
    }
    let call = bundle.run();
    let words: Vec<&str> = call.out.split_whitespace().collect();
    assert_eq!(words, ["0", "0", "100000", "65536", "0"], "{call:?}");
    let owner = std::os::unix::fs::MetadataExt::uid(&fs::metadata(bundle.rootfs("new")).unwrap());
    assert_eq!(owner, 100_000);
}

#[test]
fn namespaces_of_another_container_can_be_joined_by_path() {
    if skip("namespaces_of_another_container_can_be_joined_by_path", Need::Root) {
        return;
    }
    let first = Bundle::new(&["sleep", "1000"]).set("/hostname", json!("first"));
    first.start();
    let pid = first.state()["pid"].to_string();
    let path = |kind: &str| json!(format!("/proc/{pid}/ns/{kind}"));
    let look = "for kind in uts net ipc; do readlink /proc/self/ns/$kind; done; hostname; ps | head -n 2";
    let mut second = Bundle::shell(look);
    second.config["linux"]["namespaces"] = json!([
        { "type": "pid", "path": path("pid") }, { "type": "network", "path": path("net") },
        { "type": "ipc", "path": path("ipc") }, { "type": "uts", "path": path("uts") }, { "type": "mount" },
    ]);
    second.config.as_object_mut().unwrap().remove("hostname");
    let call = second.run();
    for kind in ["uts", "net", "ipc"] {
        let link = fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap();
        assert!(call.out.contains(link.to_str().unwrap()), "{kind}: {call:?}");
    }
    assert!(call.out.contains("first\n") && call.out.contains("sleep 1000"), "{call:?}");
    assert_eq!(first.status(), "running");
}

#[test]
fn a_time_namespace_has_its_offset_and_the_hooks_have_the_hosts_time() {
    let test = "a_time_namespace_has_its_offset_and_the_hooks_have_the_hosts_time";
    if skip(test, Need::Root) || skip(test, Need::Path("/proc/self/ns/time")) {
        return;
    }
    let bundle = Bundle::shell("read -r up rest </proc/uptime; echo ${up%.*}")
        .set("/linux/namespaces/-", json!({ "type": "time" }))
        .set("/linux/timeOffsets", json!({ "boottime": { "secs": 5_000_000 } }));
    let call = bundle.run();
    assert!(call.out.trim().parse::<u64>().is_ok_and(|up| up >= 5_000_000), "{call:?}");
}

#[test]
fn hooks_run_in_their_order_with_the_state_on_stdin() {
    if skip("hooks_run_in_their_order_with_the_state_on_stdin", Need::Root) {
        return;
    }
    let bundle = Bundle::shell("echo program >>/log");
    let log = bundle.rootfs("log");
    let mut bundle = bundle;
    for phase in ["prestart", "createRuntime", "createContainer", "poststart", "poststop"] {
        let shell = format!("state=$(cat); echo \"{phase} $state\" >>{}", log.display());
        let hook = json!([{ "path": "/bin/sh", "args": ["sh", "-c", shell], "env": ["PATH=/usr/bin:/bin"] }]);
        bundle = bundle.set(&format!("/hooks/{phase}"), hook);
    }
    let shell = "state=$(cat); echo \"startContainer $state\" >>/log";
    let inside = json!([{ "path": "/bin/sh", "args": ["sh", "-c", shell], "env": ["PATH=/bin"] }]);
    let bundle = bundle.set("/hooks/startContainer", inside);
    bundle.run().ok();
    let text = fs::read_to_string(&log).unwrap();
    let seen: Vec<(String, String)> = text
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(phase, state)| {
            let state: serde_json::Value = serde_json::from_str(state).unwrap();
            assert_eq!(state["id"], bundle.id.as_str());
            let inside = ["createContainer", "startContainer"].contains(&phase);
            assert_eq!(state["pid"] == 1, inside, "{phase} is told the pid of its own namespace: {state}");
            (phase.to_owned(), state["status"].as_str().unwrap().to_owned())
        })
        .collect();
    let want = [
        ("prestart", "creating"),
        ("createRuntime", "creating"),
        ("createContainer", "creating"),
        ("startContainer", "created"),
        ("poststart", "running"),
        ("poststop", "stopped"),
    ];
    assert_eq!(seen, want.map(|(phase, status)| (phase.to_owned(), status.to_owned())), "{text}");
    bundle.assert_nothing_left();
}

#[test]
fn a_failing_hook_ends_create_with_its_output_and_poststop_runs() {
    if skip("a_failing_hook_ends_create_with_its_output_and_poststop_runs", Need::Root) {
        return;
    }
    let bundle = Bundle::new(&["true"]);
    let after = bundle.path().join("poststop-ran");
    // they come last: the container is gone by then
    let state = bundle.state_root().join(&bundle.id);
    let shell = |line: String| json!([{ "path": "/bin/sh", "args": ["sh", "-c", line], "env": ["PATH=/usr/bin:/bin"] }]);
    let bundle = bundle
        .set("/hooks/createRuntime", shell("echo no tea; exit 3".to_owned()))
        .set("/hooks/poststop", shell(format!("test ! -e {} && touch {}", state.display(), after.display())));
    bundle.run().fails(&format!(
        "create container {}: run the createRuntime hook /bin/sh: exit status: 3, output: \"no tea\"",
        bundle.id
    ));
    assert!(fs::exists(&after).unwrap());
    bundle.assert_nothing_left();
}

#[test]
fn a_hook_past_its_timeout_is_killed() {
    if skip("a_hook_past_its_timeout_is_killed", Need::Root) {
        return;
    }
    let hook = json!([{ "path": "/bin/sleep", "args": ["sleep", "1000"], "timeout": 1 }]);
    let bundle = Bundle::new(&["true"]).set("/hooks/createContainer", hook);
    let want =
        "run the hooks inside: run the createContainer hook /bin/sleep: it ran past its timeout of 1 s";
    bundle.run().fails(&format!("create container {}: {want}", bundle.id));
    bundle.assert_nothing_left();
}

#[test]
fn descriptors_of_the_caller_do_not_reach_the_container_but_for_those_it_may_keep() {
    if skip("descriptors_of_the_caller_do_not_reach_the_container_but_for_those_it_may_keep", Need::Root) {
        return;
    }
    let bundle = Bundle::shell("for fd in 3 4 5; do test -e /proc/self/fd/$fd && echo $fd; done; true");
    bundle.write();
    let line = format!(
        "exec 3</etc/passwd 4</etc/passwd 5</etc/passwd; exec {} --root {} run --preserve-fds 2 {}",
        common::RUNTIME,
        bundle.state_root().display(),
        bundle.id
    );
    let mut shell = std::process::Command::new("sh");
    let call: common::Call = shell.args(["-c", &line]).current_dir(bundle.path()).output().unwrap().into();
    assert_eq!(call.ok(), "3\n4\n");
}

#[test]
fn what_the_caller_left_open_is_closed_even_while_the_container_waits_for_start() {
    if skip("what_the_caller_left_open_is_closed_even_while_the_container_waits_for_start", Need::Root) {
        return;
    }
    let bundle = Bundle::new(&["true"]);
    bundle.write();
    let line = format!(
        "exec 5</etc/passwd; exec {} --root {} create {} >out 2>err",
        common::RUNTIME,
        bundle.state_root().display(),
        bundle.id
    );
    let mut shell = std::process::Command::new("sh");
    assert!(shell.args(["-c", &line]).current_dir(bundle.path()).status().unwrap().success());
    let fds = fs::read_dir(format!("/proc/{}/fd", bundle.state()["pid"])).unwrap();
    let open: Vec<_> = fds.flatten().filter_map(|entry| fs::read_link(entry.path()).ok()).collect();
    assert!(!open.iter().any(|file| file.ends_with("passwd")), "{open:?}");
}

#[test]
fn sockets_of_a_service_manager_reach_the_program_with_their_number() {
    if skip("sockets_of_a_service_manager_reach_the_program_with_their_number", Need::Root) {
        return;
    }
    let bundle = Bundle::shell(
        "echo $LISTEN_FDS $LISTEN_PID; read -r word <&3; echo $word; test -e /proc/self/fd/4 || echo closed",
    );
    bundle.write();
    fs::write(bundle.path().join("socket"), "through\n").unwrap();
    let line = format!(
        "exec 3<socket 4</etc/passwd; LISTEN_FDS=1 LISTEN_PID=$$ exec {} --root {} run {}",
        common::RUNTIME,
        bundle.state_root().display(),
        bundle.id
    );
    let mut shell = std::process::Command::new("sh");
    let call: common::Call = shell.args(["-c", &line]).current_dir(bundle.path()).output().unwrap().into();
    assert_eq!(call.ok(), "1 1\nthrough\nclosed\n");
}

#[test]
fn a_root_that_is_a_slave_gets_what_the_host_mounts_and_gives_nothing_back() {
    let test = "a_root_that_is_a_slave_gets_what_the_host_mounts_and_gives_nothing_back";
    if skip(test, Need::Root) {
        return;
    }
    for propagation in ["slave", "rslave"] {
        let bundle =
            Bundle::shell("while :; do if grep ' /late ' /proc/mounts; then exit; fi; sleep 0.02; done")
                .set("/linux/rootfsPropagation", json!(propagation));
        fs::create_dir(bundle.rootfs("late")).unwrap();
        let root = bundle.write().path().display().to_string();
        let line = format!(
            "mount --bind {root} {root} && mount --make-shared {root} && cd {root} &&
             {runtime} --root {state} create {id} </dev/null >out 2>&1 && mount -t tmpfs late {root}/rootfs/late &&
             {runtime} --root {state} start {id} &&
             until {runtime} --root {state} state {id} | grep -q stopped; do sleep 0.02; done; cat out;
             {runtime} --root {state} delete {id}",
            runtime = common::RUNTIME,
            state = bundle.state_root().display(),
            id = bundle.id,
        );
        let call: common::Call =
            in_mount_namespace("timeout").args(["60", "sh", "-c", &line]).output().unwrap().into();
        assert!(call.out.starts_with("late /late tmpfs"), "{propagation}: {call:?}");
        bundle.assert_nothing_left();
    }
}
