//! `pull`: what it refuses, and that nothing of it is left.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod common;

use std::process::Stdio;
use std::time::Duration;

use common::sample::{noise, serving, small as image};
use common::{Outcome, Place};
use conformance::fixture::{Artifact, Image, Index, Layer, Lie, Platform};
use conformance::host::wait_until;
use conformance::registry::{Fault, Registry};

/// Pulls `app:v1` and expects an error; nothing may be left.
fn refused(registry: &Registry) -> String {
    let place = Place::new();
    let error = place.pull(&registry.reference("app", "v1")).error();
    place.assert_nothing_left();
    error
}

#[test]
fn a_flipped_byte_in_a_layer_is_found() {
    for which in 0..3 {
        let artifact = image().build().unwrap();
        let registry = serving(&artifact);
        let layer = artifact.layer_digests()[which].clone();
        registry.fault(format!("blobs/{layer}"), Fault::FlipByte(50));
        let error = refused(&registry);
        let name = format!("pull {}: layer {layer}: ", registry.reference("app", "v1"));
        assert!(error.starts_with(&name), "{error}");
        let damaged =
            error.contains("stream is damaged") || error.contains("has other content than its digest says");
        assert!(damaged, "{error}");
    }
}

#[test]
fn a_flipped_byte_in_the_config_is_found() {
    let artifact = image().build().unwrap();
    let registry = serving(&artifact);
    let config = artifact.config_digest();
    registry.fault(format!("blobs/{config}"), Fault::FlipByte(10));
    let error = refused(&registry);
    assert!(error.contains(&format!("config {config}: has other content than its digest says")), "{error}");
}

#[test]
fn a_truncated_blob_is_an_error_that_names_it() {
    let artifact = image().build().unwrap();
    let registry = serving(&artifact);
    let layer = artifact.layer_digests()[0].clone();
    registry.fault(format!("blobs/{layer}"), Fault::Truncate(0));
    let error = refused(&registry);
    assert!(error.contains(&format!("layer {layer}: receive from {}: ", registry.address())), "{error}");
}

#[test]
fn documents_that_lie_are_refused() {
    let whole = image().build().unwrap();
    let (layer, config) = (whole.layer_digests()[0].clone(), whole.config_digest());
    let size = |artifact: &Artifact| artifact.json()["layers"][0]["size"].as_u64().unwrap();
    let true_size = size(&whole);
    let absent = conformance::blob::Digest::absent();
    for (lie, sentence) in [
        (
            Lie::LayerSize(0, 7),
            format!(
                "layer {layer}: the registry has {true_size} bytes of it, the manifest says {}",
                true_size + 7
            ),
        ),
        (
            Lie::LayerSize(0, -7),
            format!(
                "layer {layer}: the registry has {true_size} bytes of it, the manifest says {}",
                true_size - 7
            ),
        ),
        (Lie::LayerDigest(0), format!("layer {}: has other content than its digest says", absent.as_str())),
        (
            Lie::LayerMediaType(0, "application/vnd.oci.image.layer.v1.tar+zstd".to_owned()),
            format!("layer {layer}: its media type says zstd, but its bytes are gzip"),
        ),
        (
            Lie::LayerMediaType(0, "text/plain".to_owned()),
            format!("layer {layer}: media type \"text/plain\" is not a layer's"),
        ),
        (Lie::DiffId(0), format!("layer {layer}: unpacks to sha256:")),
        (Lie::MissingDiffId, "the manifest has 3 layers, but the config 2 diffIDs".to_owned()),
        (Lie::ConfigSize(-1), format!("config {config}: is longer than the ")),
        (Lie::ConfigSize(1), format!("config {config}: ends after ")),
        (Lie::ConfigDigest, "has other content than its digest says".to_owned()),
        (Lie::LayerMissing(0), format!(" has no blob {layer}, which the image needs (404 Not Found)")),
    ] {
        let error = refused(&serving(&image().lie(lie.clone()).build().unwrap()));
        assert!(error.contains(&sentence), "{lie:?}: {error}");
    }
}

#[test]
fn an_index_whose_sizes_or_digests_lie_is_refused() {
    let index = || Index::new().member(Platform::host(), image().build().unwrap());
    let error = refused(&serving(&index().lie_about_sizes(3).build()));
    assert!(error.contains(": ends after "), "{error}");
    let error = refused(&serving(&index().lie_about_sizes(-3).build()));
    assert!(error.contains(": is longer than the "), "{error}");
    let error = refused(&serving(&index().lie_about_digests().build()));
    assert!(error.contains("has no manifest sha256:") || error.contains("has other content"), "{error}");
}

#[test]
fn old_broken_and_foreign_manifests_are_told_apart() {
    for (media_type, text, sentence) in [
        (
            "application/vnd.docker.distribution.manifest.v1+prettyjws",
            r#"{"schemaVersion":1,"fsLayers":[]}"#,
            "the manifest is of Docker's schema 1, which is no longer read",
        ),
        ("application/vnd.oci.image.manifest.v1+json", "{\n \"schemaVersion\": 2,\n}", "line 3 column 1"),
        (
            "application/vnd.oci.image.manifest.v1+json",
            r#"{"schemaVersion":2,"layers":[],"manifests":[]}"#,
            "the manifest has both layers and manifests",
        ),
    ] {
        let error = refused(&serving(&Artifact::raw(media_type, text)));
        assert!(error.contains(sentence), "{error}");
    }
}

#[test]
fn an_entry_that_is_refused_ends_an_unpack_though_the_registry_has_fallen_silent() {
    let layer = Layer::new().hardlink("link", "nowhere").file("noise", noise(2_000_000));
    let image = Image::new().layer(&layer).build().unwrap();
    let (registry, place) = (serving(&image), Place::new());
    registry.fault(format!("blobs/{}", image.layer_digests()[0]), Fault::Stall(1_000_000));
    let (reference, bundle) = (registry.reference("app", "v1"), place.bundle().display().to_string());
    let words = ["unpack", "--copy", &reference, &bundle];
    let mut child = place.command(&words).stderr(Stdio::piped()).spawn().unwrap();
    // the client itself gives a silent registry a minute, and asks again
    let ended = wait_until(Duration::from_secs(20), "its end", || child.try_wait().unwrap().is_some());
    child.kill().unwrap();
    let outcome: Outcome = child.wait_with_output().unwrap().into();
    ended.unwrap();
    assert!(outcome.error().contains("nowhere"));
    place.assert_nothing_left();
}
