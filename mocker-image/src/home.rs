//! Where the store is when nobody says: the system's place for root, the user's own otherwise.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::error::{Context, Error, Kind, Result};

/// The store of root, beside those of other image tools.
const SYSTEM: &str = "/var/lib/mocker";

/// The default store of whoever runs this.
pub fn store() -> Result<PathBuf> {
    let uid = rustix::process::geteuid();
    if uid.is_root() {
        return Ok(SYSTEM.into());
    }
    if let Some(data) = variable("XDG_DATA_HOME").filter(|p| p.is_absolute()) {
        return Ok(data.join("mocker"));
    }
    let home = directory().map_err(|e| e.hint("say where the store is with --root"))?;
    Ok(home.join(".local/share/mocker"))
}

/// The home of whoever runs this.
pub fn directory() -> Result<PathBuf> {
    if let Some(home) = variable("HOME") {
        return Ok(home);
    }
    let passwd = std::fs::read_to_string("/etc/passwd").while_doing(|| "find your home in /etc/passwd")?;
    home_in(&passwd, rustix::process::geteuid().as_raw()).ok_or_else(|| {
        Error::new(Kind::NotFound, "no home directory: HOME is unset and /etc/passwd does not know you")
    })
}

/// A path from the environment; an empty one counts as unset.
pub(crate) fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|v: &OsString| !v.is_empty()).map(PathBuf::from)
}

/// The name of a user.
pub(crate) fn name_in(passwd: &str, uid: u32) -> Option<String> {
    let mut entries = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
    entries.find(|e| e.len() >= 3 && e[2].parse() == Ok(uid)).map(|e| e[0].to_owned())
}

fn home_in(passwd: &str, uid: u32) -> Option<PathBuf> {
    let mut entries = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let entry = entries.find(|e| e.len() >= 6 && e[2].parse() == Ok(uid))?;
    Some(entry[5]).filter(|home| home.starts_with('/')).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_home_is_the_sixth_field_of_the_users_line() {
        let passwd = "root:x:0:0::/root:/bin/sh\nshort:x:7\nu:x:7:7::/home/u:\nrel:x:8:8::home:\n";
        assert_eq!(home_in(passwd, 7), Some("/home/u".into()));
        assert_eq!(home_in(passwd, 8), None);
        assert_eq!(home_in(passwd, 9), None);
    }
}
