//! Published holes of other image tools, and their kin, as attacks: each works on a tool without the defence.
//! SECURITY.md has the table; a doc comment here says where the attack was seen to work.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod common;

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use common::Place;
use common::sample::{names, serving, text, with};
use conformance::fixture::{Image, Layer};
use conformance::registry::Registry;
use serde_json::json;

/// One header block, right in all but what its caller wants wrong.
fn header(name: &str, kind: u8, size: usize) -> Vec<u8> {
    let mut block = vec![0_u8; 512];
    block[..name.len()].copy_from_slice(name.as_bytes());
    block[100..108].copy_from_slice(b"0000644\0");
    block[108..116].copy_from_slice(b"0000000\0");
    block[116..124].copy_from_slice(b"0000000\0");
    block[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
    block[136..148].copy_from_slice(b"00000000000\0");
    block[148..156].copy_from_slice(b"        ");
    block[156] = kind;
    block[257..265].copy_from_slice(b"ustar\x0000");
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

/// A header with its content, filled up to a block.
fn entry(name: &str, kind: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = header(name, kind, content.len());
    bytes.extend(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

/// An extended header with one record.
fn pax(key: &str, value: &str) -> Vec<u8> {
    let rest = format!(" {key}={value}\n");
    let length = (1..9)
        .map(|digits| rest.len() + digits)
        .find(|length| length.to_string().len() + rest.len() == *length);
    entry("pax", b'x', format!("{}{rest}", length.unwrap()).as_bytes())
}

/// CVE-2025-62518, CVE-2025-59825, RUSTSEC-2026-0112 and GHSA-3cv2-h65g-fgmm of the tokio-tars, CVE-2026-33055 and
/// GHSA-3pv8-6f4r-ffg2 of tar: readers that disagree on where an entry ends see other entries than were checked. The
/// rules are those of Go's reader, which all other image tools share. Seen to work on tar 0.4.44 (a size too large), and here on
/// two extended headers in a row and on GNU's names beside PAX's.
#[test]
fn contradicting_headers_hide_and_show_no_entry() {
    let inner = entry("smuggled", b'0', b"evil");
    let size = inner.len().to_string();
    let last = entry("last", b'0', b"x");
    for (what, archive, want) in [
        // the header says nothing, the record 1024: what follows is content
        (
            "a size of 0",
            vec![pax("size", &size), header("outer", b'0', 0), inner.clone(), last.clone()],
            &["last", "outer"][..],
        ),
        // the header says more than the record: what follows is an entry
        (
            "a size too large",
            vec![pax("size", "0"), header("outer", b'0', 1024), inner.clone(), last.clone()],
            &["last", "outer", "smuggled"],
        ),
        // a record is about the file, not about the long name between
        (
            "a long name between",
            vec![
                pax("size", &size),
                entry("././@LongLink", b'L', b"outer\0"),
                header("short", b'0', 0),
                inner.clone(),
                last.clone(),
            ],
            &["last", "outer"],
        ),
        (
            "a long name before",
            vec![
                entry("././@LongLink", b'L', b"outer\0"),
                pax("path", "smuggled"),
                header("short", b'0', 4),
                b"evil".to_vec(),
                vec![0; 508],
                last.clone(),
            ],
            &["last", "outer"],
        ),
        // a link has no content, whatever it says
        (
            "a link with a size",
            vec![pax("size", &size), header("outer", b'5', 0), inner.clone(), last.clone()],
            &["last", "outer", "smuggled"],
        ),
        ("a global record", vec![entry("g", b'g', b"13 path=evil\n"), last.clone()], &["last"]),
        (
            "two headers",
            vec![pax("path", "smuggled"), pax("mtime", "1"), header("outer", b'0', 0), last.clone()],
            &["last", "outer"],
        ),
        ("an empty path", vec![pax("path", ""), header("outer", b'0', 0), last.clone()], &["last", "outer"]),
    ] {
        let archive = [archive.concat(), vec![0; 1024]].concat();
        with(&Image::new().layer(&Layer::raw(archive)), |place, reference, _| {
            place.unpack(reference).ok();
            assert_eq!(names(&place.rootfs()), want, "{what}");
        });
    }
}

/// CVE-2026-32766 of astral-tokio-tar: what is malformed is passed by.
#[test]
fn malformed_extended_headers_are_refused_not_passed_by() {
    for record in
        [&b"99 path=a\n"[..], b"x path=a\n", b"7 path\n", b"11 size=-1\n", b"13 size=0x10\n", b"12 path=a/b"]
    {
        let archive = [entry("pax", b'x', record), entry("last", b'0', b"x"), vec![0; 1024]].concat();
        with(&Image::new().layer(&Layer::raw(archive)), |place, reference, _| {
            let error = place.unpack(reference).error();
            assert!(
                error.contains("in a PAX header") || error.contains("a PAX header is malformed"),
                "{error}"
            );
            place.assert_nothing_left();
        });
    }
}

/// CVE-2018-20990, CVE-2021-38511 and CVE-2026-33056 of tar, RUSTSEC-2026-0113 of astral-tokio-tar, CVE-2021-29136 of umoci,
/// CVE-2021-32760 of containerd: an entry through a link changes the mode, owner, times or content of what lies outside.
/// Seen to work on tar 0.4.44, which gave the directory outside the mode of the entry.
#[test]
fn what_an_archive_gives_to_a_link_reaches_nothing_outside() {
    let outside = tempfile::tempdir().unwrap();
    let victim = outside.path().join("victim");
    std::fs::write(&victim, "untouched").unwrap();
    for (path, mode) in [(outside.path(), 0o700), (&*victim, 0o600)] {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    }
    let seen = || {
        let all = [outside.path(), &victim].map(|path| path.metadata().unwrap());
        all.map(|meta| (meta.mode(), meta.uid(), meta.mtime(), meta.ctime(), meta.ctime_nsec(), meta.nlink()))
    };
    let before = seen();
    let (out, file) = (outside.path().to_str().unwrap(), victim.to_str().unwrap());
    let planted = Layer::new()
        .symlink("dir", out)
        .symlink("file", file)
        .symlink("up", "../".repeat(20))
        .symlink("top", "..");
    let open = |layer: Layer| layer.mode(0o4777).owner(1, 1).mtime(1);
    for used in [
        open(Layer::new().dir("dir/")),
        open(Layer::new().dir("dir")).file("dir/victim", "evil"),
        open(Layer::new().file("file", "evil")),
        open(Layer::new().fifo("file")),
        open(Layer::new().symlink("file", file)),
        open(Layer::new().hardlink("hard", "file")).file("hard", "evil"),
        Layer::new().symlink("link", out).opaque("link").whiteout("link/victim"),
    ] {
        with(&Image::new().layer(&planted).layer(&used), |place, reference, _| {
            place.unpack(reference);
        });
        assert_eq!(seen(), before);
        assert_eq!(std::fs::read(&victim).unwrap(), b"untouched");
    }
    // And directories that the archive forgot are made nowhere else.
    for path in ["top/exploit/foo/bar", "up/exploit/foo/bar"] {
        with(&Image::new().layer(&planted.clone().file(path, "evil")), |place, reference, _| {
            place.unpack(reference);
            let made = [place.path("exploit"), "/exploit".into()].map(|path| path.symlink_metadata().is_ok());
            assert_eq!(made, [false; 2], "{path}");
        });
    }
}

/// What an image says of its process is for the process: CVE-2026-57231 of podman (an entry of Env without a value took the
/// host's), CVE-2026-53488 of containerd (a label became a command of the host's), CVE-2019-16884 of runc and
/// CVE-2022-23648 of containerd (volumes over /proc, or beside the root). Seen to work here for labels, with which an
/// image had the runtime write any file of the host, and for volumes.
#[test]
fn an_image_has_no_say_on_the_host() {
    let image = Image::new()
        .layer(&Layer::new().file("a", "a"))
        .env("MOCKER_SECRET")
        .env("=x")
        .label("run.oci.hooks.stdout", "/etc/cron.d/evil")
        .label("org.systemd.property.ExecStop", "evil")
        .label("org.criu.config", "/evil")
        .label("cdi.k8s.io/x", "evil")
        .label("plain", "kept");
    with(&image, |place, reference, _| {
        let mut command = place.command(&["unpack", "--copy", reference]);
        common::Outcome::from(
            command.arg(place.bundle()).env("MOCKER_SECRET", "of the host").output().unwrap(),
        )
        .ok();
        let config = place.config();
        assert!(!config["process"].to_string().contains("MOCKER_SECRET"), "{}", config["process"]);
        let annotations = config["annotations"].as_object().unwrap();
        let strange: Vec<_> =
            annotations.keys().filter(|name| !name.starts_with("org.opencontainers.image.")).collect();
        assert_eq!(strange, ["plain"]);
    });
    for (volume, why) in [
        ("/proc", "lies inside /proc or /sys"),
        ("proc/sys", "lies inside /proc or /sys"),
        ("/./sys/", "lies inside /proc or /sys"),
        ("/data/../proc", "climbs with `..`"),
        ("../../etc", "climbs with `..`"),
    ] {
        with(&Image::new().layer(&Layer::new().file("a", "a")).volume(volume), |place, reference, _| {
            let error = place.unpack(reference).error();
            assert!(error.ends_with(&format!("the image's volume {volume:?} {why}")), "{error}");
            place.assert_nothing_left();
        });
    }
}

/// CVE-2016-3697 of runc, CVE-2024-40635 and CVE-2026-46680 of containerd: a number that is too large is looked up as a name, or
/// wraps round, and gives root. CVE-2022-36109 of moby, CVE-2023-25173 of containerd: the process is not in its own group.
/// Seen to work here for the name and for the group.
#[test]
fn a_user_of_an_image_is_that_user_in_its_group_or_an_error() {
    let etc = Layer::new()
        .file(
            "etc/passwd",
            "root:x:0:0::/:\n4294967296:x:0:0::/:\n99999999999:x:0:0::/:\napp:x:1000:100::/:\n",
        )
        .file("etc/group", "root:x:0:\n4294967296:x:0:\n");
    for user in
        ["4294967296", "99999999999", "4294967295", "app:4294967296", "1000:4294967295", "-1", "4294967296:0"]
    {
        with(&Image::new().layer(&etc).user(user), |place, reference, _| {
            let error = place.unpack(reference).error();
            assert!(
                error.contains("is not a number from 0 to 4294967294")
                    || error.contains("is not in the image's"),
                "{user}: {error}"
            );
            place.assert_nothing_left();
        });
    }
    for (user, want) in [
        ("app", json!({"uid": 1000, "gid": 100, "additionalGids": [100]})),
        (
            "2147483648:2147483649",
            json!({"uid": 2_147_483_648_u32, "gid": 2_147_483_649_u32, "additionalGids": [2_147_483_649_u32]}),
        ),
    ] {
        with(&Image::new().layer(&etc).user(user), |place, reference, _| {
            place.unpack(reference).ok();
            assert_eq!(place.config()["process"]["user"], want);
        });
    }
}

/// CVE-2024-9676 of containers/storage, CVE-2026-47262 and GHSA-mjcv-p78q-w5fw of containerd: the image's passwd or group is a link
/// to the host's, a fifo, a device, or has no end.
#[test]
fn passwd_and_group_of_an_image_are_its_own_files_and_small() {
    let outside = tempfile::tempdir().unwrap();
    let passwd = outside.path().join("passwd");
    std::fs::write(&passwd, "app:x:7:7::/:\n").unwrap();
    let up = format!("{}{}", "../".repeat(20), passwd.display());
    let absent = "\"app\" is not in the image's /etc/passwd";
    for (layer, why) in [
        (Layer::new().symlink("etc/passwd", passwd.to_str().unwrap()), absent),
        (Layer::new().symlink("etc/passwd", up), absent),
        (Layer::new().symlink("etc/passwd", "/proc/self/environ"), absent),
        (Layer::new().fifo("etc/passwd"), "is not a regular file"),
        (Layer::new().file("etc/passwd", "app:x:7:7::/:\n").fifo("etc/group"), "is not a regular file"),
        (Layer::new().dir("etc/passwd"), "is not a regular file"),
        (Layer::new().file("etc/passwd", vec![b'\n'; (16 << 20) + 1]), "is larger than 16777216 bytes"),
        (
            Layer::new().file("etc/passwd", "app:x:7:7::/:\n").file("etc/group", vec![b'\n'; (16 << 20) + 1]),
            "is larger than 16777216 bytes",
        ),
    ] {
        with(&Image::new().layer(&layer).user("app"), |place, reference, _| {
            let error = place.unpack(reference).error();
            assert!(error.ends_with(why), "{error}");
            place.assert_nothing_left();
        });
    }
}

/// CVE-2020-15157 of containerd: a layer that the manifest says is elsewhere is asked for there, with the credentials. Nobody
/// is asked but the registry.
#[test]
fn an_address_in_a_manifest_is_not_asked() {
    let thief = Registry::start().unwrap();
    let artifact = Image::new().layer(&Layer::new().file("a", "a")).build().unwrap();
    let mut manifest = artifact.json();
    manifest["layers"][0]["urls"] = json!([format!("http://{}/v2/app/blobs/x", thief.address())]);
    let media_type = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
    for foreign in [false, true] {
        if foreign {
            manifest["layers"][0]["mediaType"] = json!(media_type);
        }
        let registry = serving(&artifact);
        registry.require(conformance::registry::Auth::Basic("user".to_owned(), "secret".to_owned()));
        put_manifest(&registry, &manifest);
        Place::new().run(&["pull", "--creds", "user:secret", &registry.reference("app", "evil")]).ok();
        assert!(registry.count("GET", "/blobs/") >= 2);
    }
    assert_eq!(thief.requests().len(), 0);
}

/// CVE-2024-3727 of containers/image: a digest is a path, or none at all.
#[test]
fn a_digest_that_is_none_names_no_file_and_no_address() {
    let artifact = Image::new().layer(&Layer::new().file("a", "a")).build().unwrap();
    for digest in [
        "sha256:../../../../etc/passwd",
        "../../evil",
        "sha256:",
        "",
        "md5:d41d8cd98f00b204e9800998ecf8427e",
        "sha256:E3B0C442",
    ] {
        for place in ["/layers/0/digest", "/config/digest"] {
            let mut manifest = artifact.json();
            *manifest.pointer_mut(place).unwrap() = json!(digest);
            let registry = serving(&artifact);
            put_manifest(&registry, &manifest);
            registry.forget_requests();
            let here = Place::new();
            here.pull(&registry.reference("app", "evil")).error();
            assert!(registry.count("GET", "/blobs/") == 0, "{digest}");
            here.assert_nothing_left();
        }
    }
}

/// The registry's `app:evil` is this manifest.
fn put_manifest(registry: &Registry, manifest: &serde_json::Value) {
    let media_type = manifest["mediaType"].as_str().unwrap_or("application/vnd.oci.image.manifest.v1+json");
    registry.put("app", "evil", &conformance::fixture::Artifact::raw(media_type, manifest.to_string()));
}

/// CVE-2021-20291 of containers/storage (a layer that is no archive was waited for for ever).
#[test]
fn a_layer_that_is_no_archive_is_an_error_at_once() {
    for bytes in [vec![b'x'; 4096], vec![0; 100], b"\x1f\x8b".to_vec(), vec![0xff; 512]] {
        with(&Image::new().layer(&Layer::raw(bytes)), |place, reference, _| {
            place.unpack(reference).error();
            place.assert_nothing_left();
        });
    }
    // Nothing at all is an archive of nothing, as for tar(1).
    with(
        &Image::new().layer(&Layer::raw(Vec::new())).layer(&Layer::new().file("a", "a")),
        |place, reference, _| {
            place.unpack(reference).ok();
            assert_eq!(text(place, "a"), "a");
        },
    );
}

/// CVE-2023-25153 of containerd: a document of any size is read into memory.
#[test]
fn a_document_is_read_up_to_its_limit() {
    let text = format!("{{\"schemaVersion\":2,\"x\":\"{}\"}}", "x".repeat(4 << 20));
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let registry = serving(&conformance::fixture::Artifact::raw(media_type, text));
    let place = Place::new();
    let error = place.pull(&registry.reference("app", "v1")).error();
    assert!(error.ends_with("is larger than 4194304 bytes"), "{error}");
    place.assert_nothing_left();
}
