//! `run`: create, start, wait and delete in one, in runc's form and in a person's.

use std::io::IsTerminal;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use super::create::Setup;
use super::quick::{Given, Names, Quick};
use crate::container::create::{Until, own_console};
use crate::container::id::ContainerId;
use crate::container::notify::{self, Notify};
use crate::container::wait::{Console, Signals, subreaper};
use crate::container::{Root, wait};
use crate::error::{Error, Result};
use crate::plan::cgroup::Driver;
use crate::sys::{fd, tty};

/// Create a container, start it, wait for its end and delete it
#[derive(Debug, clap::Args)]
pub(super) struct Run {
    /// Name of the container; or, without --bundle, the bundle: what holds a slash, or a directory
    /// with config.json where the working directory has none. The name is made up then
    #[arg(value_name = "ID|BUNDLE")]
    word: String,
    /// Directory with config.json [default: the working directory]
    #[arg(short, long, value_name = "DIR")]
    bundle: Option<PathBuf>,
    /// Return as soon as the program runs
    #[arg(short, long)]
    detach: bool,
    /// Do not delete the container at its end
    #[arg(long)]
    keep: bool,
    /// Do not adopt the container's orphaned processes
    #[arg(long)]
    no_subreaper: bool,
    #[command(flatten)]
    setup: Setup,
}

impl Quick for Run {
    const VALUES: Names = Setup::VALUES;
    const SWITCHES: Names = &[
        ("--detach", "-d"),
        ("--keep", ""),
        ("--no-subreaper", ""),
        ("--no-pivot", ""),
        ("--no-new-keyring", ""),
    ];

    fn take(given: &mut Given<'_>) -> Option<Self> {
        Some(Self {
            word: given.word()?,
            bundle: given.path("--bundle"),
            detach: given.switch("--detach"),
            keep: given.switch("--keep"),
            no_subreaper: given.switch("--no-subreaper"),
            setup: Setup::take(given)?,
        })
    }
}

impl Run {
    pub(super) fn preserved(&self) -> u32 {
        self.setup.preserve_fds
    }

    pub(super) fn run(mut self, root: &Root, driver: Driver) -> Result<u8> {
        let words = Words::read(&self.word, self.bundle.take(), |path| path.is_file())?;
        // Before there is a second thread, so that no signal ends it.
        let signals = (!self.detach).then(Signals::catch).transpose()?;
        let (bundle, mut plan, ahead) = self.setup.begin(&words.bundle, driver)?;
        let person = words.made_up && !self.detach && self.setup.console_socket.is_none();
        if person && !(std::io::stdin().is_terminal() && std::io::stdout().is_terminal()) {
            // A person who pipes wants pipes, whatever the image's config says.
            plan.process.terminal = None;
        }
        let notify = Notify::wanted();
        if notify == Notify::Yes {
            notify::plan(&mut plan, root, &words.id);
        }
        let Some(signals) = signals else {
            self.setup.check_detached(&plan)?;
            let options = self.setup.options(Until::Ready, notify, ahead)?;
            return root.create(&words.id, &bundle, &plan, options)?.wait_ready().map(|()| 0);
        };
        if !self.no_subreaper {
            subreaper()?;
        }
        let foreign = self.setup.console_socket.is_some();
        let mut options = self.setup.options(Until::Ready, notify, ahead)?;
        let ours = match plan.process.terminal.is_some() && !foreign {
            true => {
                let (host, receiver, sender) = own_terminal()?;
                options.console = Some(sender);
                Some((host, receiver))
            }
            false => None,
        };
        let created = root.create(&words.id, &bundle, &plan, options)?;
        let console =
            ours.map(|(host, socket)| Console::new(host, fd::receive_fd(socket.as_fd())?)).transpose()?;
        wait::until_end(created, signals, console, self.keep)
    }
}

/// The caller's terminal, and both ends of a way for the container's.
pub(super) fn own_terminal() -> Result<(OwnedFd, OwnedFd, OwnedFd)> {
    let host = tty::open_controlling().map_err(|_| {
        Error::invalid("process.terminal is true, but this command has no terminal")
            .with_hint("set process.terminal to false, or give --console-socket")
    })?;
    let (receiver, sender) = own_console()?;
    Ok((host, receiver, sender))
}

/// What the words mean.
#[derive(Debug, PartialEq, Eq)]
struct Words {
    id: ContainerId,
    bundle: PathBuf,
    made_up: bool,
}

impl Words {
    /// `is_file` is asked for config.json files only.
    fn read(word: &str, bundle: Option<PathBuf>, is_file: impl Fn(&Path) -> bool) -> Result<Self> {
        if let Some(bundle) = bundle {
            return Ok(Self { id: word.parse()?, bundle, made_up: false });
        }
        let here = || is_file(Path::new("config.json"));
        if word.contains('/') || (!here() && is_file(&Path::new(word).join("config.json"))) {
            return Ok(Self { id: ContainerId::made_up()?, bundle: PathBuf::from(word), made_up: true });
        }
        Ok(Self { id: word.parse()?, bundle: PathBuf::from("."), made_up: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_the_bundle_only_where_it_can_be_nothing_else() {
        type Row<'a> = (&'a str, Option<&'a str>, &'a [&'a str], Option<&'a str>);
        let cases: [Row<'_>; 6] = [
            ("dir/", None, &[], Some("dir/")),
            ("./dir", None, &["config.json"], Some("./dir")),
            ("word", None, &["word/config.json"], Some("word")),
            ("word", None, &["word/config.json", "config.json"], None),
            ("word", None, &[], None),
            ("word", Some("b"), &["word/config.json"], None),
        ];
        for (word, bundle, files, want) in cases {
            let is_file = |path: &Path| files.iter().any(|file| Path::new(file) == path);
            let words = Words::read(word, bundle.map(PathBuf::from), is_file).expect("reads");
            assert_eq!(words.made_up, want.is_some(), "{word} {files:?}");
            if let Some(want) = want {
                assert_eq!(words.bundle, Path::new(want));
            }
        }
    }
}
