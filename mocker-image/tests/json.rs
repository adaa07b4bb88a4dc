//! `--json`: JSON.md has a row for every command that prints, and what is printed has that row's form.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod common;

use std::collections::BTreeMap;
use std::process::Command;

use common::Place;
use common::sample::{serving, small};
use conformance::registry::Auth;
use serde_json::Value;

/// Command and keys of each row; `true` is an array.
fn rows() -> BTreeMap<String, (bool, Vec<String>)> {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/JSON.md")).unwrap();
    let table = page.split("| command | keys |").nth(1).unwrap().split("\n\n").next().unwrap();
    let row = |line: &str| {
        let (command, keys) = line.trim_matches('|').split_once('|').unwrap();
        let array = keys.contains("[]");
        let keys = keys.replace("[]", "");
        let keys = keys.split(',').map(|key| key.trim().to_owned()).filter(|key| !key.is_empty()).collect();
        (command.trim().to_owned(), (array, keys))
    };
    table.lines().skip(2).map(row).collect()
}

fn keys(value: &Value) -> Vec<String> {
    value.as_object().unwrap_or_else(|| panic!("{value} is no object")).keys().cloned().collect()
}

/// Runs a command, and compares the keys of what it prints.
fn check(place: &Place, (command, words): (&str, &[&str]), (array, want): (bool, &[String])) {
    let words = command.split(' ').chain(words.iter().copied()).chain(["--json"]);
    let quoted = words.map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
    let line = format!("echo p | '{}' --root '{}' {quoted}", common::PROGRAM, place.store().display());
    let outcome: common::Outcome = Command::new("sh").args(["-c", &line]).output().unwrap().into();
    let out = outcome.ok();
    let value: Value = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{command}: {e}: {out}"));
    let values = match array {
        true => value.as_array().unwrap_or_else(|| panic!("{command}: {value} is no array")).clone(),
        false => vec![value],
    };
    assert!(!values.is_empty(), "{command}");
    if !want.is_empty() {
        values.iter().for_each(|value| assert_eq!(keys(value), want, "{command}"));
    }
}

#[test]
fn what_is_printed_has_the_form_of_its_row_and_no_row_is_without_a_command() {
    let (registry, place) = (serving(&small().build().unwrap()), Place::new());
    let image = registry.reference("app", "v1");
    let at = |name: &str| place.path(name).display().to_string();
    std::fs::write(place.path("file"), "words").unwrap();
    std::fs::write(place.path("pass"), "sesame").unwrap();
    let tar = Command::new("tar").args(["-cf", &at("layer.tar"), "-C", &at(""), "file"]).status();
    assert!(tar.unwrap().success());
    let (layout, bundle) = (format!("oci:{}:v1", at("layout")), at("bundle"));
    let (key, pass, to) =
        (at("k.private"), at("pass"), format!("docker://{}", registry.reference("to", "v1")));
    let (host, auth) = (registry.address(), at("auth.json"));
    let commands: &[(&str, &[&str])] = &[
        ("pull", &[&image]),
        ("list", &[]),
        ("digest", &[&image]),
        ("tag", &[&image, "q.io/a:v1"]),
        ("copy", &[&image, &layout]),
        ("push", &[&image, &to]),
        ("tags", &[&image]),
        ("search", &[&host]),
        ("stat", &[&image]),
        ("verify", &[]),
        ("unpack", &["--copy", &image, &bundle]),
        ("diff", &[&bundle]),
        ("commit", &[&bundle, "q.io/commit:v1"]),
        ("config", &["--image", "q.io/commit:v1", "--config.env", "A=b"]),
        ("append", &[&at("layer.tar"), "--image", "q.io/commit:v1"]),
        ("raw add-layer", &[&at("layer.tar"), "--image", "q.io/commit:v1"]),
        ("insert", &[&at("file"), "/words", "--image", "q.io/commit:v1"]),
        ("flatten", &["q.io/commit:v1", "--tag", "q.io/flat:v1"]),
        ("rebase", &["q.io/commit:v1", "--old-base", &image, "--new-base", "q.io/flat:v1"]),
        ("new", &["q.io/new:v1"]),
        ("import", &[&at("layer.tar"), "q.io/import:v1"]),
        ("export", &[&image, &at("export.tar")]),
        ("init", &[&at("empty")]),
        ("sync", &["--src", "docker", "--dest", "dir", &image, &at("synced")]),
        ("generate-key", &[&at("k"), "--passphrase-file", &pass]),
        ("sign", &[&image, "--key", &key, "--passphrase-file", &pass]),
        ("manifest-digest", &[&at("layout/index.json")]),
        ("login", &[&host, "--username", "u", "--password-stdin", "--authfile", &auth]),
        ("logout", &[&host, "--authfile", &auth]),
        ("remove", &["q.io/a:v1", &bundle]),
        ("gc", &[]),
    ];
    let mut rows = rows();
    for (command, words) in commands {
        let (array, want) =
            rows.remove(*command).unwrap_or_else(|| panic!("JSON.md has no row for {command}"));
        if *command == "diff" {
            std::fs::write(place.rootfs().join("new"), "new").unwrap();
        }
        if *command == "login" {
            registry.require(Auth::Basic("u".to_owned(), "p".to_owned()));
        }
        check(&place, (command, words), (array, &want));
    }
    assert!(rows.is_empty(), "nobody tried the rows {:?}", rows.keys());
}
