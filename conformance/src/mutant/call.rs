//! The wrapper around the good runtime.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::Change;

/// Does what the command line asks for, wrongly; a document that it edits goes to `out`. The words are `--root ROOT VERB [WORDS] ID [WORDS]`.
pub fn run(name: &str, runtime: &str, words: Vec<String>, out: &mut dyn Write) -> Result<ExitCode> {
    let mutant = super::all().find(|mutant| mutant.name == name);
    let change = &mutant.with_context(|| format!("no mutant is called {name:?}"))?.change;
    let Some(verb) = words.get(2).cloned() else { bail!("no verb in {words:?}") };
    match change {
        Change::Nothing(wanted) if *wanted == verb => return Ok(ExitCode::SUCCESS),
        Change::Refuses(wanted) if *wanted == verb => bail!("{verb} is not done"),
        Change::Prints(wanted, edit) if *wanted == verb => return prints(runtime, &words, *edit, out),
        Change::Chokes(test) if verb == "create" && config(&words).is_ok_and(|config| test(&config)) => {
            bail!("this is more than it can swallow")
        }
        Change::Before(wanted, act) if *wanted == verb => act(&state_of(runtime, &words)?)?,
        _ => {}
    }
    let good = match change {
        Change::Leaks if verb == "create" => leak(runtime, &words)?,
        _ => call(runtime, &changed(change, &verb, words.clone())?)?,
    };
    match change {
        Change::Succeeds(wanted) if wanted.split(' ').any(|wanted| wanted == verb) => {
            return Ok(ExitCode::SUCCESS);
        }
        Change::Then(wanted, next) if *wanted == verb && good == 0 => {
            let (root, id) = (words.iter().take(2), words.last());
            let words: Vec<String> = root.cloned().chain([(*next).to_owned()]).chain(id.cloned()).collect();
            call(runtime, &words)?;
        }
        Change::Failed(act) if verb == "create" && good != 0 => act(&config(&words)?)?,
        _ => {}
    }
    Ok(ExitCode::from(u8::try_from(good).unwrap_or(1)))
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
fn leak(runtime: &str, words: &[String]) -> Result<i32> {
    let script = "exec 3<&0; exec \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh", runtime]).args(&words[..3]).arg("--preserve-fds=1").args(&words[3..]);
    Ok(command.status().context("run sh")?.code().unwrap_or(1))
}

/// What the good runtime says of the container; the id is the first word behind the verb.
fn state_of(runtime: &str, words: &[String]) -> Result<Value> {
    let id = words.get(3).context("no id")?;
    let output = Command::new(runtime).args(&words[..2]).args(["state", id.as_str()]).output()?;
    serde_json::from_slice(&output.stdout).context("the good runtime's state")
}

fn call(runtime: &str, words: &[String]) -> Result<i32> {
    let status = Command::new(runtime).args(words).status().with_context(|| format!("run {runtime}"))?;
    Ok(status.code().unwrap_or(1))
}

fn prints(runtime: &str, words: &[String], edit: fn(&mut Value), out: &mut dyn Write) -> Result<ExitCode> {
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
