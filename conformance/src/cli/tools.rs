//! `tools`: runtime-tools' validation programs against one runtime.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use conformance::host;
use conformance::tools::{self, End, Ended};

use super::say;

/// Run built validation programs of runtime-tools against a runtime and read their TAP
///
/// Programs that no correct runtime passes are told apart. Ends with 1 when another one fails. Needs root.
#[derive(Debug, clap::Args)]
pub(crate) struct Tools {
    /// The folder of executables, searched through
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// The runtime's program, given to them as RUNTIME
    #[arg(long, value_name = "PATH")]
    runtime: PathBuf,
    /// Where they run: the folder with their root file system archives [default: DIR]
    #[arg(long, value_name = "DIR")]
    workdir: Option<PathBuf>,
    /// Time for each program
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    limit: u64,
    /// Part of a program's name
    filter: Option<String>,
}

impl Tools {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        let dir = std::path::absolute(&self.dir)?;
        let runtime = std::path::absolute(&self.runtime)?;
        let workdir = self.workdir.as_ref().map_or(Ok(dir.clone()), std::path::absolute)?;
        let mut programs = tools::programs(&dir)?;
        if let Some(part) = &self.filter {
            programs.retain(|path| path.file_name().unwrap_or_default().to_string_lossy().contains(part));
        }
        if programs.is_empty() {
            bail!("{} holds no program to run", dir.display());
        }
        let mut ended = Vec::new();
        for program in &programs {
            let one = tools::run(program, &runtime, &workdir, Duration::from_secs(self.limit))?;
            say(&line(&one));
            if let End::Skipped(reason) = &one.result {
                host::count_skip(&format!("runtime-tools/{}", one.name), &reason.replace(' ', "-"));
            }
            ended.push(one);
        }
        let count = |wanted: fn(&Ended) -> bool| ended.iter().filter(|one| wanted(one)).count();
        let impossible = count(|one| matches!(one.result, End::Failed(_)) && one.impossible.is_some());
        let failed = count(|one| matches!(one.result, End::Failed(_))) - impossible;
        say(&format!(
            "{} passed, {failed} failed, {impossible} failed that no correct runtime passes, {} skipped",
            count(|one| one.result == End::Passed),
            count(|one| matches!(one.result, End::Skipped(_))),
        ));
        Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn line(one: &Ended) -> String {
    match (&one.result, one.impossible) {
        (End::Passed, _) => format!("pass  {}", one.name),
        (End::Skipped(reason), _) => format!("skip  {}: {reason}", one.name),
        (End::Failed(why), Some(reason)) => format!("known {}: {why} ({reason})", one.name),
        (End::Failed(why), None) => format!("fail  {}: {why}", one.name),
    }
}
