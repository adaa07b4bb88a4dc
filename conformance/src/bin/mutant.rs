//! A runtime that is wrong on purpose: the suite has to notice. See the module `mutant` of the library.

use std::process::ExitCode;

use anyhow::{Context, Result};

fn main() -> Result<ExitCode> {
    let variable = |name: &str| std::env::var(name).with_context(|| format!("{name} is not set"));
    let words = std::env::args().skip(1).collect();
    conformance::mutant::run(
        &variable("MUTANT")?,
        &variable("MUTANT_RUNTIME")?,
        words,
        &mut std::io::stdout(),
    )
}
