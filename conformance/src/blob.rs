//! Bytes with a name: digests, and content that lies in memory or in a file.

use std::fmt;
use std::fs::File;
use std::io::{self, Cursor, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

/// A sha256 digest as the specifications write it: `sha256:` and 64 hex digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Digest(String);

impl Digest {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new(io::sink());
        hasher.absorb(bytes);
        hasher.finish().1
    }

    /// The SHA-512 of these bytes: `sha512:` and 128 hex digits.
    pub fn sha512_of(bytes: &[u8]) -> Self {
        let hex: String = sha2::Sha512::digest(bytes).iter().map(|b| format!("{b:02x}")).collect();
        Self(format!("sha512:{hex}"))
    }

    /// A digest that no content in a test has: sixty-four times the same digit.
    pub fn absent() -> Self {
        Self(format!("sha256:{}", "d".repeat(64)))
    }

    /// With the algorithm: `sha256:...`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The 64 digits alone.
    pub fn hex(&self) -> &str {
        self.0.trim_start_matches("sha256:")
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Content of any size; cloning it copies no bytes.
#[derive(Debug, Clone)]
pub enum Blob {
    /// Held in memory.
    Bytes(Arc<[u8]>),
    /// Read from this file each time.
    File(PathBuf),
}

impl Blob {
    /// A reader from the first byte.
    pub fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        Ok(match self {
            Self::Bytes(bytes) => Box::new(Cursor::new(bytes.clone())),
            Self::File(path) => Box::new(File::open(path)?),
        })
    }

    /// Length in bytes.
    pub fn size(&self) -> io::Result<u64> {
        match self {
            Self::Bytes(bytes) => Ok(bytes.len() as u64),
            Self::File(path) => Ok(path.metadata()?.len()),
        }
    }
}

impl From<Vec<u8>> for Blob {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes.into())
    }
}

/// Passes bytes on and knows their digest and number at the end.
pub struct Hasher<W> {
    inner: W,
    hash: Sha256,
    size: u64,
}

impl<W: Write> Hasher<W> {
    /// Nothing seen yet.
    pub fn new(inner: W) -> Self {
        Self { inner, hash: Sha256::new(), size: 0 }
    }

    fn absorb(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.size += bytes.len() as u64;
    }

    /// What was written through it, its digest and its length.
    pub fn finish(self) -> (W, Digest, u64) {
        let hex: String = self.hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        (self.inner, Digest(format!("sha256:{hex}")), self.size)
    }
}

impl<W: Write> Write for Hasher<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(buf)?;
        self.absorb(&buf[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_of_nothing_is_the_well_known_one() {
        assert_eq!(
            Digest::of(b"").as_str(),
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }

    #[test]
    fn a_hasher_counts_what_went_through_it() {
        let mut hasher = Hasher::new(Vec::new());
        hasher.write_all(b"abc").unwrap();
        let (bytes, digest, size) = hasher.finish();
        assert_eq!((bytes.as_slice(), digest, size), (&b"abc"[..], Digest::of(b"abc"), 3));
    }
}
