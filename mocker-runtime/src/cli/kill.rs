//! `kill`: from words to one call.

use std::str::FromStr;

use super::pattern;
use super::quick::{Given, Names, Quick};
use crate::container::id::ContainerId;
use crate::container::status::{Verb, allow};
use crate::container::{Container, Root};
use crate::error::{Error, Result, WhileDoing};

/// Send a signal to a container's init
#[derive(Debug, clap::Args)]
pub(super) struct Kill {
    /// The container; with --regex, a regular expression that names several
    id: String,
    /// Name (with or without SIG) or number
    #[arg(default_value = "TERM")]
    signal: Signal,
    /// Send it to every process of the container
    #[arg(short, long)]
    all: bool,
    /// Send it to all containers whose names match
    #[arg(long)]
    regex: bool,
}

impl Quick for Kill {
    const SWITCHES: Names = &[("--all", "-a")];

    fn take(given: &mut Given<'_>) -> Option<Self> {
        let id = given.word()?;
        let signal = if given.has_words() { given.word()? } else { Signal(libc::SIGTERM) };
        Some(Self { id, signal, all: given.switch("--all"), regex: false })
    }
}

impl Kill {
    pub(super) fn run(self, root: &Root) -> Result<()> {
        if self.regex {
            return pattern::each(pattern::matching(root, &self.id)?, |container| self.send(&container));
        }
        let id: ContainerId = self.id.parse()?;
        self.send(&root.open(&id)?)
    }

    fn send(&self, container: &Container) -> Result<()> {
        if self.all {
            return container.signal_all(self.signal.0);
        }
        allow(Verb::Kill, container.rough_status()?)
            .while_doing(|| format!("kill container {}", container.id()))?;
        container.signal(self.signal.0)
    }
}

/// The number of a signal, 1 to 64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Signal(i32);

impl FromStr for Signal {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = || Error::invalid(format!("unknown signal {text:?}"));
        if let Ok(number) = text.parse::<i32>() {
            return (1..=64).contains(&number).then_some(Self(number)).ok_or_else(bad);
        }
        let upper = text.to_ascii_uppercase();
        let plain = upper.strip_prefix("SIG").unwrap_or(&upper);
        for (base, first, sign) in [("RTMIN", 34, 1), ("RTMAX", 64, -1)] {
            if let Some(rest) = plain.strip_prefix(base) {
                let offset = rest.trim_start_matches(['+', '-']);
                let offset: i32 = if offset.is_empty() { 0 } else { offset.parse().map_err(|_| bad())? };
                let number = first + sign * offset;
                return (34..=64).contains(&number).then_some(Self(number)).ok_or_else(bad);
            }
        }
        let signal = nix::sys::signal::Signal::from_str(&format!("SIG{plain}")).map_err(|_| bad())?;
        Ok(Self(signal as i32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_a_name_or_a_number() {
        for (text, number) in [
            ("9", 9),
            ("KILL", 9),
            ("SIGKILL", 9),
            ("sigterm", 15),
            ("RTMIN+1", 35),
            ("SIGRTMAX-1", 63),
            ("64", 64),
        ] {
            assert_eq!(text.parse::<Signal>().expect("parses"), Signal(number), "{text}");
        }
        for bad in ["0", "65", "-1", "RHUBARB", "", "RTMIN+99"] {
            assert!(bad.parse::<Signal>().is_err(), "{bad:?}");
        }
    }
}
