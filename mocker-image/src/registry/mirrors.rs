//! `registries.conf` (containers-registries.conf(5)): where a repository is really asked for.
//!
//! ```text
//! [[registry]]  prefix = "q.io/a"   location = "inside:5000/b"   insecure   blocked
//! [[registry.mirror]]               location = "mirror:5000/b"   insecure   pull-from-mirror
//! ```
//!
//! The entry with the longest prefix counts. Its mirrors are asked first, for reading only. Names
//! without a host stay docker's: what a name means does not depend on the machine.

use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::Actions;
use crate::error::{Context, Error, Kind, Result};
use crate::home;
use crate::reference::Reference;

const SYSTEM: &str = "/etc/containers/registries.conf";

/// One place to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) host: String,
    pub(super) path: String,
    pub(super) insecure: bool,
}

#[derive(Debug, Default, Deserialize)]
struct File {
    #[serde(default)]
    registry: Vec<Entry>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Entry {
    prefix: Option<String>,
    location: Option<String>,
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    blocked: bool,
    #[serde(default)]
    mirror_by_digest_only: bool,
    #[serde(default)]
    mirror: Vec<Mirror>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Mirror {
    location: String,
    #[serde(default)]
    insecure: bool,
    pull_from_mirror: Option<String>,
}

impl Entry {
    fn prefix(&self) -> &str {
        self.prefix.as_deref().or(self.location.as_deref()).unwrap_or_default()
    }

    /// How much of a name the prefix is; `*.q.io` is every host below q.io.
    fn covers(&self, name: &str) -> Option<usize> {
        let prefix = self.prefix();
        if let Some(domain) = prefix.strip_prefix('*') {
            let host = name.split(['/', ':', '@']).next().unwrap_or_default();
            return host.ends_with(domain).then_some(host.len());
        }
        let rest = name.strip_prefix(prefix).filter(|_| !prefix.is_empty())?;
        (rest.is_empty() || rest.starts_with(['/', ':', '@'])).then_some(prefix.len())
    }
}

/// The files, the later ones added to the first.
fn files() -> Result<Vec<PathBuf>> {
    if let Some(file) = home::variable("CONTAINERS_REGISTRIES_CONF") {
        return Ok(vec![file]);
    }
    let own = home::variable("XDG_CONFIG_HOME").or_else(|| home::directory().ok().map(|h| h.join(".config")));
    let own = own.map(|dir| dir.join("containers/registries.conf"));
    let own_is_there = own.as_ref().is_some_and(|file| std::fs::metadata(file).is_ok());
    let mut all = vec![own.clone().filter(|_| own_is_there).unwrap_or_else(|| SYSTEM.into())];
    for file in [Some(PathBuf::from(SYSTEM)), own].into_iter().flatten() {
        let dir = PathBuf::from(format!("{}.d", file.display()));
        let Ok(found) = std::fs::read_dir(&dir) else { continue };
        let mut more: Vec<PathBuf> = found.flatten().map(|entry| entry.path()).collect();
        more.retain(|path| path.extension().is_some_and(|end| end == "conf"));
        more.sort();
        all.extend(more);
    }
    Ok(all)
}

fn read(path: &Path) -> Result<File> {
    let step = || format!("read {}", path.display());
    let text = match std::fs::read_to_string(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(File::default()),
        other => other.while_doing(step)?,
    };
    parse(&text).while_doing(step)
}

fn parse(text: &str) -> Result<File> {
    let value = toml_span::parse(text).map_err(|e| Error::invalid(e.to_string().trim().to_owned()))?;
    let bad = |e: serde_json::Error| Error::invalid(e.to_string());
    serde_json::to_value(&value).and_then(serde_json::from_value).map_err(bad)
}

/// Where a reference's repository is asked for, in this order.
pub(super) fn places(reference: &Reference, actions: Actions) -> Result<Vec<Place>> {
    let mut best: Option<(usize, Entry, PathBuf)> = None;
    for path in files()? {
        for entry in read(&path)?.registry {
            let covers = entry.covers(&reference.name());
            if let Some(length) = covers.filter(|n| best.as_ref().is_none_or(|(held, ..)| n > held)) {
                best = Some((length, entry, path.clone()));
            }
        }
    }
    match best {
        None => {
            let (host, path) = (reference.host().to_owned(), reference.path().to_owned());
            Ok(vec![Place { host, path, insecure: false }])
        }
        Some((_, entry, file)) if entry.blocked => {
            let what = format!("{} is blocked by {}", entry.prefix(), file.display());
            Err(Error::new(Kind::Denied, what))
        }
        Some((length, entry, _)) => Ok(of(reference, actions, &entry, length)),
    }
}

fn of(reference: &Reference, actions: Actions, entry: &Entry, length: usize) -> Vec<Place> {
    let name = reference.name();
    let rest = &name[length..];
    let at = |location: &str, insecure: bool| {
        let name = format!("{location}{rest}");
        let (host, path) = name.split_once('/').unwrap_or((&name, ""));
        Place { host: host.to_owned(), path: path.to_owned(), insecure }
    };
    let by_digest = reference.digest().is_some();
    let serves = |mirror: &&Mirror| match mirror.pull_from_mirror.as_deref() {
        Some("digest-only") => by_digest,
        Some("tag-only") => !by_digest,
        _ => by_digest || !entry.mirror_by_digest_only,
    };
    let mut places = Vec::new();
    if actions == Actions::Pull {
        places.extend(entry.mirror.iter().filter(serves).map(|m| at(&m.location, m.insecure)));
    }
    let own = entry.location.as_deref().filter(|location| !location.is_empty());
    let own = own.map_or_else(|| at(&name[..length], entry.insecure), |own| at(own, entry.insecure));
    places.push(own);
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_where_a_part_of_the_name_ends() {
        for (prefix, name, want) in [
            ("q.io", "q.io/a", Some(4)),
            ("q.io/a", "q.io/a", Some(6)),
            ("q.io/a", "q.io/ab", None),
            ("q.io", "q.io:5000/a", Some(4)),
            ("*.q.io", "x.q.io/a", Some(6)),
            ("*.q.io", "q.io/a", None),
            ("", "q.io/a", None),
        ] {
            let entry = Entry { prefix: Some(prefix.to_owned()), ..Entry::default() };
            assert_eq!(entry.covers(name), want, "{prefix} {name}");
        }
    }

    #[test]
    fn mirrors_come_first_and_only_for_reading() {
        let text = r#"
            unqualified-search-registries = ["q.io"]
            [[registry]]
            prefix = "q.io/a"
            location = "in:5000/b"
            [[registry.mirror]]
            location = "m1/c"
            insecure = true
            [[registry.mirror]]
            location = "m2"
            pull-from-mirror = "digest-only"
        "#;
        let file = parse(text).unwrap();
        let reference: Reference = "q.io/a/x:t".parse().unwrap();
        let names = |actions| -> Vec<String> {
            let places = of(&reference, actions, &file.registry[0], 6);
            places.iter().map(|p| format!("{}/{} {}", p.host, p.path, p.insecure)).collect()
        };
        assert_eq!(names(Actions::Pull), ["m1/c/x true", "in:5000/b/x false"]);
        assert_eq!(names(Actions::Push), ["in:5000/b/x false"]);
    }
}
