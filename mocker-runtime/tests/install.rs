//! `scripts/install`: what it puts where, and that it takes it away again.

#![allow(clippy::unwrap_used, reason = "a test ends where its set-up fails")]

mod common;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use common::{Call, RUNTIME};
use conformance::host;

/// All files below a folder, by their paths in it.
fn files(below: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(below).into_iter().flatten().flatten() {
        let name = entry.file_name().into_string().unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(files(&entry.path()).into_iter().map(|inner| format!("{name}/{inner}"))),
            false => drop(found.insert(name)),
        }
    }
    found
}

#[test]
fn programs_pages_and_completions_are_put_in_place_and_taken_away() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/install");
    let dir = tempfile::tempdir().unwrap();
    // A folder with both programs, of which the one that this package does not build may be missing.
    let bin = dir.path().join("built");
    std::fs::create_dir(&bin).unwrap();
    let image = host::find_program("mocker-image").unwrap_or_else(|| RUNTIME.into());
    for (program, name) in [(Path::new(RUNTIME), "mocker-runtime"), (&image, "mocker-image")] {
        assert!(Command::new("cp").arg(program).arg(bin.join(name)).status().unwrap().success());
    }
    let call = |words: &[&str]| {
        let mut command = Command::new(&script);
        command.args(words).env("BIN", &bin).env("PREFIX", "/usr").env("DESTDIR", dir.path().join("root"));
        Call::from(command.output().unwrap()).ok()
    };
    call(&[]);
    let all = files(&dir.path().join("root/usr"));
    for name in [
        "bin/mocker-runtime",
        "bin/mocker-image",
        "share/man/man1/mocker-runtime.1",
        "share/man/man1/mocker-runtime-create.1",
        "share/bash-completion/completions/mocker-runtime",
        "share/zsh/site-functions/_mocker-image",
        "share/fish/vendor_completions.d/mocker-runtime.fish",
    ] {
        assert!(all.contains(name), "{name}: {all:?}");
    }
    call(&["--uninstall"]);
    assert_eq!(files(&dir.path().join("root/usr")), BTreeSet::new());
}
