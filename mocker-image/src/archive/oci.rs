//! `oci-archive:FILE[:NAME]`: an OCI image layout in a tar file.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::{Tar, Writer};
use crate::digest::Digest;
use crate::error::Result;
use crate::image::edit::to_bytes;
use crate::image::{self, Blob, Descriptor, Put, Sink, Source, Supply, Takes};
use crate::layout::{self, MARK, VERSION};
use crate::media::Family;

/// An archive to read from.
#[derive(Debug)]
pub struct Archive {
    path: PathBuf,
    name: Option<String>,
    tar: OnceLock<Tar>,
}

fn blob_name(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm(), digest.hex())
}

impl Archive {
    /// `name` is a tag, or `@` and a digest; nothing is opened yet.
    pub fn new(path: &Path, name: Option<&str>) -> Self {
        Self { path: path.to_owned(), name: name.map(str::to_owned), tar: OnceLock::new() }
    }

    /// All names with what they stand for; an image without one has none.
    pub fn entries(&self) -> Result<Vec<(Option<String>, Descriptor)>> {
        layout::entries(&image::json(&self.tar()?.document("index.json")?)?)
    }

    fn tar(&self) -> Result<&Tar> {
        if let Some(tar) = self.tar.get() {
            return Ok(tar);
        }
        let tar = Tar::open(&self.path)?;
        Ok(self.tar.get_or_init(|| tar))
    }
}

impl Source for Archive {
    fn name(&self) -> String {
        format!("oci-archive:{}", self.path.display())
    }

    fn top(&self) -> Result<(Descriptor, Vec<u8>)> {
        let index = image::json(&self.tar()?.document("index.json")?)?;
        let top = layout::choose(&index, self.name.as_deref())?;
        let bytes = self.document(&top)?;
        Ok((top, bytes))
    }

    fn blob(&self, descriptor: &Descriptor) -> Result<Blob> {
        let name = blob_name(&descriptor.digest);
        let (reader, _) = self.tar()?.member(&name)?;
        Ok(Blob::new(reader, name, &descriptor.digest, descriptor.size))
    }
}

/// An archive to write; what was there under its name is replaced when it is whole.
#[derive(Debug)]
pub struct NewArchive {
    path: PathBuf,
    name: Option<String>,
    writer: Writer,
}

impl NewArchive {
    /// Nothing is written yet.
    pub fn new(path: &Path, name: Option<&str>) -> Self {
        Self { path: path.to_owned(), name: name.map(str::to_owned), writer: Writer::new(path) }
    }
}

impl Sink for NewArchive {
    fn name(&self) -> String {
        format!("oci-archive:{}", self.path.display())
    }

    fn takes(&self) -> Takes {
        Takes { family: Some(Family::Oci), packs: true, lanes: 1, ..Takes::ANYTHING }
    }

    fn has(&self, descriptor: &Descriptor) -> Result<bool> {
        Ok(self.writer.has(&descriptor.digest))
    }

    fn put_blob(&self, descriptor: &Descriptor, supply: &dyn Supply) -> Result<Put> {
        let name = blob_name(&descriptor.digest);
        self.writer.append(&name, descriptor.size, &mut supply.open()?)?;
        self.writer.note(&descriptor.digest);
        Ok(Put::Sent)
    }

    fn put_child(&self, descriptor: &Descriptor, bytes: &[u8]) -> Result<()> {
        if self.has(descriptor)? {
            return Ok(());
        }
        self.writer.append(&blob_name(&descriptor.digest), descriptor.size, &mut &bytes[..])?;
        self.writer.note(&descriptor.digest);
        Ok(())
    }

    fn put_top(&self, descriptor: &Descriptor, bytes: &[u8]) -> Result<()> {
        self.put_child(descriptor, bytes)?;
        let mut index = layout::empty_index();
        layout::add(&mut index, descriptor, self.name.as_deref());
        let index = to_bytes(&index)?;
        self.writer.append("index.json", index.len() as u64, &mut &index[..])?;
        self.writer.append(MARK, VERSION.len() as u64, &mut VERSION.as_bytes())?;
        self.writer.finish()
    }
}
