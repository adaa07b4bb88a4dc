//! How layers and archives are packed, how far they may unpack, and what is drawn meanwhile.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod common;

use std::process::{Command, Stdio};
use std::time::Duration;

use common::sample::{large, noise, serving};
use common::{PROGRAM, Place, tree};
use conformance::fixture::{Image, Layer};
use conformance::host::{Need, skip, wait_until};
use conformance::registry::Fault;

fn sh(place: &Place, line: &str) {
    let status = Command::new("sh").args(["-ec", line]).current_dir(place.path("")).status().unwrap();
    assert!(status.success(), "{line}");
}

#[test]
fn docker_archives_are_read_with_what_xz_and_bzip2_packed() {
    let test = "docker_archives_are_read_with_what_xz_and_bzip2_packed";
    if ["xz", "bzip2"].into_iter().any(|program| skip(test, Need::Program(program))) {
        return;
    }
    let image = Image::new()
        .layer(&Layer::new().dir("./").dir("etc").file("etc/a", noise(5000)))
        .layer(&Layer::new().file("etc/b", "b\n").plain())
        .layer(&Layer::new().file("etc/c", "c\n"));
    let (registry, place) = (serving(&image.build().unwrap()), Place::new());
    let reference = registry.reference("app", "v1");
    let want = tree::unpacked(&place, &reference, "want");
    let archive = format!("docker-archive:{}:q.io/app:v1", place.path("plain.tar").display());
    place.run(&["copy", "--archive-form", "old", &reference, &archive]).ok();
    // The archive as a whole, and each of its layers.
    sh(&place, "xz -k plain.tar; bzip2 -k plain.tar");
    sh(
        &place,
        "mkdir d; tar -xf plain.tar -C d; cd d; set -- */layer.tar; xz $1; mv $1.xz $1; bzip2 $2; mv $2.bz2 $2; \
         gzip -n $3; mv $3.gz $3; tar -cf ../layers.tar *",
    );
    for name in ["plain.tar.xz", "plain.tar.bz2", "layers.tar"] {
        let from = format!("docker-archive:{}", place.path(name).display());
        let differences = tree::differences(&tree::unpacked(&place, &from, &format!("b-{name}")), &want);
        assert!(differences.is_empty(), "{name}: {differences:?}");
        place.run(&["copy", &from, &format!("oci:{}:{name}", place.path("layout").display())]).ok();
        place.run(&["verify", &format!("oci:{}:{name}", place.path("layout").display())]).ok();
    }
}

#[test]
fn a_layer_that_unpacks_to_more_than_any_honest_one_is_refused() {
    let layer = Layer::new().file("zero", vec![0; 3_000_000]);
    let (registry, place) = (serving(&Image::new().layer(&layer).build().unwrap()), Place::new());
    let reference = registry.reference("app", "v1");
    for words in [&["pull"][..], &["unpack", "--copy"]] {
        let mut command = place.command(&["--max-unpacked", "2000000"]);
        command.args(words).arg(&reference);
        if words.len() > 1 {
            command.arg(place.bundle());
        }
        let error = common::Outcome::from(command.output().unwrap()).error();
        assert!(error.contains("of it unpack to more than 2.0 MB: is it a bomb?"), "{error}");
        place.assert_nothing_left();
    }
    place.run(&["pull", "--max-unpacked", "4000000", &reference]).ok();
}

#[test]
fn an_archive_that_unpacks_to_more_than_any_honest_one_is_refused_with_its_layers() {
    let test = "an_archive_that_unpacks_to_more_than_any_honest_one_is_refused_with_its_layers";
    if ["xz", "bzip2"].into_iter().any(|program| skip(test, Need::Program(program))) {
        return;
    }
    let image = Image::new().layer(&Layer::new().file("zero", vec![0; 3_000_000]));
    let (registry, place) = (serving(&image.build().unwrap()), Place::new());
    let archive = |name: &str| format!("docker-archive:{}", place.path(name).display());
    let old = ["--archive-form", "old", &registry.reference("app", "v1"), &archive("plain.tar")];
    place.run(&[&["copy"], &old[..]].concat()).ok();
    sh(&place, "xz -k plain.tar; bzip2 -k plain.tar; gzip -k plain.tar; mkdir d; tar -xf plain.tar -C d");
    for kind in ["xz", "bzip2"] {
        sh(
            &place,
            &format!(
                "cp -r d {kind}; cd {kind}; {kind} */layer.tar; for f in */layer.tar.*; do mv $f ${{f%.*}}; done; tar -cf ../{kind}.tar *"
            ),
        );
    }
    for name in ["plain.tar.xz", "plain.tar.bz2", "plain.tar.gz", "xz.tar", "bzip2.tar"] {
        // To look at it is to measure it: no layer is unpacked for that.
        let inspect = |most: &str| place.run(&["--max-unpacked", most, "inspect", &archive(name)]);
        let error = inspect("2000000").error();
        assert!(error.contains("of it unpack to more than 2.0 MB: is it a bomb?"), "{name}: {error}");
        inspect("4000000").ok();
    }
}

#[test]
fn a_terminal_shows_how_far_it_is_and_nobody_else_is_told() {
    let test = "a_terminal_shows_how_far_it_is_and_nobody_else_is_told";
    if skip(test, Need::Program("script")) {
        return;
    }
    let image = large().build().unwrap();
    let (registry, place) = (serving(&image), Place::new());
    registry.fault(format!("blobs/{}", image.layer_digests()[0]), Fault::Stall(1_000_000));
    let typescript = place.path("typescript");
    let pull = |words: &str| {
        let (store, reference) = (place.store().display().to_string(), registry.reference("app", "v1"));
        let line = format!("exec '{PROGRAM}' --root '{store}' pull {words} {reference}");
        let mut script = Command::new("script");
        script.args(["-qefc", &line]).arg(&typescript).stdin(Stdio::null()).stdout(Stdio::null());
        script.spawn().unwrap()
    };
    let text = || String::from_utf8_lossy(&std::fs::read(&typescript).unwrap_or_default()).into_owned();
    let mut shown = pull("");
    let drawn = || {
        let text = text();
        text.contains("] 1.0 MB / ") && text.contains("B/s")
    };
    let seen = wait_until(Duration::from_secs(30), "a bar", drawn);
    shown.kill().unwrap();
    shown.wait().unwrap();
    seen.unwrap();
    registry.clear_faults();
    assert!(pull("--quiet").wait().unwrap().success());
    assert!(!text().contains("] ") && text().contains("sha256:"), "{}", text());
    std::fs::remove_dir_all(place.store()).unwrap();
    let outcome = place.pull(&registry.reference("app", "v1"));
    assert!(outcome.stderr.starts_with("pulled ") && !outcome.stderr.contains('\x1b'), "{}", outcome.stderr);
}
