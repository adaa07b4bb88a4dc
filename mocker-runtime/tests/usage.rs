//! `usage`: what all containers of a root cost.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where its set-up fails")]

mod common;

use std::collections::BTreeMap;

use common::{Bundle, LIMIT};
use conformance::host::{Need, skip, wait_until};
use serde_json::Value;

fn document(bundle: &Bundle) -> Value {
    serde_json::from_str(&bundle.call(&["usage", "--format", "json"]).ok()).unwrap()
}

/// The samples of an OpenMetrics text, each of a family that was described before it (OpenMetrics 1.0, "MetricFamily").
fn samples(text: &str) -> BTreeMap<String, f64> {
    let mut types = BTreeMap::new();
    let mut found = BTreeMap::new();
    assert!(text.ends_with("\n# EOF\n"), "{text}");
    for line in text.lines().take_while(|line| *line != "# EOF") {
        if let Some(rest) = line.strip_prefix("# ") {
            let [word, name, rest] = rest.splitn(3, ' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
            match word {
                "TYPE" => assert!(types.insert(name, rest).is_none(), "{name} twice"),
                "UNIT" => assert!(name.ends_with(rest), "{line}"),
                _ => assert_eq!(word, "HELP"),
            }
            continue;
        }
        let (name, value) = line.rsplit_once(' ').unwrap();
        let bare = name.split('{').next().unwrap();
        let family = bare.strip_suffix("_total");
        let wanted = if family.is_some() { "counter" } else { "gauge" };
        assert_eq!(types.get(family.unwrap_or(bare)), Some(&wanted), "{line}");
        assert!(found.insert(name.to_owned(), value.parse().unwrap()).is_none(), "{line} twice");
    }
    found
}

#[test]
fn every_container_counts_until_it_is_deleted() {
    if skip("every_container_counts_until_it_is_deleted", Need::Root) {
        return;
    }
    let bundle =
        Bundle::shell("i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; echo warm; exec sleep 1000");
    bundle.start();
    wait_until(LIMIT, "some work", || bundle.output().contains("warm")).unwrap();
    let other = format!("{}-b", bundle.id);
    bundle.call_detached(&["create", &other]).ok();

    let seen = document(&bundle);
    let of = |id: &str| {
        seen["containers"].as_array().unwrap().iter().find(|used| used["id"] == id).cloned().unwrap()
    };
    assert_eq!((&of(&bundle.id)["status"], &of(&other)["status"]), (&"running".into(), &"created".into()));
    let cpu = of(&bundle.id)["cpuSeconds"].as_f64().unwrap();
    assert!(cpu > 0.0 && cpu >= of(&other)["cpuSeconds"].as_f64().unwrap(), "{seen}");
    assert!(of(&bundle.id)["memoryBytes"].as_u64().unwrap() > 4096, "{seen}");
    assert!(of(&bundle.id)["seconds"].as_f64() > of(&other)["seconds"].as_f64(), "{seen}");
    assert_eq!(seen["total"]["containers"], 2);
    assert_eq!(seen["ended"], Value::Null);

    let metrics = samples(&bundle.call(&["usage"]).ok());
    assert_eq!(metrics["mocker_containers{status=\"running\"}"], 1.0);
    assert_eq!(metrics["mocker_containers{status=\"created\"}"], 1.0);
    assert_eq!(metrics["mocker_containers{status=\"paused\"}"], 0.0);
    assert!(metrics[&format!("mocker_container_cpu_seconds_total{{id=\"{}\"}}", bundle.id)] >= cpu);
    assert!(metrics[&format!("mocker_container_memory_bytes{{id=\"{other}\"}}")] > 0.0);
    assert!(
        !metrics.keys().any(|name| name.starts_with("mocker_ended") || name.starts_with("mocker_all")),
        "{metrics:?}"
    );
    bundle.call(&["delete", "--force", &other]).ok();
    assert_eq!(document(&bundle)["total"]["containers"], 1);
}

#[test]
fn with_a_journal_no_sum_shrinks_when_a_container_is_deleted() {
    if skip("with_a_journal_no_sum_shrinks_when_a_container_is_deleted", Need::Root) {
        return;
    }
    let bundle = Bundle::new(&["sleep", "1000"]);
    bundle.call(&["usage", "--journal"]).ok();
    bundle.start();
    let before = document(&bundle);
    assert_eq!(before["ended"]["containers"], 0);
    bundle.call(&["delete", "--force", &bundle.id]).ok();

    let after = document(&bundle);
    assert_eq!(after["containers"], Value::Array(Vec::new()));
    assert_eq!((&after["ended"]["containers"], &after["total"]["containers"]), (&1.into(), &1.into()));
    for sum in ["seconds", "cpuSeconds"] {
        assert!(after["total"][sum].as_f64() >= before["total"][sum].as_f64(), "{sum}: {before} {after}");
    }
    let metrics = samples(&bundle.call(&["usage"]).ok());
    assert_eq!(metrics["mocker_ended_containers_total"], 1.0);
    assert_eq!(metrics["mocker_all_cpu_seconds_total"], after["total"]["cpuSeconds"].as_f64().unwrap());

    // A delete that was killed after it had written is done again; a line cut by a full disk says nothing.
    let journal = bundle.state_root().join("@usage");
    let line = std::fs::read_to_string(&journal).unwrap();
    std::fs::write(&journal, format!("{line}{line}{{\"id\":\"cu")).unwrap();
    assert_eq!(document(&bundle)["ended"], after["ended"]);
    // The journal is no container, nor is it in the way of one.
    assert_eq!(bundle.call(&["list", "--quiet"]).ok(), "");
    std::fs::remove_file(journal).unwrap();
    bundle.assert_nothing_left();
}

#[test]
fn a_root_without_containers_uses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let output = std::process::Command::new(common::RUNTIME)
        .args(["--root", dir.path().join("none").to_str().unwrap(), "usage"])
        .output()
        .unwrap();
    let metrics = samples(&common::Call::from(output).ok());
    assert_eq!(metrics["mocker_containers{status=\"running\"}"], 0.0);
}

#[test]
fn the_units_write_what_a_textfile_collector_reads() {
    let test = "the_units_write_what_a_textfile_collector_reads";
    if skip(test, Need::Root) {
        return;
    }
    let bundle = Bundle::new(&["sleep", "1000"]);
    bundle.start();
    let docs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let out = bundle.path().join("metrics");
    let service = std::fs::read_to_string(docs.join("mocker-usage.service"))
        .unwrap()
        .replace("/usr/local/bin/mocker-runtime", common::RUNTIME)
        .replace("/run/containerd/runc/k8s.io", bundle.state_root().to_str().unwrap())
        .replace("/var/lib/prometheus/node-exporter", out.to_str().unwrap());
    let line = service.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    let status = std::process::Command::new("sh").args(["-c", line]).status().unwrap();
    let names: Vec<_> = std::fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(status.success() && names == ["mocker.prom"], "{names:?}");
    let found = samples(&std::fs::read_to_string(out.join("mocker.prom")).unwrap());
    assert_eq!(found[r#"mocker_containers{status="running"}"#], 1.0, "{found:?}");
    if Need::Systemd.is_met() {
        std::fs::write(bundle.path().join("mocker-usage.service"), &service).unwrap();
        std::fs::copy(docs.join("mocker-usage.timer"), bundle.path().join("mocker-usage.timer")).unwrap();
        let units = ["mocker-usage.service", "mocker-usage.timer"].map(|name| bundle.path().join(name));
        let mut verify = std::process::Command::new("systemd-analyze");
        let verified = verify.arg("verify").args(units).output().unwrap();
        assert!(verified.status.success(), "{verified:?}");
    }
}
