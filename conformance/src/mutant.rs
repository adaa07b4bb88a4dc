//! Runtimes that are wrong on purpose, one way at a time: the suite's own test.
//!
//! ```text
//! suite ── create --bundle B ──> mutant ── edits B/config.json ──> a good runtime
//!       <── {"status": ...} ───         <── edits what it prints ──
//! ```
//!
//! The program `mutant` takes its name from MUTANT and the good runtime from MUTANT_RUNTIME.

mod call;
mod edit;
mod field;
mod table;

pub use call::run;

use serde_json::Value;

/// Every mutant.
pub fn all() -> impl Iterator<Item = &'static Mutant> {
    table::MUTANTS.iter().chain(field::FIELDS)
}

/// One way to be wrong.
#[derive(Debug)]
pub struct Mutant {
    /// What it does wrong.
    pub name: &'static str,
    /// The cases that have to fail on it.
    pub caught_by: &'static [&'static str],
    /// How.
    pub change: Change,
}

/// Where a mutant puts its hand.
#[derive(Debug)]
pub enum Change {
    /// config.json, before create.
    Config(fn(&mut Value)),
    /// The document that state prints.
    State(fn(&mut Value)),
    /// This verb says that it succeeded, whatever happened.
    Succeeds(&'static str),
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

    #[test]
    fn every_mutant_has_a_name_of_its_own_and_cases_that_exist() {
        let mut names = HashSet::new();
        for mutant in super::all() {
            assert!(names.insert(mutant.name), "{} is there twice", mutant.name);
            assert!(!mutant.caught_by.is_empty(), "nothing catches {}", mutant.name);
            for name in mutant.caught_by {
                assert!(
                    crate::cases::all().any(|case| case.name == *name),
                    "{}: no case {name}",
                    mutant.name
                );
            }
        }
    }
}
