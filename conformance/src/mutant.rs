//! Runtimes (and in `image` image tools) that are wrong on purpose, one way at a time: the suite's own test.
//!
//! ```text
//! suite ── create --bundle B ──> mutant ── edits B/config.json ──> a good runtime
//!       <── {"status": ...} ───         <── edits what it prints ──
//! ```
//!
//! The program `mutant` takes its name from MUTANT and the good runtime from MUTANT_RUNTIME, or the good image tool
//! from MUTANT_TOOL; MUTANT_ON names the correction that it stands on, if it needs one.

mod act;
mod call;
mod edit;
mod field;
mod ground;
mod host;
pub mod image;
mod later;
mod promise;
mod relay;
mod table;

pub use call::run;
pub use ground::{Correction, Ground};
pub use relay::Told;

use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::Result;
use serde_json::Value;

/// Every mutant.
pub fn all() -> impl Iterator<Item = &'static Mutant> {
    table::MUTANTS
        .iter()
        .chain(field::FIELDS)
        .chain(host::MUTANTS)
        .chain(promise::MUTANTS)
        .chain(later::MUTANTS)
}

/// Name and cases of every mutant, those of image tools too.
pub fn rows() -> impl Iterator<Item = (&'static str, &'static [&'static str])> {
    let runtimes = all().map(|mutant| (mutant.name, mutant.caught_by));
    runtimes.chain(image::all().map(|mutant| (mutant.name, mutant.caught_by)))
}

/// The mutants that this case has to fail on.
pub fn caught_by(case: &str) -> Vec<&'static str> {
    rows().filter(|(_, cases)| cases.contains(&case)).map(|(name, _)| name).collect()
}

/// What the good runtime is known to do wrong, put right.
pub const CORRECTIONS: &[Correction] = &[Correction {
    name: "leaves-what-waits",
    mends: &["delete.created-container-is-an-error"],
    change: Change::RefusesWhile("delete", "created"),
}];

/// One way to be wrong, for a runtime or (`image::Mutant`) for an image tool.
#[derive(Debug)]
pub struct Mutant<C = Change> {
    /// What it does wrong.
    pub name: &'static str,
    /// The cases that have to fail on it.
    pub caught_by: &'static [&'static str],
    /// How.
    pub change: C,
}

/// Where a mutant puts its hand.
#[derive(Debug)]
pub enum Change {
    /// config.json, before create.
    Config(fn(&mut Value)),
    /// The document that this verb (state, features) prints.
    Prints(&'static str, fn(&mut Value)),
    /// The bundle in this folder, before create; config.json is written back.
    Bundle(fn(&Path, &mut Value)),
    /// create of such a configuration is an error.
    Chokes(fn(&Value) -> bool),
    /// These verbs (with spaces between) say that they succeeded, whatever happened.
    Succeeds(&'static str),
    /// This verb is an error and does nothing.
    Refuses(&'static str),
    /// This verb, without an option, is an error and does nothing while the container has this status.
    RefusesWhile(&'static str, &'static str),
    /// This is done before the verb, knowing the state of the container.
    Before(&'static str, fn(&Value) -> Result<()>),
    /// This is done when a create has failed, knowing its configuration.
    Failed(fn(&Value) -> Result<()>),
    /// What the listener of seccomp hears during create goes through this, which knows the state and the connection.
    Relays(fn(&Told, UnixStream) -> Result<()>),
    /// The container gets one more descriptor.
    Leaks,
    /// This verb is called with one more word behind it.
    Adds(&'static str, &'static str),
    /// After this verb another one is called with the same id.
    Then(&'static str, &'static str),
    /// This verb does nothing.
    Nothing(&'static str),
    /// kill sends this signal, whichever was asked for.
    Signal(&'static str),
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::rows;

    #[test]
    fn every_mutant_has_a_name_of_its_own_and_cases_that_exist() {
        let mut names = HashSet::new();
        for (name, caught_by) in rows() {
            assert!(names.insert(name), "{name} is there twice");
            assert!(!caught_by.is_empty(), "nothing catches {name}");
            for case in caught_by {
                assert!(crate::cases::names().any(|held| held == *case), "{name}: no case {case}");
            }
        }
    }

    #[test]
    fn every_correction_has_a_name_of_its_own_and_mends_cases_that_mutants_fail() {
        let corrections = super::CORRECTIONS.iter().map(|correction| (correction.name, correction.mends));
        let all = corrections.chain(super::image::CORRECTIONS.iter().map(|each| (each.name, each.mends)));
        for (name, mends) in all {
            assert!(rows().all(|(mutant, _)| mutant != name), "{name} is a mutant, too");
            for case in mends {
                assert!(rows().any(|(_, caught_by)| caught_by.contains(case)), "{name}: {case}");
            }
        }
    }

    #[test]
    fn every_case_fails_on_a_mutant() {
        let caught: HashSet<&str> = rows().flat_map(|(_, cases)| cases.iter().copied()).collect();
        let idle: Vec<&str> = crate::cases::names().filter(|name| !caught.contains(name)).collect();
        assert!(idle.is_empty(), "no mutant shows that these can fail: {}", idle.join(" "));
    }
}
