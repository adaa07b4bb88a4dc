//! Our trees against umoci's, entry by entry, for images that skopeo fetched from the same registry.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod common;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Place, image, tree};
use conformance::debian;
use conformance::fixture::Artifact;
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

/// Images that umoci does not unpack, and why.
const NOT_FOR_UMOCI: [(&str, &str); 2] =
    [("gnu", "it knows no sparse files of GNU's own format"), ("oldgnu", "nor of the one before")];

/// Where umoci's tree is another one than GNU tar's and ours, and why.
const UMOCI_DIFFERS: [(&str, &str, &str); 5] = [
    ("everything", "", "a directory that no entry names changes the time of the one it is made in"),
    ("lists", "given", "the same"),
    ("lists", "given/implied", "and gets the list that the one above gives"),
    ("whiteouts", "b/sub", "a whiteout changes the time of directories below its own"),
    ("own whiteouts", "dir", "the same"),
];

/// Unpacks with umoci, GNU tar and here, and tells what differs; beside it, how many entries there are.
fn compare(registry: &DockerRegistry, name: &str, artifact: &Artifact) -> (usize, Vec<String>) {
    registry.put("app", "v1", artifact).unwrap();
    let reference = registry.reference("app", "v1");
    let place = Place::new();
    place.unpack(&reference).ok();
    let ours = tree::read(&place.rootfs());
    let dir = place.path("peers");
    std::fs::create_dir(&dir).unwrap();
    let mut found = Vec::new();
    let told = told(artifact);
    let mut against = |peer: &str, root: &Path| {
        let mut theirs = tree::read(root);
        // Where no entry says a directory's time it is anyone's.
        for (path, facts) in theirs.iter_mut().filter(|(path, _)| !told.contains(*path)) {
            facts.mtime = ours.get(path).map_or(facts.mtime, |our| our.mtime);
        }
        let lines = tree::differences(&ours, &theirs);
        let known = |line: &String| {
            let at = |path: &str| line.starts_with(&format!("{path}:"));
            peer == "umoci" && UMOCI_DIFFERS.iter().any(|(image, path, _)| *image == name && at(path))
        };
        let lines = lines.into_iter().filter(|line| !known(line));
        found.extend(lines.map(|line| format!("{name}: {peer}: {line}")));
    };
    if !NOT_FOR_UMOCI.iter().any(|(other, _)| *other == name) {
        let from = format!("docker://{reference}");
        // umoci knows no zstd.
        let gzip = ["--dest-compress", "--dest-compress-format", "gzip"];
        run(
            "skopeo",
            &[&["copy", "--src-tls-verify=false"], &gzip[..], &[&from, "oci:image:v1"]].concat(),
            &dir,
        );
        run("umoci", &["unpack", "--image", "image:v1", "bundle"], &dir);
        against("umoci", &dir.join("bundle/rootfs"));
    }
    let root = place.path("tar");
    std::fs::create_dir(&root).unwrap();
    std::fs::set_permissions(&root, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    artifact.layer_digests().iter().for_each(|digest| apply(artifact, digest, &root));
    against("GNU tar", &root);
    (ours.len(), found)
}

/// A layer as a plain file, with its entries: the path, and whether it is a directory.
fn entries(artifact: &Artifact, digest: &str, plain: &Path) -> Vec<(PathBuf, bool)> {
    let (_, blob) = artifact.blobs.iter().find(|(held, _)| held.as_str() == digest).unwrap();
    let mut packed = BufReader::new(blob.open().unwrap());
    let mut unpacked: Box<dyn Read> = match packed.fill_buf().unwrap() {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(packed)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Box::new(zstd::Decoder::with_buffer(packed).unwrap()),
        _ => Box::new(packed),
    };
    std::io::copy(&mut unpacked, &mut std::fs::File::create(plain).unwrap()).unwrap();
    let mut archive = tar::Archive::new(std::fs::File::open(plain).unwrap());
    let entries = archive.entries().unwrap().map(|entry| {
        let entry = entry.unwrap();
        let path = entry.path().unwrap().components().filter(|c| c.as_os_str() != ".").collect();
        (path, entry.header().entry_type().is_dir())
    });
    entries.collect()
}

/// The paths that entries of any layer name.
fn told(artifact: &Artifact) -> BTreeSet<PathBuf> {
    let dir = tempfile::tempdir().unwrap();
    let of = |digest: &String| entries(artifact, digest, &dir.path().join("plain"));
    artifact.layer_digests().iter().flat_map(of).map(|(path, _)| path).collect()
}

/// Applies one layer as GNU tar would, if it knew of whiteouts.
fn apply(artifact: &Artifact, digest: &str, root: &Path) {
    let plain = root.with_extension("plain");
    let entries = entries(artifact, digest, &plain);
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
        "--acls",
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
fn the_tree_of_every_image_of_these_tests_is_umocis_and_gnu_tars() {
    if lacks_peers("the_tree_of_every_image_of_these_tests_is_umocis_and_gnu_tars") {
        return;
    }
    let (registry, dir) = (DockerRegistry::start().unwrap(), tempfile::tempdir().unwrap());
    let mut found = Vec::new();
    let docker = ("replaced, docker".to_owned(), image::replaced().docker());
    for (name, image) in image::all(dir.path()).into_iter().chain([docker]) {
        let (entries, lines) = compare(&registry, &name, &image.build().unwrap());
        assert!(entries > 1, "{name}");
        found.extend(lines);
    }
    assert!(found.is_empty(), "{} differences:\n{}", found.len(), found.join("\n"));
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
    let registry = DockerRegistry::start().unwrap();
    let (entries, found) = compare(&registry, "debian", &debian::changed().unwrap().build().unwrap());
    assert!(found.is_empty(), "{} differences:\n{}", found.len(), found.join("\n"));
    assert!(entries > 5_000);
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
