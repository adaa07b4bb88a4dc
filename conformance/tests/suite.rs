//! Our own runtime keeps every sentence of the suite that this machine can show.

use std::process::Command;

use conformance::host::{self, Need, skip};
use serde_json::Value;

#[test]
fn privileged_mocker_runtime_passes_every_case() {
    if skip("privileged_mocker_runtime_passes_every_case", Need::Root) {
        return;
    }
    let output = Command::new(env!("CARGO_BIN_EXE_conformance"))
        .args(["run", "--json", "--limit", "60", "--runtime"])
        .arg(host::program("mocker-runtime"))
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    let report: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no report: {words}"));
    let wrong: Vec<String> = report["cases"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|case| case["verdict"] == "fail" || case["verdict"] == "surprise")
        .map(|case| format!("{}: {}\n    {}", case["name"], case["detail"], case["must"]))
        .collect();
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
    assert!(report["counts"]["pass"].as_u64().unwrap() > 100, "{}", report["counts"]);
    assert!(output.status.success(), "{words}");
}
