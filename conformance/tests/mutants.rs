//! The suite tests itself: every runtime that is wrong on purpose is caught by the case that should catch it.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::PathBuf;
use std::time::Duration;

use conformance::case::{Case, Verdict};
use conformance::cases;
use conformance::expected::Expected;
use conformance::host::{self, Need, skip};
use conformance::mutant;
use conformance::runtime::Runtime;

const LIMIT: Duration = Duration::from_secs(30);

/// MUTANT_OF when set, else ours when it is built, else runc.
fn good_runtime() -> Option<PathBuf> {
    let named = std::env::var_os("MUTANT_OF").map(PathBuf::from);
    named.or_else(|| host::find_program("mocker-runtime")).or_else(|| host::on_path("runc"))
}

fn case(name: &str) -> &'static Case {
    cases::all().find(|case| case.name == name).unwrap()
}

#[test]
fn privileged_every_mutant_is_caught() {
    let test = "privileged_every_mutant_is_caught";
    if skip(test, Need::Root) || (good_runtime().is_none() && skip(test, Need::Program("runc"))) {
        return;
    }
    host::become_reaper().unwrap();
    host::leave_mount_namespace().unwrap();
    let probe = PathBuf::from(env!("CARGO_BIN_EXE_probe"));
    let path = good_runtime().unwrap();
    let ours = host::find_program("mocker-runtime").is_some_and(|program| program == path);
    let good = Runtime::new(&path);
    let known = Expected::of(&good.version().unwrap());
    let mut wrong = Vec::new();
    for mutant in mutant::all() {
        let bad = Runtime::new(env!("CARGO_BIN_EXE_mutant"))
            .cleaned_by(&path)
            .with_env("MUTANT", mutant.name)
            .with_env("MUTANT_RUNTIME", &path.display().to_string());
        for case in mutant.caught_by.iter().map(|name| case(name)) {
            if known.reason(case.name).is_some() || !case.needs.iter().all(|need| need.is_met()) {
                continue;
            }
            // tests/suite.rs shows it of ours, with every case
            if !ours && let Verdict::Fail(why) = case.run(&good, &probe, LIMIT) {
                wrong.push(format!("{} fails on the good runtime: {why}", case.name));
            }
            if case.run(&bad, &probe, LIMIT) == Verdict::Pass {
                wrong.push(format!("{} does not notice {}", case.name, mutant.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), path.display(), wrong.join("\n"));
}
