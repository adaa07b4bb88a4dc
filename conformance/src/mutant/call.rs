//! The wrapper around the good runtime.

use std::io::Write;
use std::path::Path;
use std::process::{Command, ExitCode, Output, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{Change, Mutant};

/// Does what the command line asks for, wrongly; a document that it edits goes to `out`. The words are `--root ROOT VERB [WORDS] ID [WORDS]`.
pub fn run(name: &str, runtime: &str, words: Vec<String>, out: &mut dyn Write) -> Result<ExitCode> {
    let mutant = super::all().find(|mutant| mutant.name == name);
    let mutant = mutant.with_context(|| format!("no mutant is called {name:?}"))?;
    let Some(verb) = words.get(2).cloned() else { bail!("no verb in {words:?}") };
    match mutant.change {
        Change::Nothing(wanted) if wanted == verb => return Ok(ExitCode::SUCCESS),
        Change::State(edit) if verb == "state" => return state(runtime, &words, edit, out),
        _ => {}
    }
    let good = call(runtime, &changed(mutant, &verb, words.clone())?)?;
    match mutant.change {
        Change::Succeeds(wanted) if wanted == verb => return Ok(ExitCode::SUCCESS),
        Change::Then(wanted, next) if wanted == verb && good == 0 => {
            let (root, id) = (words.iter().take(2), words.last());
            let words: Vec<String> = root.cloned().chain([next.to_owned()]).chain(id.cloned()).collect();
            call(runtime, &words)?;
        }
        _ => {}
    }
    Ok(ExitCode::from(u8::try_from(good).unwrap_or(1)))
}

fn changed(mutant: &Mutant, verb: &str, mut words: Vec<String>) -> Result<Vec<String>> {
    match mutant.change {
        Change::Config(edit) if verb == "create" => {
            let place =
                words.iter().position(|word| word == "--bundle").context("create without --bundle")?;
            let bundle = words.get(place + 1).context("--bundle without a value")?;
            // a bundle without one is the good runtime's affair
            edit_file(&Path::new(bundle).join("config.json"), edit).ok();
        }
        Change::Adds(wanted, word) if wanted == verb => words.insert(3, word.to_owned()),
        Change::Signal(signal) if verb == "kill" && words.len() > 4 => signal.clone_into(&mut words[4]),
        _ => {}
    }
    Ok(words)
}

fn edit_file(path: &Path, edit: fn(&mut Value)) -> Result<()> {
    let mut config = serde_json::from_slice(&std::fs::read(path)?)?;
    edit(&mut config);
    Ok(std::fs::write(path, config.to_string())?)
}

fn call(runtime: &str, words: &[String]) -> Result<i32> {
    let status = Command::new(runtime).args(words).status().with_context(|| format!("run {runtime}"))?;
    Ok(status.code().unwrap_or(1))
}

fn state(runtime: &str, words: &[String], edit: fn(&mut Value), out: &mut dyn Write) -> Result<ExitCode> {
    let Output { status, stdout, .. } = Command::new(runtime)
        .args(words)
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("run {runtime}"))?;
    if !status.success() {
        return Ok(ExitCode::FAILURE);
    }
    let mut document = serde_json::from_slice(&stdout)?;
    edit(&mut document);
    serde_json::to_writer(out, &document)?;
    Ok(ExitCode::SUCCESS)
}
