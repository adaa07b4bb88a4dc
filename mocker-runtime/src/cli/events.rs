//! `events`: what happens in a container, a JSON object a line.

use std::io::Write;
use std::time::Duration;

use serde_json::Value;

use crate::container::Root;
use crate::container::id::ContainerId;
use crate::error::{Result, WhileDoing};

/// Print what a container uses, and when it is out of memory
#[derive(Debug, clap::Args)]
pub(super) struct Events {
    /// How often to print what is used: 500ms, 5s, 1m30s
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "5s")]
    interval: Duration,
    /// Print what is used once, and end
    #[arg(long)]
    stats: bool,
    /// The container
    id: ContainerId,
}

impl Events {
    pub(super) fn run(self, root: &Root) -> Result<()> {
        let container = root.open(&self.id)?;
        let print = |event: &Value| writeln!(std::io::stdout(), "{event}").while_doing(|| "print");
        match self.stats {
            true => print(&container.stats()?),
            false => container.events(self.interval, print),
        }
    }
}

/// Numbers with units, as Go spells durations.
fn duration(text: &str) -> std::result::Result<Duration, String> {
    const UNITS: [(&str, f64); 7] =
        [("ns", 1e-9), ("us", 1e-6), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    let bad = || format!("{text:?} is not a time above 0 such as 500ms, 5s or 1m30s");
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(bad)?;
        let (digits, after) = rest.split_at_checked(number).ok_or_else(bad)?;
        let end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(end).ok_or_else(bad)?;
        let (_, scale) = UNITS.iter().find(|(known, _)| *known == unit).ok_or_else(bad)?;
        seconds += digits.parse::<f64>().map_err(|_| bad())? * scale;
        rest = after;
    }
    Duration::try_from_secs_f64(seconds).ok().filter(|time| !time.is_zero()).ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_spelled_as_in_go() {
        for (text, want) in [
            ("5s", Some(5_000)),
            ("500ms", Some(500)),
            ("1m30s", Some(90_000)),
            ("1.5h", Some(5_400_000)),
            ("0s", None),
            ("", None),
            ("5", None),
            ("s", None),
            ("-1s", None),
            ("5 s", None),
        ] {
            assert_eq!(duration(text).ok().map(|time| time.as_millis()), want, "{text:?}");
        }
    }
}
