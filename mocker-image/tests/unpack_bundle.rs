//! `unpack`: the bundle around the tree, and what is left of one that failed.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod common;

use std::path::Path;

use common::sample::{names, text, with};
use common::{PROGRAM, Place, image, quoted, tree};
use conformance::fixture::{Image, Layer};
use conformance::host::{Need, in_mount_namespace, skip};

#[test]
fn a_directory_that_is_not_empty_is_refused_and_left_alone() {
    with(&Image::new().layer(&Layer::new().file("a", "a")), |place, reference, registry| {
        std::fs::create_dir(place.bundle()).unwrap();
        std::fs::write(place.bundle().join("mine"), "mine").unwrap();
        let error = place.unpack(reference).error();
        assert_eq!(error, format!("unpack {reference}: directory {} is not empty", place.bundle().display()));
        assert_eq!(names(&place.bundle()), ["mine"]);
        assert_eq!(registry.requests().len(), 0);
        std::fs::remove_file(place.bundle().join("mine")).unwrap();
        place.unpack(reference).ok();
        assert_eq!(names(&place.bundle()), [".mocker", "config.json", "rootfs"]);
        let error = place.unpack(reference).error();
        assert!(error.ends_with("is not empty"), "{error}");
        assert_eq!(names(&place.bundle()), [".mocker", "config.json", "rootfs"]);
    });
}

#[test]
fn what_a_killed_unpack_left_is_cleared_away_by_the_next() {
    with(&Image::new().layer(&Layer::new().file("a", "a")), |place, reference, _| {
        std::fs::create_dir_all(place.bundle().join(".mocker-unpack/rootfs/old")).unwrap();
        std::fs::create_dir_all(place.rootfs().join("old")).unwrap();
        place.unpack(reference).ok();
        assert_eq!(names(&place.bundle()), [".mocker", "config.json", "rootfs"]);
        assert_eq!(names(&place.rootfs()), ["a"]);
    });
}

#[test]
fn a_missing_parent_of_the_bundle_is_named() {
    let place = Place::new();
    let dir = place.path("no/such/bundle");
    let error = place.run(&["unpack", "127.0.0.1:1/app", dir.to_str().unwrap()]).error();
    let want = format!(
        "unpack 127.0.0.1:1/app:latest: make the bundle {}: No such file or directory",
        dir.display()
    );
    assert_eq!(error, want);
}

#[test]
fn an_image_in_the_store_is_unpacked_without_its_registry() {
    let place = Place::new();
    let reference = with(&Image::new().layer(&Layer::new().file("a", "a")), |_, reference, _| {
        place.pull(reference).ok();
        reference.to_owned()
    });
    place.unpack(&reference).ok();
    assert_eq!(text(&place, "a"), "a");
}

#[test]
fn the_same_layer_twice_is_fetched_once_and_applied_twice() {
    with(&image::twice(), |place, reference, registry| {
        place.unpack(reference).ok();
        assert_eq!(text(place, "a"), "a");
        assert_eq!(registry.count("GET", "/blobs/"), 3);
    });
}

#[test]
fn the_configuration_follows_the_image() {
    let etc = Layer::new()
        .file("etc/passwd", "root:x:0:0::/root:/bin/sh\napp:x:1000:100::/:\n")
        .file("etc/group", "root:x:0:\nusers:x:100:\nwheel:x:10:app\n");
    let image = Image::new()
        .layer(&etc)
        .user("app")
        .entrypoint(["/bin/app"])
        .cmd(["-x"])
        .workdir("/srv")
        .env("A=b")
        .env("broken")
        .stop_signal("SIGUSR1")
        .port("80/tcp")
        .label("l", "v")
        .label("org.opencontainers.image.author", "label")
        .author("author")
        .created("2024-01-01T00:00:00Z")
        .volume("/data");
    with(&image, |place, reference, _| {
        place.unpack(reference).ok();
        let config = place.config();
        let process = &config["process"];
        assert_eq!(
            process["user"],
            serde_json::json!({"uid": 1000, "gid": 100, "additionalGids": [10, 100]})
        );
        assert_eq!(process["args"], serde_json::json!(["/bin/app", "-x"]));
        assert_eq!(process["cwd"], "/srv");
        assert_eq!(process["env"][0], "A=b");
        assert_eq!(process["env"].as_array().unwrap().len(), 3);
        let annotations = &config["annotations"];
        assert_eq!(annotations["org.opencontainers.image.author"], "label");
        assert_eq!(annotations["org.opencontainers.image.created"], "2024-01-01T00:00:00Z");
        assert_eq!(annotations["org.opencontainers.image.stopSignal"], "SIGUSR1");
        assert_eq!(annotations["org.opencontainers.image.exposedPorts"], "80/tcp");
        assert_eq!(annotations["l"], "v");
        assert_eq!(config["mounts"].as_array().unwrap().last().unwrap()["destination"], "/data");
        assert_eq!(config["root"], serde_json::json!({"path": "rootfs", "readonly": false}));
    });
}

#[test]
fn a_user_that_the_image_does_not_have_or_hides_is_an_error() {
    let link = Layer::new().symlink("etc/passwd", "/proc/self/environ");
    let fifo = Layer::new().fifo("etc/passwd");
    for (layer, why) in [
        (
            Layer::new().file("etc/passwd", "root:x:0:0::/:\n"),
            "user \"app\" of the image: \"app\" is not in the image's /etc/passwd",
        ),
        (Layer::new(), "\"app\" is not in the image's /etc/passwd"),
        (link, "\"app\" is not in the image's /etc/passwd"),
        (fifo, "read the image's /etc/passwd: is not a regular file"),
    ] {
        with(&Image::new().layer(&layer).user("app"), |place, reference, _| {
            let error = place.unpack(reference).error();
            assert!(error.ends_with(why), "{error}");
            place.assert_nothing_left();
        });
    }
}

#[test]
fn a_full_disk_under_the_bundle_leaves_nothing() {
    if skip("a_full_disk_under_the_bundle_leaves_nothing", Need::Root) {
        return;
    }
    // one that the extractor writes itself, and many that are finished beside it
    let small = (0..200).fold(Layer::new(), |layer, n| layer.file(format!("small-{n}"), vec![7; 2000]));
    for (layer, entry) in [(Layer::new().file("big", vec![7; 400_000]), "\"big\""), (small, "\"small-")] {
        with(&Image::new().layer(&layer), |place, reference, _| {
            let dir = place.path("mount");
            std::fs::create_dir(&dir).unwrap();
            let (mount, store) = (quoted(&dir), quoted(&place.store()));
            let script = format!(
                "mount -t tmpfs -o size=100k none {mount} && {PROGRAM} --root {store} unpack --copy {reference} {mount}/b; \
             code=$?; ls -A {mount}; exit $code"
            );
            let outcome: common::Outcome =
                in_mount_namespace("sh").args(["-c", &script]).output().unwrap().into();
            assert_eq!(outcome.stdout, "");
            let error = outcome.error();
            assert!(error.ends_with(": write: No space left on device"), "{error}");
            assert_eq!(error.matches(&format!("entry {entry}")).count(), 1, "{error}");
            assert_eq!(error.matches("entry").count(), 1, "{error}");
            place.assert_nothing_left();
        });
    }
}

#[test]
fn an_ordinary_user_unpacks_what_becomes_their_own() {
    let test = "an_ordinary_user_unpacks_what_becomes_their_own";
    if skip(test, Need::Root) || skip(test, Need::Program("setpriv")) {
        return;
    }
    let layer = Layer::new()
        .file("owned", "x")
        .owner(12, 34)
        .mode(0o4755)
        .char_device("dev/null", 1, 3)
        .dir("closed")
        .mode(0)
        .file("closed/a", "a")
        .mode(0)
        .fifo("pipe");
    let above = Layer::new().file("closed/b", "b").whiteout("closed/a");
    with(&Image::new().layer(&layer).layer(&above), |place, reference, _| {
        let program = place.path("mocker-image");
        std::fs::copy(PROGRAM, &program).unwrap();
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(place.path("."), open).unwrap();
        let mut command = std::process::Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&program);
        command.arg("--root").arg(place.store()).args(["unpack", "--copy", reference]).arg(place.bundle());
        common::Outcome::from(command.output().unwrap()).ok();
        let all = tree::read(&place.rootfs());
        assert!(all.values().all(|facts| facts.owner == (65534, 65534)));
        assert_eq!(all[Path::new("dev/null")].kind, "file");
        assert_eq!(all[Path::new("owned")].mode, 0o104_755);
        assert_eq!(names(&place.rootfs().join("closed")), ["b"]);
        let linux = &place.config()["linux"];
        assert_eq!(linux["uidMappings"][0]["hostID"], 65534);
        let kinds: Vec<_> =
            linux["namespaces"].as_array().unwrap().iter().map(|n| n["type"].clone()).collect();
        assert!(kinds.contains(&"user".into()) && !kinds.contains(&"network".into()));
    });
}
