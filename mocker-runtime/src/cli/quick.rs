//! The command lines that managers write thousands of times a day, read without clap.
//!
//! clap makes every command with all its options before it reads the first word, which was more than all else that
//! `state` computes. What is read here is what clap reads (the tests compare the two). Whatever is rare, odd or
//! wrong is left to clap, who also has all words of help and errors: then there is nothing here.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;

use clap::ValueEnum;

use super::{Cli, Command, Global};

/// Options: the long name, and the short one ("" for none).
pub(super) type Names = &'static [(&'static str, &'static str)];

/// A command that can be read so. Options that are not named here are left to clap.
pub(super) trait Quick: Sized {
    /// Options that a value follows
    const VALUES: Names = &[];
    /// Options without a value
    const SWITCHES: Names = &[];
    /// After how many words of its own the rest belongs to another program
    const WORDS: usize = usize::MAX;

    /// The command, if the words are all that it needs.
    fn take(given: &mut Given<'_>) -> Option<Self>;
}

/// Options before the command, and after it.
const GLOBAL_VALUES: Names =
    &[("--root", ""), ("--log", ""), ("--log-format", ""), ("--log-level", ""), ("--cgroup-manager", "")];
const GLOBAL_SWITCHES: Names = &[("--debug", ""), ("--systemd-cgroup", "")];
/// Options that may come more than once.
const REPEATED: [&str; 1] = ["--env"];

/// What the words hold.
#[derive(Debug)]
pub(super) struct Given<'a> {
    rest: std::slice::Iter<'a, OsString>,
    /// Options by their long names, with their values
    options: Vec<(&'static str, &'a str)>,
    words: std::collections::VecDeque<&'a str>,
}

/// The command line; None where clap has to read it.
pub(super) fn read(words: &[OsString]) -> Option<Cli> {
    let mut given = Given { rest: words.get(1..)?.iter(), options: Vec::new(), words: Default::default() };
    given.read(&[], &[], 1)?;
    let command = match given.words.pop_front()? {
        "create" => Command::Create(given.command()?),
        "delete" => Command::Delete(given.command()?),
        "exec" => Command::Exec(given.command()?),
        "kill" => Command::Kill(given.command()?),
        "list" => Command::List(given.command()?),
        "pause" => Command::Pause(given.command()?),
        "resume" => Command::Resume(given.command()?),
        "run" => Command::Run(given.command()?),
        "start" => Command::Start(given.command()?),
        "state" => Command::State(given.command()?),
        _ => return None,
    };
    let global = Global {
        root: given.path("--root"),
        log: given.value("--log").map(str::to_owned),
        log_format: given.choice("--log-format")?.unwrap_or_default(),
        debug: given.switch("--debug"),
        log_level: given.choice("--log-level")?.unwrap_or_default(),
        rootless: Default::default(),
        systemd_cgroup: given.switch("--systemd-cgroup"),
        cgroup_manager: given.choice("--cgroup-manager")?,
    };
    Some(Cli { global, command })
}

impl<'a> Given<'a> {
    fn command<T: Quick>(&mut self) -> Option<T> {
        self.read(T::VALUES, T::SWITCHES, T::WORDS)?;
        let command = T::take(self)?;
        self.words.is_empty().then_some(command)
    }

    /// Reads until there are so many words that are no options, or to the end.
    fn read(&mut self, values: Names, switches: Names, words: usize) -> Option<()> {
        while self.words.len() < words {
            let Some(word) = self.rest.next() else { return Some(()) };
            let word = word.to_str()?;
            if word.starts_with('-') {
                self.option(word, values, switches)?;
            } else {
                self.words.push_back(word);
            }
        }
        Some(())
    }

    fn option(&mut self, word: &'a str, values: Names, switches: Names) -> Option<()> {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name, Some(value)),
            _ => (word, None),
        };
        let find = |own: Names, global: Names| {
            let mut all = own.iter().chain(global);
            let found = all.find(|(long, short)| *long == name || (*short == name && value.is_none()));
            found.map(|(long, _)| *long)
        };
        let (long, value) = match (find(values, GLOBAL_VALUES), value) {
            (Some(long), Some(value)) => (long, value),
            (Some(long), None) => (long, self.rest.next()?.to_str()?),
            (None, None) => (find(switches, GLOBAL_SWITCHES)?, "true"),
            (None, Some(_)) => return None,
        };
        let again = self.value(long).is_some() && !REPEATED.contains(&long);
        if again || value.is_empty() || value.starts_with('-') {
            return None;
        }
        self.options.push((long, value));
        Some(())
    }

    /// An option's value.
    pub(super) fn value(&self, long: &str) -> Option<&'a str> {
        self.values(long).next()
    }

    /// The values of an option that may come more than once.
    pub(super) fn values(&self, long: &str) -> impl Iterator<Item = &'a str> {
        self.options.iter().filter(move |(name, _)| *name == long).map(|(_, value)| *value)
    }

    /// Whether an option without a value is there.
    pub(super) fn switch(&self, long: &str) -> bool {
        self.value(long).is_some()
    }

    /// An option's value as a path.
    pub(super) fn path(&self, long: &str) -> Option<PathBuf> {
        self.value(long).map(PathBuf::from)
    }

    /// An option's value as what it stands for: Some(None) if there is none, None if it cannot be read.
    pub(super) fn parsed<T: FromStr>(&self, long: &str) -> Option<Option<T>> {
        self.value(long).map(|value| value.parse().ok()).map_or(Some(None), |parsed| parsed.map(Some))
    }

    /// The same for a choice of words.
    pub(super) fn choice<T: ValueEnum>(&self, long: &str) -> Option<Option<T>> {
        let read = |value| T::from_str(value, false).ok();
        self.value(long).map(read).map_or(Some(None), |read| read.map(Some))
    }

    /// The next word that is no option.
    pub(super) fn word<T: FromStr>(&mut self) -> Option<T> {
        self.words.pop_front()?.parse().ok()
    }

    /// Whether there is one.
    pub(super) fn has_words(&self) -> bool {
        !self.words.is_empty()
    }

    /// The words of the program that the command runs: they begin with no option, which would be the command's.
    pub(super) fn rest(&mut self) -> Option<Vec<String>> {
        let words: Option<Vec<String>> =
            self.rest.by_ref().map(|word| word.to_str().map(str::to_owned)).collect();
        words.filter(|words| words.first().is_none_or(|word| !word.starts_with('-')))
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        std::iter::once("mocker-runtime").chain(line.split_whitespace()).map(OsString::from).collect()
    }

    /// What is read here, after it was compared with what clap reads.
    #[track_caller]
    fn reads(line: &str) -> bool {
        let quick = read(&words(line));
        if let Some(quick) = &quick {
            let clap = Cli::try_parse_from(words(line))
                .unwrap_or_else(|error| panic!("clap refuses {line:?}: {error}"));
            assert_eq!(format!("{quick:?}"), format!("{clap:?}"), "{line:?}");
        }
        quick.is_some()
    }

    #[test]
    fn what_managers_write_is_read_without_clap_and_as_clap_reads_it() {
        let global = "--root /r/ns --log /b/log.json --log-format json --systemd-cgroup";
        for line in [
            "create --bundle /b --pid-file /b/p --console-socket /s --no-pivot --no-new-keyring id",
            "create --bundle /b --pid-file /p id",
            "create -b /b id",
            "run -b /b id",
            "run --bundle /b --keep --detach --no-subreaper --preserve-fds 3 id",
            "run ./bundle",
            "start id",
            "state id",
            "kill id 9",
            "kill --all id KILL",
            "kill id",
            "delete id",
            "delete --force id",
            "delete -f id",
            "pause id",
            "resume id",
            "list",
            "list --format json",
            "list -q",
            "exec --process /f --detach --pid-file /p id",
            "exec --process /f --console-socket /s -d --preserve-fds 2 --pid-file /p id",
            "exec -t -e A=1 --env B=2 --cwd /x --user 1:2 id sh -c exit -t",
            "exec id ls -l -- --x",
        ] {
            assert!(reads(line), "{line}");
            assert!(reads(&format!("{global} {line}")), "{line}");
            assert!(reads(&format!("--root=/r --debug {line}")), "{line}");
        }
        assert!(reads("state --root /r id --log-level error"));
        assert!(reads("--cgroup-manager disabled run -b /b id"));
    }

    #[test]
    fn what_is_odd_or_wrong_is_left_to_clap() {
        for line in [
            "",
            "state",
            "state a b",
            "state a/b",
            "state --root /r --root /s id",
            "--root /r state --root /s id",
            "--root -x state id",
            "--root= state id",
            "--log-format yaml state id",
            "--rootless true state id",
            "state --help",
            "help",
            "--help",
            "--version",
            "kill id RHUBARB",
            "kill id -9",
            "kill id 9 x",
            "kill -a -a id",
            "run",
            "run --detach=true id",
            "run -no-subreaper id",
            "run -db /b id",
            "run --preserve-fds x id",
            "run -- id",
            "exec",
            "exec id -t sh",
            "exec --user root id sh",
            "list x",
            "features",
            "ps id",
            "stat id",
        ] {
            assert!(!reads(line), "{line}");
        }
    }

    #[test]
    fn every_option_of_every_command_is_read_as_by_clap_or_left_to_it() {
        let root = Cli::command();
        for command in root.get_subcommands() {
            let name = command.get_name();
            for option in command.get_arguments().chain(root.get_arguments()) {
                let longs = option.get_long().map(|long| format!("--{long}"));
                let shorts = option.get_short().map(|short| format!("-{short}"));
                for flag in longs.into_iter().chain(shorts) {
                    for value in ["", " /x", " 7", " json", " id", "=/x", "=7", "x", "=true"] {
                        for words in ["", " id", " id sh", " id 9"] {
                            reads(&format!("{name} {flag}{value}{words}"));
                            reads(&format!("{flag}{value} {name}{words}"));
                        }
                    }
                }
            }
        }
    }
}
