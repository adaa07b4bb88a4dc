//! A file of credentials: podman's auth.json and docker's config.json, which are of one form.
//!
//! ```text
//! { "auths":       { "HOST[/PATH]": { "auth": base64(USER:PASSWORD), "identitytoken": ... } },
//!   "credHelpers": { "HOST": NAME },
//!   "credsStore":  NAME }
//! ```
//!
//! What else is in it (docker keeps all its settings there) is kept as it is.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::fs::{FlockOperation, flock};
use serde_json::{Value, json};

use super::{Secret, helper};
use crate::error::{Context, Error, Result};
use crate::reference::HUB;

/// The name of Docker Hub in docker's own file and in its helpers.
const HUB_KEY: &str = "https://index.docker.io/v1/";

/// A file's content.
#[derive(Debug, Default)]
pub(super) struct File(serde_json::Map<String, Value>);

impl File {
    /// Reads a file, if it is there; an empty one is a file without entries.
    pub(super) fn read(path: &Path) -> Result<Option<Self>> {
        match std::fs::read(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e.into()),
            Ok(bytes) if bytes.trim_ascii().is_empty() => Ok(Some(Self::default())),
            Ok(bytes) => Ok(Some(Self(crate::image::json(&bytes)?))),
        }
    }

    /// What it knows about a repository or a host.
    pub(super) fn secret(&self, repository: &str) -> Result<Option<Secret>> {
        let host = repository.split('/').next().unwrap_or_default();
        if let Some(name) = self.own_helper(host) {
            return ask(name, host);
        }
        let mut key = repository;
        loop {
            if let Some(secret) = self.entry(key)? {
                return Ok(Some(secret));
            }
            match key.rsplit_once('/') {
                Some((shorter, _)) => key = shorter,
                None => break,
            }
        }
        match self.text("credsStore") {
            Some(name) => ask(name, host),
            None => Ok(None),
        }
    }

    /// The helper that keeps a key's password, if one does.
    pub(super) fn helper(&self, key: &str) -> Option<String> {
        let own = self.own_helper(key);
        own.or_else(|| self.text("credsStore")).map(str::to_owned)
    }

    pub(super) fn set(&mut self, key: &str, user: &str, password: &str) {
        let auth = STANDARD.encode(format!("{user}:{password}"));
        let auths = self.0.entry("auths").or_insert_with(|| json!({}));
        if !auths.is_object() {
            *auths = json!({});
        }
        if let Some(auths) = auths.as_object_mut() {
            auths.insert(key.to_owned(), json!({ "auth": auth }));
        }
    }

    /// Removes one entry, or all; false if there was none.
    pub(super) fn remove(&mut self, key: Option<&str>) -> bool {
        let Some(auths) = self.0.get_mut("auths").and_then(Value::as_object_mut) else {
            return false;
        };
        let before = auths.len();
        auths.retain(|held, _| key.is_some_and(|key| held != key && !means(held, key)));
        auths.len() < before
    }

    /// Writes it so that nobody else can read it and that it is old or new, never half.
    pub(super) fn write(&self, path: &Path) -> Result<()> {
        let target = aim(path);
        let temporary = target.with_extension(format!("new-{}", std::process::id()));
        let mut text = serde_json::to_vec_pretty(&self.0).map_err(|e| Error::invalid(e.to_string()))?;
        text.push(b'\n');
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary);
        let written = file.and_then(|mut file| file.write_all(&text).and_then(|()| file.sync_all()));
        let written = written.and_then(|()| std::fs::rename(&temporary, &target));
        if written.is_err() {
            // The failure that is told is the first one.
            drop(std::fs::remove_file(&temporary));
        }
        Ok(written?)
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.as_str().filter(|text| !text.is_empty())
    }

    fn own_helper(&self, host: &str) -> Option<&str> {
        let helpers = self.0.get("credHelpers")?.as_object()?;
        let held = helpers.get(host).or_else(|| helpers.iter().find(|(k, _)| means(k, host)).map(|(_, v)| v));
        held?.as_str().filter(|name| !name.is_empty())
    }

    fn entry(&self, key: &str) -> Result<Option<Secret>> {
        let Some(auths) = self.0.get("auths").and_then(Value::as_object) else {
            return Ok(None);
        };
        let held = auths.get(key).or_else(|| auths.iter().find(|(k, _)| means(k, key)).map(|(_, v)| v));
        held.map_or(Ok(None), |entry| decode(entry).while_doing(|| format!("the entry of {key}")))
    }
}

/// Whether docker's way to write a key (an URL, the Hub's old name) means this host.
fn means(held: &str, host: &str) -> bool {
    let bare = held.strip_prefix("https://").or_else(|| held.strip_prefix("http://"));
    let name = bare.unwrap_or(held);
    let name = if bare.is_some() { name.split('/').next().unwrap_or_default() } else { name };
    match name {
        "index.docker.io" | "registry-1.docker.io" => host == HUB,
        name => bare.is_some() && name == host,
    }
}

fn decode(entry: &Value) -> Result<Option<Secret>> {
    let text = |key: &str| entry.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    if let Some(token) = text("identitytoken") {
        return Ok(Some(Secret::Identity(token.to_owned())));
    }
    let Some(auth) = text("auth") else {
        return Ok(None);
    };
    let decoded = STANDARD.decode(auth).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    // Old versions of docker padded with zeros.
    let pair = decoded.as_deref().and_then(|text| text.trim_end_matches('\0').split_once(':'));
    let (user, password) = pair.ok_or_else(|| Error::invalid("is not base64 of USER:PASSWORD"))?;
    Ok(Some(Secret::Password { user: user.to_owned(), password: password.to_owned() }))
}

/// Asks a helper; for the Hub also under the name that docker gives it.
fn ask(name: &str, host: &str) -> Result<Option<Secret>> {
    match helper::get(name, host)? {
        None if host == HUB => helper::get(name, HUB_KEY),
        found => Ok(found),
    }
}

/// Holds off other programs of ours that change the file; makes its folder.
pub(super) fn lock(path: &Path) -> Result<std::fs::File> {
    let target = aim(path);
    let dir = match target.parent() {
        Some(dir) if dir != Path::new("") => dir,
        _ => Path::new("."),
    };
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let dir = std::fs::File::open(dir)?;
    flock(&dir, FlockOperation::LockExclusive)?;
    Ok(dir)
}

/// What a symlink points to is changed, not the link: some keep these files elsewhere.
fn aim(path: &Path) -> PathBuf {
    match std::fs::read_link(path) {
        Ok(target) => path.parent().unwrap_or(Path::new("")).join(target),
        Err(_) => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> File {
        File(serde_json::from_str(text).unwrap())
    }

    fn user(file: &File, repository: &str) -> Option<String> {
        match file.secret(repository).unwrap()? {
            Secret::Password { user, password } => Some(format!("{user}:{password}")),
            Secret::Identity(token) => Some(token),
        }
    }

    #[test]
    fn the_longest_part_of_the_name_wins() {
        let auth = |text: &str| json!({ "auth": STANDARD.encode(text) });
        let file = file(
            &json!({ "auths": {
                "q.io": auth("host:1"), "q.io/a": auth("group:2"), "q.io/a/b": auth("repo:3:4"),
                "https://old.io/v1/": auth("old:5"), "https://index.docker.io/v1/": auth("hub:6"),
                "empty.io": {}, "token.io": { "auth": STANDARD.encode("x:"), "identitytoken": "T" },
            }})
            .to_string(),
        );
        for (repository, want) in [
            ("q.io/a/b", Some("repo:3:4")),
            ("q.io/a/b/c", Some("repo:3:4")),
            ("q.io/a/bc", Some("group:2")),
            ("q.io/x", Some("host:1")),
            ("q.io", Some("host:1")),
            ("old.io/x", Some("old:5")),
            ("docker.io/library/alpine", Some("hub:6")),
            ("empty.io/x", None),
            ("token.io/x", Some("T")),
            ("q.io:5000/x", None),
            ("index.docker.io.evil/x", None),
        ] {
            assert_eq!(user(&file, repository).as_deref(), want, "{repository}");
        }
    }

    #[test]
    fn what_is_not_base64_of_a_pair_is_named() {
        for text in ["!", "dXNlcg=="] {
            let file = file(&json!({ "auths": { "q.io": { "auth": text } } }).to_string());
            let e = file.secret("q.io/a").unwrap_err();
            assert_eq!(e.to_string(), "the entry of q.io: is not base64 of USER:PASSWORD");
        }
    }
}
