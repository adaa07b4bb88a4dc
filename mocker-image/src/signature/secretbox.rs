//! A private key under a passphrase, as cosign keeps it: JSON, scrypt, and NaCl's secretbox.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use poly1305::Poly1305;
use poly1305::universal_hash::KeyInit;
use ring::rand::{SecureRandom, SystemRandom};
use salsa20::XSalsa20;
use salsa20::cipher::{KeyIvInit, StreamCipher};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};

/// The only parameters that every version of cosign and skopeo reads.
const USUAL: Params = Params { n: 1 << 15, r: 8, p: 1 };
/// What opening a box may cost: 128 N r bytes of memory, p times.
const DEAREST: u64 = 256 << 20;
const TAG: usize = 16;

/// What the file's text is.
#[derive(Serialize, Deserialize)]
struct Envelope {
    kdf: Kdf,
    cipher: Cipher,
    #[serde(with = "text")]
    ciphertext: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct Kdf {
    name: String,
    params: Params,
    #[serde(with = "text")]
    salt: Vec<u8>,
}

#[derive(Serialize, Deserialize, Clone, Copy)]
struct Params {
    #[serde(rename = "N")]
    n: u64,
    r: u32,
    p: u32,
}

#[derive(Serialize, Deserialize)]
struct Cipher {
    name: String,
    #[serde(with = "text")]
    nonce: Vec<u8>,
}

mod text {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<u8>, D::Error> {
        STANDARD.decode(String::deserialize(d)?).map_err(D::Error::custom)
    }
}

/// Puts a secret under a passphrase.
pub(super) fn seal(secret: &[u8], passphrase: &[u8]) -> Result<Vec<u8>> {
    let (mut salt, mut nonce) = (vec![0; 32], [0; 24]);
    let random = SystemRandom::new();
    let filled = random.fill(&mut salt).and_then(|()| random.fill(&mut nonce));
    filled.map_err(|_| Error::new(Kind::Internal, "the kernel gives no random numbers"))?;
    let key = stretch(passphrase, &salt, USUAL)?;
    let (mut stream, mac) = ciphers(&key, &nonce);
    let mut body = secret.to_vec();
    stream.apply_keystream(&mut body);
    let tag = mac.compute_unpadded(&body);
    let ciphertext = [tag.as_slice(), &body].concat();
    let envelope = Envelope {
        kdf: Kdf { name: "scrypt".to_owned(), params: USUAL, salt },
        cipher: Cipher { name: "nacl/secretbox".to_owned(), nonce: nonce.to_vec() },
        ciphertext,
    };
    serde_json::to_vec(&envelope).map_err(|e| Error::new(Kind::Internal, e.to_string()))
}

/// Takes a secret out again.
pub(super) fn open(sealed: &[u8], passphrase: &[u8]) -> Result<Vec<u8>> {
    let envelope: Envelope = crate::image::json(sealed)?;
    let (kdf, cipher) = (envelope.kdf.name.as_str(), envelope.cipher.name.as_str());
    if (kdf, cipher) != ("scrypt", "nacl/secretbox") {
        return Err(Error::new(
            Kind::Unsupported,
            format!("is under {kdf} and {cipher}, which are not known"),
        ));
    }
    let nonce: [u8; 24] =
        envelope.cipher.nonce.try_into().map_err(|_| Error::invalid("has a nonce of a wrong length"))?;
    let (tag, body) =
        envelope.ciphertext.split_at_checked(TAG).ok_or_else(|| Error::invalid("is cut short"))?;
    let key = stretch(passphrase, &envelope.kdf.salt, envelope.kdf.params)?;
    let (mut stream, mac) = ciphers(&key, &nonce);
    // Whoever holds the file may try passphrases without us: how long this takes tells nothing.
    if mac.compute_unpadded(body).as_slice() != tag {
        return Err(Error::new(Kind::Denied, "the passphrase is wrong"));
    }
    let mut secret = body.to_vec();
    stream.apply_keystream(&mut secret);
    Ok(secret)
}

/// The cipher behind its first 32 bytes, which are the key of the authenticator.
fn ciphers(key: &[u8; 32], nonce: &[u8; 24]) -> (XSalsa20, Poly1305) {
    let mut stream = XSalsa20::new(&(*key).into(), &(*nonce).into());
    let mut first = [0; 32];
    stream.apply_keystream(&mut first);
    (stream, Poly1305::new(&first.into()))
}

fn stretch(passphrase: &[u8], salt: &[u8], params: Params) -> Result<[u8; 32]> {
    let bad = || Error::invalid("has parameters for scrypt that are none, or too dear");
    let cost = params.n.checked_mul(u64::from(params.r)).and_then(|c| c.checked_mul(128));
    cost.and_then(|c| c.checked_mul(u64::from(params.p))).filter(|&c| c <= DEAREST).ok_or_else(bad)?;
    let log = u8::try_from(params.n.trailing_zeros()).ok().filter(|_| params.n.is_power_of_two());
    let params = scrypt::Params::new(log.ok_or_else(bad)?, params.r, params.p).map_err(|_| bad())?;
    let mut key = [0; 32];
    scrypt::scrypt(passphrase, salt, &params, &mut key).map_err(|_| bad())?;
    Ok(key)
}

/// Base64 in lines between two marks, as PEM has it.
pub(super) fn armour(kind: &str, bytes: &[u8]) -> String {
    let text = STANDARD.encode(bytes);
    let lines = text.as_bytes().chunks(64).map(|line| format!("{}\n", String::from_utf8_lossy(line)));
    format!("-----BEGIN {kind}-----\n{}-----END {kind}-----\n", lines.collect::<String>())
}

/// The first such block of a text: its kind and its bytes.
pub(super) fn disarm(text: &str) -> Result<(String, Vec<u8>)> {
    let bad = || Error::invalid("is not PEM");
    let mut lines = text.lines().map(str::trim).skip_while(|line| !line.starts_with("-----BEGIN "));
    let kind = lines.next().and_then(|line| line.strip_prefix("-----BEGIN ")?.strip_suffix("-----"));
    let kind = kind.ok_or_else(bad)?.to_owned();
    let end = format!("-----END {kind}-----");
    let mut body = String::new();
    for line in lines {
        if line == end {
            return Ok((kind, STANDARD.decode(body).map_err(|_| bad())?));
        }
        // Old tools write headers, `Proc-Type: ...`, which say that it is a kind of encryption not known here.
        if line.contains(':') {
            return Err(Error::new(Kind::Unsupported, "is encrypted in a way that is not known here"));
        }
        body.push_str(line);
    }
    Err(bad())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_opens_with_its_passphrase_only() {
        let sealed = seal(b"secret", b"pass").unwrap();
        assert_eq!(open(&sealed, b"pass").unwrap(), b"secret");
        assert_eq!(open(&sealed, b"Pass").unwrap_err().to_string(), "the passphrase is wrong");
        let mut bent: serde_json::Value = serde_json::from_slice(&sealed).unwrap();
        bent["kdf"]["params"]["N"] = serde_json::json!(1u64 << 40);
        let e = open(&serde_json::to_vec(&bent).unwrap(), b"pass").unwrap_err();
        assert_eq!(e.to_string(), "has parameters for scrypt that are none, or too dear");
    }

    #[test]
    fn what_is_armoured_is_disarmed() {
        let text = armour("A KEY", &[7; 100]);
        assert_eq!(disarm(&format!("words\n{text}more")).unwrap(), ("A KEY".to_owned(), vec![7; 100]));
        for bad in ["", "-----BEGIN A-----\nAAAA\n", "-----BEGIN A-----\n!\n-----END A-----\n"] {
            assert_eq!(disarm(bad).unwrap_err().to_string(), "is not PEM");
        }
    }
}
