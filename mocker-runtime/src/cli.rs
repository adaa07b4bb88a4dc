//! The command line: words to one call, and the only place that prints and decides on the exit status.

mod checkpoint;
mod completion;
mod create;
mod delete;
mod descriptors;
mod events;
mod exec;
mod features;
mod kill;
mod list;
mod man;
mod mounts;
mod pattern;
mod pause;
mod ps;
mod quick;
mod restore;
mod run;
mod spec;
mod spelling;
mod start;
mod state;
mod update;
mod usage;

use std::io::Write;
use std::path::PathBuf;
use std::sync::LazyLock;

use clap::{CommandFactory, Parser, Subcommand};

use crate::cgroup;
use crate::container::Root;
use crate::error::{Error, Result, WhileDoing};
use crate::log::{self, Format, Level};
use crate::plan::cgroup::Driver;
use crate::rootless::{self, Rootless};
use crate::sealed;
use crate::sys::{entry, fd, mount};

/// The exit status of errors of ours, wrong usage too.
const FAILURE: u8 = 1;
/// The exit status of exec when it fails itself, as runc's.
const EXEC_FAILURE: u8 = 255;

const NAME: &str = "mocker-runtime";

/// What docker reads: the version, `commit: C` (given at build by whoever makes a release), `spec: V`.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let commit = option_env!("MOCKER_COMMIT").unwrap_or("unknown");
    format!("version {}\ncommit: {commit}\nspec: {}", env!("CARGO_PKG_VERSION"), crate::SPEC_VERSION)
});

/// Runs OCI bundles: a low-level container runtime in the place of runc
#[derive(Debug, Parser)]
#[command(name = NAME, version = VERSION.as_str(), disable_help_subcommand = true, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What all commands share.
#[derive(Debug, clap::Args)]
struct Global {
    /// Directory of all containers' state [default: /run/mocker, for a user $XDG_RUNTIME_DIR/mocker]
    #[arg(long, global = true, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Where warnings and the reason of a failure go: a file, journald:IDENTIFIER or syslog:IDENTIFIER
    #[arg(long, global = true, value_name = "FILE")]
    log: Option<String>,
    /// Form of the lines in the log file
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORM")]
    log_format: Format,
    /// Log each step of a create and an exec too
    #[arg(long, global = true)]
    debug: bool,
    /// The least of what is logged
    #[arg(long, global = true, value_enum, default_value_t, value_name = "LEVEL")]
    log_level: Level,
    /// Whether to go without cgroups that may not be made
    // Before the command only: spec has a switch of this name.
    #[arg(long, value_enum, default_value_t, value_name = "WHETHER")]
    rootless: Rootless,
    /// Let systemd make the cgroup, as a scope; linux.cgroupsPath is slice:prefix:name then
    #[arg(long, global = true)]
    systemd_cgroup: bool,
    /// Who makes the cgroup [default: cgroupfs; systemd for a user's limits where only it can set them]
    #[arg(long, global = true, value_enum, value_name = "WHO")]
    cgroup_manager: Option<CgroupManager>,
}

/// Who makes the cgroup, in crun's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum CgroupManager {
    /// This program, in the mounted hierarchies
    Cgroupfs,
    /// systemd: --systemd-cgroup
    Systemd,
    /// Nobody: the container stays in the caller's cgroup
    Disabled,
}

impl Global {
    fn driver(&self) -> Driver {
        match self.cgroup_manager {
            Some(CgroupManager::Disabled) => Driver::Disabled,
            Some(CgroupManager::Cgroupfs) => Driver::Cgroupfs,
            None if !self.systemd_cgroup => Driver::Any,
            _ => Driver::Systemd(cgroup::owner()),
        }
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    Checkpoint(checkpoint::Checkpoint),
    Completion(completion::Completion),
    Create(create::Create),
    Delete(delete::Delete),
    Events(events::Events),
    Exec(exec::Exec),
    Features(features::Features),
    Kill(kill::Kill),
    List(list::List),
    Man(man::Man),
    Mounts(mounts::Mounts),
    Pause(pause::Pause),
    Ps(ps::Ps),
    Restore(restore::Restore),
    Resume(pause::Resume),
    Run(run::Run),
    Spec(spec::Spec),
    Start(start::Start),
    State(state::State),
    Update(update::Update),
    Usage(usage::Usage),
}

/// The commands that enter a container, before the words are understood: one that is missing here (see
/// [`Command::preserved`]) only takes that step later. The value of an option that is such a word costs an execve.
const ENTERING: [&str; 3] = ["create", "exec", "run"];

impl Command {
    /// For commands that enter a container: how many of the caller's descriptors it keeps.
    fn preserved(&self) -> Option<u32> {
        match self {
            Self::Create(create) => Some(create.preserved()),
            Self::Exec(exec) => Some(exec.preserved()),
            Self::Run(run) => Some(run.preserved()),
            _ => None,
        }
    }
}

/// The whole program; gives its exit status.
pub fn main() -> u8 {
    entry::prepare();
    let status = call();
    // What does not end with a line break is still to be written; a closed stdout is no reason to fail.
    std::io::stdout().flush().ok();
    status
}

fn call() -> u8 {
    let words: Vec<_> = std::env::args_os().collect();
    if is_version(&words) {
        writeln!(std::io::stdout(), "{NAME} {}", *VERSION).ok();
        return 0;
    }
    let enters = words.iter().any(|word| ENTERING.iter().any(|name| word == name));
    // Before all else, since it begins from the start; what goes wrong is told by whoever needs it, below.
    let sealed = entry::is_sealed() || (enters && sealed::ensure().is_ok());
    let cli = match quick::read(&words) {
        Some(cli) => cli,
        None => match Cli::try_parse_from(spelling::respell(words, Cli::command)) {
            Ok(cli) => cli,
            Err(error) => return usage(&error),
        },
    };
    // A status of the program that exec could not run must not be mistaken for the program's own.
    let failure = if matches!(cli.command, Command::Exec(_)) { EXEC_FAILURE } else { FAILURE };
    match cli.run(sealed) {
        Ok(status) => status,
        Err(error) => {
            log::fail(&error.to_string(), error.hint());
            failure
        }
    }
}

impl Cli {
    /// `sealed` tells whether this program's file is out of the container's reach already.
    fn run(self, sealed: bool) -> Result<u8> {
        let kept = self.command.preserved();
        if kept.is_some() || matches!(self.command, Command::Restore(_)) {
            mount::check_kernel()?;
        }
        if let Some(kept) = kept {
            // What the caller left open would be open in init for as long as it waits for start.
            fd::close_from(3 + descriptors::listening() + kept)?;
        }
        rootless::set(self.global.rootless);
        log::set_level(if self.global.debug { Level::Debug } else { self.global.log_level });
        if let Some(target) = &self.global.log {
            log::open(target, self.global.log_format)?;
        }
        if kept.is_some() && !sealed {
            sealed::ensure()?;
        }
        let driver = self.global.driver();
        let root = Root::new(self.global.root)?;
        match self.command {
            Command::Checkpoint(checkpoint) => checkpoint.run(&root).map(|()| 0),
            Command::Completion(completion) => completion.run().map(|()| 0),
            Command::Create(create) => create.run(&root, driver).map(|()| 0),
            Command::Delete(delete) => delete.run(&root).map(|()| 0),
            Command::Events(events) => events.run(&root).map(|()| 0),
            Command::Exec(exec) => exec.run(&root),
            Command::Features(features) => features.run().map(|()| 0),
            Command::List(list) => list.run(&root).map(|()| 0),
            Command::Man(man) => man.run().map(|()| 0),
            Command::Mounts(mounts) => mounts.run(&root).map(|()| 0),
            Command::Pause(pause) => pause.run(&root).map(|()| 0),
            Command::Ps(ps) => ps.run(&root).map(|()| 0),
            Command::Restore(restore) => restore.run(&root, driver),
            Command::Resume(resume) => resume.run(&root).map(|()| 0),
            Command::Kill(kill) => kill.run(&root).map(|()| 0),
            Command::Run(run) => run.run(&root, driver),
            Command::Spec(spec) => spec.run().map(|()| 0),
            Command::Start(start) => start.run(&root).map(|()| 0),
            Command::State(state) => state.run(&root).map(|()| 0),
            Command::Update(update) => update.run(&root).map(|()| 0),
            Command::Usage(usage) => usage.run(&root).map(|()| 0),
        }
    }
}

/// Help and version go to stdout; wrong words are one line on stderr.
fn usage(error: &clap::Error) -> u8 {
    use clap::error::ErrorKind;
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        // A closed stdout is no reason to fail.
        std::io::stdout().write_all(error.render().to_string().as_bytes()).ok();
        return 0;
    }
    let text = error.render().to_string();
    let first = text.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ");
    let line = first.split_whitespace().collect::<Vec<_>>().join(" ");
    log::fail(&line, Some("see mocker-runtime --help"));
    FAILURE
}

/// How a list is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
enum Form {
    /// Columns for people
    #[default]
    Table,
    /// For programs
    Json,
}

/// Prints a document.
fn print(document: &serde_json::Value) -> Result<()> {
    let text = serde_json::to_string_pretty(document).while_doing(|| "write the document")?;
    writeln!(std::io::stdout(), "{text}").while_doing(|| "print")
}

/// `--version` and nothing else: asked for often, and not worth all that clap makes first.
fn is_version(words: &[std::ffi::OsString]) -> bool {
    matches!(words, [_, word] if word == "--version")
}

/// A path on the command line belongs to the caller's working directory.
fn absolute(path: Option<PathBuf>) -> Result<Option<PathBuf>> {
    path.map(|path| {
        std::path::absolute(&path)
            .map_err(Error::from)
            .while_doing(|| format!("make the path {} absolute", path.display()))
    })
    .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_what_clap_says() {
        assert_eq!(Cli::command().render_version(), format!("{NAME} {}\n", *VERSION));
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn the_commands_that_enter_a_container_are_known_where_the_program_begins() {
        let enters = |word: &&str| entry::enters(&std::ffi::CString::new(*word).expect("no NUL"));
        assert!(ENTERING.iter().all(enters));
        assert!(!["", "r", "ru", "runs", "state", "execs"].iter().any(enters));
    }
}
