//! A runtime under test, called as its managers call it: runc's command line.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::host;

/// A program with runc's command line, and the state root that it is told to use.
#[derive(Debug, Clone)]
pub struct Runtime {
    program: PathBuf,
    root: Option<PathBuf>,
    cleaner: Option<PathBuf>,
    env: Vec<(String, String)>,
}

/// What a call left behind.
#[derive(Debug)]
pub struct Outcome {
    /// How the runtime ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// Where a call's standard streams go.
pub(crate) struct Streams<'a> {
    pub(crate) out: &'a Path,
    pub(crate) err: &'a Path,
}

impl Runtime {
    /// The runtime at this path.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into(), root: None, cleaner: None, env: Vec::new() }
    }

    /// With one more variable in its environment.
    pub fn with_env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Containers that a case leaves are deleted by this program: a mutant cannot be trusted with it.
    pub fn cleaned_by(mut self, program: impl Into<PathBuf>) -> Self {
        self.cleaner = Some(program.into());
        self
    }

    /// The one that deletes what is left.
    pub(crate) fn cleaner(&self) -> Self {
        let program = self.cleaner.clone().unwrap_or_else(|| self.program.clone());
        Self { program, ..self.clone() }
    }

    pub(crate) fn with_root(&self, root: &Path) -> Self {
        Self { root: Some(root.to_owned()), ..self.clone() }
    }

    /// The path of the program.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// The first line of `--version`: `runc version 1.3.6`.
    pub fn version(&self) -> Result<String> {
        let output = Command::new(&self.program).arg("--version").output();
        let output = output.with_context(|| format!("run {}", self.program.display()))?;
        Ok(String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned())
    }

    /// Calls it with these words; both streams are read when it ends.
    ///
    /// # Errors
    /// When it cannot be started, or does not end within the limit (it is killed then).
    pub fn call(&self, words: &[&str], limit: Duration) -> Result<Outcome> {
        let dir = tempfile::tempdir()?;
        let (out, err) = (dir.path().join("out"), dir.path().join("err"));
        self.call_into(words, limit, &Streams { out: &out, err: &err })
    }

    /// The streams are files and not pipes: `create` leaves a container behind that holds them open.
    pub(crate) fn call_into(
        &self,
        words: &[&str],
        limit: Duration,
        streams: &Streams<'_>,
    ) -> Result<Outcome> {
        let mut command = Command::new(&self.program);
        if let Some(root) = &self.root {
            command.arg("--root").arg(root);
        }
        command.args(words).envs(self.env.iter().map(|(name, value)| (name, value))).stdin(Stdio::null());
        run(&mut command, limit, streams)
    }
}

/// Runs a command to its end; its streams are read then.
pub(crate) fn run(command: &mut Command, limit: Duration, streams: &Streams<'_>) -> Result<Outcome> {
    let program = PathBuf::from(command.get_program());
    let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
    let mut child = command
        .stdout(File::create(streams.out)?)
        .stderr(File::create(streams.err)?)
        .spawn()
        .with_context(|| format!("run {}", program.display()))?;
    let status = wait(&mut child, limit, &format!("`{}` to end", words.join(" ")))?;
    let read = |path| Ok::<_, anyhow::Error>(String::from_utf8_lossy(&fs::read(path)?).into_owned());
    Ok(Outcome { status, stdout: read(streams.out)?, stderr: read(streams.err)? })
}

/// Waits for a child with a limit; one that takes longer is killed.
pub(crate) fn wait(child: &mut Child, limit: Duration, what: &str) -> Result<ExitStatus> {
    let mut ended = None;
    let in_time = host::wait_until(limit, what, || {
        ended = child.try_wait().transpose();
        ended.is_some()
    });
    if let Err(error) = in_time {
        child.kill()?;
        child.wait()?;
        return Err(error);
    }
    Ok(ended.context("a child that ended has no status")??)
}

impl Outcome {
    /// Fails with the runtime's own words unless it ended with 0.
    pub fn success(self) -> Result<Self> {
        if !self.status.success() {
            bail!("{}: {}", self.status, self.words());
        }
        Ok(self)
    }

    /// Fails if it ended with 0.
    pub fn failure(self, what: &str) -> Result<Self> {
        if self.status.success() {
            bail!("{what} succeeded");
        }
        Ok(self)
    }

    /// What it printed on standard error, on one line.
    pub fn words(&self) -> String {
        self.stderr.trim().replace('\n', " | ")
    }

    /// Standard output as JSON.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.stdout).with_context(|| format!("{:?} is not JSON", self.stdout))
    }
}
