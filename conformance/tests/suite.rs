//! Our own runtime and image tool keep every sentence of the suite that this machine can show, but for what
//! expected.toml explains.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use conformance::host::{self, Need, skip};
use serde_json::Value;

/// Some ordinary user, who need not be in any file.
const USER: &str = "4711";

/// Runs the suite over a program of ours and gives the number of cases that passed.
fn passes(option: &str, program: PathBuf, filter: Option<&str>) -> u64 {
    let mut command = Command::new(env!("CARGO_BIN_EXE_conformance"));
    command.args(["run", "--json", "--limit", "60", option]).arg(program).args(filter);
    passed(&mut command)
}

/// The same as an ordinary user: root runs every case that is skipped here, and its run counts the skips.
fn passes_for_a_user(option: &str, program: PathBuf, filter: Option<&str>) -> u64 {
    // where programs are built not everybody may look
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let copy = dir.path().join(program.file_name().unwrap());
    assert!(Command::new("cp").arg(&program).arg(&copy).status().unwrap().success());
    let mut command = Command::new(env!("CARGO_BIN_EXE_conformance"));
    command.args(["run", "--json", "--limit", "60", "--user", USER, option]).arg(copy).args(filter);
    passed(command.env_remove("MOCKER_SKIPS"))
}

fn passed(command: &mut Command) -> u64 {
    let output = command.output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.stdout.starts_with(b"{"), "no report: {words}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let cases = report["cases"].as_array().cloned().unwrap_or_default();
    let wrong: Vec<String> = cases
        .iter()
        .filter(|case| case["verdict"] == "fail" || case["verdict"] == "surprise")
        .map(|case| format!("{}: {}\n    {}", case["name"], case["detail"], case["must"]))
        .collect();
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
    assert!(output.status.success(), "{words}");
    report["counts"]["pass"].as_u64().unwrap_or_default()
}

#[test]
fn privileged_mocker_runtime_passes_every_case() {
    if skip("privileged_mocker_runtime_passes_every_case", Need::Root) {
        return;
    }
    let passed = passes("--runtime", host::program("mocker-runtime"), None);
    assert!(passed > 100, "{passed} passed");
}

#[test]
fn privileged_an_ordinary_user_has_every_case_that_needs_no_more() {
    let test = "privileged_an_ordinary_user_has_every_case_that_needs_no_more";
    if skip(test, Need::Root) || skip(test, Need::UserNamespace) {
        return;
    }
    // the user's right to cgroups and mounts differs from machine to machine, what a process is does not
    let part = std::env::var_os("MOCKER_STRIDE").map(|_| "process.");
    let passed = passes_for_a_user("--runtime", host::program("mocker-runtime"), part);
    assert!(passed > if part.is_some() { 10 } else { 150 }, "{passed} passed");
    if std::env::var_os("MOCKER_NIGHTLY").is_some() {
        let passed = passes_for_a_user("--image-tool", host::program("mocker-image"), None);
        assert!(passed > 180, "{passed} passed");
    }
}

#[test]
fn mocker_image_passes_every_case_that_is_not_known() {
    // a slow machine shows what its file system and its kernel have a part in
    let part = std::env::var_os("MOCKER_STRIDE").map(|_| "attribute.");
    let passed = passes("--image-tool", host::program("mocker-image"), part);
    assert!(passed > if part.is_some() { 8 } else { 200 }, "{passed} passed");
}
