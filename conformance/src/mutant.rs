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
mod table;

pub use call::run;
pub use table::MUTANTS;

use serde_json::Value;

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
