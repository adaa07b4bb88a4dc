//! `unpack`: the tree that layers make, the configuration, and that nothing ever leaves the root.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod common;

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use common::sample::{names, text, with};
use common::{image, tree};
use conformance::fixture::{Image, Layer};
use conformance::host::{Need, skip};

#[test]
fn every_kind_of_entry_is_made_with_its_owner_mode_time_and_attributes() {
    if skip("every_kind_of_entry_is_made_with_its_owner_mode_time_and_attributes", Need::Root) {
        return;
    }
    with(&Image::new().layer(&image::everything()), |place, reference, _| {
        place.unpack(reference).ok();
        let all = tree::read(&place.rootfs());
        let at = |name: &str| all.get(Path::new(name)).unwrap_or_else(|| panic!("no {name}"));
        assert_eq!((at("").mode, at("").mtime), (0o040_755, (1_000_000_000, 0)));
        assert_eq!(at("etc").mtime, (1_100_000_000, 0));
        assert_eq!((at("etc/plain").mode, at("etc/plain").owner), (0o100_640, (12, 34)));
        assert_eq!((at("bin/setuid").mode, at("bin/setgid").mode), (0o104_755, 0o102_755));
        assert_eq!((at("bin/owned").mode, at("bin/owned").owner), (0o106_711, (7, 8)));
        assert_eq!((at("group").mode, at("group").owner), (0o042_775, (0, 8)));
        assert_eq!((at("group/in").owner, at("group/below").owner), ((0, 0), (0, 0)));
        assert_eq!(at("group/below").mode, 0o040_755);
        assert_eq!(at("tmp").mode, 0o041_777);
        assert_eq!((at("etc/link").content.as_str(), at("etc/link").owner), ("/etc/plain", (1, 2)));
        assert_eq!(at("etc/link").mtime, (1_300_000_000, 0));
        assert_eq!(at("etc/plain").same_as, at("etc/hard").same_as);
        assert_eq!(at("etc/link").same_as, at("etc/hard-link").same_as);
        assert_eq!((at("dev/null").kind, at("dev/null").mode), ("character device", 0o020_666));
        assert_eq!(at("dev/null").device, rustix::fs::makedev(1, 3));
        assert_eq!((at("dev/loop").kind, at("dev/loop").owner), ("block device", (0, 6)));
        assert_eq!(at("run/pipe").kind, "fifo");
        assert_eq!(at("attrs").xattrs[1], ("user.mocker".to_owned(), b"\0value\n".to_vec()));
        assert_eq!(at("attrs").xattrs[0].0, "security.capability");
        assert_eq!(at("long-target").content.len(), 300);
        assert_eq!(at("closed").mode, 0o040_000);
        let texts = ["Case", "case", "\u{e9}", "e\u{301}"].map(|name| text(place, name));
        assert_eq!(texts, ["1", "2", "composed", "decomposed"]);
        assert_eq!(at("big").size, 400_000);
        assert_eq!(text(place, &format!("long/{}/{}", "d".repeat(120), "f".repeat(200))), "long\n");
    });
}

#[test]
fn hundreds_of_small_files_are_whole_though_later_entries_link_replace_and_hide_them() {
    let test = "hundreds_of_small_files_are_whole_though_later_entries_link_replace_and_hide_them";
    if skip(test, Need::Root) {
        return;
    }
    let file = |layer: Layer, n: usize| layer.file(format!("d/{n}"), format!("first {n}"));
    let mut one = (0..300).fold(Layer::new(), file).hardlink("d/linked", "d/299");
    // still in the same batch as what they replace
    one = one.file("d/298", "second").symlink("d/297", "nowhere").file("d/empty", "");
    let two = Layer::new().file("d/1", "upper").whiteout("d/2").hardlink("d/lower", "d/3");
    with(&Image::new().layer(&one).layer(&two), |place, reference, _| {
        place.unpack(reference).ok();
        for n in (3..297).chain([0, 299]) {
            assert_eq!(text(place, &format!("d/{n}")), format!("first {n}"));
        }
        let read = ["d/linked", "d/298", "d/empty", "d/1", "d/lower"].map(|name| text(place, name));
        assert_eq!(read, ["first 299", "second", "", "upper", "first 3"]);
        assert!(!place.rootfs().join("d/2").try_exists().unwrap());
        let all = tree::read(&place.rootfs());
        assert_eq!(all[Path::new("d/297")].kind, "symlink");
        assert!((3..297).all(|n| all[Path::new(&format!("d/{n}"))].mtime == all[Path::new("d/empty")].mtime));
    });
}

#[test]
fn gnu_names_and_pax_names_and_gnu_tars_sparse_files_come_out_alike() {
    if skip("gnu_names_and_pax_names_and_gnu_tars_sparse_files_come_out_alike", Need::Program("tar")) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let name = image::long_name();
    for format in image::FORMATS {
        let layer = image::written(format, dir.path());
        with(&Image::new().layer(&layer), |place, reference, _| {
            place.unpack(reference).ok();
            if format != "v7" {
                assert_eq!(text(place, &name), "long\n", "{format}");
                let meta = place.rootfs().join("sparse").metadata().unwrap();
                assert_eq!(meta.len(), 4_000_000, "{format}");
                assert!(meta.blocks() * 512 < 500_000, "{format}: {} blocks", meta.blocks());
            }
            let ours = std::fs::read(place.rootfs().join("sparse")).unwrap();
            assert!(ours == std::fs::read(dir.path().join("source/sparse")).unwrap(), "{format}");
        });
    }
}

#[test]
fn whiteouts_and_opaque_directories_hide_what_is_below_and_nothing_else() {
    with(&image::whiteouts(), |place, reference, _| {
        place.unpack(reference).ok();
        let root = place.rootfs();
        assert_eq!(names(&root), ["a", "b", "c", "d", "e", "f"]);
        assert_eq!(names(&root.join("a")), ["kept"]);
        assert_eq!(names(&root.join("b")), ["new", "sub"]);
        assert_eq!(names(&root.join("b/sub")), ["new"]);
        assert_eq!(names(&root.join("c")), ["inside"]);
        assert_eq!(text(place, "d"), "now a file");
        assert!(root.join("e").symlink_metadata().unwrap().is_dir());
        assert_eq!(names(&root.join("f")), Vec::<String>::new());
    });
}

#[test]
fn a_layer_that_adds_to_a_directory_keeps_the_directorys_own_time() {
    with(&image::times(), |place, reference, _| {
        place.unpack(reference).ok();
        assert_eq!(names(&place.rootfs().join("d")), ["b", "c"]);
        assert_eq!(place.rootfs().join("d").metadata().unwrap().mtime(), 1_000_000_000);
        assert_eq!(place.rootfs().metadata().unwrap().mtime(), 900_000_000);
    });
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table of attacks")]
fn an_entry_that_climbs_out_is_refused_by_name_and_nothing_outside_is_touched() {
    let outside = tempfile::tempdir().unwrap();
    let victim = outside.path().join("victim");
    std::fs::write(&victim, "untouched").unwrap();
    let out = outside.path().to_str().unwrap();
    let up = "../".repeat(20);
    let climbing = |target: &str| format!("{up}{}", target.trim_start_matches('/'));
    for (what, layer, entry, why) in [
        (
            "..",
            Layer::new().file("../evil", "x"),
            "\"../evil\"",
            "climbs out of the root file system with `..`",
        ),
        (".. inside", Layer::new().file("a/../../evil", "x"), "\"a/../../evil\"", "climbs out"),
        (
            ".. to a victim",
            Layer::new().file(climbing(victim.to_str().unwrap()), "x"),
            "victim\"",
            "climbs out",
        ),
        ("directory", Layer::new().dir("a/.."), "\"a/..\"", "climbs out"),
        (
            "absolute symlink",
            Layer::new().symlink("out", out).file("out/victim", "x"),
            "\"out/victim\"",
            "climbs through the link \"out\", which leads nowhere in the image",
        ),
        (
            "relative symlink",
            Layer::new().symlink("out", climbing(out)).file("out/victim", "x"),
            "\"out/victim\"",
            "climbs through the link",
        ),
        (
            "hardlink",
            Layer::new().hardlink("hard", climbing(victim.to_str().unwrap())).file("hard", "x"),
            "\"hard\"",
            "climbs out",
        ),
        (
            "absolute hardlink",
            Layer::new().hardlink("hard", victim.to_str().unwrap()),
            "\"hard\"",
            "is not in the image",
        ),
        (
            "hardlink through a symlink",
            Layer::new().symlink("out", out).hardlink("hard", "out/victim"),
            "\"hard\"",
            "is not in the image",
        ),
        (
            "whiteout of ..",
            Layer::new().dir("a").file("a/.wh...", ""),
            "\"a/.wh...\"",
            "is a whiteout of no file's name",
        ),
        ("whiteout of .", Layer::new().file(".wh..", ""), "\".wh..\"", "is a whiteout of no file's name"),
        (
            "root",
            Layer::new().symlink("./", out),
            "\"./\"",
            "would replace the root file system's own directory",
        ),
    ] {
        with(&Image::new().layer(&layer), |place, reference, _| {
            let error = place.unpack(reference).error();
            assert!(error.starts_with(&format!("unpack {reference}: layer sha256:")), "{what}: {error}");
            assert!(error.contains(entry) && error.contains(why), "{what}: {error}");
            place.assert_nothing_left();
        });
        assert_eq!(std::fs::read(&victim).unwrap(), b"untouched", "{what}");
        assert_eq!(names(outside.path()), ["victim"], "{what}");
    }
}

#[test]
fn links_planted_by_an_earlier_layer_lead_nowhere_but_inside() {
    let outside = tempfile::tempdir().unwrap();
    let victim = outside.path().join("victim");
    std::fs::write(&victim, "untouched").unwrap();
    let out = outside.path().to_str().unwrap();
    let inside = out.trim_start_matches('/');
    let planted = Layer::new()
        .dir(inside)
        .symlink("abs", out)
        .symlink("up", format!("{}{inside}", "../".repeat(30)))
        .symlink("file", victim.to_str().unwrap())
        .symlink("dir", out);
    let hiding = Layer::new().opaque("up").file("up/four", "4");
    let used = Layer::new()
        .file("abs/one", "1")
        .file("up/two", "2")
        .file("file", "replaced")
        .dir("dir/")
        .file("dir/three", "3")
        .whiteout("abs/victim");
    with(&Image::new().layer(&planted).layer(&used).layer(&hiding), |place, reference, _| {
        place.unpack(reference).ok();
        assert_eq!(names(&place.rootfs().join(inside)), ["four"]);
        assert_eq!(text(place, "file"), "replaced");
        assert_eq!(names(&place.rootfs().join("dir")), ["three"]);
    });
    assert_eq!(std::fs::read(&victim).unwrap(), b"untouched");
    assert_eq!(names(outside.path()), ["victim"]);
}

#[test]
fn archives_that_are_broken_are_refused() {
    let whole = vec![b'x'; 700];
    for (raw, why) in [
        (whole.clone(), "the archive has a header whose checksum is wrong"),
        (whole[..100].to_vec(), "the archive ends in the middle of an entry"),
    ] {
        with(&Image::new().layer(&Layer::raw(raw)), |place, reference, _| {
            let error = place.unpack(reference).error();
            assert!(error.ends_with(why), "{error}");
            place.assert_nothing_left();
        });
    }
}
