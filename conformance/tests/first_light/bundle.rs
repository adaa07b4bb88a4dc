//! A bundle beside the unpacked one: the same root file system, a config.json of its own.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, ensure};
use conformance::host;
use serde_json::{Value, json};

use crate::path;

/// Seconds after which a container is a hanging one.
const LIMIT: &str = "120";

/// What a run left: its status and what it wrote.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    pub(crate) fn code(&self) -> Option<i32> {
        self.status.code()
    }
}

pub(crate) struct Bundle {
    id: String,
    dir: PathBuf,
    config: Value,
    path: Arc<path::Path>,
}

impl Bundle {
    /// Of the pulled Debian image, without a terminal.
    pub(crate) fn of_debian() -> Result<Self> {
        let path = path::Path::with_debian()?;
        Self::of(&path.dir().join("bookworm"), path)
    }

    /// Of an unpacked image, without a terminal.
    pub(crate) fn of(unpacked: &Path, path: Arc<path::Path>) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let id = format!("light-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let file = unpacked.join("config.json");
        let text = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        let mut config: Value = serde_json::from_str(&text)?;
        let root = config["root"]["path"].as_str().context("root.path")?;
        config["root"]["path"] = json!(unpacked.join(root));
        config["process"]["terminal"] = json!(false);
        let dir = path.dir().join(&id);
        fs::create_dir(&dir)?;
        Ok(Self { id, dir, config, path })
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn rootfs(&self) -> Result<PathBuf> {
        Ok(self.config["root"]["path"].as_str().context("root.path")?.into())
    }

    pub(crate) fn edit(&mut self, change: impl FnOnce(&mut Value)) {
        change(&mut self.config);
    }

    /// `run` in the user's form, with these words in place of the image's own.
    pub(crate) fn command(&self, words: &[&str]) -> Result<Command> {
        let mut config = self.config.clone();
        config["process"]["args"] = json!(words);
        self.command_of(&config)
    }

    fn command_of(&self, config: &Value) -> Result<Command> {
        fs::write(self.dir.join("config.json"), config.to_string())?;
        let mut command = Command::new("timeout");
        command.args(["--foreground", "--kill-after", "5", LIMIT]).arg(host::program("mocker-runtime"));
        command.arg("--root").arg(self.state_root()).arg("run").arg(&self.dir);
        Ok(command)
    }

    fn state_root(&self) -> PathBuf {
        self.path.dir().join("state")
    }

    pub(crate) fn run(&self, words: &[&str]) -> Result<Run> {
        self.run_with_input(words, "")
    }

    pub(crate) fn run_with_input(&self, words: &[&str], input: &str) -> Result<Run> {
        run(self.command(words)?, input)
    }

    /// With the arguments that the image came with.
    pub(crate) fn run_as_it_is(&self) -> Result<Run> {
        run(self.command_of(&self.config)?, "")
    }

    /// In runc's form, under our own id; returns when the container has written its first line, `ready`.
    pub(crate) fn start(&self, words: &[&str]) -> Result<Started> {
        // only for the file that it writes
        self.command(words)?;
        let runtime = host::program("mocker-runtime");
        let mut child = Command::new(&runtime)
            .arg("--root")
            .arg(self.state_root())
            .args(["run", "--bundle"])
            .arg(&self.dir)
            .arg(&self.id)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut stdout = BufReader::new(child.stdout.take().context("stdout")?);
        let mut first = String::new();
        stdout.read_line(&mut first)?;
        let started = Started { child, stdout, first, id: self.id.clone(), root: self.state_root() };
        if started.first != "ready\n" {
            let run = started.end()?;
            anyhow::bail!("the container did not get ready: {run:?}");
        }
        Ok(started)
    }
}

fn run(mut command: Command, input: &str) -> Result<Run> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let written = child.stdin.take().context("stdin")?.write_all(input.as_bytes());
    let output = child.wait_with_output()?;
    let run = Run {
        status: output.status,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    };
    written.with_context(|| format!("write to {run:?}"))?;
    Ok(run)
}

/// A container of `run` that is running.
pub(crate) struct Started {
    child: Child,
    stdout: BufReader<ChildStdout>,
    first: String,
    id: String,
    root: PathBuf,
}

impl Started {
    /// `kill ID SIGNAL`.
    pub(crate) fn kill(&self, signal: &str) -> Result<()> {
        let mut command = Command::new(host::program("mocker-runtime"));
        let output = command.arg("--root").arg(&self.root).args(["kill", &self.id, signal]).output()?;
        ensure!(output.status.success(), "kill {signal}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// The signal to the `run` that waits.
    pub(crate) fn signal(&self, signal: &str) -> Result<()> {
        let status = Command::new("kill").args(["-s", signal, &self.child.id().to_string()]).status()?;
        ensure!(status.success(), "kill -s {signal} {}", self.child.id());
        Ok(())
    }

    pub(crate) fn end(mut self) -> Result<Run> {
        let mut stdout = self.first;
        self.stdout.read_to_string(&mut stdout)?;
        let mut stderr = String::new();
        self.child.stderr.take().context("stderr")?.read_to_string(&mut stderr)?;
        Ok(Run { status: self.child.wait()?, stdout, stderr })
    }
}
