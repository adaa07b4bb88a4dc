//! The suite: every case, topic by topic.

mod capabilities;
mod cgroups;
mod console;
mod create;
mod delegation;
mod devices;
mod features;
mod hook_failures;
mod hooks;
mod idmap;
pub mod image;
mod invalid;
mod joined;
mod labels;
mod limits;
mod mounts;
mod namespaces;
mod operations;
mod paths;
mod process;
mod scheduling;
mod seccomp;
mod state;

use anyhow::{Result, ensure};

use crate::case::{Bench, Case, Lacking};
use crate::host::Need;
use crate::runtime::Outcome;

/// What a case needs that runs a container: root, or an ordinary user in a user namespace.
const CONTAINER: &[Need] = &[Need::Container];
/// What a case needs whose container has further users than the one who calls the runtime.
const USERS: &[Need] = &[Need::Container, Need::Users];
/// What a case needs that looks at a cgroup of the container.
const CGROUP: &[Need] = &[Need::Container, Need::OwnCgroup];
/// What a case needs that does or asks for what only root may: a mount on the host, a device, a raised priority.
const ROOT: &[Need] = &[Need::Root];

/// All cases, in the order of the specification.
pub fn all() -> impl Iterator<Item = &'static Case> {
    let topics = [
        state::CASES,
        create::CASES,
        operations::CASES,
        process::CASES,
        scheduling::CASES,
        capabilities::CASES,
        seccomp::CASES,
        labels::CASES,
        console::CASES,
        namespaces::CASES,
        joined::CASES,
        paths::CASES,
        mounts::CASES,
        idmap::CASES,
        devices::CASES,
        cgroups::CASES,
        delegation::CASES,
        limits::CASES,
        hooks::CASES,
        hook_failures::CASES,
        features::CASES,
        invalid::CASES,
    ];
    topics.into_iter().flatten()
}

/// The names of all cases, the image side's too.
pub fn names() -> impl Iterator<Item = &'static str> {
    all().map(|case| case.name).chain(image::all().map(|case| case.name))
}

/// A command that no runtime has.
const UNHEARD: &str = "futurama";

/// Skips the case where the runtime has no such command (`command:NAME`), which it need not have: it says of it what it
/// says of a word that nobody has for one.
fn must_know(bench: &Bench, command: &'static str, outcome: &Outcome) -> Result<()> {
    if !outcome.status.success() {
        let unheard = bench.runtime().call(&[UNHEARD], bench.left())?;
        // but for hints in later lines
        let first = |text: &str| text.lines().next().unwrap_or_default().to_owned();
        let name = command.trim_start_matches("command:");
        let same = first(&outcome.stderr.replace(name, UNHEARD)) == first(&unheard.stderr);
        ensure!(!(same && outcome.status == unheard.status), Lacking(command));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    #[test]
    fn every_case_has_a_name_of_its_own_and_the_sentence_of_a_section() {
        let mut names = HashSet::new();
        let runtime = super::all().map(|case| (case.name, case.at, case.must));
        let image = super::image::all().map(|case| (case.name, case.at, case.must));
        for (name, at, must) in runtime.chain(image) {
            assert!(names.insert(name), "{name} is there twice");
            assert!(name.contains('.') && !name.contains(' '), "{name}");
            assert!(at.contains(".md#"), "{name}: {at}");
            assert!(must.len() >= 20, "{name}: {must}");
        }
        assert!(names.len() >= 300, "{} cases", names.len());
    }

    #[test]
    fn the_ledger_names_cases_that_exist_and_every_case_that_quotes_a_duty() {
        let rows = include_str!("../LEDGER.md").lines().filter(|line| line.starts_with("| "));
        let mut named = HashSet::new();
        for row in rows.skip(1) {
            let held = row.split('|').nth(3).unwrap_or_default().trim();
            assert!(held.len() > 10, "neither a case nor a reason: {row}");
            // what stands between the first two backquotes, the next two ...
            named.extend(held.split('`').skip(1).step_by(2));
        }
        let known: HashSet<&str> = super::all().map(|case| case.name).collect();
        let strange: Vec<_> = named.difference(&known).collect();
        assert!(strange.is_empty(), "no such cases: {strange:?}");
        let duty = |must: &str| ["MUST", "SHOULD", "REQUIRED"].iter().any(|word| must.contains(word));
        let held = super::all().filter(|case| duty(case.must));
        let missing: Vec<&str> = held.map(|case| case.name).filter(|name| !named.contains(name)).collect();
        assert!(missing.is_empty(), "not in LEDGER.md: {missing:?}");
    }
}
