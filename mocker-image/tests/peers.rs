//! Our trees against umoci's, entry by entry, for images that skopeo fetched from the same registry.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod common;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
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
    let root = place.path("tar");
    std::fs::create_dir(&root).unwrap();
    std::fs::set_permissions(&root, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    artifact.layer_digests().iter().for_each(|digest| apply(artifact, digest, &root));
    let differences = tree::differences(&ours, &tree::read(&root));
    assert!(
        differences.is_empty(),
        "GNU tar: {} differences:\n{}",
        differences.len(),
        differences.join("\n")
    );
    ours.len()
}

/// Applies one layer as GNU tar would, if it knew of whiteouts.
fn apply(artifact: &Artifact, digest: &str, root: &Path) {
    let (_, blob) = artifact.blobs.iter().find(|(held, _)| held.as_str() == digest).unwrap();
    let file = root.with_extension("layer");
    std::io::copy(&mut blob.open().unwrap(), &mut std::fs::File::create(&file).unwrap()).unwrap();
    let plain = root.with_extension("plain");
    let unpack =
        "gzip -dc <\"$0\" >\"$1\" 2>/dev/null || zstd -dcq <\"$0\" >\"$1\" 2>/dev/null || cp \"$0\" \"$1\"";
    let status = Command::new("sh").args(["-c", unpack]).arg(&file).arg(&plain).status().unwrap();
    assert!(status.success());
    let mut archive = tar::Archive::new(std::fs::File::open(&plain).unwrap());
    let entries: Vec<_> = archive
        .entries()
        .unwrap()
        .map(|e| e.unwrap())
        .collect::<Vec<_>>()
        .iter()
        .map(|e| {
            (
                e.path().unwrap().components().filter(|c| c.as_os_str() != ".").collect::<PathBuf>(),
                e.header().entry_type().is_dir(),
            )
        })
        .collect();
    let before = directories(root);
    for (path, is_dir) in &entries {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let at = root.join(path);
        match name.strip_prefix(".wh.") {
            Some(".wh..opq") => names(at.parent().unwrap()).iter().for_each(|path| remove(path)),
            Some(gone) => remove(&at.with_file_name(gone)),
            None => match at.symlink_metadata() {
                Ok(meta) if meta.is_dir() && *is_dir => undress(&at),
                Ok(_) => remove(&at),
                Err(_) => {}
            },
        }
    }
    let (root_word, plain_word) = (root.to_str().unwrap(), plain.to_str().unwrap());
    let words = [
        "--numeric-owner",
        "--delay-directory-restore",
        "--xattrs",
        "--xattrs-include=*",
        "--exclude=.wh.*",
        "-C",
        root_word,
        "-xpf",
        plain_word,
    ];
    run("tar", &words, Path::new("/"));
    // What is only put into a directory does not change the time that its own entry gave it.
    for (path, (seconds, nanos)) in before {
        let told = path.strip_prefix(root).unwrap();
        if !entries.iter().any(|(entry, _)| entry == told)
            && path.symlink_metadata().is_ok_and(|m| m.is_dir())
        {
            let time = rustix::fs::Timespec { tv_sec: seconds, tv_nsec: nanos };
            let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
            rustix::fs::utimensat(rustix::fs::CWD, &path, &times, rustix::fs::AtFlags::empty()).unwrap();
        }
    }
}

fn names(dir: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(dir).into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
}

fn remove(path: &Path) {
    match path.symlink_metadata() {
        Ok(meta) if meta.is_dir() => std::fs::remove_dir_all(path).unwrap(),
        Ok(_) => std::fs::remove_file(path).unwrap(),
        Err(_) => {}
    }
}

/// An entry says all of a directory that is there already.
fn undress(dir: &Path) {
    for (name, _) in &tree::read_one(dir).xattrs {
        rustix::fs::removexattr(dir, name.as_str()).unwrap();
    }
}

/// Every directory with its time.
fn directories(root: &Path) -> Vec<(PathBuf, (i64, i64))> {
    let (mut found, mut todo) = (Vec::new(), vec![root.to_owned()]);
    while let Some(dir) = todo.pop() {
        let meta = dir.symlink_metadata().unwrap();
        found.push((dir.clone(), (meta.mtime(), meta.mtime_nsec())));
        todo.extend(names(&dir).into_iter().filter(|path| path.symlink_metadata().unwrap().is_dir()));
    }
    found
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
