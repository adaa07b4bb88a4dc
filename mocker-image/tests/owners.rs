//! Whose the files of a bundle are: mapped ids, lent ids, and links that a layer's directories leave alone.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod common;

use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use common::image::owner::{self, capability, list};
use common::sample::serving;
use common::{Outcome, PROGRAM, Place, image, tree};
use conformance::host::{Need, leave_mount_namespace, skip};
use serde_json::{Value, json};

/// Both of them, as the host or an image has them.
fn extras(root: Option<u32>, (user, group): (u32, u32)) -> Vec<(String, Vec<u8>)> {
    vec![
        ("security.capability".to_owned(), capability(root)),
        ("system.posix_acl_access".to_owned(), list(user, group)),
    ]
}

fn owners(root: &Path) -> BTreeMap<String, (u32, u32)> {
    tree::read(root).into_iter().map(|(path, facts)| (path.display().to_string(), facts.owner)).collect()
}

/// Gives the files with ids in their attributes other times, so that a layer has to have them.
fn touch(root: &Path) {
    for name in ["ping", "shared"] {
        let file = std::fs::File::open(root.join(name)).unwrap();
        file.set_modified(std::time::UNIX_EPOCH).unwrap();
    }
}

/// What was committed, unpacked by root.
fn committed(place: &Place, from: &str) -> BTreeMap<PathBuf, tree::Facts> {
    let dir = place.path("committed");
    place.run(&["unpack", "--copy", from, dir.to_str().unwrap()]).ok();
    tree::read(&dir.join("rootfs"))
}

#[test]
fn ids_are_mapped_when_it_is_unpacked_and_back_when_it_is_packed() {
    let test = "ids_are_mapped_when_it_is_unpacked_and_back_when_it_is_packed";
    if skip(test, Need::Root) {
        return;
    }
    let (registry, place) = (serving(&owner::owned().build().unwrap()), Place::new());
    let (reference, bundle) = (registry.reference("app", "v1"), place.bundle().display().to_string());
    let maps = ["--uid-map", "0:100000:2000", "--gid-map", "0:200000:50", "--gid-map", "100:300000:1"];
    let unpack = |maps: &[&str]| place.run(&[&["unpack", &reference, &bundle], maps].concat());
    let error = unpack(&maps[..4]).error();
    assert!(error.ends_with("entry \"etc/app\": group 100 is not in the map of ids"), "{error}");
    unpack(&maps).ok();
    let all = owners(&place.rootfs());
    for (path, owner) in [
        ("", (100_000, 200_000)),
        ("etc", (100_000, 200_000)),
        ("etc/app", (101_000, 300_000)),
        ("etc/top", (100_009, 200_009)),
        ("link", (100_007, 200_008)),
        ("pipe", (100_000, 200_005)),
        ("forgotten", (100_000, 200_000)),
    ] {
        assert_eq!(all[path], owner, "{path}");
    }
    assert_eq!(place.rootfs().join("etc/app").metadata().unwrap().permissions().mode() & 0o7777, 0o4755);
    let there = tree::read(&place.rootfs());
    // The container's root has the capability; root of the host would be another.
    assert_eq!(there[Path::new("ping")].xattrs, extras(Some(100_000), (101_000, 300_000)));
    assert_eq!(there[Path::new("shared")].xattrs[0].1, list(100_007, 200_008));
    let linux = place.config()["linux"].clone();
    assert_eq!(linux["uidMappings"], json!([{ "containerID": 0, "hostID": 100_000, "size": 2000 }]));
    assert_eq!(linux["gidMappings"][1], json!({ "containerID": 100, "hostID": 300_000, "size": 1 }));
    assert!(linux["namespaces"].as_array().unwrap().contains(&json!({ "type": "user" })));
    assert_eq!(place.run(&["diff", &bundle]).ok(), "");
    std::fs::write(place.rootfs().join("new"), "new").unwrap();
    chown(place.rootfs().join("new"), Some(100_003), Some(200_004)).unwrap();
    touch(&place.rootfs());
    let to = format!("oci:{}:v2", place.path("layout").display());
    place.run(&["commit", &bundle, &to]).ok();
    let all = committed(&place, &to);
    assert_eq!(all[Path::new("new")].owner, (3, 4));
    assert_eq!(all[Path::new("etc/app")].owner, (1000, 100));
    assert_eq!(all[Path::new("ping")].xattrs, extras(None, (1000, 100)));
    assert_eq!(all[Path::new("shared")].xattrs[0].1, list(7, 8));
    std::fs::write(place.rootfs().join("stranger"), "s").unwrap();
    chown(place.rootfs().join("stranger"), Some(5), Some(200_000)).unwrap();
    let error = place.run(&["commit", &bundle, &to]).error();
    assert!(error.ends_with("pack \"stranger\": the host's user 5 is not in the map of ids"), "{error}");
}

#[test]
fn a_directory_of_a_layer_leaves_a_link_to_one_where_that_is_wished() {
    let registry = serving(&image::links().build().unwrap());
    let (place, reference) = (Place::new(), registry.reference("app", "v1"));
    let unpack = |name: &str, words: &[&str]| {
        let dir = place.path(name);
        place.run(&[&["unpack", &reference, dir.to_str().unwrap()], words].concat()).ok();
        dir
    };
    let kind = |dir: &Path, name: &str| dir.join("rootfs").join(name).symlink_metadata().unwrap().file_type();
    let replaced = unpack("replaced", &["--copy"]);
    assert!(kind(&replaced, "link").is_dir() && kind(&replaced, "link/f").is_file());
    let kept = unpack("kept", &["--keep-dirlinks"]);
    assert!(kind(&kept, "link").is_symlink() && kind(&kept, "real/f").is_file());
    assert!(kind(&kept, "broken").is_dir(), "a link that leads nowhere is none to a directory");
    assert_eq!(place.run(&["diff", kept.to_str().unwrap()]).ok(), "");
}

#[test]
fn a_user_unpacks_with_the_ids_that_are_lent_to_them_and_packs_again() {
    let test = "a_user_unpacks_with_the_ids_that_are_lent_to_them_and_packs_again";
    let programs = ["setpriv", "newuidmap"].map(Need::Program);
    if skip(test, Need::Root)
        || skip(test, Need::UserNamespace)
        || programs.into_iter().any(|p| skip(test, p))
    {
        return;
    }
    leave_mount_namespace().unwrap();
    let (registry, place) = (serving(&owner::owned().build().unwrap()), Place::new());
    let lend = |text: &str| {
        std::fs::write(place.path("lent"), text).unwrap();
        for file in ["/etc/subuid", "/etc/subgid"] {
            let status = Command::new("mount").arg("--bind").arg(place.path("lent")).arg(file).status();
            assert!(status.unwrap().success());
        }
    };
    let home = place.path("home");
    std::fs::create_dir(&home).unwrap();
    chown(&home, Some(65_534), Some(65_534)).unwrap();
    std::fs::set_permissions(place.path("."), PermissionsExt::from_mode(0o755)).unwrap();
    let program = home.join("mocker-image");
    std::fs::copy(PROGRAM, &program).unwrap();
    let run = |words: &[&str]| -> Outcome {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).arg(&program);
        command.env("HOME", &home).args(words).current_dir(&home).output().unwrap().into()
    };
    let words = ["unpack", "--sub-ids", &registry.reference("app", "v1"), "bundle"];
    lend("");
    assert!(run(&words).error().ends_with("/etc/subuid lends you no ids"));
    lend("65534:400000:65536\n");
    run(&words).ok();
    let rootfs = home.join("bundle/rootfs");
    let all = owners(&rootfs);
    assert_eq!(all["etc"], (65_534, 65_534));
    assert_eq!(all["etc/app"], (400_999, 400_099));
    assert_eq!(all["link"], (400_006, 400_007));
    assert_eq!(tree::read_one(&rootfs.join("ping")).xattrs, extras(Some(65_534), (400_999, 400_099)));
    let config: Value =
        serde_json::from_slice(&std::fs::read(home.join("bundle/config.json")).unwrap()).unwrap();
    let want = json!([{ "containerID": 0, "hostID": 65_534, "size": 1 },
        { "containerID": 1, "hostID": 400_000, "size": 65_536 }]);
    assert_eq!(config["linux"]["uidMappings"], want);
    assert!(home.join(".local/share/mocker/refs").metadata().is_ok(), "the store is the user's own");
    assert_eq!(run(&["diff", "bundle"]).ok(), "");
    std::fs::write(rootfs.join("new"), "new").unwrap();
    chown(rootfs.join("new"), Some(400_041), Some(400_042)).unwrap();
    touch(&rootfs);
    let to = format!("oci:{}:v2", home.join("layout").display());
    run(&["commit", "bundle", &to]).ok();
    let all = committed(&place, &to);
    assert_eq!(all[Path::new("new")].owner, (42, 43));
    assert_eq!(all[Path::new("etc/app")].owner, (1000, 100));
    assert_eq!(all[Path::new("ping")].xattrs, extras(None, (1000, 100)));
    assert_eq!(all[Path::new("shared")].xattrs[0].1, list(7, 8));
    run(&["remove", "./bundle"]).ok();
    assert!(home.join("bundle").symlink_metadata().is_err());
}
