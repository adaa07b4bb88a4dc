//! One program at one job: its steps, and what each round of them cost.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::Result;
use crate::sys;

/// The words of a command; `{n}` in any of them becomes the round's number.
pub type Words = Vec<String>;

/// `words!["a", path]`: owned words of anything that can be shown.
#[macro_export]
macro_rules! words {
    ($($word:expr),* $(,)?) => { vec![$($word.to_string()),*] };
}

/// What is done in a round.
#[derive(Clone)]
pub enum Step {
    /// Prepares or cleans; not measured.
    Quiet(Words),
    /// The same, and nobody minds if it fails.
    Perhaps(Words),
    /// What the round is for.
    Timed(Words),
    /// Waits for the end of a process that became our child, by its pid file; what it used counts, the time does not.
    Ended(PathBuf),
    /// Ends a daemon, by its pid file.
    Stop(PathBuf),
}

/// What one round cost.
#[derive(Default)]
pub struct Sample {
    pub wall_ms: f64,
    pub cpu_ms: f64,
    pub peak_kb: f64,
    pub faults: f64,
}

#[derive(Clone)]
pub struct Contender {
    pub name: String,
    pub steps: Vec<Step>,
    /// The mount namespace that its measured commands see; none is ours.
    pub inside: Option<Rc<File>>,
    /// The pid file of a daemon that does the work for what is measured.
    pub daemon: Option<PathBuf>,
    /// Whether its system calls are counted, which takes its time a few times more.
    pub counted: bool,
}

impl Contender {
    pub fn new(name: &str, steps: Vec<Step>) -> Self {
        Self { name: name.to_owned(), steps, inside: None, daemon: None, counted: true }
    }

    /// One round.
    pub fn round(&self, n: usize) -> Result<Sample> {
        let mut sample = Sample::default();
        for step in &self.steps {
            match step {
                Step::Quiet(words) => self.call(words, n)?,
                Step::Perhaps(words) => drop(self.call(words, n)),
                Step::Timed(words) => self.timed(&numbered(words, n), &mut sample)?,
                Step::Ended(pid_file) => {
                    let (_, _, usage) = sys::wait(pid(&numbered_path(pid_file, n))?)?;
                    sample.cpu_ms += usage.cpu_ms();
                    sample.faults += usage.minor_faults as f64;
                }
                Step::Stop(pid_file) => stop(pid_file)?,
            }
        }
        sys::reap();
        Ok(sample)
    }

    fn timed(&self, words: &[String], sample: &mut Sample) -> Result<()> {
        let daemon = self.daemon.as_deref().map(pid).transpose()?;
        let before = daemon.map(sys::used_ms).transpose()?;
        if let Some(daemon) = daemon {
            fs::write(format!("/proc/{daemon}/clear_refs"), "5")?; // its peak begins now
        }
        let (start, child) = (Instant::now(), self.start(words)?);
        let (_, status, usage) = sys::wait(child)?;
        sample.wall_ms += start.elapsed().as_secs_f64() * 1e3;
        sample.cpu_ms += usage.cpu_ms();
        sample.faults += usage.minor_faults as f64;
        sample.peak_kb = sample.peak_kb.max(usage.peak_kb as f64);
        if let (Some(daemon), Some(before)) = (daemon, before) {
            sample.cpu_ms += sys::used_ms(daemon)? - before;
            sample.peak_kb = sample.peak_kb.max(sys::peak_kb(daemon)? as f64);
        }
        check(status, words)
    }

    /// Starts a command where its contender lives, without waiting.
    pub fn start(&self, words: &[String]) -> Result<i32> {
        let home = self.inside.as_ref().map(|_| sys::namespace()).transpose()?;
        if let Some(inside) = &self.inside {
            sys::enter(inside)?;
        }
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(errors())?);
        let child = command.spawn();
        if let Some(home) = home {
            sys::enter(&home)?;
        }
        let child = child.map_err(|error| format!("{}: {error}", words[0]))?;
        Ok(child.id().cast_signed())
    }

    /// Runs a command that is not measured.
    pub fn call(&self, words: &[String], n: usize) -> Result<()> {
        let words = numbered(words, n);
        let (_, status, _) = sys::wait(self.start(&words)?)?;
        check(status, &words)
    }

    /// The system calls of one round's measured commands and all that they start, by strace.
    pub fn system_calls(&self, n: usize, report: &Path) -> Result<u64> {
        let mut calls = 0;
        for step in &self.steps {
            match step {
                Step::Timed(words) => {
                    let traced = words!["strace", "-f", "-c", "-U", "calls", "-o", report.display()];
                    self.call(&[traced, words.clone()].concat(), n)?;
                    let table = fs::read_to_string(report)?;
                    calls += total(&table).ok_or("strace's table has no total")?;
                }
                Step::Quiet(words) => self.call(words, n)?,
                Step::Perhaps(words) => drop(self.call(words, n)),
                Step::Ended(pid_file) => drop(sys::wait(pid(&numbered_path(pid_file, n))?)?),
                Step::Stop(pid_file) => stop(pid_file)?,
            }
        }
        sys::reap();
        Ok(calls)
    }
}

/// Where commands complain.
fn errors() -> PathBuf {
    env::temp_dir().join("errors")
}

fn check(status: i32, words: &[String]) -> Result<()> {
    if status == 0 {
        return Ok(());
    }
    let said = fs::read_to_string(errors()).unwrap_or_default();
    let last = said.lines().last().unwrap_or("nothing was said");
    Err(format!("{}: wait status {status}: {last}", words.join(" ")).into())
}

/// The last number of strace's table.
fn total(table: &str) -> Option<u64> {
    table.lines().filter_map(|line| line.split_whitespace().next()?.parse().ok()).last()
}

fn numbered(words: &[String], n: usize) -> Words {
    words.iter().map(|word| word.replace("{n}", &n.to_string())).collect()
}

fn numbered_path(path: &Path, n: usize) -> PathBuf {
    path.display().to_string().replace("{n}", &n.to_string()).into()
}

/// The pid in a file.
pub fn pid(file: &Path) -> Result<i32> {
    let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(text.trim().parse().map_err(|_| format!("{}: {text:?} is no pid", file.display()))?)
}

/// Ends a child by its pid file, if it is there.
pub fn stop(file: &Path) -> Result<()> {
    let Ok(pid) = pid(file) else { return Ok(()) };
    fs::remove_file(file)?;
    if sys::signal(pid, sys::TERM).is_ok() {
        sys::wait(pid)?;
    }
    Ok(())
}

/// Asks until something is so.
pub fn until(what: &str, mut so: impl FnMut() -> bool) -> Result<()> {
    let end = Instant::now() + Duration::from_secs(20);
    while !so() {
        if Instant::now() > end {
            return Err(format!("waited 20 s for {what}").into());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}
