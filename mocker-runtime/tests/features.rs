//! features: what is claimed is done, and what runc's document has is there.

#![allow(clippy::unwrap_used, reason = "a test ends where its set-up fails")]

mod common;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use common::{Bundle, Call, Caller, RUNTIME};
use conformance::host::{Need, on_path, skip};
use serde_json::{Value, json};

fn document_of(program: &Path) -> Value {
    let call = Call::from(Command::new(program).arg("features").output().unwrap());
    serde_json::from_str(&call.ok()).unwrap()
}

/// The words of a list.
fn words(document: &Value, pointer: &str) -> BTreeSet<String> {
    serde_json::from_value(document.pointer(pointer).unwrap().clone()).unwrap()
}

#[test]
fn no_word_that_runc_takes_is_missing_but_those_that_are_refused() {
    let test = "no_word_that_runc_takes_is_missing_but_those_that_are_refused";
    if skip(test, Need::Program("runc")) {
        return;
    }
    let (ours, theirs) = (document_of(RUNTIME.as_ref()), document_of(&on_path("runc").unwrap()));
    // acl and noacl are parameters of file systems; runc listed them until 1.1
    let refused = ["iversion", "noiversion", "remount", "SCMP_ACT_NOTIFY", "acl", "noacl"];
    for pointer in [
        "/hooks",
        "/mountOptions",
        "/linux/namespaces",
        "/linux/capabilities",
        "/linux/seccomp/actions",
        "/linux/seccomp/operators",
        "/linux/seccomp/archs",
    ] {
        let missing: Vec<String> = (&words(&theirs, pointer) - &words(&ours, pointer)).into_iter().collect();
        assert!(missing.iter().all(|word| refused.contains(&word.as_str())), "{pointer}: {missing:?}");
    }
}

#[test]
fn the_document_is_the_same_whoever_asks() {
    let documents: Vec<String> = Caller::all("the_document_is_the_same_whoever_asks")
        .into_iter()
        .map(|caller| caller.bundle(&["true"]).call(&["features"]).ok())
        .collect();
    assert!(documents.windows(2).all(|pair| pair[0] == pair[1]), "{documents:?}");
}

#[test]
fn the_versions_are_taken_and_the_document_has_every_member_of_the_specification() {
    let document = document_of(RUNTIME.as_ref());
    assert_eq!((&document["ociVersionMin"], &document["ociVersionMax"]), (&json!("1.0.0"), &json!("1.3.0")));
    let members: BTreeSet<&str> = document["linux"].as_object().unwrap().keys().map(String::as_str).collect();
    let want = [
        "apparmor",
        "capabilities",
        "cgroup",
        "intelRdt",
        "memoryPolicy",
        "mountExtensions",
        "namespaces",
        "netDevices",
        "seccomp",
        "selinux",
    ];
    assert_eq!(members, BTreeSet::from(want));
    assert_eq!(document["linux"]["cgroup"]["v1"], json!(true));
    assert_eq!(document["linux"]["cgroup"]["v2"], json!(true));
}

#[test]
fn what_is_not_enabled_is_what_create_refuses() {
    if skip("what_is_not_enabled_is_what_create_refuses", Need::Root) {
        return;
    }
    let document = document_of(RUNTIME.as_ref());
    let ids = json!([{ "containerID": 0, "hostID": 1, "size": 1 }]);
    let mount = json!({
        "destination": "/mnt", "source": "/", "options": ["bind"], "uidMappings": ids, "gidMappings": ids,
    });
    for (feature, pointer, value) in [
        ("/linux/apparmor/enabled", "/process/apparmorProfile", json!("no-such")),
        ("/linux/selinux/enabled", "/process/selinuxLabel", json!("no:such:label:s0")),
        ("/linux/intelRdt/enabled", "/linux/intelRdt", json!({ "closID": "no-such" })),
        ("/linux/netDevices/enabled", "/linux/netDevices", json!({ "no-such": {} })),
        ("/linux/mountExtensions/idmap/enabled", "/mounts/-", mount),
        ("/linux/cgroup/systemd", "/linux/cgroupsPath", json!("system.slice:a:b")),
    ] {
        let bundle = Bundle::new(&["true"]).set(pointer, value);
        let refused = bundle.run().err.contains("not supported yet");
        assert_eq!(document.pointer(feature).unwrap(), &json!(!refused), "{feature}");
    }
}
