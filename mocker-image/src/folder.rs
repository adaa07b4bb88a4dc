//! `dir:DIR`: skopeo's plain folder, one image with its files side by side.
//!
//! ```text
//! DIR/version            "Directory Transport Version: 1.1"
//! DIR/manifest.json      the manifest or the index
//! DIR/<hex>.manifest.json   a manifest that the index names
//! DIR/<hex>              a blob; sha512's as sha512-<hex>
//! DIR/signature-<n>, DIR/<hex>.signature-<n>   what is signed of the manifest, of one that the index names
//! ```

use std::fs::{DirBuilder, File};
use std::io::{self, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::digest::Digest;
use crate::error::{Context, Error, Kind, Result};
use crate::image::{Blob, DOCUMENT, Descriptor, Document, Put, Sink, Source, Supply, Takes};
use crate::media::{Family, is_document};
use crate::place::file;
use crate::signature::{Signature, attachment};

const VERSION: &str = "Directory Transport Version: 1.1\n";

/// A folder with one image.
#[derive(Debug, Clone)]
pub struct Folder {
    dir: PathBuf,
}

impl Folder {
    /// The image in a folder.
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// Makes the folder, or empties one that holds such an image.
    pub fn begin(&self) -> Result<()> {
        let dir = &self.dir;
        let made = DirBuilder::new().recursive(true).mode(0o755).create(dir);
        made.while_doing(|| format!("make the folder {}", dir.display()))?;
        let version = dir.join("version");
        let step = || format!("list {}", dir.display());
        let mut names = std::fs::read_dir(dir).while_doing(step)?;
        if !file::is_there(&version)? && names.next().is_some() {
            let what = format!("{} holds something else than an image", dir.display());
            return Err(Error::new(Kind::Exists, what));
        }
        for found in std::fs::read_dir(dir).while_doing(step)? {
            let path = found.while_doing(step)?.path();
            std::fs::remove_file(&path).while_doing(|| format!("remove {}", path.display()))?;
        }
        file::replace(&version, VERSION.as_bytes())
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.dir.join(match digest.algorithm() {
            "sha256" => digest.hex().to_owned(),
            other => format!("{other}-{}", digest.hex()),
        })
    }

    /// A signature's file, counted from 1: the top document's have no digest in their names.
    fn signature(&self, digest: &Digest, n: usize) -> Result<PathBuf> {
        let name = match Digest::of(&self.manifest()?) == *digest {
            true => format!("signature-{n}"),
            false => format!("{}.signature-{n}", digest.hex()),
        };
        Ok(self.dir.join(name))
    }

    fn manifest(&self) -> Result<Vec<u8>> {
        let path = self.dir.join("manifest.json");
        let mut bytes = Vec::new();
        let read = File::open(&path).and_then(|file| file.take(DOCUMENT + 1).read_to_end(&mut bytes));
        read.while_doing(|| format!("read {}", path.display()))?;
        Ok(bytes)
    }

    fn child(&self, digest: &Digest) -> PathBuf {
        let path = self.path(digest);
        path.with_file_name(format!("{}.manifest.json", path.file_name().unwrap_or_default().display()))
    }
}

impl Source for Folder {
    fn name(&self) -> String {
        format!("dir:{}", self.dir.display())
    }

    fn top(&self) -> Result<(Descriptor, Vec<u8>)> {
        let bytes = self.manifest()?;
        let step = || format!("read {}", self.dir.join("manifest.json").display());
        let media_type = media_type(&bytes).while_doing(step)?;
        Ok((Descriptor::of(&media_type, &bytes), bytes))
    }

    fn blob(&self, descriptor: &Descriptor) -> Result<Blob> {
        match is_document(&descriptor.media_type) {
            true => file::blob(&self.child(&descriptor.digest), descriptor),
            false => file::blob(&self.path(&descriptor.digest), descriptor),
        }
    }

    fn signatures(&self, digest: &Digest) -> Result<Vec<Signature>> {
        let mut found = Vec::new();
        for n in 1.. {
            let path = self.signature(digest, n)?;
            let step = || format!("read {}", path.display());
            let mut bytes = Vec::new();
            match File::open(&path) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => break,
                other => {
                    other.and_then(|file| file.take(DOCUMENT).read_to_end(&mut bytes)).while_doing(step)?
                }
            };
            found.extend(attachment::from_file(&bytes).while_doing(step)?);
        }
        Ok(found)
    }
}

impl Sink for Folder {
    fn name(&self) -> String {
        Source::name(self)
    }

    fn takes(&self) -> Takes {
        Takes::ANYTHING
    }

    fn has(&self, descriptor: &Descriptor) -> Result<bool> {
        file::has(&self.path(&descriptor.digest), descriptor)
    }

    fn put_blob(&self, descriptor: &Descriptor, supply: &dyn Supply) -> Result<Put> {
        file::put(&self.path(&descriptor.digest), &mut supply.open()?)?;
        Ok(Put::Sent)
    }

    fn put_child(&self, descriptor: &Descriptor, bytes: &[u8]) -> Result<()> {
        file::replace(&self.child(&descriptor.digest), bytes)
    }

    fn put_top(&self, _: &Descriptor, bytes: &[u8]) -> Result<()> {
        file::replace(&self.dir.join("manifest.json"), bytes)
    }

    fn put_signatures(&self, digest: &Digest, signatures: &[Signature]) -> Result<()> {
        let known = self.signatures(digest)?;
        let new = signatures.iter().filter(|signature| !known.contains(signature));
        for (n, signature) in new.enumerate() {
            let path = self.signature(digest, known.len() + n + 1)?;
            file::replace(&path, &attachment::to_file(signature)?)?;
        }
        Ok(())
    }
}

/// What a document says that it is, or looks like: here nobody else says it.
pub(crate) fn media_type(bytes: &[u8]) -> Result<String> {
    let value: serde_json::Value = crate::image::json(bytes)?;
    if let Some(own) = value["mediaType"].as_str() {
        return Ok(own.to_owned());
    }
    Ok(match Document::parse(bytes, "")? {
        Document::Index(_) => Family::Oci.index().to_owned(),
        Document::Manifest(manifest) => Family::of(&manifest.config.media_type).manifest().to_owned(),
    })
}
