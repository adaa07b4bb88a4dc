//! `run`, `list` and `compare`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use conformance::mutant;
use conformance::report::{self, Comparison};

use super::report::Format;
use super::suite::{self, Options};

/// Run the cases whose name contains FILTER against a runtime, an image tool, or both
///
/// A runtime has runc's command line. An image tool has mocker-image's; a program named umoci is called as umoci, with
/// skopeo from PATH before it.
///
/// Ends with 0 when every case passed, was skipped, or failed as it is known to; with 1 when one did not, or nothing
/// could be tried; with 2 for a wrong command line.
#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    /// The runtime's program
    #[arg(long, value_name = "PATH", required_unless_present = "image_tool")]
    runtime: Option<PathBuf>,
    /// The image tool's program, or its name in PATH
    #[arg(long, value_name = "PATH")]
    image_tool: Option<PathBuf>,
    /// Test anything protocol instead of the table
    #[arg(long, conflicts_with = "json")]
    tap: bool,
    /// One JSON document for each tool instead of the table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    options: Options,
}

/// List the cases: name, section, sentence
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// Behind each case the mutants that it has to fail on, which tests/mutants.rs sees, instead of its sentence
    #[arg(long)]
    mutants: bool,
    /// Part of a case's name
    filter: Option<String>,
}

/// Run the cases against several tools and print one table
///
/// Columns stand in the order: reports, runtimes, image tools. Ends with 0 when all tools could be tried, whatever they
/// failed; with 1 otherwise.
#[derive(Debug, clap::Args)]
pub(crate) struct Compare {
    /// A runtime's program; may be repeated
    #[arg(long, value_name = "PATH")]
    runtime: Vec<PathBuf>,
    /// An image tool's program, see `run`; may be repeated
    #[arg(long, value_name = "PATH")]
    image_tool: Vec<PathBuf>,
    /// What `run --json` wrote, perhaps on another machine; may be repeated
    #[arg(long, value_name = "FILE")]
    report: Vec<PathBuf>,
    /// A page in Markdown with the reasons of all failures
    #[arg(long)]
    markdown: bool,
    #[command(flatten)]
    options: Options,
}

impl List {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        let cases = suite::sentences(self.filter.as_deref());
        if cases.is_empty() {
            bail!("no case has {:?} in its name", self.filter.as_deref().unwrap_or_default());
        }
        for case in cases {
            super::say(&match self.mutants {
                true => format!("{}\t{}", case.name, mutant::caught_by(case.name).join(" ")),
                false => format!("{}\t{}\t{}", case.name, case.at, case.must),
            });
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Run {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        let format = match (self.tap, self.json) {
            (true, _) => Format::Tap,
            (_, true) => Format::Json,
            _ => Format::Table,
        };
        let runtime = self.runtime.iter().map(|program| self.options.runtime(program, format));
        let tool = self.image_tool.iter().map(|program| self.options.image_tool(program, format));
        let mut good = true;
        for report in runtime.chain(tool) {
            let report = report?;
            if self.json {
                super::say(&report.json().to_string());
            }
            good &= report.is_good();
        }
        Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

impl Compare {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        let mut reports = Vec::new();
        for path in &self.report {
            let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
            for document in serde_json::Deserializer::from_str(&text).into_iter::<report::Report>() {
                reports.push(document.with_context(|| format!("read {}", path.display()))?);
            }
        }
        for program in &self.runtime {
            reports.push(self.options.runtime(program, Format::Json)?);
        }
        for program in &self.image_tool {
            reports.push(self.options.image_tool(program, Format::Json)?);
        }
        if reports.is_empty() {
            bail!("nothing to compare: give --runtime, --image-tool or --report");
        }
        for report in &mut reports {
            report.explain()?;
        }
        let comparison = Comparison(reports);
        let text = if self.markdown { comparison.markdown(&command()) } else { comparison.table() };
        super::say(text.trim_end());
        Ok(ExitCode::SUCCESS)
    }
}

/// This call as the page tells it: what the files are called, not where they lie on this machine.
fn command() -> String {
    let words: Vec<String> = std::env::args()
        .map(|word| PathBuf::from(&word).file_name().map_or(word, |name| name.to_string_lossy().into_owned()))
        .collect();
    words.join(" ")
}
