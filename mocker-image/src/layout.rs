//! `oci:DIR[:NAME]`: an OCI image layout, the image specification's image-layout.md.
//!
//! ```text
//! DIR/oci-layout           {"imageLayoutVersion": "1.0.0"}
//! DIR/index.json           what is in here, each with its name in an annotation
//! DIR/blobs/sha256/<hex>   everything, by digest
//! ```
//!
//! Whoever writes index.json holds a lock on DIR, and it is replaced by rename; blobs appear by rename.

use std::fs::{DirBuilder, File};
use std::io::{self, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde_json::{Value, json};

use crate::digest::Digest;
use crate::error::{Context, Error, Kind, Result};
use crate::image::edit::to_bytes;
use crate::image::{self, Blob, DOCUMENT, Descriptor, Put, Sink, Source, Supply, Takes};
use crate::media::{Family, is_document};
use crate::place::file;

/// The annotation that holds a name.
pub(crate) const NAME: &str = "org.opencontainers.image.ref.name";
pub(crate) const MARK: &str = "oci-layout";
pub(crate) const VERSION: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;

/// A layout, and which of its images.
#[derive(Debug, Clone)]
pub struct Layout {
    dir: PathBuf,
    name: Option<String>,
}

impl Layout {
    /// `name` is a tag, or `@` and a digest.
    pub fn new(dir: &Path, name: Option<&str>) -> Self {
        Self { dir: dir.to_owned(), name: name.map(str::to_owned) }
    }

    /// Makes the layout where there is none.
    pub fn init(&self) -> Result<()> {
        let made = DirBuilder::new().recursive(true).mode(0o755).create(self.dir.join("blobs/sha256"));
        made.while_doing(|| format!("make the layout {}", self.dir.display()))?;
        let mark = self.dir.join(MARK);
        if !file::is_there(&mark)? {
            file::replace(&mark, VERSION.as_bytes())?;
        }
        let index = self.dir.join("index.json");
        match file::is_there(&index)? {
            true => Ok(()),
            false => file::replace(&index, &to_bytes(&empty_index())?),
        }
    }

    /// All names with what they stand for; an image without one has none.
    pub fn entries(&self) -> Result<Vec<(Option<String>, Descriptor)>> {
        entries(&self.index()?)
    }

    /// Takes a name away; true if it was there.
    pub fn forget(&self, name: &str) -> Result<bool> {
        let _lock = self.lock()?;
        let mut index = self.index()?;
        let list = index["manifests"].as_array_mut();
        let before = list.as_ref().map_or(0, |list| list.len());
        let left = list.map_or(0, |list| {
            list.retain(|entry| name_of(entry) != Some(name));
            list.len()
        });
        file::replace(&self.dir.join("index.json"), &to_bytes(&index)?)?;
        Ok(left < before)
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn index(&self) -> Result<Value> {
        let path = self.dir.join("index.json");
        let step = || format!("read {}", path.display());
        let mut bytes = Vec::new();
        let file = match File::open(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let what = format!("{} is no OCI layout: it has no index.json", self.dir.display());
                return Err(Error::new(Kind::NotFound, what));
            }
            other => other.while_doing(step)?,
        };
        if !file::is_there(&self.dir.join(MARK))? {
            return Err(Error::invalid(format!("{} is no OCI layout: it has no {MARK}", self.dir.display())));
        }
        file.take(DOCUMENT + 1).read_to_end(&mut bytes).while_doing(step)?;
        image::json(&bytes).while_doing(step)
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.dir.join("blobs").join(digest.algorithm()).join(digest.hex())
    }

    fn lock(&self) -> Result<File> {
        let step = || format!("lock {}", self.dir.display());
        let dir = File::open(&self.dir).while_doing(step)?;
        flock(&dir, FlockOperation::LockExclusive).while_doing(step)?;
        Ok(dir)
    }
}

impl Source for Layout {
    fn name(&self) -> String {
        match &self.name {
            Some(name) => format!("oci:{}:{name}", self.dir.display()),
            None => format!("oci:{}", self.dir.display()),
        }
    }

    fn top(&self) -> Result<(Descriptor, Vec<u8>)> {
        let top = choose(&self.index()?, self.name.as_deref())?;
        let bytes = self.document(&top)?;
        Ok((top, bytes))
    }

    fn blob(&self, descriptor: &Descriptor) -> Result<Blob> {
        file::blob(&self.path(&descriptor.digest), descriptor)
    }
}

impl Sink for Layout {
    fn name(&self) -> String {
        Source::name(self)
    }

    fn takes(&self) -> Takes {
        Takes { family: Some(Family::Oci), packs: true, ..Takes::ANYTHING }
    }

    fn has(&self, descriptor: &Descriptor) -> Result<bool> {
        file::has(&self.path(&descriptor.digest), descriptor)
    }

    fn put_blob(&self, descriptor: &Descriptor, supply: &dyn Supply) -> Result<Put> {
        self.init()?;
        let path = self.path(&descriptor.digest);
        file::make_parent(&path)?;
        file::put(&path, &mut supply.open()?)?;
        Ok(Put::Sent)
    }

    fn put_child(&self, descriptor: &Descriptor, bytes: &[u8]) -> Result<()> {
        self.init()?;
        let path = self.path(&descriptor.digest);
        file::make_parent(&path)?;
        file::replace(&path, bytes)
    }

    fn put_top(&self, descriptor: &Descriptor, bytes: &[u8]) -> Result<()> {
        self.put_child(descriptor, bytes)?;
        let _lock = self.lock()?;
        let mut index = self.index()?;
        add(&mut index, descriptor, self.name.as_deref());
        file::replace(&self.dir.join("index.json"), &to_bytes(&index)?)
    }
}

/// An index of nothing.
pub(crate) fn empty_index() -> Value {
    json!({ "schemaVersion": 2, "mediaType": Family::Oci.index(), "manifests": [] })
}

fn name_of(entry: &Value) -> Option<&str> {
    entry["annotations"][NAME].as_str()
}

/// Puts an image into an index, in the place of the one that has its name.
pub(crate) fn add(index: &mut Value, descriptor: &Descriptor, name: Option<&str>) {
    let mut entry = json!({
        "mediaType": descriptor.media_type,
        "digest": descriptor.digest.to_string(),
        "size": descriptor.size,
    });
    let name = name.filter(|name| !name.starts_with('@'));
    if let Some(name) = name {
        entry["annotations"] = json!({ NAME: name });
    }
    let same = |held: &Value| match name {
        Some(name) => name_of(held) == Some(name),
        None => name_of(held).is_none() && held["digest"] == entry["digest"],
    };
    if !index["manifests"].is_array() {
        index["manifests"] = json!([]);
    }
    if let Some(list) = index["manifests"].as_array_mut() {
        list.retain(|held| !same(held));
        list.push(entry);
    }
}

pub(crate) fn entries(index: &Value) -> Result<Vec<(Option<String>, Descriptor)>> {
    let list = index["manifests"].as_array().into_iter().flatten();
    list.map(|entry| Ok((name_of(entry).map(str::to_owned), Descriptor::parse(entry)?))).collect()
}

/// What a name stands for; without one, the only image that there is.
pub(crate) fn choose(index: &Value, name: Option<&str>) -> Result<Descriptor> {
    let entries = entries(index)?;
    let entries: Vec<_> = entries.into_iter().filter(|(_, d)| is_document(&d.media_type)).collect();
    let known = || {
        let names: Vec<_> = entries.iter().filter_map(|(name, _)| name.clone()).collect();
        if names.is_empty() { "no names".to_owned() } else { names.join(", ") }
    };
    let found = match name {
        Some(digest) if digest.starts_with('@') => {
            let digest: Digest = digest[1..].parse()?;
            entries.iter().find(|(_, d)| d.digest == digest)
        }
        Some(name) => entries.iter().find(|(held, _)| held.as_deref() == Some(name)),
        None if entries.len() > 1 => {
            let what =
                format!("there are {} images, so one must be named; there are: {}", entries.len(), known());
            return Err(Error::invalid(what));
        }
        None => entries.first(),
    };
    match found {
        Some((_, descriptor)) => Ok(descriptor.clone()),
        None => {
            let what = name.map_or("any image".to_owned(), |name| format!("{name:?}"));
            Err(Error::new(Kind::NotFound, format!("there is no {what} in it; there are: {}", known())))
        }
    }
}
