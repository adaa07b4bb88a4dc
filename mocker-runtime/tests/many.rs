//! Many containers at once.

#![allow(clippy::unwrap_used, reason = "a test ends where its set-up fails")]

mod common;
#[path = "common/trace.rs"]
mod trace;

use std::process::{Command, Stdio};

use common::{Bundle, RUNTIME};
use conformance::host::{Need, skip};
use trace::{End, kill_at};

/// At the same time.
const SIDE_BY_SIDE: usize = 8;

/// A thousand, but on an emulated machine, where that takes minutes.
fn count() -> usize {
    std::env::var("MOCKER_MANY").ok().and_then(|text| text.parse().ok()).unwrap_or(1000)
}

/// Calls the runtime on one of the containers.
fn call(bundle: &Bundle, words: &[&str]) {
    let mut command = Command::new(RUNTIME);
    command.arg("--root").arg(bundle.state_root()).args(words).current_dir(bundle.path());
    let errors =
        std::fs::File::options().create(true).append(true).open(bundle.path().join("errors")).unwrap();
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors).status().unwrap();
    let errors = std::fs::read_to_string(bundle.path().join("errors")).unwrap();
    assert!(status.success() && errors.is_empty(), "{words:?}: {errors}");
}

/// Does the same to all containers, several at a time.
fn each(ids: &[String], act: impl Fn(&str) + Sync) {
    std::thread::scope(|scope| {
        for at in 0..SIDE_BY_SIDE {
            let act = &act;
            scope.spawn(move || ids.iter().skip(at).step_by(SIDE_BY_SIDE).for_each(|id| act(id)));
        }
    });
}

#[test]
fn a_thousand_containers_live_side_by_side_and_leave_nothing() {
    if skip("a_thousand_containers_live_side_by_side_and_leave_nothing", Need::Root) {
        return;
    }
    let bundle = Bundle::new(&["sleep", "1000"]);
    bundle.write();
    let ids: Vec<String> = (0..count()).map(|number| format!("{}-{number}", bundle.id)).collect();
    each(&ids, |id| {
        call(&bundle, &["create", id]);
        call(&bundle, &["start", id]);
    });
    let listed = bundle.call(&["list", "--format", "json"]).ok();
    let listed: Vec<serde_json::Value> = serde_json::from_str(&listed).unwrap();
    let running = listed.iter().filter(|state| state["status"] == "running").count();
    assert_eq!((listed.len(), running), (count(), count()));
    each(&ids, |id| {
        call(&bundle, &["kill", id, "KILL"]);
        call(&bundle, &["delete", "--force", id]);
    });
    bundle.assert_nothing_left();
}

#[test]
fn a_list_costs_the_same_for_each_container_however_many_there_are() {
    if skip("a_list_costs_the_same_for_each_container_however_many_there_are", Need::Root) {
        return;
    }
    let bundle = Bundle::new(&["true"]);
    bundle.write();
    let cost = |words: &[&str]| match kill_at(&bundle, words, usize::MAX / 2) {
        End::Exited { code: 0, calls } => calls,
        end => unreachable!("{words:?}: {end:?}"),
    };
    let mut costs = Vec::new();
    for hundred in 0..3 {
        for number in 0..20 {
            call(&bundle, &["create", &format!("{}-{hundred}-{number}", bundle.id)]);
        }
        costs.push(cost(&["list"]));
    }
    let (first, second) = (costs[1] - costs[0], costs[2] - costs[1]);
    assert!(second.abs_diff(first) <= 5 && first <= 20 * 35, "system calls of list: {costs:?}");
    let state = cost(&["state", &format!("{}-0-0", bundle.id)]);
    assert!(state < 80, "state takes {state} system calls among 60 containers");
    bundle.call(&["delete", "--force", "--regex", "."]).ok();
    bundle.assert_nothing_left();
}
