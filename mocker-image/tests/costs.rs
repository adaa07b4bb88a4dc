//! What work costs, in counts that no machine and no neighbour changes: system calls and page faults. Each bound
//! is about 15 % above what the program of the tests needed when it was set; what costs more fails here first.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]
#![expect(unsafe_code, reason = "wait4(2) alone tells what one child cost")]

mod common;

use std::process::Stdio;

use common::Place;
use common::sample::serving;
use conformance::fixture::{Image, Layer};
use conformance::host::{Need, leave_mount_namespace, skip};
use conformance::registry::Registry;
use nix::libc;

/// The page faults of a call: each page that it touches is one, and what a kernel tells of its peak may be ours.
#[expect(clippy::zombie_processes, reason = "wait4 waits for it")]
fn faults(place: &Place, words: &[&str]) -> i64 {
    let child = place.command(words).stdout(Stdio::null()).spawn().unwrap();
    let mut status = 0;
    // SAFETY: a structure of integers, for which zeros are a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to live values of the types that wait4(2) fills, and nobody else waits for the child.
    let pid = unsafe { libc::wait4(child.id().cast_signed(), &raw mut status, 0, &raw mut usage) };
    assert_eq!((pid, status), (child.id().cast_signed(), 0), "{words:?}");
    usage.ru_minflt
}

/// All system calls of a call, but for those by which its threads wait for each other or the registry, which are
/// chance, for fcntl, by which only a debug build looks at what it closes, and the clock's, which is no call where the
/// kernel lends its own (a kernel in user mode does not).
fn calls(place: &Place, words: &[&str]) -> i64 {
    let report = place.path("calls");
    let mut strace = std::process::Command::new("strace");
    strace
        .args([
            "-f",
            "-c",
            "-U",
            "calls,name",
            "-e",
            "trace=!futex,sched_yield,epoll_wait,recvfrom,read,fcntl,clock_gettime",
        ])
        .arg("-o")
        .arg(&report);
    strace.arg(common::PROGRAM).arg("--root").arg(place.store()).args(words).stdout(Stdio::null());
    assert!(strace.status().unwrap().success(), "{words:?}");
    let table = std::fs::read_to_string(report).unwrap();
    table.lines().filter_map(|line| line.split_whitespace().next()?.parse().ok()).next_back().unwrap()
}

/// An image of so many directories with so many files in each.
fn image(dirs: usize, files: usize) -> Registry {
    let mut layer = Layer::new();
    for dir in 0..dirs {
        layer = layer.dir(format!("d{dir}"));
        layer = (0..files).fold(layer, |layer, file| layer.file(format!("d{dir}/f{file}"), "content"));
    }
    serving(&Image::new().layer(&layer).build().unwrap())
}

/// The calls of a cold unpack in some manner.
fn unpack(registry: &Registry, manner: &str) -> i64 {
    let place = Place::new();
    calls(&place, &["unpack", manner, &registry.reference("app", "v1"), place.bundle().to_str().unwrap()])
}

#[test]
fn a_file_takes_four_system_calls_and_a_directory_few_more() {
    let test = "a_file_takes_four_system_calls_and_a_directory_few_more";
    if skip(test, Need::Program("strace")) || skip(test, Need::Root) || skip(test, Need::Overlay) {
        return;
    }
    leave_mount_namespace().unwrap();
    let (few, files, dirs) = (image(4, 25), image(4, 100), image(79, 1));
    // Of a copy a list is made, too: a look at each file, and four more calls for each directory.
    for (manner, listed) in [("--copy", 1), ("--overlay", 0)] {
        let (a_file, a_dir) = (4 + listed, 12.9 + 5.75 * listed as f64);
        let base = unpack(&few, manner);
        // open, write, set the time, close
        let file = (unpack(&files, manner) - base) as f64 / 300.0;
        assert!(file <= a_file as f64 * 1.15, "{manner}: {file} calls for each file");
        // 75 more directories, 21 files fewer
        let dir = (unpack(&dirs, manner) - base) as f64 / 75.0 + (a_file * 21) as f64 / 75.0;
        assert!(dir <= a_dir, "{manner}: {dir} calls for each directory");
        // the threads that inflate and that finish files among it
        let rest = base - 100 * a_file;
        assert!(rest <= 375 + 40 * listed, "{manner}: {rest} calls for anything but files");
    }
}

#[test]
fn an_image_twenty_times_as_large_touches_no_more_memory() {
    // of half a megabyte and of ten, which gzip makes small
    let [small, large] = [1, 20].map(|times| {
        let content = b"a line of a file that is long enough\n".repeat(15_000 * times);
        let registry = serving(&Image::new().layer(&Layer::new().file("file", content)).build().unwrap());
        let (place, reference) = (Place::new(), registry.reference("app", "v1"));
        faults(&place, &["unpack", "--copy", &reference, place.bundle().to_str().unwrap()])
    });
    assert!(large * 100 <= small * 115, "{small} page faults for a small image, {large} for a large one");
}

#[test]
fn forty_images_in_the_store_make_no_more_work_than_one() {
    let test = "forty_images_in_the_store_make_no_more_work_than_one";
    if skip(test, Need::Program("strace")) || skip(test, Need::Root) || skip(test, Need::Overlay) {
        return;
    }
    leave_mount_namespace().unwrap();
    let (registry, place) = (Registry::start().unwrap(), Place::new());
    let artifact = |n: usize| Image::new().layer(&Layer::new().file(format!("f{n}"), "x")).build().unwrap();
    let add = |n: usize| {
        registry.put("app", &format!("v{n}"), &artifact(n));
        place.pull(&registry.reference("app", &format!("v{n}"))).ok();
    };
    add(0);
    registry.put("new", "v1", &artifact(1000));
    let (known, new) = (registry.reference("app", "v0"), registry.reference("new", "v1"));
    let bundle = place.bundle().display().to_string();
    // `inspect` without --no-tags is a list, and so is what `push` asks once: from which repository a blob could come
    let jobs: [&[&str]; 6] = [
        &["unpack", "--overlay", &known, &bundle],
        &["unpack", "--copy", &known, &bundle],
        &["pull", &known],
        &["inspect", "--no-tags", &known],
        &["tag", &known, "localhost/other:v1"],
        &["unpack", "--copy", &new, &bundle],
    ];
    let all = || {
        let counts = jobs.iter().map(|words| {
            let calls = calls(&place, words);
            drop(std::fs::remove_dir_all(&bundle));
            calls
        });
        counts.collect::<Vec<_>>()
    };
    all();
    let one = all();
    (1..40).for_each(add);
    let forty = all();
    // looking for those: a record, a manifest, a few calls for each, once
    let push = |to: &str, from: &Registry, name: &str| {
        calls(&place, &["push", &from.reference("app", name), &from.reference(to, "v1")])
    };
    let layers = |n: usize| {
        (0..n).fold(Image::new(), |image, n| image.layer(&Layer::new().file(format!("l{n}"), "x")))
    };
    for (name, n) in [("two", 2), ("ten", 10)] {
        registry.put("app", name, &layers(n).build().unwrap());
        place.pull(&registry.reference("app", name)).ok();
    }
    let (two, ten) = (push("other/two", &registry, "two"), push("other/ten", &registry, "ten"));
    assert!(ten - two <= 300, "{two} calls to push two layers, {ten} to push ten");
    // a connection may take a few calls more or less; one for each image would be 39
    let grown = jobs.iter().zip(one.iter().zip(&forty)).filter(|(_, (one, forty))| **forty > *one + 30);
    let grown: Vec<String> =
        grown.map(|(words, (one, forty))| format!("{words:?}: {one}, then {forty}")).collect();
    assert!(grown.is_empty(), "calls with one image, and with forty:\n{}", grown.join("\n"));
}
