//! A user's own namespace with the ids that /etc/subuid and /etc/subgid lend them (subuid(5)).
//!
//! ```text
//! the program ──starts itself anew──> the same words, MOCKER_IMAGE_USERNS=MAP
//!   waits for its namespace               unshare(CLONE_NEWUSER)
//!   newuidmap, newgidmap  ───────────>    waits for its maps, goes on as root of that namespace
//!   ends as that one ends
//! ```

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode};
use std::time::{Duration, Instant};

use crate::error::{Context, Error, Kind, Result};
use crate::home;
use crate::layer::ids::{Ids, Range};

const VARIABLE: &str = "MOCKER_IMAGE_USERNS";
/// How often to look whether the other half is ready.
const POLL: Duration = Duration::from_millis(2);
/// How long the other half may take to end by itself.
const GRACE: Duration = Duration::from_secs(2);
/// How long the other half may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// The maps, where this process is root of such a namespace.
pub fn inside() -> Result<Option<Ids>> {
    std::env::var(VARIABLE).ok().map(|text| Ids::of_text(&text)).transpose()
}

/// Whether root is root of a part of the machine's ids only.
pub fn is_partial() -> bool {
    let whole = |text: String| text.split_whitespace().eq(["0", "0", "4294967295"]);
    !std::fs::read_to_string("/proc/self/uid_map").map_or(true, whole)
}

/// The ids that are lent to whoever runs this: they themselves are root.
pub fn lent() -> Result<Ids> {
    let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = home::name_in(&passwd, uid);
    let list = |file: &str, own: u32| -> Result<Vec<Range>> {
        let text = std::fs::read_to_string(file).while_doing(|| format!("read {file}"))?;
        let mut all = vec![Range { container: 0, host: own, size: 1 }];
        let mut next = 1;
        for (host, size) in ranges(&text, name.as_deref(), uid) {
            all.push(Range { container: next, host, size });
            next += size;
        }
        match next {
            1 => {
                let e = Error::new(Kind::NotFound, format!("{file} lends you no ids"));
                Err(e.hint(
                    "`usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER` does, as root",
                ))
            }
            _ => Ok(all),
        }
    };
    Ok(Ids { uid: list("/etc/subuid", uid)?, gid: list("/etc/subgid", gid)? })
}

/// First id and number of each line for a user, by name or by number.
fn ranges(text: &str, name: Option<&str>, uid: u32) -> Vec<(u32, u32)> {
    let line = |line: &str| -> Option<(u32, u32)> {
        let mut fields = line.split(':');
        let whose = fields.next()?;
        let mine = Some(whose) == name || whose.parse() == Ok(uid);
        let (first, size): (u32, u32) = (fields.next()?.parse().ok()?, fields.next()?.trim().parse().ok()?);
        (mine && size > 0 && first.checked_add(size).is_some()).then_some((first, size))
    };
    text.lines().filter_map(line).collect()
}

/// Runs this program again as root of a namespace; `root` is where the store is.
pub fn again(ids: &Ids, root: Option<&Path>) -> Result<ExitCode> {
    let mut command = Command::new("/proc/self/exe");
    if let Some(root) = root {
        command.arg("--root").arg(root);
    }
    let child = command.args(std::env::args_os().skip(1)).env(VARIABLE, ids.to_text()).spawn();
    let mut child = child.while_doing(|| "start this program in a user namespace")?;
    if let Err(e) = map(&mut child, ids) {
        // It waits for its maps, and is of no use without them.
        drop(child.kill());
        drop(child.wait());
        return Err(e);
    }
    crate::interrupt::watch()?;
    let status = wait(&mut child)?;
    let code = status
        .code()
        .or_else(|| std::os::unix::process::ExitStatusExt::signal(&status).map(|signal| 128 + signal));
    Ok(code.and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Waits for the other one, which undoes what it did when a signal comes. A terminal sends that to both; one
/// that was for this process alone is handed on, after a while.
fn wait(child: &mut Child) -> Result<std::process::ExitStatus> {
    let mut told: Option<Instant> = None;
    loop {
        if let Some(status) = child.try_wait().while_doing(|| "wait for this program in its namespace")? {
            return Ok(status);
        }
        match told {
            None if crate::interrupt::check().is_err() => told = Some(Instant::now()),
            Some(since) if since.elapsed() > GRACE => {
                let pid = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
                let term = rustix::process::Signal::TERM;
                let sent = pid.map(|pid| rustix::process::kill_process(pid, term)).transpose();
                sent.while_doing(|| "stop this program in its namespace")?;
                told = Some(Instant::now());
            }
            _ => {}
        }
        std::thread::sleep(5 * POLL);
    }
}

fn map(child: &mut Child, ids: &Ids) -> Result<()> {
    let (own, pid) = (namespace("self")?, child.id().to_string());
    until("its user namespace", || {
        if child.try_wait().while_doing(|| "wait for the other half")?.is_some() {
            return Err(Error::new(Kind::Internal, "this program ended before it had its user namespace"));
        }
        Ok(namespace(&pid)? != own)
    })?;
    for (program, list) in [("newuidmap", &ids.uid), ("newgidmap", &ids.gid)] {
        let words = list.iter().flat_map(|r| [r.container, r.host, r.size]).map(|n| n.to_string());
        let output = Command::new(program).arg(&pid).args(words).output().map_err(|e| {
            Error::from(e).step(format!("run {program}")).hint("install it: Debian's package is uidmap")
        })?;
        if !output.status.success() {
            let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(Error::new(Kind::Denied, format!("{program} does not map the ids: {words}")));
        }
    }
    Ok(())
}

/// In the program that was started anew: enters the namespace. No thread may be there yet.
pub fn enter() -> Result<()> {
    let refused = |errno: nix::errno::Errno| std::io::Error::from_raw_os_error(errno as i32);
    let unshared = nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWUSER).map_err(refused);
    unshared.while_doing(|| "make a user namespace")?;
    until("its maps of ids", || {
        let filled = |name: &str| {
            let path = PathBuf::from("/proc/self").join(name);
            Ok::<_, Error>(
                !std::fs::read(&path).while_doing(|| format!("read {}", path.display()))?.is_empty(),
            )
        };
        Ok(filled("uid_map")? && filled("gid_map")?)
    })?;
    let signal = Some(rustix::process::Signal::TERM);
    rustix::process::set_parent_process_death_signal(signal).while_doing(|| "be told of the parent's end")
}

fn namespace(of: &str) -> Result<PathBuf> {
    let path = PathBuf::from("/proc").join(of).join("ns/user");
    std::fs::read_link(&path).while_doing(|| format!("read {}", path.display()))
}

fn until(what: &str, mut ready: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !ready()? {
        if Instant::now() > deadline {
            return Err(Error::new(Kind::Internal, format!("this program waited too long for {what}")));
        }
        std::thread::sleep(POLL);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_lent_by_name_and_by_number() {
        let text = "a:100000:65536\n7:200000:10\nb:1:2\na:300000:5\nbroken:x:y\na:4294967295:2\n";
        assert_eq!(ranges(text, Some("a"), 7), [(100_000, 65_536), (200_000, 10), (300_000, 5)]);
        assert_eq!(ranges(text, None, 8), []);
    }
}
