//! A run for people, for TAP readers and for programs.

use std::time::Duration;

use conformance::case::Verdict;
use conformance::report::{Record, Report as Document};

use super::say;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Table,
    Tap,
    Json,
}

/// One case of the run: name, section and sentence.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sentence {
    pub(crate) name: &'static str,
    pub(crate) at: &'static str,
    pub(crate) must: &'static str,
}

pub(crate) struct Line {
    pub(crate) case: Sentence,
    pub(crate) verdict: Verdict,
    /// Why this tool is known to fail it.
    pub(crate) known: Option<String>,
    pub(crate) took: Duration,
}

impl Line {
    /// One word, and what there is to say.
    fn told(&self) -> (&'static str, String) {
        match (&self.verdict, &self.known) {
            (Verdict::Pass, None) => ("pass", String::new()),
            (Verdict::Pass, Some(reason)) => {
                ("surprise", format!("passes, though it is known to fail: {reason}"))
            }
            (Verdict::Fail(seen), Some(reason)) => ("known", format!("{seen} (known: {reason})")),
            (Verdict::Fail(seen), None) => ("fail", seen.clone()),
            (Verdict::Skip(feature), _) => ("skip", format!("{feature} is not there")),
        }
    }

    pub(crate) fn record(&self) -> Record {
        let (word, detail) = self.told();
        Record {
            name: self.case.name.to_owned(),
            at: self.case.at.to_owned(),
            must: self.case.must.to_owned(),
            verdict: word.to_owned(),
            detail,
            reason: self.known.clone(),
            milliseconds: u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

pub(crate) struct Report {
    format: Format,
    document: Document,
}

impl Report {
    pub(crate) fn new(format: Format, tool: &str, cases: usize) -> Self {
        match format {
            Format::Tap => say(&format!("TAP version 13\n1..{cases}\n# {tool}")),
            Format::Table => say(&format!("{tool}: {cases} cases")),
            Format::Json => {}
        }
        Self { format, document: Document::new(tool) }
    }

    /// A line is printed as soon as its case and all before it have ended, but for JSON.
    pub(crate) fn add(&mut self, line: &Line) {
        let record = line.record();
        let (word, name, detail) = (record.verdict.as_str(), &record.name, &record.detail);
        let number = self.document.cases.len() + 1;
        match self.format {
            Format::Json => {}
            Format::Tap => {
                let ok = if matches!(word, "pass" | "skip") { "ok" } else { "not ok" };
                let directive = match word {
                    "skip" => format!(" # SKIP {detail}"),
                    "known" => format!(" # TODO {detail}"),
                    _ => String::new(),
                };
                say(&format!("{ok} {number} {name}{directive}"));
                if !record.is_good() {
                    say(&format!("# {detail}\n# {}: {}", record.at, record.must));
                }
            }
            Format::Table if word == "pass" => say(&format!("pass      {name}")),
            Format::Table if record.is_good() => say(&format!("{word:<9} {name}: {detail}")),
            Format::Table => {
                say(&format!(
                    "{word:<9} {name}\n          {detail}\n          {}: {}",
                    record.at, record.must
                ));
            }
        }
        self.document.cases.push(record);
    }

    /// The last words of the run; the document when all has been said.
    pub(crate) fn finish(self) -> Document {
        match self.format {
            Format::Json | Format::Tap => {}
            Format::Table => {
                let counts: Vec<String> = self
                    .document
                    .counts()
                    .into_iter()
                    .filter(|(_, n)| *n > 0)
                    .map(|(word, n)| format!("{n} {word}"))
                    .collect();
                say(&format!("{}: {}", self.document.tool, counts.join(", ")));
            }
        }
        self.document
    }
}
