//! Scopes of systemd: started, changed and stopped over D-Bus (org.freedesktop.systemd1(5)).
//!
//! ```text
//! parent                     systemd                       the scope
//!   clone ───────────────────────────────────────────────>  placeholder (waits to be killed)
//!   StartTransientUnit(PIDs=[placeholder], limits)
//!                              makes it, moves the placeholder, writes the limits
//!                    <──────── JobRemoved(done)
//!   writes what systemd has no property for
//!   clone3(CLONE_INTO_CGROUP) ───────────────────────────>  init
//!   kills the placeholder
//! ```
//!
//! systemd makes no scope without a process and removes one that has none. With a process that only holds the
//! place, init is born in its cgroup as under any other driver, with all limits in force; moving init there
//! afterwards, as others do, costs the kernel a migration and leaves what init did before uncounted.
//! Where an ordinary user may not give birth there (their session is in another tree than their manager),
//! systemd is asked to move init after all.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use super::dbus::{Connection, Peer, Refusal, Service, socket_of};
use crate::error::{Error, Kind, Result, WhileDoing};
use crate::log;
use crate::plan::cgroup::systemd::{Owner, Property};
use crate::plan::cgroup::{Value, Write};
use crate::rootless;
use crate::sys::clone::{self, Child, Side};
use crate::sys::signal;

/// How long systemd may take for all that one command asks of it. A busy one takes seconds for a scope.
const PATIENCE: Duration = Duration::from_secs(30);

const MANAGER: Service = Service {
    name: "org.freedesktop.systemd1",
    path: "/org/freedesktop/systemd1",
    interface: "org.freedesktop.systemd1.Manager",
};

/// A scope, as the record keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Scope {
    pub(super) name: String,
    /// Where its manager listens; None until the scope is started
    socket: Option<PathBuf>,
    /// Whether a bus lies between
    bus: bool,
    /// The directory below the scope's that the container is in
    pub(super) subgroup: Option<String>,
}

impl Scope {
    /// A scope that is not there yet.
    pub(super) fn new(name: String, subgroup: Option<String>) -> Self {
        Self { name, socket: None, bus: false, subgroup }
    }

    /// Starts it with a process in it.
    ///
    /// A property that the manager is too old for is left out if it is an `optional` one: whatever it says
    /// is written to the kernel's files as well.
    pub(super) fn start(
        &mut self,
        owner: Owner,
        asked: &[Property],
        mut optional: Vec<Property>,
    ) -> Result<()> {
        let (mut manager, socket, peer) = connect(owner)?;
        let act = || format!("start the unit {}", self.name);
        subscribe(&mut manager, peer).while_doing(act)?;
        let mut cleared = false;
        let job = loop {
            let all = asked.iter().chain(&optional);
            let body = [
                Value::Str(self.name.clone()),
                Value::Str("replace".to_owned()),
                list(all),
                Value::Array("(sa(sv))".to_owned(), Vec::new()),
            ];
            match manager.call(MANAGER, "StartTransientUnit", &body) {
                Ok(words) => break words.into_iter().next().unwrap_or_default(),
                // A scope that failed keeps its name until it is forgotten.
                Err(Refusal::Answer { name, .. }) if name.ends_with(".UnitExists") && !cleared => {
                    cleared = true;
                    self.forget(&mut manager)?;
                }
                Err(Refusal::Answer { name, text }) if name.ends_with(".UnitExists") => {
                    let error = Error::new(Kind::Exists, text.trim_end_matches('.'));
                    return Err(error.with_hint("another container, or something else, uses this name"))
                        .while_doing(act);
                }
                Err(refusal) => {
                    leave_out(&mut optional, refusal).while_doing(act)?;
                }
            }
        };
        // From here on it is ours to stop.
        (self.socket, self.bus) = (Some(socket), peer == Peer::Bus);
        match self.wait_job(&mut manager, &job).while_doing(act)?.as_str() {
            "done" => Ok(()),
            result => {
                self.forget(&mut manager)?;
                Err(Error::new(Kind::Internal, format!("systemd says {result:?}"))).while_doing(act)
            }
        }
    }

    /// Changes properties, until the next boot.
    pub(super) fn set(&self, mut properties: Vec<Property>) -> Result<()> {
        let act = || format!("change the unit {}", self.name);
        let mut manager = self.reconnect()?;
        while !properties.is_empty() {
            let body = [Value::Str(self.name.clone()), Value::Bool(true), list(properties.iter())];
            match manager.call(MANAGER, "SetUnitProperties", &body) {
                Ok(_) => break,
                Err(refusal) => leave_out(&mut properties, refusal).while_doing(act)?,
            }
        }
        Ok(())
    }

    /// Moves a process into it.
    pub(super) fn attach(&self, pid: i32) -> Result<()> {
        let act = || format!("move process {pid} to the unit {}", self.name);
        let mut manager = self.reconnect()?;
        let below = self.subgroup.as_ref().map_or("/".to_owned(), |name| format!("/{name}"));
        let pids = Value::Array("u".to_owned(), vec![Value::U32(pid as u32)]);
        let body = [Value::Str(self.name.clone()), Value::Str(below), pids];
        manager.call(MANAGER, "AttachProcessesToUnit", &body).while_doing(act).map(drop)
    }

    /// Ends it and whatever is in it; one that is not there any more is fine.
    pub(super) fn stop(&self) -> Result<()> {
        if self.socket.is_none() {
            return Ok(()); // it has never been started
        }
        let act = || format!("stop the unit {}", self.name);
        let mut manager = self.reconnect()?;
        subscribe(&mut manager, self.peer()).while_doing(act)?;
        let body = [Value::Str(self.name.clone()), Value::Str("replace".to_owned())];
        match manager.call(MANAGER, "StopUnit", &body) {
            Ok(words) => {
                let job = words.into_iter().next().unwrap_or_default();
                self.wait_job(&mut manager, &job).while_doing(act)?;
            }
            Err(Refusal::Answer { name, .. }) if name.ends_with(".NoSuchUnit") => return Ok(()),
            Err(refusal) => return Err(refusal).while_doing(act),
        }
        self.forget(&mut manager)
    }

    /// A unit that failed is kept until somebody has seen it.
    fn forget(&self, manager: &mut Connection) -> Result<()> {
        match manager.call(MANAGER, "ResetFailedUnit", &[Value::Str(self.name.clone())]) {
            // It has not failed, or is gone.
            Ok(_) | Err(Refusal::Answer { .. }) => Ok(()),
            Err(Refusal::Broken(error)) => Err(error).while_doing(|| format!("reset the unit {}", self.name)),
        }
    }

    /// What a job came to: `done`, `failed`, `canceled`, ...
    fn wait_job(&self, manager: &mut Connection, job: &str) -> Result<String> {
        let words =
            manager.wait_signal("JobRemoved", |words| words.first().is_some_and(|word| word == job))?;
        Ok(words.into_iter().nth(2).unwrap_or_default())
    }

    fn peer(&self) -> Peer {
        if self.bus { Peer::Bus } else { Peer::Direct }
    }

    fn reconnect(&self) -> Result<Connection> {
        let socket =
            self.socket.as_deref().ok_or_else(|| Error::new(Kind::Internal, "the unit is not started"))?;
        Connection::open(socket, self.peer(), PATIENCE)
    }
}

fn subscribe(manager: &mut Connection, peer: Peer) -> Result<()> {
    if peer == Peer::Bus {
        manager.subscribe(MANAGER, "JobRemoved")?;
        match manager.call(MANAGER, "Subscribe", &[]) {
            Ok(_) | Err(Refusal::Answer { .. }) => {}
            Err(Refusal::Broken(error)) => return Err(error),
        }
    }
    Ok(())
}

fn list<'a>(properties: impl Iterator<Item = &'a Property>) -> Value {
    let pair = |property: &Property| {
        let value = Value::Variant(Box::new(property.value.clone()));
        Value::Struct(vec![Value::Str(property.name.clone()), value])
    };
    Value::Array("(sv)".to_owned(), properties.map(pair).collect())
}

/// Takes out those that a refusal names; the refusal is an error if it names none.
fn leave_out(optional: &mut Vec<Property>, refusal: Refusal) -> Result<()> {
    if let Refusal::Answer { text, .. } = &refusal {
        let before = optional.len();
        let names = |property: &Property| {
            text.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == property.name)
        };
        optional.retain(|property| !names(property));
        if optional.len() < before {
            log::debug(|| format!("systemd does not know a limit's property: {text}"));
            return Ok(());
        }
    }
    Err(refusal.into())
}

/// The first of a manager's sockets that takes a call.
fn connect(owner: Owner) -> Result<(Connection, PathBuf, Peer)> {
    let sockets = sockets(owner, |name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    for (socket, peer) in &sockets {
        match Connection::open(socket, *peer, PATIENCE) {
            Ok(connection) => return Ok((connection, socket.clone(), *peer)),
            Err(error) if is_absent(&error) => {}
            Err(error) => return Err(error),
        }
    }
    let names: Vec<String> = sockets.iter().map(|(socket, _)| socket.display().to_string()).collect();
    let (whose, hint) = match owner {
        Owner::System => ("", "leave out --systemd-cgroup where systemd is not process 1"),
        Owner::User => (" --user", "set XDG_RUNTIME_DIR to that of a session, or loginctl enable-linger"),
    };
    let tried = match names.is_empty() {
        true => "neither XDG_RUNTIME_DIR nor DBUS_SESSION_BUS_ADDRESS is set".to_owned(),
        false => format!("nobody listens at {}", names.join(", ")),
    };
    Err(Error::unsupported(format!("connect to systemd{whose}: {tried}")).with_hint(hint))
}

/// Whether there is a manager to ask.
pub(super) fn listens(owner: Owner) -> bool {
    let sockets = sockets(owner, |name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    sockets.iter().any(|(socket, _)| rustix::fs::stat(socket).is_ok())
}

fn is_absent(error: &Error) -> bool {
    use rustix::io::Errno;
    [Errno::NOENT, Errno::CONNREFUSED, Errno::NOTDIR].into_iter().any(|errno| error.is_errno(errno))
}

/// An address that is given explicitly, then the manager's own socket, which needs no bus, then the bus.
fn sockets(owner: Owner, env: impl Fn(&str) -> Option<String>) -> Vec<(PathBuf, Peer)> {
    let given = |name: &str| env(name).and_then(|list| socket_of(&list)).map(|socket| (socket, Peer::Bus));
    let fixed =
        |dir: &Path, direct: &str, bus: &str| [(dir.join(direct), Peer::Direct), (dir.join(bus), Peer::Bus)];
    match owner {
        Owner::System => given("DBUS_SYSTEM_BUS_ADDRESS")
            .into_iter()
            .chain(fixed(Path::new("/run"), "systemd/private", "dbus/system_bus_socket"))
            .collect(),
        Owner::User => {
            let dir = env("XDG_RUNTIME_DIR").map(PathBuf::from);
            let mut out: Vec<_> = dir.iter().flat_map(|dir| fixed(dir, "systemd/private", "bus")).collect();
            // Before the bus at the usual place, after the manager's own socket.
            out.splice(1.min(out.len())..1.min(out.len()), given("DBUS_SESSION_BUS_ADDRESS"));
            out
        }
    }
}

/// Whose manager a caller's containers belong to. Root of a user namespace is an ordinary user.
pub(crate) fn owner() -> Owner {
    match rootless::is_root_of_the_machine() {
        true => Owner::System,
        false => Owner::User,
    }
}

/// A process that keeps a scope alive until init is in it.
#[derive(Debug)]
pub(crate) struct Placeholder {
    child: Child,
    /// What cannot be written while there is one process more than there will be
    pub(super) late: Vec<Write>,
}

impl Placeholder {
    pub(super) fn spawn() -> Result<Self> {
        let parent = rustix::process::getpid();
        match clone::clone3(0, None)? {
            Side::Parent(child) => Ok(Self { child, late: Vec::new() }),
            Side::Child => {
                // It holds the parent's descriptors, and must not outlive it.
                let bound = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
                if bound.is_err() || rustix::process::getppid() != Some(parent) {
                    clone::exit_now(1);
                }
                loop {
                    rustix::event::poll(&mut [], None).ok();
                }
            }
        }
    }

    pub(super) fn pid(&self) -> i32 {
        self.child.pid.as_raw_nonzero().get()
    }

    /// The place is taken.
    fn end(&self) {
        // It may be dead already; then there is only its status to take.
        signal::send(self.child.pidfd.as_fd(), libc::SIGKILL).ok();
        signal::reap(self.child.pidfd.as_fd()).ok();
    }
}

impl Drop for Placeholder {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manager_is_looked_for_at_its_own_socket_before_the_bus() {
        let found = |owner, env: &[(&str, &str)]| -> Vec<String> {
            let env = |name: &str| env.iter().find(|(known, _)| *known == name).map(|(_, v)| (*v).to_owned());
            sockets(owner, env)
                .into_iter()
                .map(|(path, peer)| format!("{} {peer:?}", path.display()))
                .collect()
        };
        let usual = ["/run/systemd/private Direct", "/run/dbus/system_bus_socket Bus"];
        assert_eq!(found(Owner::System, &[]), usual);
        let given = found(Owner::System, &[("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/x")]);
        assert_eq!(given, ["/x Bus", usual[0], usual[1]]);
        let user = [("XDG_RUNTIME_DIR", "/u"), ("DBUS_SESSION_BUS_ADDRESS", "unix:path=/y")];
        assert_eq!(found(Owner::User, &user), ["/u/systemd/private Direct", "/y Bus", "/u/bus Bus"]);
        assert_eq!(found(Owner::User, &user[1..]), ["/y Bus"]);
        assert!(found(Owner::User, &[]).is_empty());
    }

    #[test]
    fn a_property_that_systemd_is_too_old_for_is_left_out_and_no_other() {
        let refusal = |text: &str| Refusal::Answer { name: "x".to_owned(), text: text.to_owned() };
        let mut optional =
            vec![Property::new("AllowedCPUs", Value::U64(1)), Property::new("CPUWeight", Value::U64(1))];
        leave_out(&mut optional, refusal("Cannot set property AllowedCPUs, or unknown property."))
            .expect("one less");
        assert_eq!(optional.len(), 1);
        assert!(
            leave_out(&mut optional, refusal("Cannot set property Other, or unknown property.")).is_err()
        );
    }
}
