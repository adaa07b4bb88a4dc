//! The executable itself: static, and deaf to NSS.

mod common;

use std::fs;

use common::{Bundle, RUNTIME};
use conformance::host::{Need, in_mount_namespace, skip};
use serde_json::json;

/// A little-endian number at an offset of the file.
fn number(file: &[u8], at: usize, length: usize) -> usize {
    file[at..at + length].iter().rev().fold(0, |value, byte| (value << 8) | usize::from(*byte))
}

/// elf(5), 64 bits: type, offset and length of every program header.
fn segments(file: &[u8]) -> Vec<(usize, usize, usize)> {
    let (table, size, count) = (number(file, 32, 8), number(file, 54, 2), number(file, 56, 2));
    (0..count)
        .map(|n| table + n * size)
        .map(|at| (number(file, at, 4), number(file, at + 8, 8), number(file, at + 32, 8)))
        .collect()
}

#[test]
fn the_program_is_one_static_file() {
    const PT_DYNAMIC: usize = 2;
    const PT_INTERP: usize = 3;
    const DT_NEEDED: usize = 1;
    let file = fs::read(RUNTIME).unwrap();
    assert_eq!(&file[..5], b"\x7fELF\x02");
    for (kind, offset, length) in segments(&file) {
        assert_ne!(kind, PT_INTERP, "it asks for a loader");
        if kind == PT_DYNAMIC {
            let tags = (offset..offset + length).step_by(16).map(|at| number(&file, at, 8));
            assert!(!tags.take_while(|tag| *tag != 0).any(|tag| tag == DT_NEEDED), "it needs a library");
        }
    }
}

#[test]
fn modules_named_in_nsswitch_conf_are_never_loaded() {
    if skip("modules_named_in_nsswitch_conf_are_never_loaded", Need::Root) {
        return;
    }
    let bundle = Bundle::new(&["id", "-u"]);
    bundle.write();
    let file = bundle.path().join("nsswitch.conf");
    fs::write(&file, "passwd: systemd nosuch\ngroup: systemd nosuch\nhosts: resolve nosuch\n").unwrap();
    let line = format!(
        "mount --bind {} /etc/nsswitch.conf && exec {RUNTIME} --root {} run {}",
        file.display(),
        bundle.state_root().display(),
        bundle.id
    );
    let call: common::Call =
        in_mount_namespace("sh").args(["-c", &line]).current_dir(bundle.path()).output().unwrap().into();
    assert_eq!(call.ok(), "0\n");
}

#[test]
fn a_kernel_that_is_too_old_is_told_before_anything_is_done() {
    let test = "a_kernel_that_is_too_old_is_told_before_anything_is_done";
    if skip(test, Need::Root) {
        return;
    }
    // to what runs under such a filter the kernel has no such call
    let line = "for c in run create restore; do /runtime --root /dev/shm $c x; echo $?; done; /runtime --root /dev/shm list -q";
    let filter = json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        { "names": ["mount_setattr"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38 },
    ] });
    let bundle = Bundle::shell(line).set("/linux/seccomp", filter);
    common::copy_runtime(&bundle.rootfs("runtime"));
    let call = bundle.run();
    let sentence =
        "mocker-runtime: mount_setattr: Function not implemented: Linux 5.12 is the oldest that will do\n";
    assert_eq!((call.out.as_str(), call.err), ("1\n1\n1\n", sentence.repeat(3)));
}

#[test]
fn the_version_has_the_lines_that_docker_reads() {
    let bundle = Bundle::new(&["true"]);
    let text = bundle.call(&["--version"]).ok();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("mocker-runtime version "), "{text}");
    assert!(lines[1].starts_with("commit: ") && lines[2] == "spec: 1.3.0", "{text}");
}
