//! What is signed: Red Hat's "simple signing", as cosign writes it.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::denied;
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::image::edit::to_bytes;
use crate::layer::create::epoch;
use crate::reference::Reference;

const KIND: &str = "cosign container image signature";

/// A claim: this digest is this name's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// The manifest's or index's digest.
    pub digest: Digest,
    /// The name that it is signed for.
    pub name: String,
}

impl Payload {
    /// Reads a payload whose signature was found good.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let value: Value = crate::image::json(bytes)?;
        let critical = &value["critical"];
        if critical["type"] != KIND {
            return Err(denied(format!("a signature there is of the type {}", critical["type"])));
        }
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let digest = text(&critical["image"]["docker-manifest-digest"]);
        let name = text(&critical["identity"]["docker-reference"]);
        match (digest, name) {
            (Some(digest), Some(name)) => Ok(Self { digest: digest.parse()?, name }),
            _ => Err(Error::invalid("a signature there names no digest, or no name")),
        }
    }

    /// The bytes to be signed, with who made them and what else is said.
    pub fn to_bytes(&self, said: &[(String, String)]) -> Result<Vec<u8>> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
        let time = epoch()?.map_or(now, |epoch| u64::try_from(epoch).unwrap_or(0));
        let mut optional = json!({
            "creator": concat!("mocker-image ", env!("CARGO_PKG_VERSION")), "timestamp": time,
        });
        for (key, value) in said {
            optional[key] = json!(value);
        }
        to_bytes(&json!({ "critical": {
            "identity": { "docker-reference": self.name },
            "image": { "docker-manifest-digest": self.digest.to_string() },
            "type": KIND,
        }, "optional": optional }))
    }
}

/// The name to sign for: a digest alone stands for its repository.
pub fn name_of(reference: &Reference) -> String {
    match reference.tag() {
        Some(tag) => format!("{}:{tag}", reference.name()),
        None => reference.name(),
    }
}
