//! The store's own commands: `tag`, `remove`, `gc`, `verify`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod common;

use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

use common::{Outcome, Place, files};
use conformance::fixture::{Artifact, Image, Layer};
use conformance::host::wait_until;
use conformance::registry::{Fault, Registry};
use serde_json::{Value, json};

/// Two images that share their lower layer, both pulled.
struct Scene {
    registry: Registry,
    images: [Artifact; 2],
    place: Place,
}

impl Scene {
    fn new() -> Self {
        let registry = Registry::start().unwrap();
        let base = Image::new().layer(&Layer::new().file("base", "base"));
        let images = ["one", "two"].map(|name| {
            let image = base.clone().layer(&Layer::new().file(name, name)).build().unwrap();
            registry.put("app", name, &image);
            image
        });
        let scene = Self { registry, images, place: Place::new() };
        scene.place.pull(&scene.one()).ok();
        scene.place.pull(&scene.two()).ok();
        scene
    }

    fn one(&self) -> String {
        self.registry.reference("app", "one")
    }

    fn two(&self) -> String {
        self.registry.reference("app", "two")
    }

    fn run(&self, words: &[&str]) -> Outcome {
        self.place.run(words)
    }

    fn names(&self) -> Vec<String> {
        let list: Value = serde_json::from_str(&self.run(&["list", "--json"]).ok()).unwrap();
        let name =
            |image: &Value| format!("{}:{}", image["name"].as_str().unwrap(), image["tag"].as_str().unwrap());
        list.as_array().unwrap().iter().map(name).collect()
    }

    fn blob(&self, digest: &str) -> PathBuf {
        self.place.store().join("blobs").join(digest.replace(':', "/"))
    }

    fn blobs(&self) -> usize {
        files(&self.place.store().join("blobs")).len()
    }

    /// A pull of one more image that stops in the middle of its second layer.
    fn stalled(&self) -> Child {
        let image = Image::new()
            .layer(&Layer::new().file("base", "base"))
            .layer(&Layer::new().file("three", vec![b'3'; 300_000]).plain())
            .build()
            .unwrap();
        self.registry.put("app", "three", &image);
        self.registry.fault(format!("blobs/{}", image.layer_digests()[1]), Fault::Stall(100_000));
        let reference = self.registry.reference("app", "three");
        let mut pull = self.place.command(&["pull", &reference]);
        let child = pull.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let partial = self.place.store().join("partial");
        let arrived = || files(&partial).iter().any(|file| file.metadata().is_ok_and(|m| m.len() == 100_000));
        wait_until(Duration::from_secs(30), "100,000 bytes of the layer", arrived).unwrap();
        child
    }
}

#[test]
fn a_tag_is_one_more_name_that_needs_no_registry() {
    let scene = Scene::new();
    scene.registry.forget_requests();
    scene.run(&["tag", &scene.one(), "own:v1"]).ok();
    assert!(scene.names().contains(&"docker.io/library/own:v1".to_owned()));
    scene.place.unpack("own:v1").ok();
    assert_eq!(std::fs::read(scene.place.rootfs().join("one")).unwrap(), b"one");
    assert_eq!(scene.registry.requests().len(), 0);
    scene.run(&["tag", &scene.two(), "own:v1"]).ok();
    scene.run(&["remove", &scene.one(), &scene.two()]).ok();
    assert_eq!(scene.names(), ["docker.io/library/own:v1"]);
    std::fs::remove_dir_all(scene.place.bundle()).unwrap();
    scene.place.unpack("own:v1").ok();
    assert_eq!(std::fs::read(scene.place.rootfs().join("two")).unwrap(), b"two");
}

#[test]
fn what_cannot_be_tagged_is_told() {
    let scene = Scene::new();
    let none = scene.registry.reference("app", "none");
    let error = scene.run(&["tag", &none, "own:v1"]).error();
    let want = format!("tag {none} as own:v1: there is no such image in the store");
    assert_eq!(error, want);
    let name = format!("docker.io/library/own@{}", scene.images[0].digest);
    let error = scene.run(&["tag", &scene.one(), &name]).error();
    assert_eq!(error, format!("tag {} as {name}: a new name has a tag, not a digest", scene.one()));
}

#[test]
fn remove_takes_what_only_that_image_needs() {
    let scene = Scene::new();
    // manifest, config and upper layer of each, and the lower layer of both
    assert_eq!(scene.blobs(), 7);
    let outcome = scene.run(&["remove", &scene.one()]);
    assert_eq!(outcome.code, Some(0));
    assert!(outcome.stderr.starts_with(&format!("removed {}\nfreed ", scene.one())), "{}", outcome.stderr);
    assert!(outcome.stderr.ends_with(" in 3 files\n"), "{}", outcome.stderr);
    assert_eq!((scene.names(), scene.blobs()), (vec![scene.two()], 4));
    scene.run(&["verify"]).ok();
    scene.registry.forget_requests();
    scene.place.unpack(&scene.two()).ok();
    assert_eq!(scene.registry.requests().len(), 0);
    scene.run(&["rmi", &scene.two()]).ok();
    assert_eq!(files(&scene.place.store().join("blobs")), Vec::<PathBuf>::new());
}

#[test]
fn with_one_unknown_name_nothing_is_removed() {
    let scene = Scene::new();
    let none = scene.registry.reference("app", "none");
    let error = scene.run(&["rm", &scene.one(), &none]).error();
    assert_eq!(error, format!("remove {none}: there is no such image in the store"));
    assert_eq!((scene.names().len(), scene.blobs()), (2, 7));
}

#[test]
fn gc_takes_what_killed_programs_left_and_nothing_that_a_name_needs() {
    let scene = Scene::new();
    assert_eq!(scene.run(&["gc"]).ok(), "freed 0 B in 0 files\n");
    let mut pull = scene.stalled();
    pull.kill().unwrap();
    pull.wait().unwrap();
    // Its manifest and its config; the half of its layer; the lower layer belongs to others, too.
    let freed: Value = serde_json::from_str(&scene.run(&["gc", "--json"]).ok()).unwrap();
    assert_eq!(freed["files"], 3);
    assert!(freed["bytes"].as_u64().unwrap() > 100_000);
    assert_eq!((scene.names().len(), scene.blobs()), (2, 7));
    assert_eq!(files(&scene.place.store().join("partial")), Vec::<PathBuf>::new());
    scene.run(&["verify"]).ok();
}

#[test]
fn beside_a_running_pull_gc_frees_nothing_and_remove_only_the_name() {
    let scene = Scene::new();
    let mut pull = scene.stalled();
    let before = scene.blobs();
    let error = scene.run(&["gc"]).error();
    let store = scene.place.store();
    let busy = format!("another program works in the store {}", store.display());
    assert_eq!(error, format!("free what no image needs: {busy}"));
    let outcome = scene.run(&["remove", &scene.one(), &scene.two()]);
    assert_eq!(outcome.code, Some(0));
    let want = format!("{busy}: `mocker-image gc` will free what no image needs\n");
    assert!(outcome.stderr.ends_with(&want), "{}", outcome.stderr);
    assert_eq!((scene.names().len(), scene.blobs()), (0, before));
    pull.kill().unwrap();
    pull.wait().unwrap();
    scene.run(&["gc"]).ok();
    assert_eq!(scene.blobs(), 0);
}

#[test]
fn verify_names_every_blob_that_is_bad_or_missing_and_who_needs_it() {
    let scene = Scene::new();
    assert_eq!(scene.run(&["verify"]).ok(), "all 7 blobs are what their digests say\n");
    let [shared, own] = [0, 1].map(|n| scene.images[0].layer_digests()[n].clone());
    let mut bytes = std::fs::read(scene.blob(&shared)).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(scene.blob(&shared), bytes).unwrap();
    std::fs::remove_file(scene.blob(&own)).unwrap();
    let stray = scene.place.store().join("blobs/sha256/stray");
    std::fs::write(&stray, "x").unwrap();
    let outcome = scene.run(&["verify"]);
    let (one, two) = (scene.one(), scene.two());
    for line in [
        format!("{shared} has other content than its digest says (it hashes to sha256:"),
        format!(") ({one}, {two})\n"),
        format!("{own} is missing ({one})\n"),
        format!("{} has no digest for a name (no image needs it)\n", stray.display()),
    ] {
        assert!(outcome.stdout.contains(&line), "{line} in {}", outcome.stdout);
    }
    let store = scene.place.store();
    assert_eq!(outcome.error(), format!("verify the store {}: 3 blobs are bad or missing", store.display()));
    let outcome = scene.run(&["verify", "--json"]);
    let verdict: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!((outcome.code, &verdict["blobs"]), (Some(1), &json!(7)));
    assert_eq!(verdict["bad"].as_array().unwrap().len(), 3);
    // As the hint says.
    scene.run(&["remove", &one, &two]).ok();
    scene.place.pull(&one).ok();
    scene.run(&["verify"]).ok();
}
