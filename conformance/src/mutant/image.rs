//! Image tools that are wrong on purpose: a wrapper around a good one.
//!
//! ```text
//! suite ── unpack ... SOURCE BUNDLE ──> mutant ──> the good tool ──> BUNDLE ── edited
//!                                          └── proxy ──> registry (requests and answers edited)
//! ```

mod conversion;
mod document;
mod edit;
mod refusal;
mod source;
mod tree;
mod wire;

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Output, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{Correction, Ground};
use crate::bundle;
use crate::registry::{self, Wire};

/// Every mutant of an image tool.
pub fn all() -> impl Iterator<Item = &'static Mutant> {
    let tables = [refusal::MUTANTS, document::MUTANTS, tree::MUTANTS, conversion::MUTANTS, wire::MUTANTS];
    tables.into_iter().flatten()
}

/// What the good image tool is known to do wrong, put right.
pub const CORRECTIONS: &[Correction<Change>] = &[Correction {
    name: "gives-nobody-a-group",
    mends: &["user.number-has-no-further-groups"],
    change: Change::Config(|config| bundle::remove(config, "/process/user/additionalGids")),
}];

/// One way for an image tool to be wrong.
pub type Mutant = super::Mutant<Change>;

/// Where such a mutant puts its hand.
#[derive(Debug)]
pub enum Change {
    /// The root file system, when it has been unpacked.
    Tree(fn(&Path) -> Result<()>),
    /// config.json.
    Config(fn(&mut Value)),
    /// The layout that was copied into.
    Layout(fn(&Path) -> Result<()>),
    /// A failure that is told in one of these words is none.
    Swallows(&'static [&'static str]),
    /// A source with such a document is an error.
    Chokes(fn(&[u8]) -> bool),
    /// The words of the command line, behind the program.
    Words(fn(&mut Vec<String>)),
    /// What is printed.
    Prints(fn(&str) -> String),
    /// This verb does nothing and says so to nobody.
    Nothing(&'static str),
    /// What goes to and comes from the registry.
    Wire(Wire),
}

/// Does what the command line asks for, wrongly. The words are `VERB ... SOURCE DESTINATION` or `VERB ... SOURCE`.
pub fn run(name: &str, good: &Ground, words: Vec<String>, out: &mut dyn Write) -> Result<ExitCode> {
    let mutants = all().map(|mutant| (mutant.name, &mutant.change));
    let corrections = CORRECTIONS.iter().map(|correction| (correction.name, &correction.change));
    let found = mutants.chain(corrections).find(|(called, _)| *called == name);
    let (_, change) = found.with_context(|| format!("no mutant is called {name:?}"))?;
    let call = Call { good: good.clone(), words };
    match change {
        Change::Nothing(verb) if call.verb() == *verb => Ok(ExitCode::SUCCESS),
        Change::Chokes(test) if source::documents(call.source()).iter().any(|text| test(text)) => {
            bail!("this is more than it can swallow")
        }
        Change::Words(edit) => call.with(edit).run(out),
        Change::Wire(wire) => call.through(*wire)?.run(out),
        Change::Swallows(words) => call.swallow(words, out),
        Change::Prints(edit) => call.print(*edit, out),
        Change::Tree(_) | Change::Config(_) | Change::Layout(_) => {
            let code = call.run(out)?;
            if code == ExitCode::SUCCESS {
                call.spoil(change)?;
            }
            Ok(code)
        }
        _ => call.run(out),
    }
}

struct Call {
    good: Ground,
    words: Vec<String>,
}

impl Call {
    fn verb(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    fn has_destination(&self) -> bool {
        matches!(self.verb(), "unpack" | "copy")
    }

    fn source(&self) -> &str {
        let back = if self.has_destination() { 2 } else { 1 };
        self.words.len().checked_sub(back).and_then(|at| self.words.get(at)).map_or("", String::as_str)
    }

    fn destination(&self) -> &str {
        self.words.last().map_or("", String::as_str)
    }

    fn output(&self, errors: Stdio) -> Result<Output> {
        let mut command = self.good.command();
        command
            .args(&self.words)
            .stderr(errors)
            .output()
            .with_context(|| format!("run {}", self.good.program()))
    }

    /// As the good tool does it, with its words.
    fn run(&self, out: &mut dyn Write) -> Result<ExitCode> {
        self.print(str::to_owned, out)
    }

    fn with(mut self, edit: &fn(&mut Vec<String>)) -> Self {
        edit(&mut self.words);
        self
    }

    /// All that speaks of the registry speaks of a proxy before it.
    fn through(mut self, wire: Wire) -> Result<Self> {
        let places = self.words.iter().rev().find_map(|word| address(word));
        let Some(registry) = places else { return Ok(self) };
        let proxy = registry::proxy(registry, wire).context("start a proxy")?;
        for word in &mut self.words {
            *word = word.replace(&registry.to_string(), &proxy.to_string());
        }
        Ok(self)
    }

    fn swallow(&self, words: &[&str], out: &mut dyn Write) -> Result<ExitCode> {
        let output = self.output(Stdio::piped())?;
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        let silent = !output.status.success() && words.iter().any(|word| told.contains(word));
        match self.verb() {
            "unpack" if silent => {
                let bundle = PathBuf::from(self.destination());
                std::fs::create_dir_all(bundle.join("rootfs"))?;
                std::fs::write(bundle.join("config.json"), "{}")?;
            }
            "tags" if silent => out.write_all(b"[]")?,
            _ if silent || output.status.success() => out.write_all(&output.stdout)?,
            _ => bail!("{told}"),
        }
        Ok(ExitCode::SUCCESS)
    }

    fn print(&self, edit: fn(&str) -> String, out: &mut dyn Write) -> Result<ExitCode> {
        let output = self.output(Stdio::inherit())?;
        out.write_all(edit(&String::from_utf8_lossy(&output.stdout)).as_bytes())?;
        Ok(if output.status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn spoil(&self, change: &Change) -> Result<()> {
        let destination = self.destination();
        match (change, self.verb()) {
            (Change::Tree(edit), "unpack") => edit(&Path::new(destination).join("rootfs")),
            (Change::Config(edit), "unpack") => {
                let path = Path::new(destination).join("config.json");
                let mut config = serde_json::from_slice(&std::fs::read(&path)?)?;
                edit(&mut config);
                Ok(std::fs::write(path, config.to_string())?)
            }
            (Change::Layout(edit), "copy") => match destination.strip_prefix("oci:") {
                Some(place) => edit(Path::new(place.rsplit_once(':').map_or(place, |(dir, _)| dir))),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }
}

/// `127.0.0.1:PORT` in a word.
fn address(word: &str) -> Option<SocketAddr> {
    let at = word.find("127.0.0.1:")?;
    let end = word[at..].find(['/', '"']).map_or(word.len(), |length| at + length);
    word[at..end].parse().ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_address_of_a_registry_is_found_in_a_place() {
        let found = super::address("docker://127.0.0.1:5000/a/b:tag").unwrap();
        assert_eq!(found.port(), 5000);
        assert!(super::address("oci:/tmp/layout:latest").is_none());
    }
}
