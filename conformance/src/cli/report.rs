//! A run for people, for TAP readers and for programs.

use std::time::Duration;

use conformance::case::{Case, Verdict};
use serde_json::{Value, json};

use super::say;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Table,
    Tap,
    Json,
}

pub(crate) struct Line {
    pub(crate) case: &'static Case,
    pub(crate) verdict: Verdict,
    /// Why this runtime is known to fail it.
    pub(crate) known: Option<&'static str>,
    pub(crate) took: Duration,
}

impl Line {
    /// One word, and whether it is as it should be.
    fn word(&self) -> (&'static str, bool) {
        match (&self.verdict, self.known) {
            (Verdict::Pass, None) => ("pass", true),
            (Verdict::Pass, Some(_)) => ("surprise", false),
            (Verdict::Fail(_), Some(_)) => ("known", true),
            (Verdict::Fail(_), None) => ("fail", false),
            (Verdict::Skip(_), _) => ("skip", true),
        }
    }

    fn detail(&self) -> String {
        match (&self.verdict, self.known) {
            (Verdict::Pass, Some(reason)) => format!("passes, though it is known to fail: {reason}"),
            (Verdict::Fail(seen), Some(reason)) => format!("{seen} (known: {reason})"),
            (Verdict::Fail(seen), None) => seen.clone(),
            (Verdict::Skip(feature), _) => format!("this host has no {feature}"),
            (Verdict::Pass, None) => String::new(),
        }
    }
}

pub(crate) struct Report {
    format: Format,
    version: String,
    lines: Vec<Line>,
}

impl Report {
    pub(crate) fn new(format: Format, version: &str, cases: usize) -> Self {
        match format {
            Format::Tap => say(&format!("TAP version 13\n1..{cases}\n# {version}")),
            Format::Table => say(&format!("{version}: {cases} cases")),
            Format::Json => {}
        }
        Self { format, version: version.to_owned(), lines: Vec::new() }
    }

    /// A line is printed as soon as its case has ended, but for JSON.
    pub(crate) fn add(&mut self, line: Line) {
        let ((word, good), detail) = (line.word(), line.detail());
        let (name, must, at) = (line.case.name, line.case.must, line.case.at);
        self.lines.push(line);
        match self.format {
            Format::Json => {}
            Format::Tap => {
                let ok = if good && word != "known" { "ok" } else { "not ok" };
                let directive = match word {
                    "skip" => format!(" # SKIP {detail}"),
                    "known" => format!(" # TODO {detail}"),
                    _ => String::new(),
                };
                say(&format!("{ok} {} {name}{directive}", self.lines.len()));
                if !good {
                    say(&format!("# {detail}\n# {at}: {must}"));
                }
            }
            Format::Table if word == "pass" => say(&format!("pass      {name}")),
            Format::Table if good => say(&format!("{word:<9} {name}: {detail}")),
            Format::Table => say(&format!("{word:<9} {name}\n          {detail}\n          {at}: {must}")),
        }
    }

    fn count(&self, wanted: &str) -> usize {
        self.lines.iter().filter(|line| line.word().0 == wanted).count()
    }

    /// True when all is as it should be.
    pub(crate) fn finish(&self) -> bool {
        let words = ["pass", "fail", "known", "surprise", "skip"];
        match self.format {
            Format::Json => say(&self.json(&words).to_string()),
            Format::Tap => {}
            Format::Table => {
                let counts: Vec<String> = words
                    .iter()
                    .map(|word| (word, self.count(word)))
                    .filter(|(_, n)| *n > 0)
                    .map(|(word, n)| format!("{n} {word}"))
                    .collect();
                say(&format!("{}: {}", self.version, counts.join(", ")));
            }
        }
        self.lines.iter().all(|line| line.word().1)
    }

    fn json(&self, words: &[&str]) -> Value {
        let cases: Vec<Value> = self
            .lines
            .iter()
            .map(|line| {
                json!({
                    "name": line.case.name, "at": line.case.at, "must": line.case.must,
                    "verdict": line.word().0, "detail": line.detail(), "milliseconds": line.took.as_millis() as u64,
                })
            })
            .collect();
        let counts: serde_json::Map<String, Value> =
            words.iter().map(|word| ((*word).to_owned(), json!(self.count(word)))).collect();
        json!({ "runtime": self.version, "counts": counts, "cases": cases })
    }
}
