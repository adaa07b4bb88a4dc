//! One tool through the suite: what `run` and `compare` have in common.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use conformance::case::{self, Case, Verdict};
use conformance::expected::Expected;
use conformance::image::{self, Desk, Tool};
use conformance::runtime::Runtime;
use conformance::{cases, host, jobs, report};

use super::report::{Format, Line, Report, Sentence};

/// How a suite is run.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Time for each case
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    limit: u64,
    /// Cases at once [default: the number of processors]
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Called by root: become this ordinary user first, with one id, one group and no capabilities
    #[arg(long, value_name = "UID")]
    user: Option<u32>,
    /// The probe, when it is not beside this program
    #[arg(long, value_name = "PATH")]
    probe: Option<PathBuf>,
    /// Part of a case's name
    filter: Option<String>,
}

fn sentence<B>(case: &Case<B>) -> Sentence {
    Sentence { name: case.name, at: case.at, must: case.must }
}

/// The cases of a suite that bear this part in their names.
pub(crate) fn chosen<B: 'static>(
    suite: impl Iterator<Item = &'static Case<B>>,
    filter: Option<&str>,
) -> Result<Vec<&'static Case<B>>> {
    let cases: Vec<_> = suite.filter(|case| filter.is_none_or(|part| case.name.contains(part))).collect();
    if cases.is_empty() {
        bail!("no case has {:?} in its name", filter.unwrap_or_default());
    }
    Ok(cases)
}

/// Both suites as sentences.
pub(crate) fn sentences(filter: Option<&str>) -> Vec<Sentence> {
    let all = cases::all().map(sentence).chain(cases::image::all().map(sentence));
    all.filter(|case| filter.is_none_or(|part| case.name.contains(part))).collect()
}

impl Options {
    fn limit(&self) -> Duration {
        Duration::from_secs(self.limit)
    }

    fn jobs(&self) -> usize {
        self.jobs.unwrap_or_else(jobs::processors)
    }

    /// The suite of runtimes.
    pub(crate) fn runtime(&self, program: &Path, format: Format) -> Result<report::Report> {
        let cases = chosen(cases::all(), self.filter.as_deref())?;
        let runtime = Runtime::new(std::path::absolute(program)?);
        host::become_reaper()?;
        if host::is_root() {
            host::leave_mount_namespace()?;
        }
        // opened by root, who may reach it where the user may not
        let mut probe_file = File::open(self.probe()?).context("open the probe")?;
        self.become_user()?;
        // on the file system of the bundles, so that they can have hard links of it: a copy being written in one thread
        // is a busy program when another one forks
        let dir = tempfile::tempdir()?;
        let probe = dir.path().join("probe");
        let mut copy = OpenOptions::new().write(true).create_new(true).mode(0o755).open(&probe)?;
        io::copy(&mut probe_file, &mut copy).context("copy the probe")?;
        drop(copy);
        case::try_out(&runtime, &probe, self.limit())?;
        let run = |case: &Case| case.run(&runtime, &probe, self.limit());
        self.each(&cases, &runtime.version()?, format, run)
    }

    /// The suite of image tools.
    pub(crate) fn image_tool(&self, program: &Path, format: Format) -> Result<report::Report> {
        let cases = chosen(cases::image::all(), self.filter.as_deref())?;
        let tool = Tool::new(program)?;
        self.become_user()?;
        image::try_out(&tool, self.limit())?;
        let run = |case: &Case<Desk>| case.run(&tool, self.limit());
        self.each(&cases, &tool.version()?, format, run)
    }

    fn become_user(&self) -> Result<()> {
        self.user.map_or(Ok(()), host::become_user)
    }

    fn probe(&self) -> Result<PathBuf> {
        let found = self.probe.clone().or_else(|| host::find_program("probe"));
        found.context("the probe is not beside this program: give --probe")
    }

    fn each<B: 'static>(
        &self,
        cases: &[&'static Case<B>],
        version: &str,
        format: Format,
        run: impl Fn(&'static Case<B>) -> Verdict + Sync,
    ) -> Result<report::Report> {
        let expected = Expected::of(version)?;
        let mut report = Report::new(format, version, cases.len());
        let prepare = || if host::is_root() { host::leave_mount_namespace() } else { Ok(()) };
        let timed = |case: &&'static Case<B>| {
            let began = Instant::now();
            (run(case), began.elapsed())
        };
        jobs::each(self.jobs(), cases, prepare, timed, |case, (verdict, took)| {
            if let Verdict::Skip(feature) = &verdict {
                host::count_skip(case.name, feature);
            }
            let known = expected.reason_for(case.name, verdict == Verdict::Pass);
            report.add(&Line { case: sentence(case), verdict, known, took });
        })?;
        Ok(report.finish())
    }
}
