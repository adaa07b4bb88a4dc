//! Which name an image must have been signed for: `signedIdentity` of containers-policy.json(5).

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::reference::Reference;

/// How the name in a signature and the name that an image is asked for by must be alike.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", deny_unknown_fields)]
pub enum Identity {
    /// Any name will do: the digest alone counts, as for cosign.
    #[serde(skip)]
    Any,
    /// The same name and tag.
    MatchExact {},
    /// The same name and tag, or the same repository where a digest was asked for: the usual one.
    MatchRepoDigestOrExact {},
    /// The same repository.
    MatchRepository {},
    /// This name, whatever was asked for.
    #[serde(rename_all = "camelCase")]
    ExactReference {
        /// The name.
        docker_reference: String,
    },
    /// This repository, whatever was asked for.
    #[serde(rename_all = "camelCase")]
    ExactRepository {
        /// The repository.
        docker_repository: String,
    },
    /// What begins with one prefix was signed under another: a mirror.
    #[serde(rename_all = "camelCase")]
    RemapIdentity {
        /// Of the names that are asked for.
        prefix: String,
        /// Of the names that were signed.
        signed_prefix: String,
    },
}

impl Default for Identity {
    fn default() -> Self {
        Self::MatchRepoDigestOrExact {}
    }
}

impl Identity {
    /// Whether a signature for `signed` is one for what was asked for.
    pub fn allows(&self, asked: Option<&Reference>, signed: &str) -> bool {
        let Ok(name) = signed.parse::<Reference>() else {
            return false;
        };
        match (self, asked) {
            (Self::Any, _) => true,
            (Self::ExactReference { docker_reference: exact }, _) => {
                !is_bare(signed)
                    && !is_bare(exact)
                    && exact.parse().is_ok_and(|exact: Reference| exact == name)
            }
            (Self::ExactRepository { docker_repository: exact }, _) => {
                exact.parse().is_ok_and(|exact: Reference| exact.name() == name.name())
            }
            (_, None) => false,
            (Self::MatchExact {}, Some(asked)) => !is_bare(signed) && *asked == name,
            (Self::MatchRepository {}, Some(asked)) => asked.name() == name.name(),
            (Self::MatchRepoDigestOrExact {}, Some(asked)) => exact(asked, &name, signed),
            (Self::RemapIdentity { prefix, signed_prefix }, Some(asked)) => {
                remapped(asked, prefix, signed_prefix).is_ok_and(|asked| exact(&asked, &name, signed))
            }
        }
    }
}

fn exact(asked: &Reference, name: &Reference, signed: &str) -> bool {
    match asked.tag() {
        Some(_) => !is_bare(signed) && asked == name,
        None => asked.name() == name.name(),
    }
}

/// Whether a name has neither tag nor digest, so that `latest` would only be made up.
fn is_bare(name: &str) -> bool {
    !name.rsplit('/').next().unwrap_or_default().contains([':', '@'])
}

fn remapped(asked: &Reference, prefix: &str, signed_prefix: &str) -> Result<Reference> {
    let text = asked.to_string();
    match text.strip_prefix(prefix) {
        Some(rest) if rest.is_empty() || rest.starts_with(['/', ':', '@']) => {
            format!("{signed_prefix}{rest}").parse()
        }
        Some(_) | None if prefix.is_empty() => Err(Error::invalid("a prefix is empty")),
        _ => Ok(asked.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_for_the_name_that_its_policy_means() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        let by_digest = format!("q.io/a/b@{digest}");
        for (identity, asked, signed, want) in [
            ("matchExact", "q.io/a/b:t", "q.io/a/b:t", true),
            ("matchExact", "q.io/a/b:latest", "q.io/a/b", false),
            ("matchExact", "q.io/a/b:t", "q.io/a/b:u", false),
            ("matchRepoDigestOrExact", "q.io/a/b:t", "q.io/a/b:u", false),
            ("matchRepoDigestOrExact", "q.io/a/b:t", "q.io/a/b:t", true),
            ("matchRepoDigestOrExact", by_digest.as_str(), "q.io/a/b:u", true),
            ("matchRepoDigestOrExact", by_digest.as_str(), "q.io/a/c:u", false),
            ("matchRepository", "q.io/a/b:t", "q.io/a/b", true),
            ("matchRepository", "q.io/a/b:t", "q.io/a/bc:t", false),
            ("exactReference:q.io/x:1", "q.io/a/b:t", "q.io/x:1", true),
            ("exactReference:q.io/x:1", "q.io/a/b:t", "q.io/x:2", false),
            ("exactRepository:q.io/x", "q.io/a/b:t", "q.io/x:2", true),
            ("exactRepository:q.io/x", "q.io/a/b:t", "q.io/a/b:t", false),
            ("remap:m.io/q=q.io", "m.io/q/a:t", "q.io/a:t", true),
            ("remap:m.io/q=q.io", "m.io/q/a:t", "q.io/a:u", false),
            ("remap:m.io/q=q.io", "m.io/qq/a:t", "q.io/a:t", false),
            ("remap:m.io/q=q.io", "z.io/a:t", "z.io/a:t", true),
        ] {
            let (kind, rest) = identity.split_once(':').unwrap_or((identity, ""));
            let value = match (kind, rest.split_once('=')) {
                ("exactReference", _) => serde_json::json!({ "type": kind, "dockerReference": rest }),
                ("exactRepository", _) => serde_json::json!({ "type": kind, "dockerRepository": rest }),
                ("remap", Some((a, b))) => {
                    serde_json::json!({ "type": "remapIdentity", "prefix": a, "signedPrefix": b })
                }
                _ => serde_json::json!({ "type": kind }),
            };
            let read: Identity = serde_json::from_value(value).unwrap();
            let asked: Reference = asked.parse().unwrap();
            assert_eq!(read.allows(Some(&asked), signed), want, "{identity} {asked} {signed}");
        }
        assert!(
            serde_json::from_value::<Identity>(serde_json::json!({ "type": "matchExact", "x": 1 })).is_err()
        );
        assert!(!Identity::default().allows(None, "q.io/a:t"));
    }
}
