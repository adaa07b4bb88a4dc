//! Our trees against umoci's, entry by entry, for images that skopeo fetched from the same registry.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod common;

use std::path::Path;
use std::process::Command;

use common::{Place, tree};
use conformance::debian;
use conformance::fixture::{Artifact, Image, Layer};
use conformance::host::{Need, count_skip, skip};
use conformance::registry::DockerRegistry;

fn run(program: &str, words: &[&str], dir: &Path) {
    let output = Command::new(program).args(words).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "{program} {words:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn lacks_peers(test: &str) -> bool {
    let programs = ["docker-registry", "skopeo", "umoci"].map(Need::Program);
    skip(test, Need::Root) || programs.into_iter().any(|program| skip(test, program))
}

/// Unpacks with both and compares; gives the number of entries.
fn compare(artifact: &Artifact) -> usize {
    let registry = DockerRegistry::start().unwrap();
    registry.put("app", "v1", artifact).unwrap();
    let reference = registry.reference("app", "v1");
    let place = Place::new();
    place.unpack(&reference).ok();
    let dir = place.path("peers");
    std::fs::create_dir(&dir).unwrap();
    run(
        "skopeo",
        &["copy", "--src-tls-verify=false", &format!("docker://{reference}"), "oci:image:v1"],
        &dir,
    );
    run("umoci", &["unpack", "--image", "image:v1", "bundle"], &dir);
    let (ours, theirs) = (tree::read(&place.rootfs()), tree::read(&dir.join("bundle/rootfs")));
    let differences = tree::differences(&ours, &theirs);
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
    ours.len()
}

#[test]
fn a_tree_of_every_kind_of_entry_is_umocis_tree() {
    if lacks_peers("a_tree_of_every_kind_of_entry_is_umocis_tree") {
        return;
    }
    let base = Layer::new()
        .dir("./")
        .mtime(1_000_000_000)
        .dir("etc")
        .mtime(1_100_000_000)
        .file("etc/plain", "plain\n")
        .mode(0o640)
        .owner(12, 34)
        .dir("bin")
        .file("bin/setuid", "s")
        .mode(0o4755)
        .file("bin/owned", "s")
        .mode(0o6711)
        .owner(7, 8)
        .dir("group")
        .mode(0o2775)
        .owner(0, 8)
        .file("group/in", "g")
        .dir("group/below")
        .dir("tmp")
        .mode(0o1777)
        .symlink("etc/link", "/etc/plain")
        .owner(1, 2)
        .hardlink("etc/hard", "etc/plain")
        .dir("dev")
        .fifo("dev/pipe")
        .mode(0o600)
        .char_device("dev/null", 1, 3)
        .mode(0o666)
        .block_device("dev/loop", 7, 0)
        .mode(0o660)
        .owner(0, 6)
        .file("attrs", "x")
        .xattr("user.mocker", b"\0value\n")
        .dir("dressed")
        .xattr("user.old", b"1")
        .dir("opaque")
        .file("opaque/old", "1")
        .dir("gone")
        .file("gone/old", "1");
    let upper = Layer::new()
        .dir("opaque")
        .opaque("opaque")
        .file("opaque/new", "2")
        .dir("dressed")
        .xattr("user.new", b"2")
        .whiteout("gone")
        .file("etc/added", "2")
        .file("etc/plain", "replaced\n")
        .dir("etc/link");
    let image = Image::new().layer(&base).layer(&upper);
    assert!(compare(&image.build().unwrap()) > 15);
    assert!(compare(&image.docker().build().unwrap()) > 15);
}

#[test]
fn a_debian_userland_with_a_layer_that_deletes_and_replaces_is_umocis_tree() {
    let test = "a_debian_userland_with_a_layer_that_deletes_and_replaces_is_umocis_tree";
    if lacks_peers(test) {
        return;
    }
    if !debian::is_available() {
        return count_skip(test, "debian-userland");
    }
    assert!(compare(&debian::changed().unwrap().build().unwrap()) > 5_000);
}

#[test]
fn zstd_and_gzip_give_the_same_debian_tree_and_an_index_is_resolved() {
    let test = "zstd_and_gzip_give_the_same_debian_tree_and_an_index_is_resolved";
    if skip(test, Need::Root) || skip(test, Need::Program("docker-registry")) {
        return;
    }
    if !debian::is_available() {
        return count_skip(test, "debian-userland");
    }
    let registry = DockerRegistry::start().unwrap();
    let zstd = debian::zstd().unwrap().build().unwrap();
    assert_eq!(zstd.json()["layers"][0]["mediaType"], "application/vnd.oci.image.layer.v1.tar+zstd");
    registry.put("debian", "zstd", &zstd).unwrap();
    registry.put("debian", "base", &debian::base().unwrap().build().unwrap()).unwrap();
    registry.put("debian", "index", &debian::index().unwrap()).unwrap();
    registry.put("debian", "many", &debian::many().unwrap().build().unwrap()).unwrap();
    let places = ["base", "zstd", "index", "many"].map(|tag| {
        let place = Place::new();
        place.unpack(&registry.reference("debian", tag)).ok();
        if tag == "zstd" {
            let manifest = common::files(&place.store().join("blobs")).into_iter().find_map(|blob| {
                serde_json::from_slice::<serde_json::Value>(&std::fs::read(blob).unwrap())
                    .ok()
                    .filter(|m| m["layers"].is_array())
            });
            let media_type = manifest.unwrap()["layers"][0]["mediaType"].clone();
            assert_eq!(media_type, "application/vnd.oci.image.layer.v1.tar+zstd");
        }
        place
    });
    let [base, zstd, index, many] = &places;
    let differences = tree::differences(&tree::read(&base.rootfs()), &tree::read(&zstd.rootfs()));
    assert!(differences.is_empty(), "{differences:?}");
    let release = |place: &Place| std::fs::read_to_string(place.rootfs().join("usr/lib/os-release")).unwrap();
    assert!(release(index).contains("bookworm"));
    assert!(common::files(&many.rootfs().join("many")).len() >= debian::MANY);
    let there = Place::new();
    let other = if cfg!(target_arch = "aarch64") { "linux/s390x" } else { "linux/arm64" };
    let reference = registry.reference("debian", "index");
    there.run(&["unpack", "--copy", "--platform", other, &reference, there.bundle().to_str().unwrap()]).ok();
    assert!(release(&there).contains("Debian elsewhere"));
}
