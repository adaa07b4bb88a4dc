//! The program as a file: static, quick to start, and deaf to the C library's modules.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod common;

use std::process::Command;

use common::{PROGRAM, Place};
use conformance::host::{Need, skip};

/// The types of a 64-bit little-endian ELF file's program headers, and the tags of its dynamic section.
fn elf(bytes: &[u8]) -> (Vec<u32>, Vec<u64>) {
    let half = |at: usize| u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap());
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let long = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    assert_eq!(&bytes[..6], b"\x7fELF\x02\x01");
    let (start, size, count) = (long(32) as usize, half(54) as usize, half(56) as usize);
    let headers: Vec<usize> = (0..count).map(|n| start + n * size).collect();
    let dynamic = headers.iter().filter(|&&at| word(at) == 2).flat_map(|&at| {
        let (offset, length) = (long(at + 8) as usize, long(at + 32) as usize);
        (offset..offset + length).step_by(16).map(long).collect::<Vec<_>>()
    });
    (headers.iter().map(|&at| word(at)).collect(), dynamic.collect())
}

#[test]
fn the_program_is_one_static_file() {
    const INTERP: u32 = 3;
    const NEEDED: u64 = 1;
    let (headers, tags) = elf(&std::fs::read(PROGRAM).unwrap());
    assert!(!headers.is_empty() && !headers.contains(&INTERP), "{headers:?}");
    assert!(!tags.contains(&NEEDED), "{tags:?}");
    let (headers, tags) = elf(&std::fs::read("/proc/self/exe").unwrap());
    assert!(headers.contains(&INTERP) == tags.contains(&NEEDED));
}

#[test]
fn the_version_is_told_without_threads_and_without_opening_files_of_etc() {
    let test = "the_version_is_told_without_threads_and_without_opening_files_of_etc";
    if skip(test, Need::Program("strace")) {
        return;
    }
    let log = Place::new().path("trace");
    std::fs::create_dir_all(log.parent().unwrap()).unwrap();
    let status = Command::new("strace").arg("-fo").arg(&log).args([PROGRAM, "--version"]).output().unwrap();
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
    assert!(String::from_utf8_lossy(&status.stdout).starts_with("mocker-image "));
    let trace = std::fs::read_to_string(&log).unwrap();
    std::fs::remove_dir_all(log.parent().unwrap()).unwrap();
    for never in [" clone(", " clone3(", " epoll_", " socket(", "\"/etc", "/ssl"] {
        assert!(!trace.contains(never), "{never} in {trace}");
    }
}

#[test]
fn wrong_usage_is_exit_2_and_help_names_every_command() {
    let place = Place::new();
    assert_eq!(place.run(&["unpack", "only-one"]).code, Some(2));
    assert_eq!(place.run(&["--no-such-flag"]).code, Some(2));
    let help = place.run(&["--help"]).ok();
    let words = "pull unpack list images inspect tags tag remove rmi gc verify login logout --root";
    for word in words.split(" ") {
        assert!(help.contains(word), "{word} in {help}");
    }
}

#[test]
fn the_default_store_is_the_users_own() {
    let test = "the_default_store_is_the_users_own";
    if skip(test, Need::Root) || skip(test, Need::Program("setpriv")) {
        return;
    }
    let place = Place::new();
    let home = place.path("home");
    std::fs::create_dir(&home).unwrap();
    for dir in [home.parent().unwrap(), &home] {
        std::fs::set_permissions(dir, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    }
    // The program itself may lie where a user cannot reach it.
    let program = place.path("mocker-image");
    std::fs::copy(PROGRAM, &program).unwrap();
    let as_user = |variables: &[(&str, &std::path::Path)]| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&program);
        command.args(["pull", "127.0.0.1:1/app"]).env_clear().envs(variables.iter().copied());
        common::Outcome::from(command.output().unwrap())
    };
    let data = home.join("data");
    as_user(&[("XDG_DATA_HOME", &data), ("HOME", &home)]).error();
    assert!(data.join("mocker/blobs").is_dir());
    as_user(&[("HOME", &home)]).error();
    assert!(home.join(".local/share/mocker/blobs").is_dir());
    // The home of user 65534 in /etc/passwd is /nonexistent.
    let error = as_user(&[]).error();
    assert!(error.starts_with("make the store's directory /nonexistent/.local/share/mocker"), "{error}");
}
