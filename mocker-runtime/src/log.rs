//! Warnings, and the last word on failure, for people (stderr) and for managers (`--log`).
//!
//! With `--log-format json` each line is one object with level, msg and time, which containerd's shim,
//! podman and cri-o parse; nothing is written at a level below warning, since podman takes the whole
//! file for one object.

use std::fs::File;
use std::io::Write;
use std::os::unix::net::UnixDatagram;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::SystemTime;

use crate::error::{Result, WhileDoing};
use crate::time;

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Format {
    /// `time="..." level=error msg="..."`
    #[default]
    Text,
    /// `{"level":"error","msg":"...","time":"..."}`
    Json,
}

/// What is said at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, clap::ValueEnum)]
pub(crate) enum Level {
    /// Each step of a create and an exec
    Debug,
    /// What is odd
    #[default]
    #[value(alias = "warn")]
    Warning,
    /// Why a command failed
    Error,
}

impl Level {
    fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }

    /// syslog(3).
    fn priority(self) -> u8 {
        match self {
            Self::Debug => 7,
            Self::Warning => 4,
            Self::Error => 3,
        }
    }
}

/// Where lines go besides stderr.
#[derive(Debug)]
enum Log {
    /// A file, and how to write to it
    File(File, Format),
    /// systemd's journal, by its own protocol
    Journal(UnixDatagram, String),
    /// Whoever reads /dev/log
    Syslog(UnixDatagram, String),
}

static LOG: OnceLock<Log> = OnceLock::new();

/// Sends all lines to a file, which is made when it is not there, to `journald:IDENTIFIER` or to
/// `syslog:IDENTIFIER` from now on.
pub(crate) fn open(target: &str, format: Format) -> Result<()> {
    let log = match target.split_once(':') {
        Some(("journald", name)) => Log::Journal(connect("/run/systemd/journal/socket")?, name.to_owned()),
        Some(("syslog", name)) => Log::Syslog(connect("/dev/log")?, name.to_owned()),
        Some(("file", path)) => Log::File(open_file(path)?, format),
        _ => Log::File(open_file(target)?, format),
    };
    // A second call would be a defect of the command line's own code; the first one stays in force.
    LOG.set(log).ok();
    Ok(())
}

fn open_file(path: &str) -> Result<File> {
    File::options().create(true).append(true).open(path).while_doing(|| format!("open the log file {path}"))
}

fn connect(path: &str) -> Result<UnixDatagram> {
    let act = || format!("connect to the log at {path}");
    let socket = UnixDatagram::unbound().while_doing(act)?;
    socket.connect(path).while_doing(act)?;
    Ok(socket)
}

static LEVEL: AtomicU8 = AtomicU8::new(Level::Warning as u8);

/// The least of what is said.
pub(crate) fn set_level(level: Level) {
    LEVEL.store(level as u8, Ordering::Relaxed);
}

fn says(level: Level) -> bool {
    level as u8 >= LEVEL.load(Ordering::Relaxed)
}

/// What is being done, for those who asked (`--debug`).
pub(crate) fn debug(message: impl FnOnce() -> String) {
    if says(Level::Debug) {
        match LOG.get() {
            Some(log) => log.line(Level::Debug, &message()),
            None => to_stderr(&format!("mocker-runtime: debug: {}", message())),
        }
    }
}

/// Something is odd, but work goes on.
pub(crate) fn warn(message: &str) {
    match LOG.get() {
        _ if !says(Level::Warning) => {}
        Some(log) => log.line(Level::Warning, message),
        None => to_stderr(&format!("mocker-runtime: warning: {message}")),
    }
}

/// Why the command failed: on stderr always, and in the log file if there is one.
pub(crate) fn fail(message: &str, hint: Option<&str>) {
    if let Some(log) = LOG.get() {
        log.line(Level::Error, message);
    }
    to_stderr(&format!("mocker-runtime: {message}"));
    if let Some(hint) = hint {
        to_stderr(&format!("hint: {hint}"));
    }
}

/// A closed stderr is no reason to fail.
fn to_stderr(line: &str) {
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).ok();
}

impl Log {
    /// One write, so that lines of several processes do not mix; a full disk must not hide the real error.
    fn line(&self, level: Level, message: &str) {
        let priority = level.priority();
        let sent = match self {
            Self::File(file, format) => (&*file).write_all(format.line(level, message).as_bytes()).map(drop),
            Self::Journal(socket, name) => {
                // A value with a line break has another form there, and no message has need of one.
                let text = message.replace('\n', " ");
                let fields = format!("MESSAGE={text}\nPRIORITY={priority}\nSYSLOG_IDENTIFIER={name}\n");
                socket.send(fields.as_bytes()).map(drop)
            }
            // Facility 1: what users' programs say.
            Self::Syslog(socket, name) => {
                socket.send(format!("<{}>{name}: {message}", 8 + priority).as_bytes()).map(drop)
            }
        };
        sent.ok();
    }
}

impl Format {
    fn line(self, level: Level, message: &str) -> String {
        let (time, level) = (time::rfc3339(SystemTime::now()), level.as_str());
        match self {
            Self::Text => format!("time={time:?} level={level} msg={message:?}\n"),
            Self::Json => {
                let object = serde_json::json!({ "level": level, "msg": message, "time": time });
                format!("{object}\n")
            }
        }
    }
}
