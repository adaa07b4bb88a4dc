//! A runtime or an image tool that is wrong on purpose: the suite has to notice. See the module `mutant` of the library.

use std::process::ExitCode;

use anyhow::{Context, Result};
use conformance::mutant;

fn main() -> Result<ExitCode> {
    let variable = |name: &str| std::env::var(name).with_context(|| format!("{name} is not set"));
    let words = std::env::args().skip(1).collect();
    let out = &mut std::io::stdout();
    match std::env::var("MUTANT_TOOL") {
        Ok(tool) => mutant::image::run(&variable("MUTANT")?, &tool, words, out),
        Err(_) => mutant::run(&variable("MUTANT")?, &variable("MUTANT_RUNTIME")?, words, out),
    }
}
