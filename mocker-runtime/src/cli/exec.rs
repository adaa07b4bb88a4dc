//! `exec`: one more process in a container.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use super::quick::{self, Names, Quick};
use super::run::own_terminal;
use super::{absolute, descriptors};
use crate::bundle::config::{Capabilities, Linux, Process as Given, Text};
use crate::container::exec::{Options, Paused};
use crate::container::id::ContainerId;
use crate::container::wait::{Console, Signals};
use crate::container::{Container, Root, wait};
use crate::error::{Error, Result, WhileDoing};
use crate::plan::namespaces::{self, Namespaces};
use crate::plan::process::{self, Process};
use crate::sys::{fd, signal};

/// Run one more process in a container
#[derive(Debug, clap::Args)]
pub(super) struct Exec {
    #[command(flatten)]
    change: Change,
    /// File with the process as JSON, instead of the container's own with a command
    #[arg(short, long, value_name = "FILE")]
    process: Option<PathBuf>,
    /// Unix socket that receives the process's terminal
    #[arg(long, value_name = "SOCKET")]
    console_socket: Option<PathBuf>,
    /// File to write the process id to
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,
    /// Unix socket that receives a pidfd of the process
    #[arg(long, value_name = "SOCKET")]
    pidfd_socket: Option<PathBuf>,
    /// Return as soon as the process runs
    #[arg(short, long)]
    detach: bool,
    /// Number of open descriptors, from 3 on, that the process keeps
    #[arg(long, value_name = "N", default_value_t = 0)]
    preserve_fds: u32,
    /// Existing cgroup below the container's, with its controllers before a colon on version 1
    #[arg(long, value_name = "[CONTROLLER,...:]PATH")]
    cgroup: Vec<String>,
    /// Enter a paused container too
    #[arg(long)]
    ignore_paused: bool,
    /// The container
    id: ContainerId,
    /// The program and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// What differs from the container's own process.
#[derive(Debug, clap::Args)]
struct Change {
    /// Working directory
    #[arg(long, value_name = "DIR")]
    cwd: Option<String>,
    /// Environment entry; may be given more than once
    #[arg(short, long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// Give the process a terminal
    #[arg(short, long)]
    tty: bool,
    /// User id, and group id
    #[arg(short, long, value_name = "UID[:GID]")]
    user: Option<Ids>,
    /// Supplementary group id; may be given more than once
    #[arg(short = 'g', long, value_name = "GID")]
    additional_gids: Vec<u32>,
    /// Capability to add; may be given more than once
    #[arg(short, long, value_name = "CAP")]
    cap: Vec<String>,
    /// SELinux label
    #[arg(long, value_name = "LABEL")]
    process_label: Option<String>,
    /// AppArmor profile
    #[arg(long, value_name = "PROFILE")]
    apparmor: Option<String>,
    /// Set no_new_privs
    #[arg(long)]
    no_new_privs: bool,
}

/// `1000` or `1000:1000`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ids {
    uid: u32,
    gid: Option<u32>,
}

impl std::str::FromStr for Ids {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let number = |word: &str| {
            word.parse().map_err(|_| Error::invalid(format!("{word:?} is not a user or group id")))
        };
        match text.split_once(':') {
            Some((uid, gid)) => Ok(Self { uid: number(uid)?, gid: Some(number(gid)?) }),
            None => Ok(Self { uid: number(text)?, gid: None }),
        }
    }
}

impl Quick for Exec {
    const VALUES: Names = &[
        ("--process", "-p"),
        ("--console-socket", ""),
        ("--pid-file", ""),
        ("--pidfd-socket", ""),
        ("--preserve-fds", ""),
        ("--cwd", ""),
        ("--env", "-e"),
        ("--user", "-u"),
    ];
    const SWITCHES: Names = &[("--detach", "-d"), ("--tty", "-t")];
    const WORDS: usize = 1;

    fn take(given: &mut quick::Given<'_>) -> Option<Self> {
        let change = Change {
            cwd: given.value("--cwd").map(str::to_owned),
            env: given.values("--env").map(str::to_owned).collect(),
            tty: given.switch("--tty"),
            user: given.parsed("--user")?,
            additional_gids: Vec::new(),
            cap: Vec::new(),
            process_label: None,
            apparmor: None,
            no_new_privs: false,
        };
        Some(Self {
            change,
            process: given.path("--process"),
            console_socket: given.path("--console-socket"),
            pid_file: given.path("--pid-file"),
            pidfd_socket: given.path("--pidfd-socket"),
            detach: given.switch("--detach"),
            preserve_fds: given.parsed("--preserve-fds")?.unwrap_or_default(),
            cgroup: Vec::new(),
            ignore_paused: false,
            id: given.word()?,
            command: given.rest()?,
        })
    }
}

impl Exec {
    pub(super) fn preserved(&self) -> u32 {
        self.preserve_fds
    }

    pub(super) fn run(self, root: &Root) -> Result<u8> {
        let id = self.id.clone();
        self.enter(&root.open(&id)?).while_doing(|| format!("exec in container {id}"))
    }

    fn enter(self, container: &Container) -> Result<u8> {
        let (mut process, namespaces) = self.plan(container)?;
        descriptors::hand_on(&mut process);
        let signals = (!self.detach).then(Signals::catch).transpose()?;
        let mut options = Options {
            console: self.console_socket.as_deref().map(fd::connect).transpose()?,
            pid_file: absolute(self.pid_file)?,
            pidfd_socket: self.pidfd_socket.as_deref().map(fd::connect).transpose()?,
            preserve_fds: descriptors::listening() + self.preserve_fds,
            cgroups: sub_cgroups(&self.cgroup)?,
            paused: if self.ignore_paused { Paused::Enter } else { Paused::Refuse },
        };
        let ours = match (process.terminal, &options.console) {
            (Some(_), None) if self.detach => {
                return Err(Error::invalid("the process wants a terminal, but there is no --console-socket"));
            }
            (Some(_), None) => {
                let (host, receiver, sender) = own_terminal()?;
                options.console = Some(sender);
                Some((host, receiver))
            }
            (None, Some(_)) => {
                return Err(Error::invalid("--console-socket is given, but the process wants no terminal"));
            }
            _ => None,
        };
        let running = container.exec(&process, namespaces, options)?;
        let Some(signals) = signals else { return running.wait_running().map(|()| 0) };
        let console =
            ours.map(|(host, socket)| Console::new(host, fd::receive_fd(socket.as_fd())?)).transpose()?;
        let end = running.wait_running().and_then(|()| wait::relay(&running.child, signals, console));
        let status = signal::reap(running.child.pidfd.as_fd());
        end.and(status)
    }

    /// The process of the file, or the container's own with changes; and the container's namespaces.
    fn plan(&self, container: &Container) -> Result<(Process, Namespaces)> {
        let bundle = container.config()?;
        let config = bundle.config()?;
        let keeps_groups = crate::plan::keeps_groups(&config);
        let linux = config.linux.unwrap_or_default();
        let namespaces = namespaces::plan(&linux.namespaces, &linux.time_offsets)?;
        let mut process = match &self.process {
            Some(file) => plan_file(file, &linux)?,
            None => self.plan_command(config.process, &linux)?,
        };
        if keeps_groups {
            process.groups = None;
        }
        Ok((process, namespaces))
    }

    fn plan_command(&self, own: Option<Given<'_>>, linux: &Linux<'_>) -> Result<Process> {
        if self.command.is_empty() {
            return Err(Error::invalid("there is neither a command nor --process"));
        }
        let Some(mut given) = own else {
            return Err(Error::invalid("config.json has no process"));
        };
        given.args = self.command.iter().map(|word| text(word)).collect();
        self.change.apply(&mut given);
        process::plan(Some(&given), linux)
    }
}

fn plan_file(file: &Path, linux: &Linux<'_>) -> Result<Process> {
    let act = || format!("read {}", file.display());
    let bytes = std::fs::read(file).while_doing(act)?;
    let given: Given<'_> = serde_json::from_slice(&bytes).while_doing(act)?;
    process::plan(Some(&given), linux).while_doing(act)
}

fn text<'a>(word: &str) -> Text<'a> {
    Text(word.to_owned().into())
}

impl Change {
    fn apply(&self, given: &mut Given<'_>) {
        // Whatever the container's own process has, this one has a terminal only when asked for.
        given.terminal = self.tty;
        given.console_size = None;
        if let Some(cwd) = &self.cwd {
            given.cwd = text(cwd);
        }
        given.env.extend(self.env.iter().map(|entry| text(entry)));
        if let Some(ids) = self.user {
            given.user.uid = ids.uid;
            given.user.gid = ids.gid.unwrap_or(given.user.gid);
        }
        given.user.additional_gids.extend(&self.additional_gids);
        given.no_new_privileges |= self.no_new_privs;
        if let Some(label) = &self.process_label {
            given.selinux_label = Some(text(label));
        }
        if let Some(profile) = &self.apparmor {
            given.apparmor_profile = Some(text(profile));
        }
        if !self.cap.is_empty() {
            add_capabilities(given.capabilities.get_or_insert_default(), &self.cap);
        }
    }
}

/// As runc: ambient only where the container has inheritable ones, which ambient needs.
fn add_capabilities(sets: &mut Capabilities<'_>, names: &[String]) {
    let Capabilities { bounding, effective, permitted, inheritable, ambient, .. } = sets;
    let mut lists = vec![bounding, effective, permitted];
    if !inheritable.is_empty() {
        lists.push(ambient);
    }
    for list in lists {
        list.extend(names.iter().map(|name| text(name)));
    }
}

/// `path` on version 2, `controller[,controller]:path` on version 1.
fn sub_cgroups(given: &[String]) -> Result<Vec<(String, String)>> {
    let mut out = Vec::new();
    for word in given {
        match word.split_once(':') {
            None if given.len() > 1 => {
                return Err(Error::invalid(format!("--cgroup {word:?} has no controllers before a colon")));
            }
            None => out.push((String::new(), word.clone())),
            Some((controllers, path)) => {
                for controller in controllers.split(',') {
                    if controller.is_empty() || out.iter().any(|(known, _)| known == controller) {
                        return Err(Error::invalid(format!(
                            "--cgroup {word:?} names no controller, or one twice"
                        )));
                    }
                    out.push((controller.to_owned(), path.to_owned()));
                }
            }
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sub_cgroup_is_a_path_or_has_its_controllers_before_it() {
        let of = |words: &[&str]| sub_cgroups(&words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>());
        assert_eq!(of(&["a/b"]).expect("parses"), [(String::new(), "a/b".to_owned())]);
        assert_eq!(of(&["cpu,pids:x"]).expect("parses").len(), 2);
        for bad in [&["a", "b"][..], &[":x"], &["cpu:a", "cpu:b"]] {
            assert!(of(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_user_is_one_number_or_two() {
        assert_eq!("7".parse::<Ids>().expect("parses"), Ids { uid: 7, gid: None });
        assert_eq!("7:8".parse::<Ids>().expect("parses"), Ids { uid: 7, gid: Some(8) });
        assert!("root".parse::<Ids>().is_err());
    }
}
