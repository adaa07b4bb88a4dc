//! spec: the config.json to start from.

#![allow(clippy::unwrap_used, reason = "a test ends where its set-up fails")]

mod common;

use std::fs;
use std::process::Command;

use common::{Call, Caller, RUNTIME};
use conformance::host::{Need, on_path, skip};
use serde_json::{Value, json};

/// A call of `spec` by any runtime in a directory of its own, and the document that it wrote.
fn written_by(program: &std::path::Path, words: &[&str]) -> Value {
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new(program).arg("spec").args(words).current_dir(dir.path()).output().unwrap();
    Call::from(output).ok();
    serde_json::from_slice(&fs::read(dir.path().join("config.json")).unwrap()).unwrap()
}

#[test]
fn the_document_is_runcs_but_for_the_version() {
    let test = "the_document_is_runcs_but_for_the_version";
    if skip(test, Need::Program("runc")) {
        return;
    }
    let runc = on_path("runc").unwrap();
    for words in [&[][..], &["--rootless"]] {
        let (mut ours, mut theirs) = (written_by(RUNTIME.as_ref(), words), written_by(&runc, words));
        assert_eq!(ours["ociVersion"].take(), "1.3.0");
        theirs["ociVersion"].take();
        // runc filled this set until 1.1
        conformance::bundle::remove(&mut theirs, "/process/capabilities/ambient");
        assert_eq!(ours, theirs, "{words:?}");
    }
}

#[test]
fn what_is_written_runs() {
    for caller in Caller::all("what_is_written_runs") {
        let mut bundle = caller.bundle(&["true"]);
        let flag: &[&str] = if caller == Caller::User { &["--rootless"] } else { &[] };
        assert_eq!(bundle.call(&[&["spec"], flag].concat()).ok(), "");
        bundle.config =
            serde_json::from_slice(&fs::read(bundle.path().join("config.json")).unwrap()).unwrap();
        assert_eq!(bundle.config["process"]["args"], json!(["sh"]));
        let bundle = bundle
            .set("/process/terminal", json!(false))
            .set("/process/args", json!(["sh", "-c", "hostname; touch /file || cat /proc/self/cmdline"]));
        let call = bundle.run();
        assert!(call.code == 0 && call.out.starts_with("runc\ncat"), "{call:?}");
        assert!(call.err.contains("Read-only file system"), "{call:?}");
        bundle.assert_nothing_left();
    }
}

#[test]
fn a_rootless_document_maps_the_caller_and_keeps_the_hosts_network() {
    let document = written_by(RUNTIME.as_ref(), &["--rootless"]);
    let uid = rustix::process::geteuid().as_raw();
    let want = json!([{ "containerID": 0, "hostID": uid, "size": 1 }]);
    assert_eq!(document["linux"]["uidMappings"], want);
    let kinds: Vec<&str> = document["linux"]["namespaces"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|n| n["type"].as_str())
        .collect();
    assert!(kinds.contains(&"user") && !kinds.contains(&"network"), "{kinds:?}");
    assert_eq!(document["linux"]["resources"], Value::Null);
}

#[test]
fn a_config_that_is_there_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.json");
    fs::write(&file, "mine").unwrap();
    let call: Call = Command::new(RUNTIME).args(["spec", "-b"]).arg(dir.path()).output().unwrap().into();
    call.fails(&format!("{} exists already", file.display()));
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
}

#[test]
fn a_bundle_that_is_not_there_is_named() {
    let call: Call = Command::new(RUNTIME).args(["spec", "--bundle", "/no/such"]).output().unwrap().into();
    call.fails("write /no/such/config.json: No such file or directory");
}
