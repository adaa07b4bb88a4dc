//! `run` and `list`: the suite against one runtime.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use conformance::case::{self, Case, Verdict};
use conformance::expected::Expected;
use conformance::runtime::Runtime;
use conformance::{cases, host};

use super::report::{Format, Line, Report};

/// Run the cases whose name contains FILTER against a runtime with runc's command line
///
/// Ends with 0 when every case passed, was skipped, or failed as it is known to; with 1 otherwise.
#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    /// The runtime's program
    #[arg(long, value_name = "PATH")]
    runtime: PathBuf,
    /// Test anything protocol instead of the table
    #[arg(long, conflicts_with = "json")]
    tap: bool,
    /// One JSON document instead of the table
    #[arg(long)]
    json: bool,
    /// Time for each case
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    limit: u64,
    /// The probe, when it is not beside this program
    #[arg(long, value_name = "PATH")]
    probe: Option<PathBuf>,
    /// Part of a case's name
    filter: Option<String>,
}

/// List the cases: name, section, sentence
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// Part of a case's name
    filter: Option<String>,
}

fn chosen(filter: Option<&str>) -> Result<Vec<&'static Case>> {
    let cases: Vec<_> =
        cases::all().filter(|case| filter.is_none_or(|part| case.name.contains(part))).collect();
    if cases.is_empty() {
        bail!("no case has {:?} in its name", filter.unwrap_or_default());
    }
    Ok(cases)
}

impl List {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        for case in chosen(self.filter.as_deref())? {
            super::say(&format!("{}\t{}\t{}", case.name, case.at, case.must));
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Run {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        let cases = chosen(self.filter.as_deref())?;
        let probe = match &self.probe {
            Some(path) => path.clone(),
            None => {
                host::find_program("probe").context("the probe is not beside this program: give --probe")?
            }
        };
        let runtime = Runtime::new(std::path::absolute(&self.runtime)?);
        let version = runtime.version()?;
        let expected = Expected::of(&version);
        host::become_reaper()?;
        if host::is_root() {
            host::leave_mount_namespace()?;
        }
        case::try_out(&runtime, &probe, Duration::from_secs(self.limit))?;
        let format = match (self.tap, self.json) {
            (true, _) => Format::Tap,
            (_, true) => Format::Json,
            _ => Format::Table,
        };
        let mut report = Report::new(format, &version, cases.len());
        for case in cases {
            let began = Instant::now();
            let verdict = case.run(&runtime, &probe, Duration::from_secs(self.limit));
            let known = expected.reason(case.name);
            if let Verdict::Skip(feature) = &verdict {
                host::count_skip(case.name, feature);
            }
            report.add(Line { case, verdict, known, took: began.elapsed() });
        }
        Ok(if report.finish() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
