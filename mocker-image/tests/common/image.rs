//! The images of all tests that look at trees. `peers.rs` has each of them unpacked by umoci and by GNU tar, too.

pub(crate) mod owner;

use std::path::Path;
use std::process::Command;

use conformance::fixture::{Image, Layer};
use serde_json::json;

use super::{quoted, sample};

/// All of them, by name; archives that GNU tar writes lie in the folder.
pub(crate) fn all(dir: &Path) -> Vec<(String, Image)> {
    let named = [
        ("small", sample::small()),
        ("large", sample::large()),
        ("everything", Image::new().layer(&everything())),
        ("replaced", replaced()),
        ("whiteouts", whiteouts()),
        ("own whiteouts", own_whiteouts()),
        ("times", times()),
        ("lists", owner::lists()),
        ("stacked", stacked()),
        ("twice", twice()),
        ("changed", changed()),
        ("authored", authored()),
        ("owned", owner::owned()),
        ("links", links()),
        ("many layers", many_layers(9)),
    ];
    let written = FORMATS.map(|format| (format.to_owned(), Image::new().layer(&written(format, dir))));
    named.into_iter().map(|(name, image)| (name.to_owned(), image)).chain(written).collect()
}

/// Every kind of entry that an archive can have.
pub(crate) fn everything() -> Layer {
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
        // One name to a file system that folds case, or composes accents: four files.
        .file("Case", "1")
        .file("case", "2")
        .file("\u{e9}", "composed")
        .file("e\u{301}", "decomposed")
}

/// Entries that delete, in every order.
pub(crate) fn whiteouts() -> Image {
    Image::new()
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
        )
}

/// A layer that adds to directories of the one below.
pub(crate) fn times() -> Image {
    Image::new()
        .layer(
            &Layer::new()
                .dir("./")
                .mtime(900_000_000)
                .dir("d")
                .mtime(1_000_000_000)
                .file("d/a", "1")
                .symlink("l", "d"),
        )
        .layer(&Layer::new().file("d/b", "2").file("l/c", "2").whiteout("d/a"))
}

/// Every kind of entry that umoci takes, some replaced.
pub(crate) fn replaced() -> Image {
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
    Image::new().layer(&base).layer(&upper)
}

/// Layers that do to those below them all that layers can do.
pub(crate) fn stacked() -> Image {
    let base = Layer::new()
        .dir("./")
        .mode(0o755)
        .mtime(1_000_000_000)
        .dir("etc")
        .mtime(1_100_000_000)
        .file("etc/plain", "plain\n")
        .owner(12, 34)
        .file("etc/gone", "x")
        .file("etc/passwd", "root:x:0:0::/:/bin/sh\napp:x:7:8::/:/bin/sh\n")
        .dir("opaque")
        .file("opaque/old", "1")
        .dir("opaque/sub")
        .file("opaque/sub/old", "1")
        .dir("dir")
        .file("dir/inside", "1")
        .symlink("link", "etc")
        .file("file", "1")
        .xattr("user.below", b"1");
    let middle = Layer::new()
        .whiteout("etc/gone")
        .hardlink("etc/hard", "etc/plain")
        .dir("opaque")
        .opaque("opaque")
        .file("opaque/new", "2")
        .file("dir", "now a file")
        .dir("file")
        .file("file/inside", "now a directory")
        .file("link/through", "2");
    let top = Layer::new()
        .dir("etc")
        .mode(0o700)
        .mtime(1_200_000_000)
        .whiteout("opaque")
        .dir("dev")
        .char_device("dev/n", 1, 3);
    Image::new().layer(&base).layer(&middle).layer(&top).user("app")
}

/// What a container then changes.
pub(crate) fn changed() -> Image {
    let base = Layer::new()
        .dir("./")
        .dir("etc")
        .mtime(1_100_000_000)
        .file("etc/kept", "kept")
        .file("etc/changed", "before")
        .file("etc/gone", "gone")
        .dir("dir")
        .file("dir/below", "x")
        .dir("replaced")
        .file("replaced/inside", "x")
        .file("mode", "x")
        .symlink("link", "etc");
    Image::new().layer(&base).layer(&Layer::new().file("top", "top")).env("A=b").cmd(["/bin/sh"])
}

/// With a history and a configuration.
pub(crate) fn authored() -> Image {
    Image::new()
        .layer(&Layer::new().dir("./").dir("etc").file("etc/a", "a").file("etc/gone", "x").owner(7, 8))
        .layer(&Layer::new().whiteout("etc/gone").file("b", "b").zstd())
        .env("A=b")
        .label("old", "label")
        .cmd(["/old"])
        .top("history", json!([{ "created_by": "one" }, { "created_by": "none", "empty_layer": true }]))
}

/// Directories where links to some stand.
pub(crate) fn links() -> Image {
    let base = Layer::new().dir("real").symlink("link", "real").symlink("broken", "nowhere");
    let top = Layer::new().dir("link").file("link/f", "f").dir("broken").file("broken/g", "g");
    Image::new().layer(&base).layer(&top)
}

/// One layer twice, and one between that deletes.
pub(crate) fn twice() -> Image {
    let layer = Layer::new().file("a", "a");
    Image::new().layer(&layer).layer(&Layer::new().whiteout("a")).layer(&layer)
}

/// Layers of a file each.
pub(crate) fn many_layers(count: usize) -> Image {
    let layers = (0..count).map(|n| Layer::new().file(format!("f{n}"), n.to_string()));
    layers.fold(Image::new(), |image, layer| image.layer(&layer))
}

/// Whiteouts of what their own layer has, before them and behind: those hide only what is below.
pub(crate) fn own_whiteouts() -> Image {
    let base = Layer::new()
        .file("before", "1")
        .file("behind", "1")
        .dir("dir")
        .file("dir/old", "1")
        .file("never", "1");
    let upper = Layer::new()
        .file("before", "2")
        .whiteout("before")
        .whiteout("behind")
        .file("behind", "2")
        .dir("dir")
        .file("dir/new", "2")
        .whiteout("dir")
        .whiteout("never");
    Image::new().layer(&base.whiteout("never")).layer(&upper)
}

/// How GNU tar writes archives.
pub(crate) const FORMATS: [&str; 6] = [
    "gnu",
    "oldgnu",
    "posix --sparse-version=0.0",
    "posix --sparse-version=0.1",
    "posix --sparse-version=1.0",
    "v7",
];

/// A long name, and `sparse`, a file with holes, written by GNU tar; v7 knows no long names.
pub(crate) fn written(format: &str, dir: &Path) -> Layer {
    let name = long_name();
    let source = dir.join("source");
    std::fs::create_dir_all(source.join(&name).parent().unwrap()).unwrap();
    std::fs::write(source.join(&name), "long\n").unwrap();
    let sparse = std::fs::File::create(source.join("sparse")).unwrap();
    for n in 0..30_u64 {
        std::os::unix::fs::FileExt::write_all_at(&sparse, b"data", n * 100_000).unwrap();
    }
    sparse.set_len(4_000_000).unwrap();
    let tar = dir.join(format!("{}.tar", format.replace(' ', "")));
    let words = if format == "v7" { "--exclude=ddd*" } else { "--sparse" };
    let script = format!("tar {words} --format={format} -C {} -cf {} .", quoted(&source), quoted(&tar));
    assert!(Command::new("sh").args(["-c", &script]).status().unwrap().success(), "{script}");
    Layer::from_tar(&tar)
}

/// Longer than a header has room for.
pub(crate) fn long_name() -> String {
    format!("{}/{}", "d".repeat(150), "f".repeat(150))
}
