//! The reference engine: runc's command line on the crate libcontainer, for differential runs and the comparison.
//!
//! Not built by default: `cargo build -p conformance --features libcontainer --bin reference`. It knows what the suite
//! asks of a runtime, and no more; what it fails is libcontainer's doing, and expected.toml lists it.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use clap::{Parser, Subcommand};
use libcontainer::container::builder::ContainerBuilder;
use libcontainer::container::{Container, State};
use libcontainer::oci_spec::runtime::Spec;
use libcontainer::signal::Signal;
use libcontainer::syscall::syscall::SyscallType;
use libcontainer::workload::default::DefaultExecutor;
use rustix::process::{Pid, WaitOptions};
use serde_json::{Value, json};

const VERSION: &str = "reference version 0.7.0 (libcontainer)";

#[derive(Debug, Parser)]
#[command(disable_version_flag = true)]
struct Cli {
    /// Where containers are remembered
    #[arg(long, default_value = "/run/reference")]
    root: PathBuf,
    /// Print the version
    #[arg(long)]
    version: bool,
    #[command(subcommand)]
    command: Option<Verb>,
}

/// What makes a container, and what an exec takes of it.
#[derive(Debug, clap::Args)]
struct Place {
    /// The file that gets the pid
    #[arg(long)]
    pid_file: Option<PathBuf>,
    /// The socket that gets the terminal
    #[arg(long)]
    console_socket: Option<PathBuf>,
    /// So many descriptors beyond the standard ones stay open
    #[arg(long, default_value_t = 0)]
    preserve_fds: i32,
}

#[derive(Debug, clap::Args)]
struct Make {
    #[command(flatten)]
    place: Place,
    #[arg(long, default_value = ".")]
    bundle: PathBuf,
    id: String,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a container
    Create(Make),
    /// Run its program
    Start { id: String },
    /// Print what it is
    State { id: String },
    /// Send it a signal
    Kill {
        id: String,
        #[arg(default_value = "TERM")]
        signal: String,
    },
    /// Take it away
    Delete {
        #[arg(long, short)]
        force: bool,
        id: String,
    },
    /// All of it in one
    Run(Make),
    /// Run one more program in it
    Exec {
        #[command(flatten)]
        place: Place,
        #[arg(long)]
        process: Option<PathBuf>,
        #[arg(long)]
        detach: bool,
        id: String,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
}

fn main() -> Result<ExitCode> {
    let cli = Cli::parse();
    if cli.version {
        writeln!(io::stdout(), "{VERSION}")?;
        return Ok(ExitCode::SUCCESS);
    }
    let root = cli.root;
    match cli.command.context("no command")? {
        Verb::Create(make) => create(&root, &make, true).map(drop)?,
        Verb::Start { id } => load(&root, &id)?.start().with_context(|| format!("start {id}"))?,
        Verb::State { id } => writeln!(io::stdout(), "{}", told(&load(&root, &id)?.state))?,
        Verb::Kill { id, signal } => {
            let signal = Signal::try_from(signal.as_str())?;
            load(&root, &id)?.kill(signal, false).with_context(|| format!("kill {id}"))?;
        }
        Verb::Delete { force, id } => delete(&root, &id, force)?,
        Verb::Run(make) => return run(&root, &make),
        Verb::Exec { place, process, detach, id, words } => {
            let builder = builder(&root, &id, &place)?.as_tenant().with_detach(detach);
            let builder = match process {
                Some(file) => builder.with_process(Some(file)),
                None => builder.with_container_args(words),
            };
            let pid = builder.build().with_context(|| format!("exec in {id}"))?;
            return if detach { Ok(ExitCode::SUCCESS) } else { wait(pid.as_raw()) };
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn builder(root: &Path, id: &str, place: &Place) -> Result<ContainerBuilder> {
    let builder = ContainerBuilder::new(id.to_owned(), SyscallType::default())
        .with_executor(DefaultExecutor {})
        .with_root_path(root)?
        .with_pid_file(place.pid_file.as_ref())?
        .with_console_socket(place.console_socket.as_ref())
        .with_preserved_fds(place.preserve_fds);
    Ok(builder.validate_id()?)
}

fn create(root: &Path, make: &Make, detach: bool) -> Result<Container> {
    std::fs::create_dir_all(root).with_context(|| format!("make {}", root.display()))?;
    // libcontainer leaves its half of a container when it cannot read the configuration
    Spec::load(make.bundle.join("config.json")).context("read config.json")?;
    let builder = builder(root, &make.id, &make.place)?;
    let container = builder.as_init(&make.bundle).with_systemd(false).with_detach(detach).build();
    container.with_context(|| format!("create {}", make.id))
}

/// A container is a folder of its own, named by its id.
fn load(root: &Path, id: &str) -> Result<Container> {
    let dir = root.join(id);
    ensure!(!id.is_empty() && dir.is_dir(), "container {id} does not exist");
    let mut container = Container::load(dir).with_context(|| format!("read the state of {id}"))?;
    container.refresh_status().with_context(|| format!("look at {id}"))?;
    Ok(container)
}

/// runtime.md#state.
fn told(state: &State) -> Value {
    let mut told = json!({
        "ociVersion": state.oci_version, "id": state.id, "status": state.status,
        "bundle": state.bundle,
    });
    if let Some(pid) = state.pid {
        told["pid"] = json!(pid);
    }
    if let Some(annotations) = &state.annotations {
        told["annotations"] = json!(annotations);
    }
    told
}

fn delete(root: &Path, id: &str, force: bool) -> Result<()> {
    if force && !root.join(id).is_dir() {
        return Ok(());
    }
    load(root, id)?.delete(force).with_context(|| format!("delete {id}"))
}

fn run(root: &Path, make: &Make) -> Result<ExitCode> {
    let mut container = create(root, make, false)?;
    container.start().with_context(|| format!("start {}", make.id))?;
    let Some(pid) = container.pid() else { bail!("{} has no process", make.id) };
    let ended = wait(pid.as_raw());
    container.delete(true).with_context(|| format!("delete {}", make.id))?;
    ended
}

/// The program's own status, or 128 and the signal's number.
fn wait(pid: i32) -> Result<ExitCode> {
    let pid = Pid::from_raw(pid).context("pid 0")?;
    let (_, status) = rustix::process::waitpid(Some(pid), WaitOptions::empty())?.context("nobody ended")?;
    let signal = status.terminating_signal().map(|signal| 128 + signal);
    let code = status.exit_status().or(signal).context("neither exited nor killed")?;
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)))
}
