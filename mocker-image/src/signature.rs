//! Signatures in cosign's format, which skopeo and podman know as sigstore's.
//!
//! ```text
//! HOST/NAME:sha256-<hex>.sig     a manifest of its own, beside the image whose digest that is
//!   layers[n]                    a `Payload`: which digest is signed, under which name
//!     annotations                the signature of the payload's bytes, base64
//! ```
//!
//! A key says who signed; which key must have is a `Demand`, of policy.json or of the command line.
//! `Guarded` is a source that hands out nothing that lacks what is demanded. Certificates of a
//! public service (Fulcio) and its log (Rekor) are not known here.

pub mod attachment;
pub mod carry;
pub mod guard;
pub mod identity;
pub mod key;
pub mod payload;
mod secretbox;

use crate::digest::Digest;
use crate::error::{Error, Kind, Result};
use crate::reference::Reference;
use identity::Identity;
use key::PublicKey;
use payload::Payload;

/// What somebody said of an image, with the proof that they did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// The bytes that are signed: a [`Payload`].
    pub payload: Vec<u8>,
    /// Their signature, in base64.
    pub signature: String,
    /// What else is written beside it.
    pub annotations: Vec<(String, String)>,
}

/// One signature that an image must bear.
#[derive(Debug, Clone)]
pub struct Demand {
    /// Who demands it, as people call it.
    pub origin: String,
    /// Any of these keys will do.
    pub keys: Vec<PublicKey>,
    /// For which name the image must have been signed.
    pub identity: Identity,
}

impl Demand {
    /// What a signature says, if it is what is demanded.
    ///
    /// # Errors
    /// Why it is not, in the words that follow a name.
    pub fn met_by(
        &self,
        signature: &Signature,
        digest: &Digest,
        name: Option<&Reference>,
    ) -> Result<Payload> {
        if !self.keys.iter().any(|key| key.has_signed(&signature.payload, &signature.signature)) {
            return Err(denied("a signature there is by another key"));
        }
        let payload = Payload::parse(&signature.payload)?;
        if payload.digest != *digest {
            return Err(denied(format!("a signature there is for {}", payload.digest)));
        }
        match self.identity.allows(name, &payload.name) {
            true => Ok(payload),
            false => Err(denied(format!("a signature there is for the name {:?}", payload.name))),
        }
    }
}

fn denied(what: impl Into<String>) -> Error {
    Error::new(Kind::Denied, what)
}
