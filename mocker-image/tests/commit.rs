//! `diff` and `commit`: what a container changed, seen and made a layer of.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod common;

use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use common::{PROGRAM, Place, image, tree};
use conformance::fixture::{Image, Layer};
use conformance::host::{Need, leave_mount_namespace, skip, wait_until};
use conformance::registry::Registry;
use serde_json::Value;

/// All that a container does to its files.
fn change(root: &Path) {
    std::fs::write(root.join("etc/changed"), "after").unwrap();
    std::fs::remove_file(root.join("etc/gone")).unwrap();
    std::fs::remove_dir_all(root.join("dir")).unwrap();
    std::fs::remove_dir_all(root.join("replaced")).unwrap();
    std::fs::write(root.join("replaced"), "a file now").unwrap();
    std::fs::set_permissions(root.join("mode"), PermissionsExt::from_mode(0o4711)).unwrap();
    std::fs::remove_file(root.join("link")).unwrap();
    symlink("nowhere", root.join("link")).unwrap();
    let long = root.join("n".repeat(120)).join("m".repeat(120));
    std::fs::create_dir_all(long.parent().unwrap()).unwrap();
    std::fs::write(&long, vec![7; 100_000]).unwrap();
    std::fs::hard_link(&long, root.join("hard")).unwrap();
    std::fs::write(root.join("owned"), "o").unwrap();
    chown(root.join("owned"), Some(3_000_000), Some(8)).unwrap();
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(root.join("owned"), "user.new", b"\0x\n", flags).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, root.join("fifo"), rustix::fs::FileType::Fifo, 0o600.into(), 0)
        .unwrap();
    std::fs::create_dir(root.join("proc")).unwrap();
    std::fs::write(root.join("proc/masked"), "").unwrap();
}

const CHANGES: [&str; 16] = [
    "C /etc/changed",
    "D /etc/gone",
    "D /dir",
    "C /replaced",
    "C /mode",
    "C /link",
    "A /hard",
    "A /owned",
    "A /fifo",
    "A /proc",
    "A /proc/masked",
    "C /etc",
    "A /n",
    "A /n/m",
    "",
    "",
];

struct Scene {
    registry: Registry,
    place: Place,
}

impl Scene {
    fn new(test: &str) -> Option<Self> {
        if skip(test, Need::Root) || skip(test, Need::Overlay) {
            return None;
        }
        leave_mount_namespace().unwrap();
        let registry = Registry::start().unwrap();
        registry.put("app", "v1", &image::changed().build().unwrap());
        Some(Self { registry, place: Place::new() })
    }

    fn reference(&self) -> String {
        self.registry.reference("app", "v1")
    }

    fn unpack(&self, word: &str, from: &str, name: &str) -> PathBuf {
        let dir = self.place.path(name);
        self.place.run(&["unpack", word, from, dir.to_str().unwrap()]).ok();
        dir
    }
}

#[test]
fn a_commit_is_what_the_container_made_of_the_image_for_every_kind_of_bundle() {
    let test = "a_commit_is_what_the_container_made_of_the_image_for_every_kind_of_bundle";
    let Some(scene) = Scene::new(test) else { return };
    for (word, name) in [("--copy", "copy"), ("--overlay=mounted", "mounted")] {
        let bundle = scene.unpack(word, &scene.reference(), name);
        let words = bundle.to_str().unwrap();
        assert_eq!(scene.place.run(&["diff", words]).ok(), "", "{name}");
        change(&bundle.join("rootfs"));
        let diff = scene.place.run(&["diff", words]).ok();
        let mut lines: Vec<String> = diff
            .lines()
            .map(|line| line.replace(&"n".repeat(120), "n").replace(&"m".repeat(120), "m"))
            .collect();
        lines.sort();
        let mut want: Vec<String> =
            CHANGES.iter().filter(|c| !c.is_empty()).map(|c| (*c).to_owned()).collect();
        want.sort();
        assert_eq!(lines, want, "{name}");
        let new = format!("new.example/{name}:v2");
        scene.place.run(&["commit", "-m", "words", "--author", "me", words, &new]).ok();
        let again = scene.unpack("--copy", &format!("store:{new}"), &format!("again-{name}"));
        let (mut ours, now) = (tree::read(&again.join("rootfs")), tree::read(&bundle.join("rootfs")));
        // The root's own time is no change of an image.
        ours.get_mut(Path::new("")).unwrap().mtime = now[Path::new("")].mtime;
        let found = tree::differences(&ours, &now);
        assert!(found.is_empty(), "{name}: {}", found.join("\n"));
        let config: Value =
            serde_json::from_str(&scene.place.run(&["inspect", "--config", &new]).ok()).unwrap();
        let line = config["history"].as_array().unwrap().last().unwrap().clone();
        assert_eq!((&line["comment"], &line["author"]), (&"words".into(), &"me".into()));
        assert_eq!(config["config"]["Env"][0], "A=b");
        assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap().len(), 3);
        scene.place.run(&["push", &new, &scene.registry.reference("pushed", name)]).ok();
        let json = scene.place.run(&["diff", "--json", "--mask-path", "/proc", words]).ok();
        let list: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(list.as_array().unwrap().len(), lines.len() - 2);
    }
}

#[test]
fn the_same_changes_give_the_same_layer_and_no_changes_none() {
    let Some(scene) = Scene::new("the_same_changes_give_the_same_layer_and_no_changes_none") else { return };
    let digests = ["--copy", "--overlay=mounted"].map(|word| {
        let bundle = scene.unpack(word, &scene.reference(), &word[2..6]);
        change(&bundle.join("rootfs"));
        let commit = |format: &str| {
            let mut command = scene.place.command(&["commit", "--compress", format]);
            command.arg(&bundle).arg("same.example/a:b").env("SOURCE_DATE_EPOCH", "1200000000");
            common::Outcome::from(command.output().unwrap()).ok()
        };
        let digests = [commit("zstd"), commit("gzip"), commit("gzip")];
        assert_eq!(digests[1], digests[2]);
        let manifest: Value =
            serde_json::from_str(&scene.place.run(&["manifest", "store:same.example/a:b"]).ok()).unwrap();
        assert!(manifest["layers"][2]["mediaType"].as_str().unwrap().ends_with("+gzip"));
        digests
    });
    assert_eq!(digests[0], digests[1]);
    let bundle = scene.unpack("--copy", &scene.reference(), "idle");
    let outcome = scene.place.run(&["commit", bundle.to_str().unwrap(), "same.example/idle:1"]);
    assert!(outcome.stderr.contains("nothing was changed"), "{}", outcome.stderr);
    let manifest: Value =
        serde_json::from_str(&scene.place.run(&["manifest", "store:same.example/idle:1"]).ok()).unwrap();
    assert_eq!(manifest["layers"].as_array().unwrap().len(), 2);
}

/// Changes that leave size and times as they were, and touches that change nothing.
fn disguise(root: &Path) {
    let at = |name: &str| root.join(name);
    let times = |path: &Path| {
        let stat = rustix::fs::lstat(path).unwrap();
        let time = |sec, nsec: u64| rustix::fs::Timespec { tv_sec: sec, tv_nsec: nsec.cast_signed() };
        let last_access = time(stat.st_atime, stat.st_atime_nsec);
        rustix::fs::Timestamps { last_access, last_modification: time(stat.st_mtime, stat.st_mtime_nsec) }
    };
    let again = |path: &Path, act: &dyn Fn()| {
        let before = times(path);
        act();
        let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
        rustix::fs::utimensat(rustix::fs::CWD, path, &before, flags).unwrap();
    };
    again(&at("content"), &|| std::fs::write(at("content"), "AFTER!").unwrap());
    again(&at("link"), &|| {
        std::fs::remove_file(at("link")).unwrap();
        symlink("two", at("link")).unwrap();
    });
    again(&at("noted"), &|| {
        rustix::fs::setxattr(at("noted"), "user.new", b"x", rustix::fs::XattrFlags::empty()).unwrap();
    });
    for (from, to) in [("a", "c"), ("b", "a"), ("c", "b")] {
        std::fs::rename(at(from), at(to)).unwrap();
    }
    chown(at("same"), Some(0), Some(0)).unwrap();
    std::fs::hard_link(at("linked"), at("new")).unwrap();
    let before = times(&at("copied"));
    std::fs::copy(at("copied"), at("tmp")).unwrap();
    std::fs::rename(at("tmp"), at("copied")).unwrap();
    rustix::fs::utimensat(rustix::fs::CWD, at("copied"), &before, rustix::fs::AtFlags::empty()).unwrap();
}

#[test]
fn what_hides_behind_the_same_size_and_times_is_found_and_what_was_only_touched_is_none() {
    let test = "what_hides_behind_the_same_size_and_times_is_found_and_what_was_only_touched_is_none";
    let Some(scene) = Scene::new(test) else { return };
    let layer = Layer::new().dir("./").file("content", "before").symlink("link", "one").file("noted", "x");
    let layer = layer.dir("a").file("a/x", "1").dir("b").file("b/x", "2").file("same", "x");
    let image = Image::new().layer(&layer.file("linked", "x").file("copied", "x"));
    scene.registry.put("app", "hidden", &image.build().unwrap());
    let bundle = scene.unpack("--copy", &scene.registry.reference("app", "hidden"), "bundle");
    disguise(&bundle.join("rootfs"));
    // with the list of files that the bundle was made with, and without
    for list in [true, false] {
        let diff = scene.place.run(&["diff", bundle.to_str().unwrap()]).ok();
        let lines: Vec<&str> = diff.lines().collect();
        assert_eq!(lines, ["C /a/x", "C /b/x", "C /content", "C /link", "A /new", "C /noted"], "{list}");
        assert!(std::fs::remove_file(bundle.join(".mocker/files")).is_ok() == list);
    }
}

#[test]
fn a_copy_knows_what_was_changed_without_the_images_layers() {
    let Some(scene) = Scene::new("a_copy_knows_what_was_changed_without_the_images_layers") else { return };
    let linked = Layer::new().file("first", "x").hardlink("second", "first");
    scene.registry.put("app", "v1", &image::changed().layer(&linked).build().unwrap());
    let (mut n, mut bundle) = (0, PathBuf::new());
    // Before Linux 6.13 a list that was written in the same tick of the clock as the files is in doubt of them.
    let sure = || {
        n += 1;
        bundle = scene.unpack("--copy", &scene.reference(), &format!("bundle-{n}"));
        let manifest = scene.place.run(&["manifest", &scene.reference()]).ok();
        let manifest: Value = serde_json::from_str(&manifest).unwrap();
        for layer in manifest["layers"].as_array().unwrap() {
            let path = layer["digest"].as_str().unwrap().replace(':', "/");
            std::fs::remove_file(scene.place.store().join("blobs").join(path)).unwrap();
        }
        scene.place.run(&["diff", bundle.to_str().unwrap()]).code == Some(0)
    };
    wait_until(Duration::from_secs(60), "a list that is in no doubt", sure).unwrap();
    change(&bundle.join("rootfs"));
    std::fs::remove_file(bundle.join("rootfs/second")).unwrap();
    let diff = scene.place.run(&["diff", bundle.to_str().unwrap()]).ok();
    assert!(diff.contains("D /second\n") && !diff.contains("/first"), "{diff}");
    let diff = diff.replace("D /second\n", "");
    assert_eq!(diff.lines().count(), CHANGES.iter().filter(|line| !line.is_empty()).count(), "{diff}");
}

#[test]
fn a_list_of_files_that_is_damaged_is_told_and_a_tree_that_is_too_deep_has_none() {
    let test = "a_list_of_files_that_is_damaged_is_told_and_a_tree_that_is_too_deep_has_none";
    let Some(scene) = Scene::new(test) else { return };
    let bundle = scene.unpack("--copy", &scene.reference(), "bundle");
    std::fs::write(bundle.join(".mocker/files"), "").unwrap();
    let error = scene.place.run(&["diff", bundle.to_str().unwrap()]).error();
    let step = format!("find the changes in {}: ", bundle.display());
    assert_eq!(error, step + "the bundle's list of files is damaged");
    let layer = Layer::new().file("d/".repeat(300) + "file", "x");
    scene.registry.put("app", "deep", &Image::new().layer(&layer).build().unwrap());
    let bundle = scene.unpack("--copy", &scene.registry.reference("app", "deep"), "deep");
    assert!(!bundle.join(".mocker/files").try_exists().unwrap());
    std::fs::write(bundle.join("rootfs").join("d/".repeat(300)).join("new"), "").unwrap();
    let diff = scene.place.run(&["diff", bundle.to_str().unwrap()]).ok();
    assert!(diff.starts_with("C /d/d/") && diff.ends_with("/new\n"), "{diff}");
}

#[test]
fn umoci_unpacks_what_was_repacked_into_a_layout() {
    let test = "umoci_unpacks_what_was_repacked_into_a_layout";
    let Some(scene) = Scene::new(test) else { return };
    if skip(test, Need::Program("umoci")) {
        return;
    }
    let layout = format!("oci:{}:v1", scene.place.path("layout").display());
    scene.place.run(&["copy", &scene.reference(), &layout]).ok();
    let bundle = scene.unpack("--copy", &layout, "bundle");
    change(&bundle.join("rootfs"));
    let new = layout.replace(":v1", ":v2");
    scene.place.run(&["repack", "--refresh-bundle", "--image", &new, bundle.to_str().unwrap()]).ok();
    assert_eq!(scene.place.run(&["diff", bundle.to_str().unwrap()]).ok(), "");
    let at = format!("{}:v2", scene.place.path("layout").display());
    let there = scene.place.path("umoci");
    let umoci = Command::new("umoci").args(["unpack", "--image", &at]).arg(&there).output().unwrap();
    assert!(umoci.status.success(), "{}", String::from_utf8_lossy(&umoci.stderr));
    let (mut theirs, ours) = (tree::read(&there.join("rootfs")), tree::read(&bundle.join("rootfs")));
    theirs.get_mut(Path::new("")).unwrap().mtime = ours[Path::new("")].mtime;
    let found = tree::differences(&ours, &theirs);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn an_ordinary_user_commits_with_the_owners_that_the_files_should_have() {
    let test = "an_ordinary_user_commits_with_the_owners_that_the_files_should_have";
    if skip(test, Need::Root) || skip(test, Need::Program("setpriv")) {
        return;
    }
    let registry = Registry::start().unwrap();
    let layer = Layer::new().dir("./").dir("home").owner(1000, 100).file("home/file", "x").owner(1000, 100);
    registry.put("app", "v1", &Image::new().layer(&layer).build().unwrap());
    let place = Place::new();
    let home = place.path("home");
    std::fs::create_dir(&home).unwrap();
    chown(&home, Some(65_534), Some(65_534)).unwrap();
    std::fs::set_permissions(place.path("."), PermissionsExt::from_mode(0o755)).unwrap();
    let program = home.join("mocker-image");
    std::fs::copy(PROGRAM, &program).unwrap();
    let run = |words: &[&str]| -> common::Outcome {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).arg(&program);
        command.args(["--root", home.join("store").to_str().unwrap()]).args(words).current_dir(&home);
        command.output().unwrap().into()
    };
    run(&["unpack", &registry.reference("app", "v1"), "bundle"]).ok();
    assert_eq!(run(&["diff", "bundle"]).ok(), "");
    let rootfs = home.join("bundle/rootfs");
    std::fs::write(rootfs.join("home/file"), "changed").unwrap();
    std::fs::write(rootfs.join("new"), "new").unwrap();
    chown(rootfs.join("new"), Some(65_534), Some(65_534)).unwrap();
    run(&["commit", "bundle", &format!("oci:{}:v2", home.join("layout").display())]).ok();
    let bundle = place.path("root");
    let from = format!("oci:{}:v2", home.join("layout").display());
    place.run(&["unpack", "--copy", &from, bundle.to_str().unwrap()]).ok();
    let all = tree::read(&bundle.join("rootfs"));
    let owner = |name: &str| all[Path::new(name)].owner;
    assert_eq!((owner("home"), owner("home/file"), owner("new")), ((1000, 100), (1000, 100), (0, 0)));
    assert!(all.values().all(|facts| facts.xattrs.is_empty()));
}
