//! `policy.json` (containers-policy.json(5)): from where images are taken at all.
//!
//! ```text
//! { "default": [REQUIREMENT, ...],
//!   "transports": { "docker": { "HOST/PATH:TAG" | "HOST/PATH" | "HOST" | "*.DOMAIN" | "": [...] }, ... } }
//! ```
//!
//! The longest scope counts. `insecureAcceptAnything` accepts, `reject` refuses, `sigstoreSigned` wants a
//! signature by a key; what else a policy may want cannot be proved here, so it refuses, by name.
//! Without a file everything is accepted.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;

use crate::error::{Context, Error, Kind, Result};
use crate::home;
use crate::place::Place;
use crate::reference::Reference;
use crate::signature::Demand;
use crate::signature::identity::Identity;
use crate::signature::key::PublicKey;

const SYSTEM: &str = "/etc/containers/policy.json";

#[derive(Debug, Deserialize)]
struct Policy {
    default: Vec<Requirement>,
    #[serde(default)]
    transports: HashMap<String, HashMap<String, Vec<Requirement>>>,
}

/// One of a list, all of which must be met; what it may say depends on its kind.
#[derive(Debug, Deserialize)]
struct Requirement {
    #[serde(rename = "type")]
    kind: String,
    #[serde(flatten)]
    rest: serde_json::Map<String, Value>,
}

/// `sigstoreSigned`, as far as it can be met here.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Signed {
    key_path: Option<PathBuf>,
    key_paths: Vec<PathBuf>,
    key_data: Option<String>,
    key_datas: Vec<String>,
    signed_identity: Identity,
    #[serde(flatten)]
    more: serde_json::Map<String, Value>,
}

/// What the policy demands of images of this place, `file` being where it is, if not where it usually is.
///
/// # Errors
/// It lets none of them in.
pub fn demands(place: &Place, file: Option<&Path>) -> Result<Vec<Demand>> {
    let Some((path, policy)) = read(file)? else {
        return Ok(Vec::new());
    };
    let (transport, scopes) = scopes(place)?;
    let of_transport = policy.transports.get(transport);
    let found = scopes.iter().find_map(|scope| Some((scope.as_str(), of_transport?.get(scope)?)));
    let (scope, requirements) = found.unwrap_or(("default", &policy.default));
    let refuse = |why: &str| {
        let e = Error::new(Kind::Denied, format!("{} {why} ({scope:?} of {transport})", path.display()));
        e.hint("ask who keeps that file, or name another one with --policy")
    };
    if requirements.is_empty() {
        return Err(refuse("has no requirement that could be met"));
    }
    let mut demands = Vec::new();
    for requirement in requirements {
        match requirement.kind.as_str() {
            "insecureAcceptAnything" => {}
            "reject" => return Err(refuse("rejects the image")),
            "sigstoreSigned" => {
                let signed: Signed = serde_json::from_value(requirement.rest.clone().into())
                    .map_err(|e| refuse(&format!("has a sigstoreSigned that is none: {e}")))?;
                if let Some(other) = signed.more.keys().next() {
                    let why = format!("wants sigstoreSigned by {other}, which cannot be proved here");
                    return Err(refuse(&why));
                }
                demands.push(signed.demand(&path)?);
            }
            other => return Err(refuse(&format!("wants {other}, which cannot be proved here"))),
        }
    }
    Ok(demands)
}

impl Signed {
    fn demand(self, policy: &Path) -> Result<Demand> {
        let origin = policy.display().to_string();
        let mut keys = Vec::new();
        for path in self.key_path.iter().chain(&self.key_paths) {
            keys.push(PublicKey::read(path).while_doing(|| origin.clone())?);
        }
        for data in self.key_data.iter().chain(&self.key_datas) {
            let pem = STANDARD.decode(data).ok().and_then(|pem| String::from_utf8(pem).ok());
            let pem = pem.ok_or_else(|| Error::invalid("is not PEM in base64"));
            let key = pem.and_then(|pem| PublicKey::parse(&pem)).while_doing(|| "its keyData");
            keys.push(key.while_doing(|| origin.clone())?);
        }
        match keys.is_empty() {
            true => Err(Error::invalid("has a sigstoreSigned without a key")).while_doing(|| origin),
            false => Ok(Demand { origin, keys, identity: self.signed_identity }),
        }
    }
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

/// The scopes that may name an image, the narrowest first.
pub(crate) fn of_name(reference: &Reference) -> Vec<String> {
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
