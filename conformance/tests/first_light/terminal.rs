//! A command at a pseudo-terminal, which script(1) makes and the test types into.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use conformance::host::wait_until;

/// Rows and columns of a new terminal, as `stty size` prints them.
pub(crate) const SIZE: &str = "33 77";

pub(crate) struct Terminal {
    child: Child,
    input: ChildStdin,
    output: Arc<Mutex<String>>,
    reader: JoinHandle<()>,
    /// How much of the output `expect` has passed.
    seen: usize,
    device: String,
}

impl Terminal {
    pub(crate) fn open(command: Command) -> Result<Self> {
        let mut words = vec![quoted(command.get_program())];
        words.extend(command.get_args().map(quoted));
        let (rows, columns) = SIZE.split_once(' ').context("SIZE")?;
        let line = format!("tty; stty rows {rows} cols {columns}; exec {}", words.join(" "));
        let mut child = Command::new("script")
            .args(["--quiet", "--return", "--command", &line, "/dev/null"])
            .env("SHELL", "/bin/sh")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take().context("stdin")?;
        let mut from = child.stdout.take().context("stdout")?;
        let output = Arc::new(Mutex::new(String::new()));
        let into = Arc::clone(&output);
        let reader = std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(n @ 1..) = from.read(&mut chunk) {
                let text = String::from_utf8_lossy(&chunk[..n]);
                into.lock().unwrap_or_else(PoisonError::into_inner).push_str(&text);
            }
        });
        let mut terminal = Self { child, input, output, reader, seen: 0, device: String::new() };
        terminal.device = terminal.expect("\n")?.trim().to_owned();
        Ok(terminal)
    }

    pub(crate) fn send(&mut self, keys: &str) -> Result<()> {
        self.input.write_all(keys.as_bytes())?;
        Ok(self.input.flush()?)
    }

    /// Waits until this has been printed after all that was expected before; returns the text up to its end.
    pub(crate) fn expect(&mut self, text: &str) -> Result<String> {
        let seen = self.seen;
        let find = || self.text()[seen..].find(text).map(|at| seen + at + text.len());
        wait_until(Duration::from_secs(60), &format!("{text:?} at the terminal"), || find().is_some())
            .with_context(|| format!("the terminal shows {:?}", self.text()))?;
        let end = find().unwrap_or(seen);
        self.seen = end;
        Ok(self.text()[seen..end].to_owned())
    }

    fn text(&self) -> String {
        self.output.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until a process with this command line is the one that the terminal's signals go to: a shell says `fg`
    /// before it is so.
    pub(crate) fn wait_for_foreground(&self, line: &str) -> Result<()> {
        wait_until(Duration::from_secs(60), &format!("{line:?} in the foreground"), || {
            let all = crate::traces::processes().unwrap_or_default();
            all.iter().filter(|process| process.line == line).any(|process| is_in_foreground(&process.pid))
        })
    }

    pub(crate) fn resize(&self, rows: u16, columns: u16) -> Result<()> {
        let size = [rows.to_string(), columns.to_string()];
        let status =
            Command::new("stty").args(["-F", &self.device, "rows", &size[0], "cols", &size[1]]).status()?;
        ensure!(status.success(), "stty -F {}", self.device);
        Ok(())
    }

    pub(crate) fn end(mut self) -> Result<ExitStatus> {
        let status = self.child.wait()?;
        drop(self.input);
        ensure!(self.reader.join().is_ok(), "the reader of the terminal panicked");
        Ok(status)
    }
}

/// Its process group is that of its terminal (proc_pid_stat(5), fields 5 and 8).
fn is_in_foreground(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    fields.len() > 5 && fields[2] == fields[5]
}

fn quoted(word: &std::ffi::OsStr) -> String {
    format!("'{}'", word.to_string_lossy().replace('\'', "'\\''"))
}
