//! Hooks: programs of the user's that run at fixed moments, with the container's state on stdin
//! (config.md "POSIX-platform Hooks").
//!
//! Called by the parent in the runtime's namespaces and by init in the container's. Where a failure
//! leads is the caller's to decide.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use crate::bundle::config::Hook;
use crate::error::{Error, Kind, Result, WhileDoing};
use crate::sys::signal;

/// How much of a failed hook's output is quoted.
const QUOTED: u64 = 2048;

/// Where hooks write, in crun's annotations; what is None is read here, for the error of a hook that fails.
#[derive(Debug, Default)]
pub(crate) struct Output {
    stdout: Option<File>,
    stderr: Option<File>,
}

impl Output {
    /// Opens the files that `run.oci.hooks.stdout` and `run.oci.hooks.stderr` name, to write at their ends.
    pub(crate) fn open(annotations: &BTreeMap<String, String>) -> Result<Self> {
        let open = |name: &str| match annotations.get(name) {
            Some(path) => File::options()
                .create(true)
                .append(true)
                .open(path)
                .map(Some)
                .while_doing(|| format!("open {path}, which the annotation {name} names")),
            None => Ok(None),
        };
        Ok(Self { stdout: open("run.oci.hooks.stdout")?, stderr: open("run.oci.hooks.stderr")? })
    }
}

/// Runs all hooks of a phase in their order; stops at the first that fails.
pub(crate) fn run_all(phase: &str, hooks: &[Hook], state: &str, output: &Output) -> Result<()> {
    hooks.iter().try_for_each(|hook| {
        run(hook, state, output).while_doing(|| format!("run the {phase} hook {}", hook.path))
    })
}

/// Runs one hook to its end, or to its timeout.
fn run(hook: &Hook, state: &str, output: &Output) -> Result<()> {
    let memory = rustix::fs::memfd_create(c"hook-output", rustix::fs::MemfdFlags::CLOEXEC)
        .while_doing(|| "make a file for its output")?;
    let memory = File::from(memory);
    let handle = |file: &Option<File>| {
        let file = file.as_ref().unwrap_or(&memory);
        file.try_clone().map(Stdio::from).while_doing(|| "share the file for its output")
    };
    let mut command = Command::new(&hook.path);
    command.stdin(Stdio::piped()).stdout(handle(&output.stdout)?).stderr(handle(&output.stderr)?);
    if let Some((name, arguments)) = hook.args.split_first() {
        command.arg0(name).args(arguments);
    }
    // Without an env property a hook gets the caller's environment, as under runc.
    if !hook.env.is_empty() {
        command.env_clear();
        command.envs(hook.env.iter().map(|entry| entry.split_once('=').unwrap_or((entry, ""))));
    }
    let mut child = command.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A hook that does not read its stdin is no error.
        stdin.write_all(state.as_bytes()).ok();
    }
    let pidfd = signal::open_pid(child.id() as i32).while_doing(|| "open the hook's process")?;
    let timeout = hook.timeout.map(|seconds| seconds.saturating_mul(1000));
    if !signal::wait_gone(pidfd.as_fd(), timeout)? {
        child.kill()?;
        child.wait()?;
        let seconds = hook.timeout.unwrap_or_default();
        return Err(Error::new(Kind::Internal, format!("it ran past its timeout of {seconds} s")));
    }
    let status = child.wait()?;
    if status.success() {
        return Ok(());
    }
    Err(Error::new(Kind::Internal, format!("{status}{}", said(memory))))
}

/// What the hook printed, for the error.
fn said(mut output: File) -> String {
    let mut bytes = Vec::new();
    let read = output.rewind().and_then(|()| output.take(QUOTED).read_to_end(&mut bytes));
    match (read, String::from_utf8_lossy(&bytes).trim()) {
        (Err(_), _) | (Ok(_), "") => String::new(),
        (Ok(_), text) => format!(", output: {text:?}"),
    }
}
