//! Every command takes an image from every place, and those that make one bring it to every place.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod common;

use common::sample::serving;
use common::{Place, image};
use conformance::registry::Registry;

/// A place of each kind with the same image, but for a daemon's (see copy.rs).
fn places(place: &Place, registry: &Registry) -> Vec<String> {
    let at = |transport: &str, name: &str| format!("{transport}:{}", place.path(name).display());
    let docker = format!("docker://{}", registry.reference("app", "v1"));
    let others = [
        format!("{}:v1", at("oci", "layout")),
        format!("{}:v1", at("oci-archive", "oci.tar")),
        format!("{}:q.io/app:v1", at("docker-archive", "docker.tar")),
        at("dir", "dir"),
        "store:q.io/app:v1".to_owned(),
    ];
    for other in &others {
        place.run(&["copy", &docker, other]).ok();
    }
    let old = at("docker-archive", "old.tar");
    place.run(&["copy", "--archive-form", "old", &docker, &old]).ok();
    // A name alone is the store's, if it has it, or else a registry's, where it is unpacked from below.
    let names = ["q.io/app:v1".to_owned(), registry.reference("app", "v1")];
    [docker, old].into_iter().chain(others).chain(names).collect()
}

#[test]
fn every_command_takes_an_image_from_every_place() {
    let registry = serving(&image::authored().build().unwrap());
    let place = Place::new();
    std::fs::write(place.path("file"), "words").unwrap();
    let (file, bundle) = (place.path("file").display().to_string(), place.bundle().display().to_string());
    let (out, new) = (place.path("out").display().to_string(), "store:q.io/new:v1");
    for from in places(&place, &registry) {
        let from = from.as_str();
        let all: [&[&str]; 16] = [
            &["inspect", from],
            &["inspect", "--raw", from],
            &["inspect", "--config", from],
            &["digest", from],
            &["manifest", from],
            &["verify", from],
            &["stat", from],
            &["export", from, &out],
            &["unpack", "--copy", from, &bundle],
            &["push", from, &registry.reference("pushed", "v1")],
            &["config", from, "--env", "N=1", "--tag", new],
            &["flatten", from, "--tag", new],
            &["insert", &file, "/put", "--image", from, "--tag", new],
            &["append", &out, "--image", from, "--tag", new],
            &["raw", "add-layer", &out, "--image", from, "--tag", new],
            &["rebase", from, "--old-base", from, "--new-base", from, "--tag", new],
        ];
        for words in all {
            place.run(words).ok();
            if words[0] == "unpack" {
                assert_eq!(std::fs::read(place.rootfs().join("etc/a")).unwrap(), b"a", "{from}");
                std::fs::remove_dir_all(place.bundle()).unwrap();
            }
        }
    }
}

#[test]
fn what_is_made_goes_to_every_place() {
    let registry = serving(&image::authored().build().unwrap());
    let place = Place::new();
    let at = |transport: &str, name: &str| format!("{transport}:{}", place.path(name).display());
    let from = format!("docker://{}", registry.reference("app", "v1"));
    for to in [
        format!("docker://{}", registry.reference("made", "v1")),
        at("oci", "layout"),
        at("oci-archive", "oci.tar"),
        format!("{}:q.io/a:b", at("docker-archive", "docker.tar")),
        at("dir", "dir"),
        "store:q.io/made:v1".to_owned(),
    ] {
        place.run(&["config", &from, "--env", "MADE=here", "--tag", &to]).ok();
        assert!(place.run(&["inspect", "--config", &to]).ok().contains("MADE=here"), "{to}");
        place.run(&["verify", &to]).ok();
    }
}
