//! Mounts: ids, links, layers, and those that come later.

#![allow(clippy::unwrap_used, reason = "a test ends where its set-up fails")]

mod common;

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};

use common::{Bundle, mount};
use conformance::host::{Need, skip};
use serde_json::{Value, json};

fn map(container: u32, host: u32) -> Value {
    json!([{ "containerID": container, "hostID": host, "size": 1000 }])
}

/// A directory with a file of that owner beside the root file system.
fn source(bundle: &Bundle, owner: u32) {
    let dir = bundle.path().join("source");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("file"), "").unwrap();
    chown(dir.join("file"), Some(owner), Some(owner)).unwrap();
}

#[test]
fn an_idmapped_mount_shows_files_under_the_owners_of_its_own_mappings() {
    let test = "an_idmapped_mount_shows_files_under_the_owners_of_its_own_mappings";
    if skip(test, Need::Root) || skip(test, Need::UserNamespace) {
        return;
    }
    for (option, mappings) in
        [("idmap", true), ("bind", true), ("idmap=uids=0-500-1000;gids=0-500-1000", false)]
    {
        let mut entry = mount("bind", "source", "/data", &["rbind", option]);
        if mappings {
            entry["uidMappings"] = map(0, 500);
            entry["gidMappings"] = map(0, 500);
        }
        let bundle = Bundle::shell("stat -c '%u %g' /data/file; touch /data/new").mount(entry);
        source(&bundle, 7);
        let call = bundle.run();
        // Root of the container is nobody whose id the mount knows, so it cannot make a file there.
        assert_eq!(call.out, "507 507\n", "{option}: {call:?}");
        assert!(!fs::exists(bundle.path().join("source/new")).unwrap(), "{option}");
        bundle.assert_nothing_left();
    }
}

#[test]
fn an_idmapped_mount_without_mappings_has_those_of_the_container() {
    let test = "an_idmapped_mount_without_mappings_has_those_of_the_container";
    if skip(test, Need::Root) || skip(test, Need::UserNamespace) {
        return;
    }
    for (option, want) in [("idmap", "7 7\n"), ("ridmap", "7 7\n"), ("rbind", "65534 65534\n")] {
        let bundle = Bundle::shell("stat -c '%u %g' /data/file; touch /data/new 2>/dev/null")
            .with_users()
            .mount(mount("bind", "source", "/data", &["bind", option]));
        source(&bundle, 7);
        let call = bundle.run();
        assert_eq!(call.out, want, "{option}: {call:?}");
        if option != "rbind" {
            use std::os::unix::fs::MetadataExt;
            let made = fs::metadata(bundle.path().join("source/new")).unwrap();
            assert_eq!((made.uid(), made.gid()), (0, 0), "{option}: what root makes belongs to root");
        }
    }
    let bundle = Bundle::new(&["true"]).mount(mount("bind", "source", "/data", &["bind", "idmap"]));
    bundle.run().fails(
        "mount at /data: idmap needs uidMappings and gidMappings, or a user namespace of the container's",
    );
}

#[test]
fn a_source_that_only_the_hosts_root_can_reach_is_mounted_in_a_user_namespace() {
    let test = "a_source_that_only_the_hosts_root_can_reach_is_mounted_in_a_user_namespace";
    if skip(test, Need::Root) || skip(test, Need::UserNamespace) {
        return;
    }
    let bundle =
        Bundle::shell("cat /data").with_users().mount(mount("bind", "closed/file", "/data", &["bind", "ro"]));
    let closed = bundle.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::write(closed.join("file"), "reached\n").unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(bundle.run().ok(), "reached\n");
}

#[test]
fn a_link_is_followed_shown_or_copied_as_the_options_say() {
    if skip("a_link_is_followed_shown_or_copied_as_the_options_say", Need::Root) {
        return;
    }
    for (option, want) in
        [("ro", "content\n"), ("copy-symlink", "/elsewhere\n"), ("src-nofollow", "/elsewhere\n")]
    {
        let bundle = Bundle::shell("readlink /data || cat /data").mount(mount(
            "bind",
            "link",
            "/data",
            &["bind", option],
        ));
        if option == "ro" {
            fs::write(bundle.path().join("file"), "content\n").unwrap();
            symlink(bundle.path().join("file"), bundle.path().join("link")).unwrap();
        } else {
            symlink("/elsewhere", bundle.path().join("link")).unwrap();
        }
        if option == "src-nofollow" {
            // Only a link can lie over a link.
            symlink("/somewhere", bundle.rootfs("data")).unwrap();
        }
        let bundle = if option == "src-nofollow" {
            let mut bundle = bundle;
            let last = bundle.config["mounts"].as_array_mut().unwrap().last_mut().unwrap();
            last["options"] = json!(["bind", "src-nofollow", "dest-nofollow"]);
            bundle
        } else {
            bundle
        };
        let call = bundle.run();
        assert_eq!(call.out, want, "{option}: {call:?}");
    }
    let bundle = Bundle::new(&["true"]).mount(mount("bind", "link", "/data", &["bind", "copy-symlink"]));
    symlink("/elsewhere", bundle.path().join("link")).unwrap();
    symlink("/other", bundle.rootfs("data")).unwrap();
    let link = bundle.path().join("link").display().to_string();
    bundle.run().fails(&format!(
        "create container {}: mount the filesystems: mount {link} at /data: /data is there already",
        bundle.id
    ));
    bundle.assert_nothing_left();
}

#[test]
fn a_remount_changes_what_is_mounted_already() {
    if skip("a_remount_changes_what_is_mounted_already", Need::Root) {
        return;
    }
    let bundle = Bundle::shell("touch /data/x 2>/dev/null || echo refused; grep ' /data ' /proc/mounts")
        .mount(mount("tmpfs", "tmpfs", "/data", &["size=64k"]))
        .mount(mount("tmpfs", "tmpfs", "/data", &["remount", "ro", "size=128k"]));
    let out = bundle.run().ok();
    assert!(out.starts_with("refused\n") && out.contains("ro,") && out.contains("size=128k"), "{out}");
}

#[test]
fn an_overlay_at_the_root_is_the_root_file_system() {
    let test = "an_overlay_at_the_root_is_the_root_file_system";
    if skip(test, Need::Root) || skip(test, Need::Overlay) {
        return;
    }
    // The layers are relative to the bundle, and so many that they do not fit into one value.
    let mut bundle = Bundle::shell("cat /layer-0 /layer-19; echo changed > /new; ls /proc/self/status");
    let layers: Vec<String> = (0..20).map(|number| format!("layers-of-the-image/{number}")).collect();
    for (number, layer) in layers.iter().enumerate() {
        let dir = bundle.path().join(layer);
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join(format!("layer-{number}")), format!("{number}\n")).unwrap();
    }
    for dir in ["upper", "work", "empty"] {
        fs::create_dir(bundle.path().join(dir)).unwrap();
    }
    let mut options: Vec<String> = vec![format!("lowerdir={}:rootfs", layers.join(":"))];
    options.extend(["upperdir=upper".to_owned(), "workdir=work".to_owned()]);
    let root = json!({ "destination": "/", "type": "overlay", "source": "overlay", "options": options });
    bundle.config["mounts"].as_array_mut().unwrap().insert(0, root);
    let bundle = bundle.set("/root/path", json!("empty"));
    assert_eq!(bundle.run().ok(), "0\n19\n/proc/self/status\n");
    assert_eq!(fs::read_to_string(bundle.path().join("upper/new")).unwrap(), "changed\n");
    assert!(fs::read_dir(bundle.path().join("empty")).unwrap().next().is_none());
    bundle.assert_nothing_left();
}

#[test]
fn mounts_come_into_a_running_container_and_leave_it() {
    let test = "mounts_come_into_a_running_container_and_leave_it";
    if skip(test, Need::Root) || skip(test, Need::UserNamespace) {
        return;
    }
    for change in [|bundle| bundle, Bundle::with_users, Bundle::of_user] {
        let bundle: Bundle = change(Bundle::new(&["sleep", "1000"]));
        bundle.start();
        fs::write(bundle.path().join("file"), "later\n").unwrap();
        let list = json!([
            { "destination": "/late/file", "source": "file", "options": ["bind", "ro"] },
            { "destination": "/late/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["size=64k"] },
        ]);
        fs::write(bundle.path().join("list.json"), list.to_string()).unwrap();
        let see = || {
            let line = "cat /late/file; grep -c ' /late/' /proc/mounts";
            bundle.call(&["exec", &bundle.id, "sh", "-c", line])
        };
        bundle.call(&["mounts", "add", &bundle.id, "list.json"]).ok();
        assert_eq!(see().out, "later\n2\n");
        bundle.call(&["mounts", "remove", &bundle.id, "list.json"]).ok();
        assert_eq!(see().out, "0\n");
        let call = bundle.call(&["mounts", "remove", &bundle.id, "list.json"]);
        let elsewhere = json!([{ "destination": "/never/there", "type": "tmpfs" }]).to_string();
        fs::write(bundle.path().join("elsewhere.json"), elsewhere).unwrap();
        bundle.call(&["mounts", "remove", &bundle.id, "elsewhere.json"]).fails(&format!(
            "remove mounts from container {}: unmount /never/there: No such file or directory",
            bundle.id
        ));
        assert!(!fs::exists(bundle.rootfs("never")).unwrap(), "what was to go was made");
        call.fails(&format!(
            "remove mounts from container {}: unmount /late/tmp: umount \"tmp\": Invalid argument",
            bundle.id
        ));
    }
}
