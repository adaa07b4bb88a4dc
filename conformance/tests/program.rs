//! The `conformance` program itself: what it prints, and how it ends.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use conformance::host::{Need, skip};

fn conformance(words: &[&str]) -> Output {
    // what the programs of these tests skip is no skip of ours
    Command::new(env!("CARGO_BIN_EXE_conformance")).args(words).env_remove("MOCKER_SKIPS").output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn script(path: &Path, body: &str) {
    std::fs::write(path, format!("#!/bin/sh\n{body}\n")).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn no_row_of_the_table_of_mutants_is_empty() {
    let output = conformance(&["list", "--mutants"]);
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    let empty: Vec<&str> =
        table.lines().filter(|row| row.split('\t').nth(1).is_none_or(str::is_empty)).collect();
    assert!(empty.is_empty(), "{empty:?}");
    assert!(table.contains("delete.created-container-is-an-error\tdeletes-what-waits"), "{table}");
}

#[test]
fn list_has_a_section_and_a_sentence_on_each_line() {
    let output = conformance(&["list"]);
    let text = stdout(&output);
    assert!(text.lines().count() > 100);
    assert!(text.lines().all(|line| line.split('\t').count() == 3 && line.contains(".md#")), "{text}");
}

#[test]
fn a_filter_without_a_case_is_an_error() {
    let output = conformance(&["list", "no-such-case"]);
    assert!(!output.status.success());
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "conformance: no case has \"no-such-case\" in its name\n"
    );
}

#[test]
fn privileged_a_program_that_runs_nothing_is_told_so_at_once() {
    if skip("privileged_a_program_that_runs_nothing_is_told_so_at_once", Need::Root) {
        return;
    }
    let output = conformance(&["run", "--runtime", "/bin/true"]);
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert!(words.starts_with("conformance: /bin/true does not run the simplest container"), "{words}");
}

#[test]
fn serve_prints_its_address_first_and_ends_with_its_input() {
    if skip("serve_prints_its_address_first_and_ends_with_its_input", Need::Path("/bin/busybox")) {
        return;
    }
    let mut child = Command::new(env!("CARGO_BIN_EXE_conformance"))
        .args(["serve", "--image", "sample"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    reader.read_line(&mut first).unwrap();
    assert!(first.trim().parse::<std::net::SocketAddr>().unwrap().ip().is_loopback());
    drop(child.stdin.take());
    let mut rest = String::new();
    reader.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, format!("{}/sample:latest\n", first.trim()));
    assert!(child.wait().unwrap().success());
}

#[test]
fn privileged_tools_tells_failures_from_what_cannot_pass() {
    if skip("privileged_tools_tells_failures_from_what_cannot_pass", Need::Root) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let program = |name: &str, body: &str| script(&dir.path().join(name), body);
    program("good.t", "echo 1..1; test -x \"$RUNTIME\" && echo ok 1 - has a runtime");
    program("mounts.t", "mount -t tmpfs none . && : > \"$PWD/inside\" && echo ok 1 && echo 1..1");
    program("misc_props.t", "echo not ok 1 - as always; echo 1..1");
    program("skips.t", "echo '1..0 # SKIP nothing here'");
    program("endless.t", "echo ok 1 - so far; exec tail -f /dev/null");
    program("bad.t", "echo ok 1 - one; echo not ok 2 - two; echo 1..2");
    std::fs::write(dir.path().join("data.txt"), "no program").unwrap();
    let words = ["tools", "--dir", dir.path().to_str().unwrap(), "--runtime", "/bin/true", "--limit", "2"];
    let output = conformance(&words);
    assert_eq!(
        stdout(&output).lines().collect::<Vec<_>>(),
        [
            "fail  bad: 1 of 2: 2 - two",
            "fail  endless: did not end within 2 s",
            "pass  good",
            "known misc_props: 1 of 1: 1 - as always (its helper is never copied in)",
            "pass  mounts",
            "skip  skips: its own decision",
            "2 passed, 2 failed, 1 failed that no correct runtime passes, 1 skipped",
        ]
    );
    assert!(!output.status.success());
    assert!(!dir.path().join("inside").try_exists().unwrap(), "its mount has landed on the machine");
}

#[test]
fn compare_puts_the_reports_of_two_tools_side_by_side() {
    let dir = tempfile::tempdir().unwrap();
    let report = |tool: &str, verdict: &str| {
        let case = format!(
            r#"{{"name":"a.b","at":"x.md#y","must":"It MUST.","verdict":"{verdict}","detail":"","milliseconds":1}}"#
        );
        let path = dir.path().join(tool);
        std::fs::write(&path, format!(r#"{{"tool":"{tool} 1","machine":"here","cases":[{case}]}}"#)).unwrap();
        path.display().to_string()
    };
    let (one, two) = (report("one", "pass"), report("two", "fail"));
    let output = conformance(&["compare", "--report", &one, "--report", &two]);
    let text = stdout(&output);
    assert!(text.starts_with("1 = one 1 (here)\n2 = two 1 (here)\n"), "{text}");
    assert!(text.contains("a.b  pass     fail\n"), "{text}");
    assert!(output.status.success());
    let page = stdout(&conformance(&["compare", "--markdown", "--report", &one, "--report", &two]));
    assert!(page.contains("| `a.b` | yes | **no** |"), "{page}");
}

#[test]
fn an_image_tool_that_unpacks_nothing_is_told_so_at_once() {
    let output = conformance(&["run", "--image-tool", "/bin/true"]);
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1));
    assert!(words.starts_with("conformance: /bin/true does not unpack the simplest image"), "{words}");
    assert_eq!(conformance(&["run"]).status.code(), Some(2));
}
