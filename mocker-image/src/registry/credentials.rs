//! Who we are at a registry: what the user says, or what an earlier login left in a file.
//!
//! ```text
//! --creds                                           nothing else is looked at
//! --authfile, REGISTRY_AUTH_FILE, DOCKER_CONFIG     the first that is given, and only that file
//! $XDG_RUNTIME_DIR/containers/auth.json             podman's and skopeo's, gone with the session
//! $XDG_CONFIG_HOME/containers/auth.json             podman's and skopeo's, kept
//! ~/.docker/config.json                             docker's
//! ```
//!
//! Within a file: the host's own helper, then the entry for the longest part of the image's name,
//! then the helper for all hosts. The files are read when a registry first wants to know who asks.

mod file;
mod helper;

use std::path::{Path, PathBuf};

use crate::error::{Context, Error, Kind, Result};
use crate::home;
use file::File;

/// How somebody proves who they are.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// A user's password.
    Password {
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
    /// A token that the registry's token service gave for the password.
    Identity(String),
}

/// A secret, and where it comes from.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Credentials {
    pub(super) secret: Secret,
    /// A file; `None` is the command line.
    pub(super) origin: Option<PathBuf>,
}

// Nobody finds a password in a log or in a panic.
impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("origin", &self.origin).finish_non_exhaustive()
    }
}

impl Credentials {
    /// `"user"`, or where a token comes from, for an error.
    pub(super) fn name(&self) -> String {
        let user = match &self.secret {
            Secret::Password { user, .. } => format!("the credentials of {user:?}"),
            Secret::Identity(_) => "the identity token".to_owned(),
        };
        match &self.origin {
            Some(file) => format!("{user} in {}", file.display()),
            None => user,
        }
    }
}

/// The files that may know somebody, the first one first; with whether each must be there.
fn places(authfile: Option<&Path>) -> Vec<(PathBuf, bool)> {
    let given = authfile.map(Path::to_owned).or_else(|| home::variable("REGISTRY_AUTH_FILE"));
    if let Some(file) = given {
        return vec![(file, true)];
    }
    if let Some(dir) = home::variable("DOCKER_CONFIG") {
        return vec![(dir.join("config.json"), false)];
    }
    let home = home::directory().ok();
    let kept = home::variable("XDG_CONFIG_HOME").or_else(|| home.as_ref().map(|home| home.join(".config")));
    let mut places = vec![session_file()];
    places.extend(kept.map(|dir| dir.join("containers/auth.json")));
    places.extend(home.map(|home| home.join(".docker/config.json")));
    places.into_iter().map(|file| (file, false)).collect()
}

/// podman's file for this session.
fn session_file() -> PathBuf {
    let dir = home::variable("XDG_RUNTIME_DIR").map(|dir| dir.join("containers"));
    let uid = rustix::process::getuid().as_raw();
    dir.unwrap_or_else(|| format!("/run/containers/{uid}").into()).join("auth.json")
}

/// What the files know about a repository (`host/path`, or a host alone).
pub(super) fn find(repository: &str, authfile: Option<&Path>) -> Result<Option<Credentials>> {
    for (path, needed) in places(authfile) {
        let step = || format!("read the credentials in {}", path.display());
        let file = match File::read(&path).while_doing(step)? {
            Some(file) => file,
            None if needed => return Err(Error::new(Kind::NotFound, "no such file").step(step())),
            None => continue,
        };
        if let Some(secret) = file.secret(repository).while_doing(step)? {
            return Ok(Some(Credentials { secret, origin: Some(path) }));
        }
    }
    Ok(None)
}

/// Keeps a password for a host (or a part of it, `host/path`); gives the file or the helper that has it.
pub fn store(key: &str, user: &str, password: &str, authfile: Option<&Path>) -> Result<String> {
    let (path, _) = first(authfile)?;
    let step = || format!("keep the credentials in {}", path.display());
    let lock = file::lock(&path).while_doing(step)?;
    let mut file = File::read(&path).while_doing(step)?.unwrap_or_default();
    if let Some(helper) = file.helper(key) {
        helper::store(&helper, key, user, password)?;
        return Ok(helper::program(&helper));
    }
    file.set(key, user, password);
    file.write(&path).while_doing(step)?;
    drop(lock);
    Ok(path.display().to_string())
}

/// Forgets what [`store`] kept, or everything; gives where that was.
///
/// # Errors
/// Nothing was kept for `key`.
pub fn forget(key: Option<&str>, authfile: Option<&Path>) -> Result<String> {
    let (path, _) = first(authfile)?;
    let step = || format!("forget the credentials in {}", path.display());
    let lock = file::lock(&path).while_doing(step)?;
    let mut file = File::read(&path).while_doing(step)?.unwrap_or_default();
    if let Some((key, helper)) = key.and_then(|key| Some((key, file.helper(key)?))) {
        helper::erase(&helper, key)?;
        return Ok(helper::program(&helper));
    }
    if !file.remove(key) {
        let whom = key.unwrap_or("any registry");
        return Err(Error::new(Kind::NotFound, format!("{} knows nobody at {whom}", path.display())));
    }
    file.write(&path).while_doing(step)?;
    drop(lock);
    Ok(path.display().to_string())
}

/// The file that a login writes.
fn first(authfile: Option<&Path>) -> Result<(PathBuf, bool)> {
    places(authfile).into_iter().next().ok_or_else(|| Error::new(Kind::Internal, "no place for credentials"))
}
