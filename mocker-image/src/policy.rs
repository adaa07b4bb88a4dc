//! `policy.json` (containers-policy.json(5)): from where images are taken at all.
//!
//! ```text
//! { "default": [REQUIREMENT, ...],
//!   "transports": { "docker": { "HOST/PATH:TAG" | "HOST/PATH" | "HOST" | "*.DOMAIN" | "": [...] }, ... } }
//! ```
//!
//! The longest scope counts. `insecureAcceptAnything` accepts, `reject` refuses; a signature that a
//! policy wants cannot be proved here, so every other requirement refuses, by name. Without a file
//! everything is accepted.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::{Context, Error, Kind, Result};
use crate::home;
use crate::place::Place;
use crate::reference::Reference;

const SYSTEM: &str = "/etc/containers/policy.json";

#[derive(Debug, Deserialize)]
struct Policy {
    default: Vec<Requirement>,
    #[serde(default)]
    transports: HashMap<String, HashMap<String, Vec<Requirement>>>,
}

#[derive(Debug, Deserialize)]
struct Requirement {
    #[serde(rename = "type")]
    kind: String,
}

/// An error unless the policy lets images of this place in; `file` is where it is, if not where it usually is.
pub fn allow(place: &Place, file: Option<&Path>) -> Result<()> {
    let Some((path, policy)) = read(file)? else {
        return Ok(());
    };
    let (transport, scopes) = scopes(place)?;
    let of_transport = policy.transports.get(transport);
    let found = scopes.iter().find_map(|scope| Some((scope.as_str(), of_transport?.get(scope)?)));
    let (scope, requirements) = found.unwrap_or(("default", &policy.default));
    let refuse = |why: &str| {
        let e = Error::new(Kind::Denied, format!("{} {why} ({scope:?} of {transport})", path.display()));
        Err(e.hint("ask who keeps that file, or name another one with --policy"))
    };
    if requirements.is_empty() {
        return refuse("has no requirement that could be met");
    }
    for requirement in requirements {
        match requirement.kind.as_str() {
            "insecureAcceptAnything" => {}
            "reject" => return refuse("rejects the image"),
            other => return refuse(&format!("wants {other}, which cannot be proved here")),
        }
    }
    Ok(())
}

fn read(file: Option<&Path>) -> Result<Option<(PathBuf, Policy)>> {
    let own = home::variable("XDG_CONFIG_HOME").or_else(|| home::directory().ok().map(|h| h.join(".config")));
    let own = own.map(|dir| dir.join("containers/policy.json"));
    let paths = match file {
        Some(file) => vec![file.to_owned()],
        None => own.into_iter().chain([PathBuf::from(SYSTEM)]).collect(),
    };
    for path in paths {
        let step = || format!("read {}", path.display());
        match std::fs::read(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound && file.is_none() => {}
            // HOME may still be somebody else's, whose policy is not for us; the system's is for all.
            Err(e)
                if e.kind() == io::ErrorKind::PermissionDenied
                    && path != Path::new(SYSTEM)
                    && file.is_none() => {}
            other => {
                let policy = crate::image::json(&other.while_doing(step)?).while_doing(step)?;
                return Ok(Some((path, policy)));
            }
        }
    }
    Ok(None)
}

/// The transport's name, and the scopes that may name the place, the narrowest first.
fn scopes(place: &Place) -> Result<(&'static str, Vec<String>)> {
    let of_path = |path: &Path| {
        let full = std::path::absolute(path).while_doing(|| format!("find {}", path.display()))?;
        let mut all: Vec<String> = full.ancestors().map(|above| above.display().to_string()).collect();
        all.pop();
        all.push(String::new());
        Ok::<_, Error>(all)
    };
    Ok(match place {
        Place::Registry(reference, _) | Place::Store(reference) => ("docker", of_name(reference)),
        Place::Daemon(reference) => ("docker-daemon", vec![reference.to_string(), String::new()]),
        Place::Oci(path, _) => ("oci", of_path(path)?),
        Place::OciArchive(path, _) => ("oci-archive", of_path(path)?),
        Place::DockerArchive(path, _) => ("docker-archive", of_path(path)?),
        Place::Dir(path) => ("dir", of_path(path)?),
    })
}

fn of_name(reference: &Reference) -> Vec<String> {
    let mut all = vec![reference.to_string()];
    let name = reference.name();
    let mut rest = name.as_str();
    all.push(rest.to_owned());
    while let Some((above, _)) = rest.rsplit_once('/') {
        all.push(above.to_owned());
        rest = above;
    }
    let mut domain = reference.host();
    while let Some((_, above)) = domain.split_once('.') {
        all.push(format!("*.{above}"));
        domain = above;
    }
    all.push(String::new());
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_narrowest_scope_of_a_name_comes_first() {
        let reference: Reference = "x.q.io/a/b:t".parse().unwrap();
        let want = ["x.q.io/a/b:t", "x.q.io/a/b", "x.q.io/a", "x.q.io", "*.q.io", "*.io", ""];
        assert_eq!(of_name(&reference), want);
    }
}
