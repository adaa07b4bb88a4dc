//! The suite tests itself: every runtime and every image tool that is wrong on purpose is caught by the cases that
//! should catch it.
//!
//! The good ones are ours where they are built; MUTANT_OF and MUTANT_TOOL_OF name others. A row is a mutant and a case
//! that has to fail on it. Each row is tried on every machine that has what its case needs; where it lacks that, the
//! skip is counted under the case's name, so that scripts/lib/skips finds a row that was tried nowhere.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use conformance::case::{Case, Verdict};
use conformance::expected::Expected;
use conformance::host::{self, Need, count_skip, skip};
use conformance::image::{Desk, Tool};
use conformance::mutant::{self, Correction, Mutant};
use conformance::runtime::Runtime;
use conformance::{cases, jobs};

const LIMIT: Duration = Duration::from_secs(30);

/// The one that a variable names, else ours when it is built.
fn good(variable: &str, ours: &str) -> Option<PathBuf> {
    std::env::var_os(variable).map(PathBuf::from).or_else(|| host::find_program(ours))
}

/// A mutant and a case that has to fail on it.
struct Row<B: 'static> {
    mutant: &'static str,
    case: &'static Case<B>,
    /// Whether the good tool itself is known to fail the case.
    known: bool,
    /// What the mutant stands on then.
    correction: Option<&'static str>,
}

/// The table of a suite.
fn table<B: 'static, C: 'static>(
    mutants: impl Iterator<Item = &'static Mutant<C>>,
    suite: &[&'static Case<B>],
    corrections: &'static [Correction<C>],
    known: &Expected,
) -> Vec<Row<B>> {
    let all = mutants.flat_map(|mutant| mutant.caught_by.iter().map(move |case| (mutant.name, *case)));
    let row = |(mutant, name)| {
        let case = *suite.iter().find(|case| case.name == name).unwrap();
        let mends = corrections.iter().find(|each| each.mends.contains(&name));
        let known = known.reason(name).is_some();
        Row { mutant, case, known, correction: mends.filter(|_| known).map(|each| each.name) }
    };
    all.map(row).collect()
}

/// The rows that this machine can try; what it lacks for the others is counted.
fn possible<B>(mut rows: Vec<Row<B>>) -> Vec<Row<B>> {
    rows.retain(|row| match row.case.needs.iter().find(|need| !need.is_met()) {
        None => true,
        Some(lacking) => {
            count_skip(row.case.name, &lacking.name());
            false
        }
    });
    rows
}

/// A slow machine tries every so-manieth of the rows that any machine can try, and all others.
fn spread<B>(mut rows: Vec<Row<B>>) -> Vec<Row<B>> {
    let stride = std::env::var("MOCKER_STRIDE").ok().and_then(|text| text.parse().ok()).unwrap_or(1_usize);
    let anywhere = |need: &Need| matches!(need, Need::Root | Need::Container | Need::Users | Need::OwnCgroup);
    let mut place = 0;
    rows.retain(|row| {
        place += 1;
        place % stride == 0 || !row.case.needs.iter().all(anywhere)
    });
    rows
}

/// Tries every row; `good` is asked too where nobody else shows that the case passes without the mutant, as
/// tests/suite.rs does for ours.
fn try_all<B: 'static>(
    rows: Vec<Row<B>>,
    ours: bool,
    good: &(dyn Fn(&Row<B>) -> Verdict + Sync),
    bad: &(dyn Fn(&Row<B>) -> Verdict + Sync),
) {
    let rows = spread(possible(rows));
    let mut wrong = Vec::new();
    let prepare = || if host::is_root() { host::leave_mount_namespace() } else { Ok(()) };
    let work = |row: &Row<B>| {
        let (mutant, case) = (row.mutant, row.case.name);
        if (!ours || row.known)
            && let Verdict::Fail(why) | Verdict::Skip(why) = good(row)
        {
            return Some(format!("{case} does not pass without {mutant}: {why}"));
        }
        match bad(row) {
            Verdict::Fail(_) => None,
            Verdict::Pass => Some(format!("{case} does not notice {mutant}")),
            Verdict::Skip(why) => Some(format!("{case} cannot show {mutant}: {why}")),
        }
    };
    jobs::each(jobs::processors(), &rows, prepare, work, |_, found| wrong.extend(found)).unwrap();
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
    let plain = Runtime::new(&path);
    let made = |name: &str| {
        Runtime::new(env!("CARGO_BIN_EXE_mutant"))
            .cleaned_by(&path)
            .with_env("MUTANT", name)
            .with_env("MUTANT_RUNTIME", &path.display().to_string())
    };
    let known = Expected::of(&plain.version().unwrap()).unwrap();
    let suite: Vec<_> = cases::all().collect();
    let mut rows = table(mutant::all(), &suite, mutant::CORRECTIONS, &known);
    if !ours {
        rows.retain(|row| !row.known || row.correction.is_some());
    }
    let base = |row: &Row<_>| row.correction.map_or_else(|| plain.clone(), made);
    let bad = |row: &Row<_>| match row.correction {
        Some(correction) => made(row.mutant).with_env("MUTANT_ON", correction),
        None => made(row.mutant),
    };
    try_all(rows, ours, &|row| row.case.run(&base(row), probe, LIMIT), &|row| {
        row.case.run(&bad(row), probe, LIMIT)
    });
}

#[test]
fn every_mutant_of_an_image_tool_is_caught() {
    let Some(path) = good("MUTANT_TOOL_OF", "mocker-image") else {
        panic!("no image tool: build mocker-image or name one in MUTANT_TOOL_OF")
    };
    let ours = host::find_program("mocker-image").is_some_and(|program| program == path);
    let plain = || Tool::new(&path).unwrap();
    let made = |name: &str| {
        let tool = Tool::new(Path::new(env!("CARGO_BIN_EXE_mutant"))).unwrap();
        tool.with_env("MUTANT", name).with_env("MUTANT_TOOL", &path.display().to_string())
    };
    let known = Expected::of(&plain().version().unwrap()).unwrap();
    let suite: Vec<&'static Case<Desk>> = cases::image::all().collect();
    let mut rows = table(mutant::image::all(), &suite, mutant::image::CORRECTIONS, &known);
    if !ours {
        rows.retain(|row| !row.known || row.correction.is_some());
    }
    let base = |row: &Row<_>| row.correction.map_or_else(plain, made);
    let bad = |row: &Row<_>| match row.correction {
        Some(correction) => made(row.mutant).with_env("MUTANT_ON", correction),
        None => made(row.mutant),
    };
    try_all(rows, ours, &|row| row.case.run(&base(row), LIMIT), &|row| row.case.run(&bad(row), LIMIT));
}
