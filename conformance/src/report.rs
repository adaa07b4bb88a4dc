//! What a run found, as a document that outlives it, and several of them side by side.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::{Deserialize, Serialize};

use crate::expected::{Caller, Expected, Place, Version};
use crate::host;

/// How a case can end, in the order of the counts.
const WORDS: [&str; 5] = ["pass", "fail", "known", "surprise", "skip"];

/// One tool's run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// First line of the tool's `--version`.
    pub tool: String,
    /// Kernel, cgroups and user of the run.
    pub machine: String,
    /// Number of cases for each word.
    #[serde(default)]
    pub counts: BTreeMap<String, usize>,
    /// Every case, in the suite's order.
    pub cases: Vec<Record>,
}

/// One case of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// `topic.what-holds`.
    pub name: String,
    /// Where the sentence stands.
    pub at: String,
    /// The sentence.
    pub must: String,
    /// pass, fail, known, surprise or skip.
    pub verdict: String,
    /// What was seen, or why it was not tried.
    pub detail: String,
    /// Why the tool is known to fail it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How long it took.
    pub milliseconds: u64,
}

impl Record {
    /// Passed, skipped, or failed as it is known to.
    pub fn is_good(&self) -> bool {
        !matches!(self.verdict.as_str(), "fail" | "surprise")
    }
}

impl Report {
    /// An empty one of this machine.
    pub fn new(tool: &str) -> Self {
        Self { tool: tool.to_owned(), machine: machine(), counts: BTreeMap::new(), cases: Vec::new() }
    }

    /// Passed, failed, failed as known, passed against all knowledge, skipped.
    pub fn counts(&self) -> Vec<(&'static str, usize)> {
        let count = |word: &str| self.cases.iter().filter(|case| case.verdict == word).count();
        WORDS.iter().map(|word| (*word, count(word))).collect()
    }

    /// The document, with its counts.
    pub fn json(&self) -> serde_json::Value {
        let counts = self.counts().into_iter().map(|(word, n)| (word.to_owned(), n)).collect();
        serde_json::to_value(Self { counts, ..self.clone() }).unwrap_or_default()
    }

    /// Whether all is as it should be.
    pub fn is_good(&self) -> bool {
        self.cases.iter().all(Record::is_good)
    }

    /// Gives every failure the reason that expected.toml has for it now, where the run was.
    pub fn explain(&mut self) -> anyhow::Result<()> {
        let on = if self.machine.contains("cgroup v2") { Version::V2 } else { Version::V1 };
        let by = if self.machine.contains(", root") { Caller::Root } else { Caller::User };
        let expected = Expected::at(&self.tool, Place { on, by })?;
        for case in &mut self.cases {
            let passed = matches!(case.verdict.as_str(), "pass" | "surprise");
            case.reason = expected.reason_for(&case.name, passed);
            case.verdict = match (case.verdict.as_str(), &case.reason) {
                ("fail" | "known", Some(_)) => "known".to_owned(),
                ("fail" | "known", None) => "fail".to_owned(),
                ("pass" | "surprise", Some(_)) => "surprise".to_owned(),
                ("pass" | "surprise", None) => "pass".to_owned(),
                (other, _) => other.to_owned(),
            };
        }
        Ok(())
    }

    fn of(&self, name: &str) -> Option<&Record> {
        self.cases.iter().find(|case| case.name == name)
    }
}

fn machine() -> String {
    let kernel = rustix::system::uname().release().to_string_lossy().into_owned();
    let kernel = kernel.split('-').next().unwrap_or_default().to_owned();
    let cgroups = match host::cgroup() {
        host::Cgroup::V1 => "cgroup v1",
        host::Cgroup::Hybrid => "cgroup v1 (hybrid)",
        host::Cgroup::V2 => "cgroup v2",
        host::Cgroup::None => "no cgroups",
    };
    let user = if host::is_root() { "root" } else { "an ordinary user" };
    format!("Linux {kernel}, {cgroups}, {user}")
}

/// What a page begins with.
const HEAD: &str = "\
# Conformance, side by side

This page is what this command prints of reports that `conformance run --json` wrote on each machine:

```console
# COMMAND
```

`conformance list` has the sentence of every case. A case is skipped where the machine, the user or the tool lacks what it
needs: an ordinary user is `run --user`, whose containers map this one user. What fails has its reason in
`conformance/src/expected.toml`, with the place where its authors know of it; one of these that passes is an error there.

";

/// Reports side by side.
#[derive(Debug)]
pub struct Comparison(pub Vec<Report>);

impl Comparison {
    /// Names of all cases, in the order of the first report that has them.
    fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for case in self.0.iter().flat_map(|report| &report.cases) {
            if !names.contains(&case.name.as_str()) {
                names.push(&case.name);
            }
        }
        names
    }

    fn record(&self, name: &str) -> Option<&Record> {
        self.0.iter().find_map(|report| report.of(name))
    }

    /// A table for a terminal: a line for each case, a column for each tool.
    pub fn table(&self) -> String {
        let names = self.names();
        let width = names.iter().map(|name| name.len()).max().unwrap_or(0);
        let mut out = String::new();
        for (n, report) in self.0.iter().enumerate() {
            writeln!(out, "{} = {} ({})", n + 1, report.tool, report.machine).ok();
        }
        let heads: Vec<String> = (1..=self.0.len()).map(|n| format!("{n:<8}")).collect();
        writeln!(out, "{:width$}  {}", "", heads.join(" ").trim_end()).ok();
        for name in names {
            let words: Vec<String> = self.words(name).into_iter().map(|word| format!("{word:<8}")).collect();
            writeln!(out, "{name:width$}  {}", words.join(" ").trim_end()).ok();
        }
        for (word, counts) in self.totals() {
            let cells: Vec<String> = counts.iter().map(|n| format!("{n:<8}")).collect();
            writeln!(out, "{word:width$}  {}", cells.join(" ").trim_end()).ok();
        }
        out
    }

    fn words(&self, name: &str) -> Vec<&str> {
        self.0.iter().map(|report| report.of(name).map_or("-", |record| record.verdict.as_str())).collect()
    }

    fn totals(&self) -> Vec<(&'static str, Vec<usize>)> {
        let counts: Vec<_> = self.0.iter().map(Report::counts).collect();
        WORDS
            .iter()
            .enumerate()
            .map(|(n, word)| (*word, counts.iter().map(|own| own[n].1).collect()))
            .collect()
    }

    /// A page: the command that made it, who was tried where, the counts, and every case that somebody fails.
    pub fn markdown(&self, command: &str) -> String {
        let mut out = HEAD.replace("COMMAND", command);
        writeln!(out, "| | tool | machine | passed | failed | skipped |\n|---|---|---|---|---|---|").ok();
        for (n, report) in self.0.iter().enumerate() {
            let counts: BTreeMap<_, _> = report.counts().into_iter().collect();
            let (passed, failed) = (counts["pass"] + counts["surprise"], counts["fail"] + counts["known"]);
            let (tool, machine) = (&report.tool, &report.machine);
            writeln!(out, "| {} | {tool} | {machine} | {passed} | {failed} | {} |", n + 1, counts["skip"])
                .ok();
        }
        let (failing, fine): (Vec<&str>, Vec<&str>) = self.names().into_iter().partition(|name| {
            self.words(name).iter().any(|word| matches!(*word, "fail" | "known" | "surprise"))
        });
        writeln!(out, "\n## What somebody fails\n").ok();
        let heads: Vec<String> = (1..=self.0.len()).map(|n| n.to_string()).collect();
        writeln!(out, "| case | {} |\n|---|{}", heads.join(" | "), "---|".repeat(heads.len())).ok();
        for name in &failing {
            writeln!(out, "| `{name}` | {} |", self.cells(name).join(" | ")).ok();
        }
        writeln!(out, "\n## Why\n").ok();
        for name in &failing {
            self.reasons(name, &mut out);
        }
        writeln!(out, "\n## What nobody fails\n").ok();
        let list: Vec<String> = fine.iter().map(|name| format!("`{name}`")).collect();
        writeln!(out, "{}", list.join(", ")).ok();
        out
    }

    fn cells(&self, name: &str) -> Vec<&'static str> {
        let cell = |word: &str| match word {
            "pass" | "surprise" => "yes",
            "fail" | "known" => "**no**",
            "skip" => "skipped",
            _ => "",
        };
        self.words(name).into_iter().map(cell).collect()
    }

    fn reasons(&self, name: &str, out: &mut String) {
        let Some(record) = self.record(name) else { return };
        writeln!(out, "- `{name}` ({}): {}", record.at, record.must).ok();
        let mut told: Vec<String> = Vec::new();
        for report in &self.0 {
            let Some(record) = report.of(name) else { continue };
            if !matches!(record.verdict.as_str(), "fail" | "known") {
                continue;
            }
            let tool = report.tool.split(' ').next().unwrap_or_default();
            let why = record.reason.as_ref().unwrap_or(&record.detail);
            let line = format!("  - {tool} {}", why.replace('\n', " "));
            if !told.contains(&line) {
                told.push(line);
            }
        }
        writeln!(out, "{}", told.join("\n")).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(tool: &str, words: &[(&str, &str)]) -> Report {
        let record = |(name, verdict): &(&str, &str)| Record {
            name: (*name).to_owned(),
            at: "runtime.md#x".to_owned(),
            must: "It MUST.".to_owned(),
            verdict: (*verdict).to_owned(),
            detail: "seen".to_owned(),
            reason: (*verdict == "known").then(|| "knows better".to_owned()),
            milliseconds: 1,
        };
        let cases = words.iter().map(record).collect();
        Report { tool: tool.to_owned(), machine: "here".to_owned(), counts: BTreeMap::new(), cases }
    }

    #[test]
    fn a_case_that_one_tool_has_not_run_stays_empty() {
        let both = Comparison(vec![
            report("a 1", &[("x.y", "pass")]),
            report("b 2", &[("x.y", "known"), ("x.z", "skip")]),
        ]);
        let table = both.table();
        assert!(table.contains("x.y  pass     known\n"), "{table}");
        assert!(table.contains("x.z  -        skip\n"), "{table}");
        let page = both.markdown("conformance compare --markdown");
        assert!(page.contains("```console\n# conformance compare --markdown\n```\n"), "{page}");
        assert!(page.contains("| `x.y` | yes | **no** |"), "{page}");
        assert!(page.contains("  - b knows better\n"), "{page}");
        assert!(page.ends_with("What nobody fails\n\n`x.z`\n"), "{page}");
    }

    #[test]
    fn a_report_is_read_as_it_is_written() {
        let written = report("a 1", &[("x.y", "surprise")]);
        let read: Report = serde_json::from_value(written.json()).unwrap();
        assert_eq!(read.counts["surprise"], 1);
        assert!(!read.is_good());
    }
}
