//! The id mappings of a new user namespace (user_namespaces(7)).
//!
//! Root writes them. An ordinary user may map one id of each kind, their own; more is the work of the
//! setuid programs newuidmap(1) and newgidmap(1), by the ranges of /etc/subuid and /etc/subgid.

use std::process::Command;

use crate::error::{Error, Kind, Result, WhileDoing};
use crate::plan::ids::{Map, Maps};
use crate::sys::proc::Proc;

/// Maps the ids of the process's user namespace.
pub(super) fn map(pid: i32, maps: &Maps) -> Result<()> {
    let proc = Proc::open()?;
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let root = uid == 0;
    if root || maps.uids.is_only(uid) {
        proc.write(&format!("{pid}/uid_map"), &maps.uids.text())?;
    } else {
        run("newuidmap", pid, &maps.uids)?;
    }
    if root {
        proc.write(&format!("{pid}/gid_map"), &maps.gids.text())
    } else if maps.gids.is_only(gid) {
        // Lest a group that takes rights away be dropped (CVE-2014-8989).
        proc.write(&format!("{pid}/setgroups"), "deny")?;
        proc.write(&format!("{pid}/gid_map"), &maps.gids.text())
    } else {
        run("newgidmap", pid, &maps.gids)
    }
}

fn run(program: &str, pid: i32, map: &Map) -> Result<()> {
    let output = Command::new(program)
        .arg(pid.to_string())
        .args(map.words())
        .output()
        .while_doing(|| format!("run {program}"))
        .map_err(|error| match error.is_errno(rustix::io::Errno::NOENT) {
            true => error.with_hint("the Debian package uidmap has it; one id alone needs none"),
            false => error,
        })?;
    match output.status.success() {
        true => Ok(()),
        false => {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            Err(Error::new(Kind::Os(libc::EPERM), format!("run {program}: {said}")))
        }
    }
}
