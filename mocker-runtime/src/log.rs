//! Warnings, and the last word on failure, for people (stderr) and for managers (`--log`).
//!
//! With `--log-format json` each line is one object with level, msg and time, which containerd's shim,
//! podman and cri-o parse; nothing is written at a level below warning, since podman takes the whole
//! file for one object.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::error::{Result, WhileDoing};

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Format {
    /// `time="..." level=error msg="..."`
    #[default]
    Text,
    /// `{"level":"error","msg":"...","time":"..."}`
    Json,
}

/// The file and how to write to it.
#[derive(Debug)]
struct Log {
    file: File,
    format: Format,
}

static LOG: OnceLock<Log> = OnceLock::new();

/// Sends all lines to a file from now on; it is made when it is not there.
pub(crate) fn open(path: &Path, format: Format) -> Result<()> {
    let file = File::options()
        .create(true)
        .append(true)
        .open(path)
        .while_doing(|| format!("open the log file {}", path.display()))?;
    // A second call would be a defect of the command line's own code; the first one stays in force.
    LOG.set(Log { file, format }).ok();
    Ok(())
}

static DEBUG: AtomicBool = AtomicBool::new(false);

/// Whether [`debug`] says anything.
pub(crate) fn set_debug(on: bool) {
    DEBUG.store(on, Ordering::Relaxed);
}

/// What is being done, for those who asked (`--debug`).
pub(crate) fn debug(message: impl FnOnce() -> String) {
    if DEBUG.load(Ordering::Relaxed) {
        match LOG.get() {
            Some(log) => log.line("debug", &message()),
            None => to_stderr(&format!("mocker-runtime: debug: {}", message())),
        }
    }
}

/// Something is odd, but work goes on.
pub(crate) fn warn(message: &str) {
    match LOG.get() {
        Some(log) => log.line("warning", message),
        None => to_stderr(&format!("mocker-runtime: warning: {message}")),
    }
}

/// Why the command failed: on stderr always, and in the log file if there is one.
pub(crate) fn fail(message: &str, hint: Option<&str>) {
    if let Some(log) = LOG.get() {
        log.line("error", message);
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
    fn line(&self, level: &str, message: &str) {
        let time = timestamp(SystemTime::now());
        let line = match self.format {
            Format::Text => format!("time={time:?} level={level} msg={message:?}\n"),
            Format::Json => {
                let object = serde_json::json!({ "level": level, "msg": message, "time": time });
                format!("{object}\n")
            }
        };
        (&self.file).write_all(line.as_bytes()).ok();
    }
}

/// RFC 3339 in UTC, to the nanosecond.
pub(crate) fn timestamp(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil(days as i64);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let nanos = since.subsec_nanos();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z")
}

/// Days after 1970-01-01 to year, month and day: the years are counted from March, so that the leap day
/// comes last, in cycles of 400 years of 146,097 days.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468; // from 0000-03-01
    let (cycle, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let in_month = day - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (cycle * 400 + year + carry, month, in_month)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_become_dates_across_leap_years_and_centuries() {
        for (days, date) in
            [(0, (1970, 1, 1)), (11_016, (2000, 2, 29)), (11_017, (2000, 3, 1)), (20_779, (2026, 11, 22))]
        {
            assert_eq!(civil(days), date);
        }
    }
}
