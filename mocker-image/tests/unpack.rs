//! `unpack`: the tree that layers make, the configuration, and that nothing ever leaves the root.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod common;

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use common::sample::{names, text, with};
use common::{quoted, tree};
use conformance::fixture::{Image, Layer};
use conformance::host::{Need, skip};

/// Every kind of entry that an archive can have.
fn everything() -> Layer {
    let long = format!("long/{}/{}", "d".repeat(120), "f".repeat(200));
    Layer::new()
        .dir("./")
        .mode(0o755)
        .mtime(1_000_000_000)
        .dir("etc/")
        .mtime(1_100_000_000)
        .file("etc/plain", "plain\n")
        .mode(0o640)
        .owner(12, 34)
        .mtime(1_200_000_000)
        .file("bin/setuid", "s")
        .mode(0o4755)
        .file("bin/setgid", "s")
        .mode(0o2755)
        .owner(0, 5)
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
        .mtime(1_300_000_000)
        .symlink("etc/dangling", "../../../../nowhere")
        .hardlink("etc/hard", "etc/plain")
        .hardlink("etc/hard-link", "/etc/link")
        .fifo("run/pipe")
        .mode(0o600)
        .char_device("dev/null", 1, 3)
        .mode(0o666)
        .block_device("dev/loop", 7, 0)
        .mode(0o660)
        .owner(0, 6)
        .file("attrs", "x")
        .xattr("user.mocker", b"\0value\n")
        .xattr("security.capability", b"\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0")
        .file(&long, "long\n")
        .mtime(1_400_000_000)
        .symlink("long-target", "t".repeat(300))
        .file("read-only/sub/file", "implied parents\n")
        .dir("closed")
        .mode(0o000)
        .file("closed/inside", "x")
        .mode(0o000)
        .file("empty", "")
        .file("big", vec![b'x'; 400_000])
        .file("odd \u{1}\u{fffd} name", "x")
}

#[test]
fn every_kind_of_entry_is_made_with_its_owner_mode_time_and_attributes() {
    if skip("every_kind_of_entry_is_made_with_its_owner_mode_time_and_attributes", Need::Root) {
        return;
    }
    with(&Image::new().layer(&everything()), |place, reference, _| {
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
        assert_eq!(at("big").size, 400_000);
        assert_eq!(text(place, &format!("long/{}/{}", "d".repeat(120), "f".repeat(200))), "long\n");
    });
}

#[test]
fn gnu_names_and_pax_names_and_gnu_tars_sparse_files_come_out_alike() {
    if skip("gnu_names_and_pax_names_and_gnu_tars_sparse_files_come_out_alike", Need::Program("tar")) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let name = format!("{}/{}", "d".repeat(150), "f".repeat(150));
    let source = dir.path().join("source");
    std::fs::create_dir_all(source.join(&name).parent().unwrap()).unwrap();
    std::fs::write(source.join(&name), "long\n").unwrap();
    let sparse = std::fs::File::create(source.join("sparse")).unwrap();
    for n in 0..30_u64 {
        std::os::unix::fs::FileExt::write_all_at(&sparse, b"data", n * 1_000_000).unwrap();
    }
    sparse.set_len(40_000_000).unwrap();
    for format in [
        "gnu",
        "oldgnu",
        "posix --sparse-version=0.0",
        "posix --sparse-version=0.1",
        "posix --sparse-version=1.0",
        "v7",
    ] {
        let tar = dir.path().join("layer.tar");
        let long = if format == "v7" { "--exclude=ddd*" } else { "--exclude=none" };
        let script =
            format!("tar --sparse --format={format} {long} -C {} -cf {} .", quoted(&source), quoted(&tar));
        let made = std::process::Command::new("sh").args(["-c", &script]).status().unwrap();
        assert!(made.success() || format == "v7", "{script}");
        with(&Image::new().layer(&Layer::from_tar(&tar)), |place, reference, _| {
            place.unpack(reference).ok();
            if format != "v7" {
                assert_eq!(text(place, &name), "long\n", "{format}");
                let meta = place.rootfs().join("sparse").metadata().unwrap();
                assert_eq!(meta.len(), 40_000_000, "{format}");
                assert!(meta.blocks() * 512 < 1_000_000, "{format}: {} blocks", meta.blocks());
            }
            let ours = std::fs::read(place.rootfs().join("sparse")).unwrap();
            assert!(ours == std::fs::read(source.join("sparse")).unwrap(), "{format}");
        });
    }
}

#[test]
fn whiteouts_and_opaque_directories_hide_what_is_below_and_nothing_else() {
    let image = Image::new()
        .layer(
            &Layer::new()
                .file("a/old", "1")
                .file("a/kept", "1")
                .dir("b/sub")
                .file("b/sub/old", "1")
                .file("b/old", "1")
                .file("c", "1")
                .dir("d")
                .file("d/x", "1")
                .symlink("e", "d")
                .file("f/g/h", "1")
                .whiteout("c"),
        )
        .layer(
            &Layer::new()
                .whiteout("a/old")
                .whiteout("nothing/here")
                .file("b/sub/new", "2")
                .opaque("b")
                .file("b/new", "2")
                .dir("c")
                .file("c/inside", "2")
                .file("d", "now a file")
                .dir("e")
                .whiteout("f/g")
                .file(".wh..wh.plnk", "x"),
        );
    with(&image, |place, reference, _| {
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
    let image = Image::new()
        .layer(
            &Layer::new()
                .dir("./")
                .mtime(900_000_000)
                .dir("d")
                .mtime(1_000_000_000)
                .file("d/a", "1")
                .symlink("l", "d"),
        )
        .layer(&Layer::new().file("d/b", "2").file("l/c", "2").whiteout("d/a"));
    with(&image, |place, reference, _| {
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
