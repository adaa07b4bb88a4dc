//! The wrapper around the good runtime.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{Change, Ground, relay};

/// Does what the command line asks for, wrongly; a document that it edits goes to `out`. The words are `--root ROOT VERB [WORDS] ID [WORDS]`.
pub fn run(name: &str, good: &Ground, words: Vec<String>, out: &mut dyn Write) -> Result<ExitCode> {
    let mutants = super::all().map(|mutant| (mutant.name, &mutant.change));
    let corrections = super::CORRECTIONS.iter().map(|correction| (correction.name, &correction.change));
    let found = mutants.chain(corrections).find(|(called, _)| *called == name);
    let (_, change) = found.with_context(|| format!("no mutant is called {name:?}"))?;
    let Some(verb) = words.get(2).cloned() else { bail!("no verb in {words:?}") };
    match change {
        Change::Nothing(wanted) if *wanted == verb => return Ok(ExitCode::SUCCESS),
        Change::Refuses(wanted) if *wanted == verb => bail!("{verb} is not done"),
        Change::RefusesWhile(wanted, status) if *wanted == verb && is(good, &words, status) => {
            bail!("{verb} is not done: the container is {status}")
        }
        Change::Prints(wanted, edit) if *wanted == verb => return prints(good, &words, *edit, out),
        Change::Chokes(test) if verb == "create" && config(&words).is_ok_and(|config| test(&config)) => {
            bail!("this is more than it can swallow")
        }
        Change::Before(wanted, act) if *wanted == verb => act(&state_of(good, &words)?)?,
        _ => {}
    }
    let ended = match change {
        Change::Leaks if verb == "create" => leak(good, &words)?,
        Change::Relays(pass_on) if verb == "create" => {
            let bundle = bundle_of(&words)?;
            relay::run(&bundle, &mut config(&words)?, *pass_on, |config| {
                std::fs::write(bundle.join("config.json"), config.to_string())?;
                call(good, &words)
            })?
        }
        _ => call(good, &changed(change, &verb, words.clone())?)?,
    };
    match change {
        Change::Succeeds(wanted) if wanted.split(' ').any(|wanted| wanted == verb) => {
            return Ok(ExitCode::SUCCESS);
        }
        Change::Then(wanted, next) if *wanted == verb && ended == 0 => {
            let (root, id) = (words.iter().take(2), words.last());
            let words: Vec<String> = root.cloned().chain([(*next).to_owned()]).chain(id.cloned()).collect();
            call(good, &words)?;
        }
        Change::Failed(act) if verb == "create" && ended != 0 => act(&config(&words)?)?,
        _ => {}
    }
    Ok(ExitCode::from(u8::try_from(ended).unwrap_or(1)))
}

fn changed(change: &Change, verb: &str, mut words: Vec<String>) -> Result<Vec<String>> {
    match change {
        // a bundle without a configuration is the good runtime's affair
        Change::Config(edit) if verb == "create" => drop(edit_config(&words, |_, config| edit(config))),
        Change::Bundle(edit) if verb == "create" => drop(edit_config(&words, edit)),
        Change::Adds(wanted, word) if *wanted == verb => words.insert(3, (*word).to_owned()),
        Change::Signal(signal) if verb == "kill" && words.len() > 4 => (*signal).clone_into(&mut words[4]),
        _ => {}
    }
    Ok(words)
}

fn bundle_of(words: &[String]) -> Result<PathBuf> {
    let place = words.iter().position(|word| word == "--bundle").context("create without --bundle")?;
    words.get(place + 1).map(PathBuf::from).context("--bundle without a value")
}

fn config(words: &[String]) -> Result<Value> {
    Ok(serde_json::from_slice(&std::fs::read(bundle_of(words)?.join("config.json"))?)?)
}

fn edit_config(words: &[String], edit: impl Fn(&Path, &mut Value)) -> Result<()> {
    let mut document = config(words)?;
    let bundle = bundle_of(words)?;
    edit(&bundle, &mut document);
    Ok(std::fs::write(bundle.join("config.json"), document.to_string())?)
}

/// With standard input once more, as descriptor 3.
fn leak(good: &Ground, words: &[String]) -> Result<i32> {
    let script = "exec 3<&0; exec \"$@\"";
    let mut command = good.dressed(Command::new("sh"));
    command
        .args(["-c", script, "sh", good.program()])
        .args(&words[..3])
        .arg("--preserve-fds=1")
        .args(&words[3..]);
    Ok(command.status().context("run sh")?.code().unwrap_or(1))
}

/// What the good runtime says of the container; the id is the first word behind the verb.
fn state_of(good: &Ground, words: &[String]) -> Result<Value> {
    let id = words.get(3).context("no id")?;
    let output = good.command().args(&words[..2]).args(["state", id.as_str()]).output()?;
    serde_json::from_slice(&output.stdout).context("the good runtime's state")
}

/// Whether the container has this status; with an option before its id (`--force`) nobody asks.
fn is(good: &Ground, words: &[String], status: &str) -> bool {
    state_of(good, words).is_ok_and(|state| state["status"] == status)
}

fn call(good: &Ground, words: &[String]) -> Result<i32> {
    let status = good.command().args(words).status().with_context(|| format!("run {}", good.program()))?;
    Ok(status.code().unwrap_or(1))
}

fn prints(good: &Ground, words: &[String], edit: fn(&mut Value), out: &mut dyn Write) -> Result<ExitCode> {
    let Output { status, stdout, .. } = good
        .command()
        .args(words)
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("run {}", good.program()))?;
    if !status.success() {
        return Ok(ExitCode::FAILURE);
    }
    let mut document = serde_json::from_slice(&stdout)?;
    edit(&mut document);
    serde_json::to_writer(out, &document)?;
    Ok(ExitCode::SUCCESS)
}
