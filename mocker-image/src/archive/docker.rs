//! `docker-archive:FILE[:NAME]`: what `docker save` writes, before and since Docker 25.
//!
//! ```text
//! manifest.json    [{ "Config": PATH, "RepoTags": [NAME, ...], "Layers": [PATH, ...] }]    both
//! <hex>.json, <hex>/layer.tar, repositories                                             the old form
//! blobs/sha256/<hex>, index.json, oci-layout                                            the new form
//! ```
//!
//! A layer is an archive that is not packed, named by its diffID. There is no manifest in the old form
//! and none that counts in the new one, so one is made up when it is read, always the same.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Tar, Writer};
use crate::digest::{Digest, Hasher};
use crate::error::{Context, Error, Kind, Result};
use crate::image::edit::to_bytes;
use crate::image::{self, Blob, Descriptor, Put, Sink, Source, Supply, Takes};
use crate::layout::{self, MARK, VERSION};
use crate::media::{Compression, Family};
use crate::reference::Reference;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

/// An archive to read from.
#[derive(Debug)]
pub struct Archive {
    path: PathBuf,
    name: Option<String>,
    tar: OnceLock<Tar>,
    opened: OnceLock<Opened>,
}

/// One image of it: the manifest that was made up, and where everything is.
#[derive(Debug)]
struct Opened {
    manifest: Vec<u8>,
    parts: Vec<(Descriptor, String)>,
}

impl Archive {
    /// `name` is an image's, or `@` and its number in the archive; nothing is opened yet.
    pub fn new(path: &Path, name: Option<&str>) -> Self {
        let name = name.map(str::to_owned);
        Self { path: path.to_owned(), name, tar: OnceLock::new(), opened: OnceLock::new() }
    }

    /// The same with a file that is at hand already.
    pub fn of_file(file: std::fs::File, called: &str, name: Option<&str>) -> Result<Self> {
        let path = Path::new(called);
        let tar = OnceLock::from(Tar::index(file, path)?);
        Ok(Self { path: path.to_owned(), name: name.map(str::to_owned), tar, opened: OnceLock::new() })
    }

    /// The names of all images in it.
    pub fn names(&self) -> Result<Vec<Vec<String>>> {
        let saved: Vec<Saved> = image::json(&self.tar()?.document("manifest.json")?)?;
        Ok(saved.into_iter().map(|image| image.repo_tags.unwrap_or_default()).collect())
    }

    fn tar(&self) -> Result<&Tar> {
        if let Some(tar) = self.tar.get() {
            return Ok(tar);
        }
        let tar = Tar::open(&self.path)?;
        Ok(self.tar.get_or_init(|| tar))
    }

    fn opened(&self) -> Result<&Opened> {
        if let Some(opened) = self.opened.get() {
            return Ok(opened);
        }
        let opened = self.read().while_doing(|| format!("archive {}", self.path.display()))?;
        Ok(self.opened.get_or_init(|| opened))
    }

    fn read(&self) -> Result<Opened> {
        let tar = self.tar()?;
        let saved: Vec<Saved> = image::json(&tar.document("manifest.json")?)?;
        let saved = choose(saved, self.name.as_deref())?;
        let config = tar.document(&saved.config)?;
        let document: Value = image::json(&config)?;
        let ids = document["rootfs"]["diff_ids"].as_array().cloned().unwrap_or_default();
        let layers = saved.layers.unwrap_or_default();
        if ids.len() != layers.len() {
            let (layers, ids) = (layers.len(), ids.len());
            return Err(Error::invalid(format!("it has {layers} layers, but its config {ids} diffIDs")));
        }
        let config = Descriptor::of(Family::Docker.config(), &config);
        let mut parts = vec![(config.clone(), saved.config)];
        for (id, path) in ids.iter().zip(layers) {
            let id = id.as_str().unwrap_or_default().parse()?;
            parts.push((layer(tar, &path, id)?, path));
        }
        let list: Vec<Value> = parts[1..].iter().map(|(d, _)| entry(d)).collect();
        let manifest = to_bytes(&json!({ "schemaVersion": 2, "mediaType": Family::Docker.manifest(),
            "config": entry(&config), "layers": list }))?;
        Ok(Opened { manifest, parts })
    }
}

/// What a layer's file is: plain by its diffID, packed by its own digest.
fn layer(tar: &Tar, path: &str, diff_id: Digest) -> Result<Descriptor> {
    let (mut reader, size) = tar.member(path)?;
    let mut buffer = vec![0; 1 << 16];
    let mut n = reader.read(&mut buffer).while_doing(|| format!("read {path}"))?;
    let compression = Compression::sniff(&buffer[..n]);
    let media_type = Family::Docker.layer(compression);
    if compression == Compression::None {
        return Ok(Descriptor { media_type, digest: diff_id, size });
    }
    if unpacked_here(compression) {
        let size = io::copy(&mut tar.plain(path)?, &mut io::sink()).while_doing(|| format!("read {path}"))?;
        return Ok(Descriptor { media_type: Family::Docker.layer(Compression::None), digest: diff_id, size });
    }
    let mut hasher = Hasher::sha256();
    while n > 0 {
        hasher.update(&buffer[..n]);
        n = reader.read(&mut buffer).while_doing(|| format!("read {path}"))?;
    }
    Ok(Descriptor { media_type, digest: hasher.finish(), size })
}

/// Whether a manifest has no word for such a layer, so that it is handed out unpacked.
fn unpacked_here(compression: Compression) -> bool {
    matches!(compression, Compression::Bzip2 | Compression::Xz)
}

fn entry(descriptor: &Descriptor) -> Value {
    json!({ "mediaType": descriptor.media_type, "digest": descriptor.digest.to_string(),
        "size": descriptor.size })
}

fn choose(mut saved: Vec<Saved>, name: Option<&str>) -> Result<Saved> {
    let names: Vec<String> = saved.iter().flat_map(|s| s.repo_tags.clone().unwrap_or_default()).collect();
    let names = if names.is_empty() { "no names".to_owned() } else { names.join(", ") };
    let at = match name {
        None if saved.len() == 1 => Some(0),
        None => {
            let what = format!("there are {} images, so one must be named; there are: {names}", saved.len());
            return Err(Error::invalid(what));
        }
        Some(number) if number.starts_with('@') => number[1..].parse().ok().filter(|at| *at < saved.len()),
        Some(name) => {
            let wanted: Reference = name.parse()?;
            let is = |tag: &String| tag.parse::<Reference>().is_ok_and(|tag| tag == wanted);
            saved.iter().position(|image| image.repo_tags.iter().flatten().any(is))
        }
    };
    match at {
        Some(at) => Ok(saved.swap_remove(at)),
        None => {
            let what = format!("there is no {:?} in it; there are: {names}", name.unwrap_or_default());
            Err(Error::new(Kind::NotFound, what))
        }
    }
}

impl Source for Archive {
    fn name(&self) -> String {
        format!("docker-archive:{}", self.path.display())
    }

    fn top(&self) -> Result<(Descriptor, Vec<u8>)> {
        let manifest = self.opened()?.manifest.clone();
        Ok((Descriptor::of(Family::Docker.manifest(), &manifest), manifest))
    }

    fn is_made_up(&self) -> bool {
        true
    }

    fn blob(&self, descriptor: &Descriptor) -> Result<Blob> {
        let part = self.opened()?.parts.iter().find(|(d, _)| d.digest == descriptor.digest);
        let (_, path) =
            part.ok_or_else(|| Error::new(Kind::NotFound, format!("there is no {descriptor} in it")))?;
        let reader = self.tar()?.plain(path)?;
        Ok(Blob::new(reader, path.clone(), &descriptor.digest, descriptor.size))
    }
}

/// Which of the two forms is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Form {
    /// As Docker before 25: a file for the config and a folder for each layer.
    Old,
    /// As Docker since 25: also an OCI layout.
    New,
}

/// An archive to write.
#[derive(Debug)]
pub struct NewArchive {
    path: PathBuf,
    names: Vec<String>,
    form: Form,
    writer: Writer,
}

impl NewArchive {
    /// Nothing is written yet; `names` are those that the image gets where it is loaded.
    pub fn new(path: &Path, names: &[Reference], form: Form) -> Self {
        let names = names.iter().map(ToString::to_string).collect();
        Self { path: path.to_owned(), names, form, writer: Writer::new(path) }
    }

    fn place(&self, descriptor: &Descriptor) -> String {
        let hex = descriptor.digest.hex();
        let config =
            descriptor.media_type.contains("config") || descriptor.media_type.contains("container.image");
        match (self.form, config) {
            (Form::New, _) => format!("blobs/{}/{hex}", descriptor.digest.algorithm()),
            (Form::Old, true) => format!("{hex}.json"),
            (Form::Old, false) => format!("{hex}/layer.tar"),
        }
    }

    fn document(&self, name: &str, value: &Value) -> Result<()> {
        let bytes = to_bytes(value)?;
        self.writer.append(name, bytes.len() as u64, &mut &bytes[..])
    }

    /// What says where each name's topmost layer is; only programs of the first days read it.
    fn repositories(&self, top: &str) -> Value {
        let mut all = json!({});
        for name in &self.names {
            if let Some((repository, tag)) = name.rsplit_once(':') {
                all[repository][tag] = json!(top);
            }
        }
        all
    }
}

impl Sink for NewArchive {
    fn name(&self) -> String {
        format!("docker-archive:{}", self.path.display())
    }

    fn takes(&self) -> Takes {
        let family = if self.form == Form::New { Family::Oci } else { Family::Docker };
        Takes { indexes: false, family: Some(family), plain: true, lanes: 1, ..Takes::ANYTHING }
    }

    fn has(&self, descriptor: &Descriptor) -> Result<bool> {
        Ok(self.writer.has(&descriptor.digest))
    }

    fn put_blob(&self, descriptor: &Descriptor, supply: &dyn Supply) -> Result<Put> {
        self.writer.append(&self.place(descriptor), descriptor.size, &mut supply.open()?)?;
        self.writer.note(&descriptor.digest);
        Ok(Put::Sent)
    }

    fn put_child(&self, _: &Descriptor, _: &[u8]) -> Result<()> {
        Err(Error::new(Kind::Unsupported, "a docker archive has no indexes"))
    }

    fn put_top(&self, descriptor: &Descriptor, bytes: &[u8]) -> Result<()> {
        let manifest = image::edit::Edit::new(&descriptor.media_type, bytes)?;
        let config = manifest.config()?;
        // What the config is called in a manifest of another family is its place here.
        let layers = manifest.layers()?.iter().map(|layer| self.place(layer)).collect::<Vec<_>>();
        if self.form == Form::New {
            self.writer.append(&self.place(descriptor), descriptor.size, &mut &bytes[..])?;
            let mut index = layout::empty_index();
            layout::add(&mut index, descriptor, self.names.first().map(String::as_str));
            self.document("index.json", &index)?;
            self.writer.append(MARK, VERSION.len() as u64, &mut VERSION.as_bytes())?;
        } else if let Some(top) = manifest.layers()?.last() {
            self.document("repositories", &self.repositories(top.digest.hex()))?;
        }
        let saved = json!([{ "Config": self.place(&config), "RepoTags": self.names, "Layers": layers }]);
        self.document("manifest.json", &saved)?;
        self.writer.finish()
    }
}
