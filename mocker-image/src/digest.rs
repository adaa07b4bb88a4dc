//! Digests, and readers that verify them.
//!
//! A [`Digest`] exists only if its text was well formed, so it may be used as a file name. Bytes
//! that come from elsewhere are read through [`Verified`], which turns the last read into an error
//! if length or digest are not what the descriptor says: wrong bytes never reach an end of file.

use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

use sha2::Digest as _;

use crate::error::{Error, Result};
use crate::progress::Bar;

/// The algorithms of the image specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Algorithm {
    Sha256,
    Sha512,
}

/// `algorithm:hex`, well formed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest {
    algorithm: Algorithm,
    hex: String,
}

impl Digest {
    /// The SHA-256 of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let mut hasher = Hasher::sha256();
        hasher.update(bytes);
        hasher.finish()
    }

    /// `sha256` or `sha512`.
    pub fn algorithm(&self) -> &'static str {
        match self.algorithm {
            Algorithm::Sha256 => "sha256",
            Algorithm::Sha512 => "sha512",
        }
    }

    /// The hexadecimal half.
    pub fn hex(&self) -> &str {
        &self.hex
    }

    /// The first twelve characters of the hexadecimal half, for people.
    pub fn short(&self) -> &str {
        &self.hex[..12]
    }

    /// The tag that stands in for referrers: `ALGORITHM-HEX`, as much as fits.
    pub fn stand_in(&self) -> String {
        format!("{}-{}", self.algorithm(), &self.hex[..64])
    }

    /// A hasher of this digest's algorithm.
    pub fn hasher(&self) -> Hasher {
        match self.algorithm {
            Algorithm::Sha256 => Hasher::sha256(),
            Algorithm::Sha512 => Hasher(State::Sha512(sha2::Sha512::new())),
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm(), self.hex)
    }
}

impl FromStr for Digest {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self> {
        let bad =
            || Error::invalid(format!("digest {s:?} is not sha256: or sha512: with lower-case hexadecimal"));
        let (algorithm, hex) = s.split_once(':').ok_or_else(bad)?;
        let (algorithm, length) = match algorithm {
            "sha256" => (Algorithm::Sha256, 64),
            "sha512" => (Algorithm::Sha512, 128),
            _ => return Err(bad()),
        };
        let good = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        match hex.len() == length && hex.bytes().all(good) {
            true => Ok(Self { algorithm, hex: hex.to_owned() }),
            false => Err(bad()),
        }
    }
}

/// A running digest.
#[derive(Debug, Clone)]
pub struct Hasher(State);

#[derive(Debug, Clone)]
enum State {
    Sha256(sha2::Sha256),
    Sha512(sha2::Sha512),
}

impl Hasher {
    /// A hasher for SHA-256, the algorithm that everything new is named by.
    pub fn sha256() -> Self {
        Self(State::Sha256(sha2::Sha256::new()))
    }

    /// Takes more bytes in.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Sha256(h) => h.update(bytes),
            State::Sha512(h) => h.update(bytes),
        }
    }

    /// The digest of all bytes so far.
    pub fn finish(self) -> Digest {
        let (algorithm, bytes) = match self.0 {
            State::Sha256(h) => (Algorithm::Sha256, h.finalize().to_vec()),
            State::Sha512(h) => (Algorithm::Sha512, h.finalize().to_vec()),
        };
        let hex = bytes.iter().map(|b| format!("{b:02x}")).collect();
        Digest { algorithm, hex }
    }
}

/// Size and digest that a run of bytes must turn out to have, and how far it has come.
#[derive(Debug)]
pub struct Check {
    want: Digest,
    size: u64,
    seen: u64,
    hasher: Option<Hasher>,
}

impl Check {
    /// A check of `size` bytes against `want`.
    pub fn new(want: &Digest, size: u64) -> Self {
        Self { want: want.clone(), size, seen: 0, hasher: Some(want.hasher()) }
    }

    /// How many bytes were seen.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// Takes more bytes in; an error as soon as they are too many.
    pub fn update(&mut self, bytes: &[u8]) -> Result<()> {
        self.seen += bytes.len() as u64;
        if self.seen > self.size {
            let size = self.size;
            return Err(Error::invalid(format!("is longer than the {size} bytes that its descriptor says")));
        }
        if let Some(hasher) = &mut self.hasher {
            hasher.update(bytes);
        }
        Ok(())
    }

    /// To be called at the end of the bytes; a second call says nothing new.
    pub fn finish(&mut self) -> Result<()> {
        let Some(hasher) = self.hasher.take() else {
            return Ok(());
        };
        let (seen, size) = (self.seen, self.size);
        if seen < size {
            return Err(Error::invalid(format!(
                "ends after {seen} of the {size} bytes that its descriptor says"
            )));
        }
        match hasher.finish() {
            got if got == self.want => Ok(()),
            got => {
                Err(Error::invalid(format!("has other content than its digest says (it hashes to {got})")))
            }
        }
    }
}

/// A reader whose end of file means: size and digest were right.
#[derive(Debug)]
pub struct Verified<R> {
    inner: R,
    name: String,
    check: Check,
    bar: Bar,
}

impl<R: Read> Verified<R> {
    /// `name` is what an error calls these bytes.
    pub fn new(inner: R, name: impl Into<String>, want: &Digest, size: u64) -> Self {
        Self { inner, name: name.into(), check: Check::new(want, size), bar: Bar::default() }
    }

    /// The same bytes, told to whoever watches from the first one on.
    #[must_use]
    pub fn followed(mut self, bar: &Bar) -> Self {
        bar.restart();
        self.bar = bar.clone();
        self
    }
}

impl<R: Read> Read for Verified<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        let n = self.inner.read(buf)?;
        let verdict = match n {
            0 => self.check.finish(),
            n => self.check.update(&buf[..n]),
        };
        self.bar.add(n as u64);
        verdict.map(|()| n).map_err(|e| e.step(self.name.clone()).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], want: &[u8], size: u64) -> std::result::Result<Vec<u8>, String> {
        let mut out = Vec::new();
        match Verified::new(bytes, "blob", &Digest::of(want), size).read_to_end(&mut out) {
            Ok(_) => Ok(out),
            Err(e) => Err(e.to_string()),
        }
    }

    #[test]
    fn only_the_right_bytes_reach_the_end() {
        assert_eq!(read(b"hello", b"hello", 5), Ok(b"hello".to_vec()));
        assert!(
            read(b"hellO", b"hello", 5)
                .unwrap_err()
                .starts_with("blob: has other content than its digest says")
        );
        let short = read(b"hell", b"hello", 5).unwrap_err();
        assert_eq!(short, "blob: ends after 4 of the 5 bytes that its descriptor says");
        let long = read(b"hello!", b"hello", 5).unwrap_err();
        assert_eq!(long, "blob: is longer than the 5 bytes that its descriptor says");
    }

    #[test]
    fn a_digest_is_a_known_algorithm_and_lower_case_hexadecimal_of_its_length() {
        let good = format!("sha256:{}", "0a".repeat(32));
        assert_eq!(good.parse::<Digest>().unwrap().to_string(), good);
        assert!(format!("sha512:{}", "0a".repeat(64)).parse::<Digest>().is_ok());
        for bad in
            ["", "sha256", "sha256:", "md5:00", &good.to_uppercase(), &good[..70], "sha256:../../etc/passwd"]
        {
            assert!(bad.parse::<Digest>().is_err(), "{bad}");
        }
    }
}
