//! Names of images, as people write them: `[host[:port]/]path[:tag][@digest]`.
//!
//! A first component with a dot, a colon, an upper-case letter, or `localhost`, is a host; without
//! one the image is Docker Hub's, and a path of one component lies below `library/` there. This is
//! what docker does, and so what every README in the world assumes.

use std::fmt;
use std::str::FromStr;

use crate::digest::Digest;
use crate::error::{Error, Result};

/// The name of Docker Hub in references; its registry answers elsewhere.
pub(crate) const HUB: &str = "docker.io";
const HUB_REGISTRY: &str = "registry-1.docker.io";

/// A complete name: host, path, and a tag or a digest or both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    host: String,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// The host as it is written in names, with its port if it has one.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The host (and port) where the registry answers.
    pub fn registry(&self) -> &str {
        registry_of(&self.host)
    }

    /// The repository's path at its registry.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Host and path, without tag and digest.
    pub fn name(&self) -> String {
        format!("{}/{}", self.host, self.path)
    }

    /// The tag, if the name has one.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if the name has one; it wins over the tag.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The same repository under another tag.
    ///
    /// # Errors
    /// The tag is none.
    pub fn with_tag(&self, tag: &str) -> Result<Self> {
        match tag_is_valid(tag) {
            true => Ok(Self { tag: Some(tag.to_owned()), digest: None, ..self.clone() }),
            false => Err(Error::invalid(format!("tag {tag:?} has a character outside [A-Za-z0-9_.-]"))),
        }
    }

    /// The same repository by a digest.
    #[must_use]
    pub fn with_digest(&self, digest: &Digest) -> Self {
        Self { tag: None, digest: Some(digest.clone()), ..self.clone() }
    }

    /// What the manifest is asked for by: the digest, or else the tag.
    pub fn selector(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => "latest".to_owned(),
        }
    }
}

/// The host (and port) where the registry of a host in names answers.
pub(crate) fn registry_of(host: &str) -> &str {
    match host {
        HUB => HUB_REGISTRY,
        host => host,
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.path)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Reference {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self> {
        let bad = |why: &str| Error::invalid(format!("image name {s:?} {why}"));
        let rest = s.strip_prefix("docker://").unwrap_or(s);
        let (rest, digest) = match rest.split_once('@') {
            Some((rest, digest)) => {
                (rest, Some(digest.parse().map_err(|e: Error| e.step(format!("image name {s:?}")))?))
            }
            None => (rest, None),
        };
        let (rest, tag) = match rest.rsplit_once(':') {
            Some((rest, tag)) if !tag.contains('/') => (rest, Some(tag)),
            _ => (rest, None),
        };
        let (host, path) = match rest.split_once('/') {
            Some((first, path)) if is_host(first) => (first, path.to_owned()),
            Some(_) => (HUB, rest.to_owned()),
            None => (HUB, format!("library/{rest}")),
        };
        let host = if host == "index.docker.io" { HUB } else { host };
        let path = match (host, path.contains('/')) {
            (HUB, false) => format!("library/{path}"),
            _ => path,
        };
        if rest.is_empty() {
            return Err(bad("is empty"));
        }
        if !host_is_valid(host) {
            return Err(bad(&format!("has a host {host:?} that is none")));
        }
        if path.len() > 255 || !path.split('/').all(component_is_valid) {
            return Err(bad(
                "has a path that is not made of lower-case letters and digits, separated by . _ - or /",
            ));
        }
        if !tag.is_none_or(tag_is_valid) {
            return Err(bad("has a tag with a character outside [A-Za-z0-9_.-], or longer than 128"));
        }
        let tag = match (tag, &digest) {
            (None, None) => Some("latest".to_owned()),
            (tag, _) => tag.map(str::to_owned),
        };
        Ok(Self { host: host.to_owned(), path, tag, digest })
    }
}

/// `HOST[:PORT][/PATH]`, also as an URL: what a login is for.
///
/// # Errors
/// The host is none, or the path is not a repository's.
pub fn parse_place(text: &str) -> Result<String> {
    let bare = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or(text);
    let bare = bare.strip_suffix('/').unwrap_or(bare);
    let (host, path) = bare.split_once('/').map_or((bare, None), |(host, path)| (host, Some(path)));
    let good = path.is_none_or(|path| path.split('/').all(component_is_valid));
    match host_is_valid(host) && good {
        true if host == "index.docker.io" || host == HUB_REGISTRY => Ok(HUB.to_owned()),
        true => Ok(bare.to_owned()),
        false => Err(Error::invalid(format!("registry {text:?} is not HOST[:PORT] or HOST[:PORT]/PATH"))),
    }
}

fn is_host(first: &str) -> bool {
    first == "localhost" || first.contains(['.', ':']) || first.contains(char::is_uppercase)
}

/// A domain name or an address (IPv6 in brackets), with or without a port.
fn host_is_valid(host: &str) -> bool {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (host, None),
    };
    let label = |l: &str| !l.is_empty() && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let named = match name.strip_prefix('[').and_then(|n| n.strip_suffix(']')) {
        Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
        None => name.split('.').all(label),
    };
    named && port.is_none_or(|p| p.parse::<u16>().is_ok_and(|p| p != 0))
}

/// `[a-z0-9]+` runs, joined by `.`, `_`, `__` or any number of `-`.
fn component_is_valid(component: &str) -> bool {
    let alnum = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let edges =
        component.bytes().next().is_some_and(alnum) && component.bytes().next_back().is_some_and(alnum);
    let separators = component.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    edges
        && separators.into_iter().all(|s| matches!(s, "" | "." | "_" | "__") || s.bytes().all(|b| b == b'-'))
}

fn tag_is_valid(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    tag.len() <= 128
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_are_completed_as_docker_does() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        for (short, long) in [
            ("alpine", "docker.io/library/alpine:latest"),
            ("alpine:3", "docker.io/library/alpine:3"),
            ("docker.io/alpine", "docker.io/library/alpine:latest"),
            ("index.docker.io/library/alpine", "docker.io/library/alpine:latest"),
            ("user/app", "docker.io/user/app:latest"),
            ("localhost/app", "localhost/app:latest"),
            ("localhost:5000/a/b:v1", "localhost:5000/a/b:v1"),
            ("127.0.0.1:5000/a__b/c--d.e", "127.0.0.1:5000/a__b/c--d.e:latest"),
            ("[::1]:5000/a", "[::1]:5000/a:latest"),
            ("docker://quay.io/a/b:V_1.x", "quay.io/a/b:V_1.x"),
            (&format!("quay.io/a@{digest}"), &format!("quay.io/a@{digest}")),
            (&format!("quay.io/a:t@{digest}"), &format!("quay.io/a:t@{digest}")),
        ] {
            assert_eq!(short.parse::<Reference>().unwrap().to_string(), long, "{short}");
        }
    }

    #[test]
    fn what_is_not_a_name_is_refused_by_a_sentence_that_shows_it() {
        for bad in [
            "",
            ":tag",
            "a//b",
            "A",
            "quay.io/Upper",
            "a:",
            "a:-x",
            "a:b/",
            "a@sha256:00",
            "../x",
            "a/../b",
            "q.io:0/a",
            "q.io:99999/a",
            "a b",
            "a___b",
            "-a",
            "q..io/a",
            "a/b:t:u",
            "http://q.io/a",
        ] {
            let e = bad.parse::<Reference>().unwrap_err().to_string();
            assert!(
                e.starts_with(&format!("image name {bad:?} "))
                    || e.starts_with(&format!("image name {bad:?}: ")),
                "{e}"
            );
        }
    }

    #[test]
    fn the_hub_answers_under_another_host() {
        assert_eq!("alpine".parse::<Reference>().unwrap().registry(), "registry-1.docker.io");
        assert_eq!("quay.io/a".parse::<Reference>().unwrap().registry(), "quay.io");
    }
}
