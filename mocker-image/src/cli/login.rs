//! `login`: finds out whether a registry takes a password, and keeps it.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Read, Write};
use std::path::PathBuf;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use serde_json::json;

use super::{Global, Teller, Trust, wait};
use crate::error::{Context, Error, Result};
use crate::registry::{Registry, Settings, credentials};
use crate::{interrupt, reference};

/// How long a waiting prompt may take to hear of a signal.
const TICK: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

#[derive(Debug, clap::Args)]
pub(super) struct Login {
    /// The registry, or a part of it: `HOST[:PORT][/PATH]`
    #[arg(value_name = "REGISTRY", value_parser = reference::parse_place)]
    place: String,
    /// The user; asked for at the terminal if it is not given
    #[arg(long, short, value_name = "USER")]
    username: Option<String>,
    /// The password itself, for all users of the machine to see: better --password-stdin
    #[arg(long, short, value_name = "PASSWORD", requires = "username", conflicts_with = "password_stdin")]
    password: Option<String>,
    /// Read the password from standard input
    #[arg(long, requires = "username")]
    password_stdin: bool,
    /// The file to keep it in [default: REGISTRY_AUTH_FILE, else $XDG_RUNTIME_DIR/containers/auth.json]
    #[arg(long, value_name = "FILE")]
    authfile: Option<PathBuf>,
    #[command(flatten)]
    trust: Trust,
}

impl Login {
    pub(super) fn run(&self, global: &Global) -> Result<()> {
        interrupt::watch()?;
        let (user, kept) = self.login().while_doing(|| format!("log in to {}", self.place))?;
        global.tell(&format!("logged in to {} as {user}; {kept} keeps the password", self.place));
        global.answer(|| json!({ "registry": self.place, "user": user, "kept": kept }), String::new)
    }

    fn login(&self) -> Result<(String, String)> {
        let (user, password) = match (self.password_stdin, self.username.clone()) {
            (true, Some(user)) => (user, password_from_stdin()?),
            (_, Some(user)) if self.password.is_some() => (user, self.password.clone().unwrap_or_default()),
            (_, user) => at_the_terminal(user)?,
        };
        if user.is_empty() || user.contains(':') {
            return Err(Error::invalid(format!("user {user:?} is empty or has a colon")));
        }
        let host = self.place.split('/').next().unwrap_or_default();
        let credentials = Some((user.clone(), password.clone()));
        let settings = Settings { credentials, ..self.trust.settings() };
        let registry = Registry::of_host(host, &settings)?;
        wait(registry.enter())?;
        let kept = credentials::store(&self.place, &user, &password, self.authfile.as_deref())?;
        Ok((user, kept))
    }
}

/// All of standard input, without the end of its last line.
fn password_from_stdin() -> Result<String> {
    let mut text = String::new();
    io::stdin().read_to_string(&mut text).while_doing(|| "read the password from standard input")?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

/// User, if not known, and password from whoever sits there.
fn at_the_terminal(user: Option<String>) -> Result<(String, String)> {
    let terminal =
        terminal("the password", "give it on standard input with --username USER --password-stdin")?;
    let user = match user {
        Some(user) => user,
        None => ask(&terminal, "User: ")?,
    };
    Ok((user, hidden(&terminal, "Password: ")?))
}

/// The terminal to ask at.
pub(super) fn terminal(what: &str, otherwise: &str) -> Result<File> {
    let terminal = OpenOptions::new().read(true).write(true).open("/dev/tty");
    let there = terminal.ok().filter(|_| io::stdin().is_terminal());
    there.ok_or_else(|| Error::invalid(format!("there is no terminal to ask for {what}")).hint(otherwise))
}

/// What is typed without being shown.
pub(super) fn hidden(mut terminal: &File, prompt: &str) -> Result<String> {
    let quiet = Quiet::new(terminal)?;
    let typed = ask(terminal, prompt)?;
    drop(quiet);
    terminal.write_all(b"\n").while_doing(|| "write to the terminal")?;
    Ok(typed)
}

fn ask(mut terminal: &File, prompt: &str) -> Result<String> {
    let step = || "read from the terminal";
    terminal.write_all(prompt.as_bytes()).while_doing(|| "write to the terminal")?;
    let (mut line, mut byte) = (Vec::new(), [0]);
    loop {
        interrupt::check()?;
        match poll(&mut [PollFd::new(&terminal, PollFlags::IN)], Some(&TICK)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => continue,
            other => other.while_doing(step)?,
        };
        if terminal.read(&mut byte).while_doing(step)? == 0 || byte[0] == b'\n' {
            return String::from_utf8(line).map_err(|_| Error::invalid("what was typed is not UTF-8"));
        }
        line.push(byte[0]);
    }
}

/// A terminal that does not show what is typed, until this is dropped.
struct Quiet<'a> {
    terminal: &'a File,
    before: Termios,
}

impl<'a> Quiet<'a> {
    fn new(terminal: &'a File) -> Result<Self> {
        let step = || "turn off the terminal's echo";
        let before = tcgetattr(terminal).while_doing(step)?;
        let mut now = before.clone();
        now.local_modes.remove(LocalModes::ECHO);
        tcsetattr(terminal, OptionalActions::Flush, &now).while_doing(step)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        // Nobody to tell: the terminal is gone.
        let _ = tcsetattr(self.terminal, OptionalActions::Now, &self.before);
    }
}
