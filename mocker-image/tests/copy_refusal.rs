//! `copy`: what it refuses, and what a killed one leaves.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod common;

use std::process::Stdio;
use std::time::Duration;

use common::sample::{large as image, serving};
use common::{Place, files};
use conformance::host::wait_until;
use conformance::registry::{Auth, Fault, Registry};

#[test]
fn wrong_bytes_of_a_source_never_get_a_name() {
    let artifact = image().build().unwrap();
    let registry = serving(&artifact);
    let layer = artifact.layer_digests()[0].clone();
    registry.fault(format!("blobs/{layer}"), Fault::FlipByte(2_000_000));
    let (place, from) = (Place::new(), registry.reference("app", "v1"));
    let other = Registry::start().unwrap();
    for to in [
        format!("oci:{}:v1", place.path("layout").display()),
        format!("oci-archive:{}", place.path("a.tar").display()),
        format!("docker-archive:{}", place.path("d.tar").display()),
        "store:x.example/y:z".to_owned(),
        other.reference("a", "b"),
    ] {
        let error = place.run(&["copy", &from, &to]).error();
        let words = ["has other content than its digest says", "its gzip stream is damaged"];
        assert!(words.iter().any(|words| error.contains(words)), "{to}: {error}");
        assert!(place.run(&["digest", &to]).code != Some(0), "{to}");
    }
    assert!(!other.has_blob(&layer));
    let left: Vec<_> =
        ["a.tar", "d.tar"].into_iter().filter(|n| place.path(n).symlink_metadata().is_ok()).collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(files(&place.path("layout")).iter().all(|file| !file.ends_with(&layer[7..])));
}

#[test]
fn credentials_and_tls_words_are_each_ends_own() {
    let artifact = image().build().unwrap();
    let (from, to) = (serving(&artifact), Registry::start().unwrap());
    from.require(Auth::Basic("me".into(), "one".into()));
    to.require(Auth::TokenFor("you".into(), "two".into()));
    let place = Place::new();
    let (source, destination) = (from.reference("app", "v1"), to.reference("a", "b"));
    let words = ["copy", "--src-creds", "me:one", "--dest-creds", "you:two", &source, &destination];
    place.run(&words).ok();
    let skopeos = ["copy", "--src-username", "me", "--src-password", "one", "--dest-creds", "you:two"];
    place.run(&[&skopeos[..], &[&source, &destination]].concat()).ok();
    let error =
        place.run(&["copy", "--src-creds", "me:one", "--dest-no-creds", &source, &destination]).error();
    assert!(error.contains("wants credentials"), "{error}");
    for word in ["--encryption-key", "--encrypt-layer", "--decryption-key"] {
        let error = place.run(&["copy", word, "k", &source, &destination]).error();
        assert!(error.ends_with("images are neither encrypted nor decrypted here"), "{error}");
    }
}

#[test]
fn a_killed_copy_is_gone_on_with() {
    let artifact = image().build().unwrap();
    let registry = serving(&artifact);
    let layer = artifact.layer_digests()[0].clone();
    registry.fault(format!("blobs/{layer}"), Fault::Stall(1_000_000));
    let (place, from) = (Place::new(), registry.reference("app", "v1"));
    let layout = place.path("layout");
    for to in ["store:x.example/y:z".to_owned(), format!("oci:{}:v1", layout.display())] {
        let mut copy = place.command(&["copy", &from, &to]);
        let mut copy = copy.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let arrived = || {
            let all = [files(&place.store()), files(&layout)].concat();
            all.iter().any(|file| file.metadata().is_ok_and(|m| m.len() >= 500_000))
        };
        wait_until(Duration::from_secs(30), "a part of the layer", arrived).unwrap();
        copy.kill().unwrap();
        copy.wait().unwrap();
        assert!(place.run(&["digest", &to]).code != Some(0));
        registry.clear_faults();
        assert_eq!(place.run(&["copy", &from, &to]).ok().trim().len(), 71);
        registry.fault(format!("blobs/{layer}"), Fault::Stall(1_000_000));
        drop(std::fs::remove_dir_all(place.store()));
    }
}
