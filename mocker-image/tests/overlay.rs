//! `unpack --overlay`: layers that bundles share, who keeps them, and what a container changed.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod common;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{Outcome, Place, files, image, tree};
use conformance::fixture::{Artifact, Image, Layer};
use conformance::host::{Need, leave_mount_namespace, skip, wait_until};
use conformance::registry::{Fault, Registry};
use serde_json::Value;

struct Scene {
    registry: Registry,
    artifact: Artifact,
    place: Place,
}

impl Scene {
    /// In a mount namespace of this thread's own.
    fn new(test: &str) -> Option<Self> {
        if skip(test, Need::Root) || skip(test, Need::Overlay) {
            return None;
        }
        leave_mount_namespace().unwrap();
        let registry = Registry::start().unwrap();
        let artifact = image::stacked().build().unwrap();
        registry.put("app", "v1", &artifact);
        Some(Self { registry, artifact, place: Place::new() })
    }

    fn reference(&self) -> String {
        self.registry.reference("app", "v1")
    }

    fn unpack(&self, words: &[&str], from: &str, name: &str) -> Outcome {
        let dir = self.place.path(name);
        self.place.run(&[&["unpack"], words, &[from, dir.to_str().unwrap()]].concat())
    }

    fn mounted(&self, name: &str) {
        self.unpack(&["--overlay=mounted"], &self.reference(), name).ok();
    }

    fn remove(&self, name: &str) -> Outcome {
        self.place.run(&["remove", self.place.path(name).to_str().unwrap()])
    }

    fn layers(&self) -> usize {
        std::fs::read_dir(self.place.store().join("layers")).unwrap().count()
    }
}

/// What is only one's own: which paths are one file, and the directories' own extras of the kernel.
fn differences(ours: &Path, theirs: &Path) -> Vec<String> {
    tree::differences(&tree::read(ours), &tree::read(theirs))
}

#[test]
fn an_overlays_tree_is_the_copys_tree() {
    let Some(scene) = Scene::new("an_overlays_tree_is_the_copys_tree") else { return };
    scene.unpack(&["--copy"], &scene.reference(), "copy").ok();
    scene.mounted("mounted");
    let (copy, mounted) = (scene.place.path("copy/rootfs"), scene.place.path("mounted/rootfs"));
    let found = differences(&mounted, &copy);
    assert!(found.is_empty(), "{}", found.join("\n"));
    assert_eq!(scene.layers(), 3);
    let config = |name: &str| -> Value {
        serde_json::from_slice(&std::fs::read(scene.place.path(name).join("config.json")).unwrap()).unwrap()
    };
    assert_eq!(config("mounted"), config("copy"));
    assert_eq!(config("copy")["process"]["user"]["uid"], 7);
    // From another place the same layers are taken.
    let layout = format!("oci:{}:v1", scene.place.path("layout").display());
    scene.place.run(&["copy", &scene.reference(), &layout]).ok();
    scene.unpack(&["--overlay=mounted"], &layout, "third").ok();
    assert!(differences(&scene.place.path("third/rootfs"), &copy).is_empty());
    assert_eq!(scene.layers(), 3);
}

#[test]
fn an_overlay_for_the_runtime_is_a_mount_at_the_root_and_an_empty_directory() {
    let test = "an_overlay_for_the_runtime_is_a_mount_at_the_root_and_an_empty_directory";
    let Some(scene) = Scene::new(test) else { return };
    let outcome = scene.unpack(&["--overlay", "--read-only"], &scene.reference(), "b");
    assert!(
        outcome.stderr.contains("an overlay on the store's layers, which mocker-runtime mounts"),
        "{}",
        outcome.stderr
    );
    let bundle = scene.place.path("b");
    let config: Value = serde_json::from_slice(&std::fs::read(bundle.join("config.json")).unwrap()).unwrap();
    let mount = &config["mounts"][0];
    assert_eq!((&mount["destination"], &mount["type"]), (&Value::from("/"), &Value::from("overlay")));
    let options: Vec<&str> =
        mount["options"].as_array().unwrap().iter().map(|o| o.as_str().unwrap()).collect();
    assert_eq!(options.iter().filter(|o| o.starts_with("lowerdir+=/")).count(), 3);
    assert_eq!(options[3..], ["upperdir=.mocker/upper", "workdir=.mocker/work"]);
    assert_eq!(config["root"], serde_json::json!({ "path": "rootfs", "readonly": true }));
    assert_eq!(std::fs::read_dir(bundle.join("rootfs")).unwrap().count(), 0);
    // The second one asks nobody for anything.
    scene.registry.forget_requests();
    scene.unpack(&["--overlay"], &scene.reference(), "c").ok();
    assert_eq!(scene.registry.requests().len(), 0);
}

#[test]
fn a_bundle_keeps_its_layers_from_gc_and_gives_them_back_when_it_goes() {
    let test = "a_bundle_keeps_its_layers_from_gc_and_gives_them_back_when_it_goes";
    let Some(scene) = Scene::new(test) else { return };
    scene.mounted("b");
    scene.place.run(&["remove", &scene.reference()]).ok();
    scene.place.run(&["gc"]).ok();
    assert_eq!(scene.layers(), 3);
    assert_eq!(std::fs::read(scene.place.path("b/rootfs/etc/plain")).unwrap(), b"plain\n");
    scene.place.run(&["verify"]).ok();
    scene.remove("b").ok();
    assert!(scene.place.path("b").symlink_metadata().is_err());
    scene.place.run(&["gc"]).ok();
    assert_eq!(scene.layers(), 0);
    scene.place.assert_nothing_left();
    // One that somebody moved keeps its layers wherever it is, and gives them back from there.
    scene.unpack(&["--overlay"], &scene.reference(), "b").ok();
    scene.place.run(&["remove", &scene.reference()]).ok();
    std::fs::create_dir(scene.place.path("away")).unwrap();
    std::fs::rename(scene.place.path("b"), scene.place.path("away/moved")).unwrap();
    scene.place.run(&["gc"]).ok();
    assert_eq!(scene.layers(), 3);
    scene.place.run(&["diff", scene.place.path("away/moved").to_str().unwrap()]).ok();
    scene.remove("away/moved").ok();
    scene.place.run(&["gc"]).ok();
    scene.place.assert_nothing_left();
    let error = scene.remove("nothing").error();
    assert!(error.ends_with("nothing is not a bundle that mocker-image made"), "{error}");
}

/// The names of the store's records of bundles.
fn records(scene: &Scene) -> Vec<String> {
    common::sample::names(&scene.place.store().join("bundles"))
}

#[test]
fn a_bundle_on_another_file_system_keeps_its_layers_and_one_that_is_gone_does_for_a_month() {
    let test = "a_bundle_on_another_file_system_keeps_its_layers_and_one_that_is_gone_does_for_a_month";
    let Some(scene) = Scene::new(test) else { return };
    let other = scene.place.path("other");
    std::fs::create_dir(&other).unwrap();
    let sh = |script: &str| {
        let status = Command::new("sh").args(["-ec", script]).current_dir(scene.place.path(".")).status();
        assert!(status.unwrap().success(), "{script}");
    };
    let gc = |words: &[&str]| scene.place.run(&[&["gc"], words].concat());
    sh("mount -t tmpfs none other");
    // Moved, and not found any more.
    scene.unpack(&["--overlay"], &scene.reference(), "b").ok();
    scene.place.run(&["remove", &scene.reference()]).ok();
    sh("mv b other/b");
    let told = gc(&[]).stderr;
    let bundle = scene.place.path("b").display().to_string();
    assert!(
        told.contains(&format!("for bundles that are not where they were made, {bundle}, in case")),
        "{told}"
    );
    assert_eq!((scene.layers(), records(&scene)[0].starts_with("missing-")), (3, true));
    // Found by the first command that looks at it, it is a bundle like any other.
    scene.place.run(&["diff", other.join("b").to_str().unwrap()]).ok();
    assert_eq!((gc(&[]).stderr, scene.layers()), (String::new(), 3));
    scene.remove("other/b").ok();
    gc(&[]).ok();
    scene.place.assert_nothing_left();
    // Removed by hand: nobody can tell, so it is said, until a month is over or somebody says more.
    let removed = || {
        scene.unpack(&["--overlay"], &scene.reference(), "b").ok();
        scene.place.run(&["remove", &scene.reference()]).ok();
        sh("rm -r b");
        let json: Value = serde_json::from_str(&gc(&["--json"]).ok()).unwrap();
        assert_eq!((&json["missing"][0], json["kept"].as_u64() > Some(10)), (&Value::from(&*bundle), true));
        assert_eq!(scene.layers(), 3);
    };
    for end in [&["gc", "--forget-missing"][..], &["remove", &bundle]] {
        removed();
        scene.place.run(end).ok();
        gc(&[]).ok();
        scene.place.assert_nothing_left();
    }
    for (days, layers) in [(29, 3), (31, 0)] {
        removed();
        sh(&format!("touch -d '{days} days ago' store/bundles/*"));
        gc(&[]).ok();
        assert_eq!(scene.layers(), layers, "{days}");
    }
    scene.place.assert_nothing_left();
    // What a killed unpack was about to make keeps nothing.
    scene.unpack(&["--overlay"], &scene.reference(), "b").ok();
    scene.place.run(&["remove", &scene.reference()]).ok();
    sh("rm -r b; mv store/bundles/$(ls store/bundles) store/bundles/new-$(ls store/bundles)");
    assert_eq!(gc(&[]).stderr, "");
    scene.place.assert_nothing_left();
    sh("umount other");
}

#[test]
fn a_killed_unpack_leaves_no_half_of_a_layer() {
    let Some(scene) = Scene::new("a_killed_unpack_leaves_no_half_of_a_layer") else { return };
    let noise: Vec<u8> = (0..300_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let image =
        Image::new().layer(&Layer::new().file("a", "a")).layer(&Layer::new().file("noise", noise).plain());
    let image = image.build().unwrap();
    scene.registry.put("app", "v1", &image);
    scene.registry.fault(format!("blobs/{}", image.layer_digests()[1]), Fault::Stall(600_000));
    let bundle = scene.place.path("b");
    let mut unpack =
        scene.place.command(&["unpack", "--overlay", &scene.reference(), bundle.to_str().unwrap()]);
    let mut unpack = unpack.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let layers = scene.place.store().join("layers");
    let begun = || {
        files(&layers).iter().any(|f| f.ends_with("noise") && f.metadata().is_ok_and(|m| m.len() > 100_000))
    };
    wait_until(Duration::from_secs(30), "a part of the layer", begun).unwrap();
    unpack.kill().unwrap();
    unpack.wait().unwrap();
    scene.registry.clear_faults();
    scene.unpack(&["--overlay=mounted"], &scene.reference(), "b").ok();
    assert_eq!(std::fs::metadata(scene.place.path("b/rootfs/noise")).unwrap().len(), 1_200_000);
    assert_eq!(scene.layers(), 2);
    let bad = Layer::new().file("bad", "bad");
    let wrong = Image::new().layer(&bad).lie(conformance::fixture::Lie::DiffId(0)).build().unwrap();
    scene.registry.put("app", "wrong", &wrong);
    let error = scene.unpack(&["--overlay"], &scene.registry.reference("app", "wrong"), "w").error();
    assert!(error.contains("but its diffID is"), "{error}");
    assert_eq!(scene.layers(), 2);
    assert_eq!(scene.artifact.layer_digests().len(), 3);
}

#[test]
fn root_shares_layers_unless_it_says_copy_and_our_runtime_runs_the_bundle() {
    let test = "root_shares_layers_unless_it_says_copy_and_our_runtime_runs_the_bundle";
    let Some(mut scene) = Scene::new(test) else { return };
    let Some(runtime) = conformance::host::find_program("mocker-runtime") else {
        return conformance::host::count_skip(test, "mocker-runtime");
    };
    let Some(busybox) = conformance::host::on_path("busybox") else {
        return assert!(skip(test, Need::Program("busybox")));
    };
    let base = Layer::new().dir("./").dir("bin").file("bin/sh", std::fs::read(busybox).unwrap()).mode(0o755);
    let image = Image::new()
        .layer(&base.dir("proc").dir("dev").dir("sys").file("old", "old"))
        .layer(&Layer::new().file("kept", "kept\n"))
        .cmd(["/bin/sh", "-c", "echo new >/new && read x </kept && echo $x && echo other >/old"]);
    scene.artifact = image.build().unwrap();
    scene.registry.put("app", "v1", &scene.artifact);
    let outcome = scene.unpack(&[], &scene.reference(), "b");
    assert!(outcome.stderr.contains("an overlay on the store's layers"), "{}", outcome.stderr);
    let bundle = scene.place.path("b");
    let config = bundle.join("config.json");
    let text = std::fs::read_to_string(&config).unwrap().replace("\"terminal\": true", "\"terminal\": false");
    std::fs::write(&config, text).unwrap();
    let mut run = std::process::Command::new(runtime);
    run.arg("--root").arg(scene.place.path("run")).args(["run", "--bundle"]).arg(&bundle).arg("overlay-test");
    let ran = run.output().unwrap();
    assert_eq!(String::from_utf8_lossy(&ran.stdout), "kept\n", "{ran:?}");
    assert_eq!(std::fs::read(bundle.join(".mocker/upper/new")).unwrap(), b"new\n");
    scene.unpack(&[], &scene.reference(), "c").ok();
    scene.mounted("d");
    assert_eq!(std::fs::read(scene.place.path("d/rootfs/old")).unwrap(), b"old");
    scene.remove("b").ok();
}
