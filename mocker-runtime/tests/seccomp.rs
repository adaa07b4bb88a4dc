//! The filter in force: for init and for exec, with and without no_new_privs.

mod common;

use std::os::unix::net::UnixListener;

use common::Bundle;
use conformance::host::{Need, skip};
use serde_json::{Value, json};

/// Everything is allowed but making directories, which gives an error number of its own.
fn profile() -> Value {
    json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
        "syscalls": [{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95 }],
    })
}

#[test]
fn the_filter_holds_for_the_program_and_for_exec_with_and_without_no_new_privs() {
    let test = "the_filter_holds_for_the_program_and_for_exec_with_and_without_no_new_privs";
    if skip(test, Need::Root) {
        return;
    }
    for no_new_privs in [true, false] {
        let bundle = Bundle::shell("mkdir /made; while read -r n v; do case $n in Seccomp:) echo $v;; esac; done </proc/self/status; sleep 1000")
            .set("/linux/seccomp", profile())
            .set("/process/noNewPrivileges", json!(no_new_privs));
        bundle.start();
        let call = bundle.call(&["exec", &bundle.id, "mkdir", "/made"]);
        assert!(call.code == 1 && call.err.contains("not supported"), "{no_new_privs}: {call:?}");
        conformance::host::wait_until(common::LIMIT, "the program's output", || {
            bundle.output().contains('2')
        })
        .unwrap();
        let said = std::fs::read_to_string(bundle.path().join("err")).unwrap();
        assert!(said.contains("not supported"), "{said}");
        bundle.call(&["delete", "--force", &bundle.id]).ok();
    }
}

#[test]
fn a_user_without_rights_keeps_none_after_the_filter_is_loaded() {
    if skip("a_user_without_rights_keeps_none_after_the_filter_is_loaded", Need::Root) {
        return;
    }
    for capabilities in [json!({}), Value::Null] {
        let look =
            "while read -r n v; do case $n in CapEff:|CapPrm:) echo $v;; esac; done </proc/self/status";
        let bundle = Bundle::shell(look)
            .set("/linux/seccomp", profile())
            .set("/process/noNewPrivileges", json!(false))
            .set("/process/user", json!({ "uid": 7, "gid": 7 }))
            .set("/process/capabilities", capabilities);
        assert_eq!(bundle.run().ok(), "0000000000000000\n".repeat(2));
    }
}

#[test]
fn a_call_newer_than_the_profile_does_not_exist() {
    if skip("a_call_newer_than_the_profile_does_not_exist", Need::Root) {
        return;
    }
    // The profile denies by default and names nothing newer than openat2 (437), so that what busybox needs is
    // there and a program that probes for later calls is told the truth.
    let names: Vec<String> = syscalls::x86_64::Sysno::iter()
        .filter(|call| call.id() <= 437)
        .map(|call| call.name().to_owned())
        .collect();
    let profile = json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "syscalls": [{ "names": names, "action": "SCMP_ACT_ALLOW" }],
    });
    let bundle = Bundle::shell("echo runs").set("/linux/seccomp", profile);
    assert_eq!(bundle.run().ok(), "runs\n");
}

#[test]
fn a_profile_that_cannot_be_compiled_is_refused_before_anything_is_made() {
    let bundle = Bundle::new(&["true"]).set("/linux/seccomp", json!({ "defaultAction": "SCMP_ACT_TEA" }));
    bundle.run().fails("linux.seccomp: defaultAction: unknown action \"SCMP_ACT_TEA\"");
    bundle.assert_nothing_left();
}

#[test]
fn a_profile_older_than_the_calls_of_the_runtime_lets_the_program_run() {
    if skip("a_profile_older_than_the_calls_of_the_runtime_lets_the_program_run", Need::Root) {
        return;
    }
    let profile = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{
            "names": ["faccessat2", "openat2", "close_range", "sendto", "recvfrom"], "action": "SCMP_ACT_ERRNO",
        }],
    });
    let bundle = Bundle::shell("echo $HOME")
        .set("/linux/seccomp", profile)
        .set("/process/noNewPrivileges", json!(false));
    std::fs::create_dir(bundle.rootfs("etc")).unwrap();
    std::fs::write(bundle.rootfs("etc/passwd"), "root:x:0:0::/home/of/root:/bin/sh\n").unwrap();
    assert_eq!(bundle.run().ok(), "/home/of/root\n");
}

#[test]
fn calls_that_the_profile_leaves_open_are_decided_by_whoever_listens() {
    let test = "calls_that_the_profile_leaves_open_are_decided_by_whoever_listens";
    if skip(test, Need::Root) {
        return;
    }
    for no_new_privs in [true, false] {
        let profile = json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "listenerMetadata": "whatever",
            "flags": ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"],
            "syscalls": [{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY" }],
        });
        let bundle = Bundle::shell("mkdir /made; exec sleep 1000")
            .set("/linux/seccomp", profile)
            .set("/process/noNewPrivileges", json!(no_new_privs));
        let path = bundle.path().join("listener");
        let bundle = bundle.set("/linux/seccomp/listenerPath", json!(path));
        let socket = UnixListener::bind(&path).unwrap();
        bundle.create().ok();
        let (stream, _) = socket.accept().unwrap();
        let (text, listener) = conformance::socket::receive(&stream).unwrap();
        let document: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&document["fds"], &document["metadata"]), (&json!(["seccompFd"]), &json!("whatever")));
        assert_eq!(document["pid"], bundle.state()["pid"]);
        assert_eq!(
            (&document["state"]["id"], &document["state"]["status"]),
            (&json!(bundle.id), &json!("creating"))
        );
        bundle.call(&["start", &bundle.id]).ok();
        // What the program makes of the answer shows that it was the answer.
        conformance::sys::supervisor::refuse(&listener.unwrap(), 95).unwrap();
        let said = || std::fs::read_to_string(bundle.path().join("err")).unwrap();
        conformance::host::wait_until(common::LIMIT, "the answer", || said().contains("not supported"))
            .unwrap();
        // Each process of exec has a filter, and so a listener, of its own.
        let mut exec = bundle.command(&["exec", &bundle.id, "mkdir", "/made"]);
        let exec = exec.stderr(std::process::Stdio::piped()).spawn().unwrap();
        let (stream, _) = socket.accept().unwrap();
        let (text, listener) = conformance::socket::receive(&stream).unwrap();
        let document: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (&document["state"]["status"], &document["state"]["id"]),
            (&json!("running"), &json!(bundle.id))
        );
        conformance::sys::supervisor::refuse(&listener.unwrap(), 95).unwrap();
        let output = exec.wait_with_output().unwrap();
        assert!(String::from_utf8_lossy(&output.stderr).contains("not supported"), "{output:?}");
    }
}

#[test]
fn a_supervisor_that_is_not_there_is_an_error_that_leaves_nothing() {
    if skip("a_supervisor_that_is_not_there_is_an_error_that_leaves_nothing", Need::Root) {
        return;
    }
    let profile = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "listenerPath": "/not/there",
        "syscalls": [{ "names": ["mkdir"], "action": "SCMP_ACT_NOTIFY" }],
    });
    let bundle = Bundle::new(&["true"]).set("/linux/seccomp", profile);
    bundle.run().fails(&format!(
        "create container {}: hand over the seccomp listener: connect to /not/there: No such file or directory",
        bundle.id
    ));
    bundle.assert_nothing_left();
}

/// What a compiler, a language and a package manager do, with the machine's own programs.
const WORK: &str = r#"set -e
cd /tmp
printf 'int main(void) { return 42; }' >c.c
gcc -o c c.c
./c || test $? = 42
perl -e 'use Socket; my $p = fork; exit 3 unless $p; waitpid $p, 0; die unless $? == 768;
    socket(my $s, AF_INET, SOCK_STREAM, 0) or die "socket: $!"; bind($s, sockaddr_in(0, INADDR_LOOPBACK)) or die "bind: $!"'
mkdir -p d/DEBIAN d/opt r/var/lib/dpkg/updates r/var/lib/dpkg/info
printf 'Package: x\nVersion: 1\nArchitecture: all\nMaintainer: x <x@x>\nDescription: x\n' >d/DEBIAN/control
echo y >d/opt/file
touch r/var/lib/dpkg/status
dpkg-deb --build d x.deb
dpkg --root=/tmp/r --install x.deb
cat r/opt/file
"#;

/// The profiles as docker 28.5, podman 5.8 and containerd 2.1 write them into config.json.
#[test]
fn programs_do_their_work_under_the_profiles_of_managers() {
    let test = "programs_do_their_work_under_the_profiles_of_managers";
    if skip(test, Need::Root) || skip(test, Need::Program("gcc")) || skip(test, Need::Program("perl")) {
        return;
    }
    for (manager, profile) in [
        ("docker", include_str!("profiles/docker.json")),
        ("podman", include_str!("profiles/podman.json")),
        ("containerd", include_str!("profiles/containerd.json")),
    ] {
        let mut bundle = Bundle::shell(WORK)
            .set("/linux/seccomp", serde_json::from_str(profile).unwrap())
            .set("/process/noNewPrivileges", json!(false))
            .mount(common::mount("tmpfs", "tmpfs", "/tmp", &["mode=1777"]));
        for (from, to) in [("/usr", "/usr"), ("/usr/lib", "/lib"), ("/usr/lib64", "/lib64"), ("/etc", "/etc")]
        {
            bundle = bundle.mount(common::mount("bind", from, to, &["rbind", "ro"]));
        }
        let call = bundle.run();
        assert!(call.code == 0 && call.out.ends_with("y\n"), "{manager}: {call:?}");
    }
}

#[test]
fn the_annotation_names_the_supervisor_where_the_profile_does_not() {
    if skip("the_annotation_names_the_supervisor_where_the_profile_does_not", Need::Root) {
        return;
    }
    let profile = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY" }],
    });
    let bundle = Bundle::new(&["mkdir", "/made"]).set("/linux/seccomp", profile);
    let path = bundle.path().join("listener");
    let bundle = bundle.set("/annotations", json!({ "run.oci.seccomp.receiver": path }));
    let socket = UnixListener::bind(&path).unwrap();
    bundle.create().ok();
    let (stream, _) = socket.accept().unwrap();
    let (text, listener) = conformance::socket::receive(&stream).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["state"]["id"], json!(bundle.id));
    bundle.call(&["start", &bundle.id]).ok();
    conformance::sys::supervisor::refuse(&listener.unwrap(), 95).unwrap();
    let said = || std::fs::read_to_string(bundle.path().join("err")).unwrap();
    conformance::host::wait_until(common::LIMIT, "the answer", || said().contains("not supported")).unwrap();
    let bundle = bundle.set("/annotations", json!({ "run.oci.seccomp.receiver": "relative" }));
    let id = format!("{}-2", bundle.id);
    bundle
        .write()
        .call(&["create", &id])
        .fails("linux.seccomp: the listenerPath \"relative\" is not absolute");
}
