//! All blobs against their digests.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::Store;
use crate::digest::{Digest, Verified};
use crate::error::{Context, Error, Kind, Result};
use crate::interrupt;

/// What all blobs turned out to be.
#[derive(Debug, Default)]
pub struct Verdict {
    /// How many blobs there are.
    pub blobs: usize,
    /// Those that are not right.
    pub bad: Vec<Bad>,
}

/// A blob that is not what it should be.
#[derive(Debug)]
pub struct Bad {
    /// Its digest, or the path of what has none.
    pub blob: String,
    /// What is wrong.
    pub why: String,
    /// Who needs it.
    pub names: Vec<String>,
}

impl Store {
    /// Reads every blob, and looks for those that a name needs and that are not there.
    pub fn verify(&self) -> Result<Verdict> {
        let needed = self.needed()?;
        let (mut verdict, mut seen) = (Verdict::default(), HashSet::new());
        for (path, digest) in self.blobs()? {
            verdict.blobs += 1;
            let (blob, why) = match &digest {
                Some(digest) => (digest.to_string(), check(&path, digest)?),
                None => (path.display().to_string(), Some("has no digest for a name".to_owned())),
            };
            let names = digest.as_ref().and_then(|digest| needed.get(digest)).cloned().unwrap_or_default();
            verdict.bad.extend(why.map(|why| Bad { blob, why, names }));
            seen.extend(digest);
        }
        for (digest, names) in needed.into_iter().filter(|(digest, _)| !seen.contains(digest)) {
            verdict.bad.push(Bad { blob: digest.to_string(), why: "is missing".to_owned(), names });
        }
        verdict.bad.sort_by(|a, b| a.blob.cmp(&b.blob));
        Ok(verdict)
    }
}

/// What is wrong with a blob, if anything is.
fn check(path: &Path, digest: &Digest) -> Result<Option<String>> {
    let step = || format!("read {}", path.display());
    let file = match File::open(path) {
        // Somebody found it to be bad, and removed it.
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.while_doing(step)?,
    };
    let size = file.metadata().while_doing(step)?.len();
    let (mut blob, mut buffer) = (Verified::new(file, "", digest, size), vec![0; 1 << 18]);
    loop {
        interrupt::check()?;
        match blob.read(&mut buffer).map_err(Error::from) {
            Ok(0) => return Ok(None),
            Ok(_) => {}
            Err(e) if e.kind() == Kind::Invalid => {
                return Ok(Some(e.to_string().trim_start_matches(": ").to_owned()));
            }
            Err(e) => return Err(e.step(step())),
        }
    }
}
