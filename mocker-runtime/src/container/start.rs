//! `start`: the word to init to go on, and what came of it.
//!
//! Init waits in a read of one byte from the fifo `start`. It writes a failure into the fifo `report`,
//! whose end, without a word, means that the program runs: both are closed by execve. Only read and
//! write are needed of init then, since a seccomp filter may be in force already.

use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::status::{Status, Verb, allow};
use super::{Container, Home};
use crate::error::{Error, Kind, Result, WhileDoing};
use crate::hooks;
use crate::sys::{fd, proc, signal};

const START: &CStr = c"start";
const REPORT: &CStr = c"report";
/// How long the program has before the poststart hooks at most, in milliseconds. Init's word comes while execve is at
/// work, and they are called "after the user-specified process is executed" (config.md "Poststart"): where both share
/// a processor they would often be first.
const HEAD_START: i64 = 20;

/// Init's ends of both fifos.
#[derive(Debug)]
pub(crate) struct Gate {
    start: OwnedFd,
    report: OwnedFd,
}

impl Gate {
    /// Makes both fifos in the container's directory.
    pub(super) fn make(home: &Home) -> Result<Self> {
        Ok(Self {
            start: fd::make_fifo(home.fd.as_fd(), START)?,
            report: fd::make_fifo(home.fd.as_fd(), REPORT)?,
        })
    }

    /// Init's side: waits for `start`, for ever.
    pub(crate) fn wait(&self) -> Result<()> {
        let mut byte = [0_u8; 1];
        loop {
            match rustix::io::read(&self.start, &mut byte) {
                Err(Errno::INTR) => {}
                result => return result.map(drop).while_doing(|| "wait for start"),
            }
        }
    }

    /// Init's side: tells `start` why the program does not run.
    pub(crate) fn report(&self, error: &Error) {
        if let Ok(text) = serde_json::to_vec(error) {
            // Nobody is left to tell if this fails; `start` sees init's end.
            rustix::io::write(&self.report, &text).ok();
        }
    }
}

/// True while init holds the reading end of the start fifo: a writer without a reader gets ENXIO.
pub(super) fn init_waits(home: &Home) -> bool {
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    rustix::fs::openat(&home.fd, START, flags, Mode::empty()).is_ok()
}

impl Container {
    /// Lets the container's program run, and returns when it does.
    pub(crate) fn start(&mut self) -> Result<()> {
        self.lock()?;
        allow(Verb::Start, self.status()?)?;
        self.open_gate().while_doing(|| format!("start container {}", self.id))?;
        self.after_start()
    }

    fn open_gate(&self) -> Result<()> {
        let open = |name: &CStr, flags: OFlags| {
            rustix::fs::openat(&self.home.fd, name, flags | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty())
                .while_doing(|| format!("open the fifo {name:?}"))
        };
        // Open before the word is given, so that no report can be missed; then reading may block.
        let report = open(REPORT, OFlags::RDONLY | OFlags::NONBLOCK)?;
        rustix::fs::fcntl_setfl(&report, OFlags::empty()).while_doing(|| "let the report block")?;
        let start = open(START, OFlags::WRONLY | OFlags::NONBLOCK)?;
        rustix::io::write(&start, b"0").while_doing(|| "tell init to start")?;
        let report = proc::read_all(&report).while_doing(|| "read init's report")?;
        for name in [START, REPORT] {
            rustix::fs::unlinkat(&self.home.fd, name, AtFlags::empty())
                .while_doing(|| format!("remove the fifo {name:?}"))?;
        }
        match report.as_str() {
            "" => Ok(()),
            text => Err(serde_json::from_str(text)
                .unwrap_or_else(|_| Error::new(Kind::Internal, format!("init reported {text:?}")))),
        }
    }

    /// The poststart hooks. One that fails stops the container (runtime.md "Lifecycle", step 9).
    pub(crate) fn after_start(&self) -> Result<()> {
        let record = self.record()?;
        if record.hooks.poststart.is_empty() {
            return Ok(());
        }
        let state = record.state(Status::Running).to_string();
        if let Some(init) = record.init.as_ref().and_then(|init| signal::open_pid(init.pid).ok()) {
            signal::wait_gone(init.as_fd(), Some(HEAD_START))?;
        }
        let result = hooks::Output::open(&record.annotations)
            .and_then(|output| hooks::run_all("poststart", &record.hooks.poststart, &state, &output));
        if result.is_err() {
            self.signal_all(libc::SIGKILL)?;
        }
        result
    }
}
