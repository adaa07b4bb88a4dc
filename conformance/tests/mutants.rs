//! The suite tests itself: every runtime and every image tool that is wrong on purpose is caught by the cases that
//! should catch it.
//!
//! The good ones are ours where they are built; MUTANT_OF and MUTANT_TOOL_OF name others.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use conformance::case::{Case, Verdict};
use conformance::expected::Expected;
use conformance::host::{self, Need, skip};
use conformance::image::{Desk, Tool};
use conformance::runtime::Runtime;
use conformance::{cases, jobs, mutant};

const LIMIT: Duration = Duration::from_secs(30);

/// The one that a variable names, else ours when it is built.
fn good(variable: &str, ours: &str) -> Option<PathBuf> {
    std::env::var_os(variable).map(PathBuf::from).or_else(|| host::find_program(ours))
}

/// What to try: a mutant's name, and a case that has to fail on it.
fn rows<B: 'static>(
    mutants: impl Iterator<Item = (&'static str, &'static [&'static str])>,
    suite: impl Fn(&str) -> &'static Case<B>,
    known: &Expected,
) -> Vec<(&'static str, &'static Case<B>)> {
    let all = mutants.flat_map(|(mutant, names)| names.iter().map(move |name| (mutant, *name)));
    all.map(|(mutant, name)| (mutant, suite(name)))
        .filter(|(_, case)| known.reason(case.name).is_none() && case.needs.iter().all(|need| need.is_met()))
        .step_by(stride())
        .collect()
}

/// Nearly nothing here depends on the machine: a slow one tries every so-manieth row.
fn stride() -> usize {
    std::env::var("MOCKER_STRIDE").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// Runs every row; `ours` has no need to show that it passes without the mutant, since tests/suite.rs does.
fn try_all<B: 'static>(
    rows: &[(&'static str, &'static Case<B>)],
    good: &(dyn Fn(&Case<B>) -> Verdict + Sync),
    bad: &(dyn Fn(&str, &Case<B>) -> Verdict + Sync),
    ours: bool,
) {
    let mut wrong = Vec::new();
    let prepare = || if host::is_root() { host::leave_mount_namespace() } else { Ok(()) };
    let work = |(mutant, case): &(&'static str, &'static Case<B>)| {
        if !ours && let Verdict::Fail(why) = good(case) {
            return Some(format!("{} fails on the good one: {why}", case.name));
        }
        (bad(mutant, case) == Verdict::Pass).then(|| format!("{} does not notice {mutant}", case.name))
    };
    jobs::each(jobs::processors(), rows, prepare, work, |_, found| wrong.extend(found)).unwrap();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

#[test]
fn privileged_every_mutant_is_caught() {
    let test = "privileged_every_mutant_is_caught";
    let found = good("MUTANT_OF", "mocker-runtime").or_else(|| host::on_path("runc"));
    if skip(test, Need::Container) || (found.is_none() && skip(test, Need::Program("runc"))) {
        return;
    }
    host::become_reaper().unwrap();
    let (path, probe) = (found.unwrap(), Path::new(env!("CARGO_BIN_EXE_probe")));
    let ours = host::find_program("mocker-runtime").is_some_and(|program| program == path);
    let good = Runtime::new(&path);
    let bad = |name: &str| {
        Runtime::new(env!("CARGO_BIN_EXE_mutant"))
            .cleaned_by(&path)
            .with_env("MUTANT", name)
            .with_env("MUTANT_RUNTIME", &path.display().to_string())
    };
    let mutants = mutant::all().map(|mutant| (mutant.name, mutant.caught_by));
    let suite = |name: &str| cases::all().find(|case| case.name == name).unwrap();
    let rows = rows(mutants, suite, &Expected::of(&good.version().unwrap()).unwrap());
    try_all(
        &rows,
        &|case| case.run(&good, probe, LIMIT),
        &|mutant, case| case.run(&bad(mutant), probe, LIMIT),
        ours,
    );
}

#[test]
fn every_mutant_of_an_image_tool_is_caught() {
    let Some(path) = good("MUTANT_TOOL_OF", "mocker-image") else {
        panic!("no image tool: build mocker-image or name one in MUTANT_TOOL_OF")
    };
    let ours = host::find_program("mocker-image").is_some_and(|program| program == path);
    let good = Tool::new(&path).unwrap();
    let bad = |name: &str| {
        let tool = Tool::new(Path::new(env!("CARGO_BIN_EXE_mutant"))).unwrap();
        tool.with_env("MUTANT", name).with_env("MUTANT_TOOL", &path.display().to_string())
    };
    let mutants = mutant::image::all().map(|mutant| (mutant.name, mutant.caught_by));
    let suite =
        |name: &str| -> &'static Case<Desk> { cases::image::all().find(|case| case.name == name).unwrap() };
    let rows = rows(mutants, suite, &Expected::of(&good.version().unwrap()).unwrap());
    try_all(&rows, &|case| case.run(&good, LIMIT), &|mutant, case| case.run(&bad(mutant), LIMIT), ours);
}
