//! What a mutant stands on: the good tool as it is, or with one of its known faults put right.
//!
//! ```text
//! suite ──> mutant ──> correction ──> the good tool
//! ```
//!
//! A case that the good tool itself is known to fail could not show a mutant. A correction is made as mutants are, and
//! is no more than one such case asks for: the case has to pass on it, and to fail on the mutant that stands on it.

use std::process::Command;

use anyhow::{Context, Result};

use super::Change;

/// One known fault of the good tool, put right.
#[derive(Debug)]
pub struct Correction<C = Change> {
    /// What it puts right.
    pub name: &'static str,
    /// The cases that pass on it.
    pub mends: &'static [&'static str],
    /// How.
    pub change: C,
}

/// The program that does the work in the end, as a mutant calls it.
#[derive(Debug, Clone)]
pub struct Ground {
    program: String,
    correction: Option<String>,
}

impl Ground {
    /// The good tool as it is.
    pub fn plain(program: String) -> Self {
        Self { program, correction: None }
    }

    /// The good tool behind a correction: this very program once more, under the correction's name.
    pub fn corrected(correction: String) -> Result<Self> {
        let own = std::env::current_exe().context("find this program")?;
        Ok(Self { program: own.display().to_string(), correction: Some(correction) })
    }

    /// Its program.
    pub(super) fn program(&self) -> &str {
        &self.program
    }

    /// A call of it.
    pub(super) fn command(&self) -> Command {
        self.dressed(Command::new(&self.program))
    }

    /// The environment in which a command of ours has to call it.
    pub(super) fn dressed(&self, mut command: Command) -> Command {
        if let Some(correction) = &self.correction {
            command.env("MUTANT", correction).env_remove("MUTANT_ON");
        }
        command
    }
}
