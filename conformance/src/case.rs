//! A case: a sentence of the specification and a check of it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::Value;
use tempfile::TempDir;

use crate::bundle;
use crate::container::Setup;
use crate::host::Need;
use crate::runtime::Runtime;

/// One sentence of a specification and how to see whether a runtime (at a `Bench`) or an image tool (at a `Desk`)
/// keeps it.
#[derive(Debug)]
pub struct Case<B = Bench> {
    /// `topic.what-holds`.
    pub name: &'static str,
    /// File and anchor in the runtime specification, 1.3; of another specification with its name before it.
    pub at: &'static str,
    /// The sentence, without its links and footnotes.
    pub must: &'static str,
    /// What the machine has to offer.
    pub needs: &'static [Need],
    /// Fails with what was seen instead.
    pub check: fn(&B) -> Result<()>,
}

/// How a case ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The sentence holds.
    Pass,
    /// It does not; what was seen.
    Fail(String),
    /// This machine, or this tool, cannot show it; the feature that it lacks.
    Skip(String),
}

/// What the tool need not have, and does not: the check that finds it ends with this, and the case is a skip.
#[derive(Debug)]
pub struct Lacking(pub &'static str);

impl std::fmt::Display for Lacking {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} is not there", self.0)
    }
}

impl std::error::Error for Lacking {}

impl Case {
    /// Runs the case against a runtime; each call and each wait ends with the limit.
    pub fn run(&self, runtime: &Runtime, probe: &Path, limit: Duration) -> Verdict {
        self.verdict(|| Bench::new(runtime, probe, limit))
    }
}

impl<B> Case<B> {
    /// The case at the place that `open` makes, where the machine has what it needs.
    pub(crate) fn verdict(&self, open: impl FnOnce() -> Result<B>) -> Verdict {
        if let Some(lacking) = self.needs.iter().find(|need| !need.is_met()) {
            return Verdict::Skip(lacking.name());
        }
        match open().and_then(|place| (self.check)(&place)) {
            Ok(()) => Verdict::Pass,
            Err(error) => match error.downcast_ref::<Lacking>() {
                Some(lacking) => Verdict::Skip(lacking.0.to_owned()),
                None => Verdict::Fail(format!("{error:#}")),
            },
        }
    }
}

/// Runs the usual container once: a runtime that cannot do this would pass every case that wants an error.
pub fn try_out(runtime: &Runtime, probe: &Path, limit: Duration) -> Result<()> {
    if !Need::Container.is_met() {
        return Ok(());
    }
    let bench = Bench::new(runtime, probe, limit)?;
    let tried = bench.reporter([]).and_then(Setup::report);
    tried
        .map(drop)
        .with_context(|| format!("{} does not run the simplest container", runtime.program().display()))
}

/// Where one case works: a runtime, a folder of its own, and a deadline.
pub struct Bench {
    pub(crate) runtime: Runtime,
    pub(crate) probe: PathBuf,
    pub(crate) dir: TempDir,
    pub(crate) deadline: Instant,
}

static NEXT: AtomicU32 = AtomicU32::new(0);

impl Bench {
    fn new(runtime: &Runtime, probe: &Path, limit: Duration) -> Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("conformance-")
            .tempdir()
            .context("make a folder for the case")?;
        let runtime = runtime.with_root(&dir.path().join("state"));
        Ok(Self { runtime, probe: probe.to_owned(), dir, deadline: Instant::now() + limit })
    }

    /// A folder of the case on the host, deleted with it.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The probe on the host: hooks run it.
    pub fn probe(&self) -> String {
        self.probe.display().to_string()
    }

    /// The runtime as a command line, for calls that no other method makes.
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// What is left of the case's time.
    pub fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// A container with the suite's usual configuration that runs the probe with these words.
    pub fn container<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Result<Setup<'_>> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let id = format!("conformance-{}-{number}", std::process::id());
        let bundle = self.dir.path().join(&id);
        bundle::make_rootfs(&bundle, &self.probe)?;
        let mut args = vec!["/probe".to_owned()];
        args.extend(words.into_iter().map(str::to_owned));
        Ok(Setup::new(self, id, bundle, bundle::usual_config(&args)))
    }

    /// A container that reports what it sees; the words are paths for a closer look.
    pub fn reporter<'a>(&self, looks: impl IntoIterator<Item = &'a str>) -> Result<Setup<'_>> {
        self.container(["report"].into_iter().chain(looks))
    }
}

/// Fails unless the two are equal; `what` says what was compared.
pub fn expect_eq(what: &str, seen: impl Into<Value>, want: impl Into<Value>) -> Result<()> {
    let (seen, want) = (seen.into(), want.into());
    anyhow::ensure!(seen == want, "{what} is {seen}, not {want}");
    Ok(())
}
