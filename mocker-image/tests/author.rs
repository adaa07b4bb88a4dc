//! Images that are made and changed: `config`, `append`, `insert`, `new`, `import`, `export`, `flatten`, `rebase`, `stat`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod common;

use std::path::Path;
use std::process::Command;

use common::{Place, image, tree};
use conformance::fixture::{Image, Layer};
use conformance::host::{Need, skip};
use conformance::registry::Registry;
use serde_json::{Value, json};

/// `made.example/app:v1` in a store.
fn stored() -> (Place, Registry) {
    let registry = Registry::start().unwrap();
    registry.put("app", "v1", &image::authored().build().unwrap());
    let place = Place::new();
    place.run(&["copy", &registry.reference("app", "v1"), "store:made.example/app:v1"]).ok();
    (place, registry)
}

fn json_of(place: &Place, words: &[&str]) -> Value {
    serde_json::from_str(&place.run(words).ok()).unwrap()
}

fn unpacked(
    place: &Place,
    from: &str,
    name: &str,
) -> std::collections::BTreeMap<std::path::PathBuf, tree::Facts> {
    let dir = place.path(name);
    place.run(&["unpack", "--copy", from, dir.to_str().unwrap()]).ok();
    tree::read(&dir.join("rootfs"))
}

#[test]
fn a_configuration_is_changed_in_what_was_said_and_in_nothing_else() {
    let (place, _registry) = stored();
    let words = [
        "config",
        "made.example/app:v1",
        "--tag",
        "made.example/app:v2",
        "--clear",
        "labels",
        "--entrypoint",
        "/e",
        "--entrypoint",
        "-x",
        "--env",
        "A=c",
        "--env",
        "B=d",
        "--label",
        "k=v",
        "--user",
        "7:8",
        "--workdir",
        "/w",
        "--volume",
        "/v",
        "--exposed-port",
        "80/tcp",
        "--annotation",
        "org.x=y",
        "--image-author",
        "me",
        "--history.comment",
        "words",
        "--stop-signal",
        "SIGUSR1",
    ];
    place.run(&words).ok();
    let config = json_of(&place, &["inspect", "--config", "made.example/app:v2"]);
    let want = json!({ "Env": ["A=c", "B=d"], "Labels": { "k": "v" }, "Cmd": ["/old"], "Entrypoint": ["/e", "-x"],
        "User": "7:8", "WorkingDir": "/w", "Volumes": { "/v": {} }, "ExposedPorts": { "80/tcp": {} },
        "StopSignal": "SIGUSR1" });
    assert_eq!((&config["config"], &config["author"]), (&want, &json!("me")));
    assert_eq!(config["history"][2]["comment"], "words");
    let manifest = json_of(&place, &["manifest", "store:made.example/app:v2"]);
    assert_eq!(manifest["annotations"], json!({ "org.x": "y" }));
    let before = json_of(&place, &["manifest", "store:made.example/app:v1"]);
    assert_eq!(manifest["layers"], before["layers"]);
    // umoci's words, in place.
    place
        .run(&[
            "config",
            "--image",
            "store:made.example/app:v2",
            "--config.user",
            "9",
            "--clear",
            "config.env",
        ])
        .ok();
    let config = json_of(&place, &["inspect", "--config", "made.example/app:v2"]);
    assert_eq!((&config["config"]["User"], config["config"].get("Env")), (&json!("9"), None));
}

#[test]
fn files_archives_and_whiteouts_become_layers() {
    let (place, _registry) = stored();
    let folder = place.path("folder");
    std::fs::create_dir_all(folder.join("sub")).unwrap();
    std::fs::write(folder.join("sub/file"), "inserted").unwrap();
    let run = |words: &[&str]| place.run(&[words, &["--image", "made.example/app:v1"]].concat());
    run(&["insert", folder.to_str().unwrap(), "/etc/put"]).ok();
    run(&["insert", "--whiteout", "/b"]).ok();
    let tar = place.path("layer.tar.gz");
    let made =
        Command::new("tar").args(["-czf"]).arg(&tar).arg("-C").arg(&folder).arg("sub").status().unwrap();
    assert!(made.success());
    run(&["raw", "add-layer", tar.to_str().unwrap()]).ok();
    run(&["append", "--compress", "zstd", tar.to_str().unwrap(), "-t", "made.example/app:v3"]).ok();
    let all = unpacked(&place, "store:made.example/app:v1", "b");
    let has = |name: &str| all.contains_key(Path::new(name));
    assert!(has("etc/put/sub/file") && has("sub/file") && has("etc/a") && !has("b") && !has("etc/gone"));
    let manifest = json_of(&place, &["manifest", "store:made.example/app:v3"]);
    assert!(manifest["layers"][5]["mediaType"].as_str().unwrap().ends_with("+zstd"));
    let stat = json_of(&place, &["stat", "--json", "made.example/app:v1"]);
    let lines = stat["history"].as_array().unwrap();
    assert_eq!(lines[0]["layer"]["digest"], manifest["layers"][0]["digest"]);
    assert_eq!((&lines[1]["empty_layer"], &lines[1]["layer"]), (&json!(true), &Value::Null));
    assert!(place.run(&["stat", "made.example/app:v1"]).ok().starts_with("LAYER "));
    let error = run(&["insert", folder.to_str().unwrap(), "/../x"]).error();
    assert!(error.ends_with("the path in the image names nothing below its root"), "{error}");
}

#[test]
fn an_image_is_flattened_exported_and_imported_without_a_change_to_its_tree() {
    if skip("an_image_is_flattened_exported_and_imported_without_a_change_to_its_tree", Need::Root) {
        return;
    }
    let (place, _registry) = stored();
    let want = unpacked(&place, "store:made.example/app:v1", "want");
    place.run(&["flatten", "made.example/app:v1", "-t", "made.example/flat:v1"]).ok();
    assert_eq!(
        json_of(&place, &["manifest", "store:made.example/flat:v1"])["layers"].as_array().unwrap().len(),
        1
    );
    let got = unpacked(&place, "store:made.example/flat:v1", "flat");
    assert!(tree::differences(&got, &want).is_empty(), "{:?}", tree::differences(&got, &want));
    let tar = place.path("root.tar");
    place.run(&["export", "store:made.example/app:v1", tar.to_str().unwrap()]).ok();
    let out = place.command(&["export", "made.example/app:v1"]).output().unwrap();
    assert!(out.stdout == std::fs::read(&tar).unwrap());
    let layout = format!("oci:{}:v1", place.path("layout").display());
    place.run(&["import", tar.to_str().unwrap(), &layout]).ok();
    let got = unpacked(&place, &layout, "imported");
    assert!(tree::differences(&got, &want).is_empty(), "{:?}", tree::differences(&got, &want));
    // GNU tar reads the archive as it was meant.
    let there = place.path("tar");
    std::fs::create_dir(&there).unwrap();
    let words = ["--xattrs", "--same-owner", "-xpf", tar.to_str().unwrap(), "-C", there.to_str().unwrap()];
    assert!(Command::new("tar").args(words).status().unwrap().success());
    let found = tree::differences(&tree::read(&there), &want);
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn a_new_image_and_a_new_layout_are_read_by_umoci() {
    if skip("a_new_image_and_a_new_layout_are_read_by_umoci", Need::Program("umoci")) {
        return;
    }
    let place = Place::new();
    let dir = place.path("layout");
    place.run(&["init", dir.to_str().unwrap()]).ok();
    place.run(&["new", "--image", &format!("oci:{}:v1", dir.display())]).ok();
    let at = format!("{}:v1", dir.display());
    let umoci = Command::new("umoci").args(["stat", "--json", "--image", &at]).output().unwrap();
    assert!(umoci.status.success(), "{}", String::from_utf8_lossy(&umoci.stderr));
    let umoci =
        Command::new("umoci").args(["config", "--image", &at, "--config.user", "me"]).output().unwrap();
    assert!(umoci.status.success(), "{}", String::from_utf8_lossy(&umoci.stderr));
    let config = json_of(&place, &["inspect", "--config", &format!("oci:{at}")]);
    assert_eq!(config["config"]["User"], "me");
    place.run(&["verify", &format!("oci:{at}")]).ok();
}

#[test]
fn an_images_own_layers_are_put_on_another_base() {
    let registry = Registry::start().unwrap();
    let base = |text: &str| {
        Image::new().layer(&Layer::new().file("base", text)).top("history", json!([{ "created_by": text }]))
    };
    let own = base("old").layer(&Layer::new().file("own", "own"));
    let own = own.cmd(["/own"]).top("history", json!([{ "created_by": "old" }, { "created_by": "own" }]));
    registry.put("base", "old", &base("old").build().unwrap());
    registry.put("base", "new", &base("new").layer(&Layer::new().file("more", "m")).build().unwrap());
    registry.put("app", "v1", &own.build().unwrap());
    let at = |name: &str, tag: &str| format!("docker://{}", registry.reference(name, tag));
    let place = Place::new();
    let (old, new, app) = (at("base", "old"), at("base", "new"), at("app", "v1"));
    place.run(&["rebase", &app, "--old-base", &old, "--new-base", &new, "-t", "r.example/x:1"]).ok();
    let all = unpacked(&place, "store:r.example/x:1", "b");
    assert!(["base", "more", "own"].iter().all(|name| all.contains_key(Path::new(name))));
    assert_eq!(std::fs::read(place.path("b/rootfs/base")).unwrap(), b"new");
    let config = json_of(&place, &["inspect", "--config", "r.example/x:1"]);
    assert_eq!(config["history"], json!([{ "created_by": "new" }, { "created_by": "own" }]));
    let error = place.run(&["rebase", &app, "--old-base", &new, "--new-base", &old]).error();
    assert!(error.ends_with("is not what it was made from"), "{error}");
}

#[test]
fn an_image_in_any_place_is_verified() {
    let (place, _registry) = stored();
    let dir = format!("dir:{}", place.path("dir").display());
    place.run(&["copy", "store:made.example/app:v1", &dir]).ok();
    assert_eq!(place.run(&["validate", &dir]).ok(), "all 4 blobs are what their digests say\n");
    let layer = json_of(&place, &["manifest", &dir])["layers"][0]["digest"].as_str().unwrap()[7..].to_owned();
    let file = place.path("dir").join(layer);
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[20] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    assert_eq!(place.run(&["verify", &dir]).code, Some(1));
}
