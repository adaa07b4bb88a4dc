//! A runtime or an image tool that is wrong on purpose: the suite has to notice. See the module `mutant` of the library.

use std::process::ExitCode;

use anyhow::{Context, Result};
use conformance::mutant::{self, Ground};

fn main() -> Result<ExitCode> {
    let variable = |name: &str| std::env::var(name).with_context(|| format!("{name} is not set"));
    let words = std::env::args().skip(1).collect();
    let out = &mut std::io::stdout();
    let ground = |program| std::env::var("MUTANT_ON").map_or(Ok(Ground::plain(program)), Ground::corrected);
    match std::env::var("MUTANT_TOOL") {
        Ok(tool) => mutant::image::run(&variable("MUTANT")?, &ground(tool)?, words, out),
        Err(_) => mutant::run(&variable("MUTANT")?, &ground(variable("MUTANT_RUNTIME")?)?, words, out),
    }
}
