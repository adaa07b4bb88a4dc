//! One image, or all of an index, from any place to any other.
//!
//! ```text
//! top ── index ── all ──> each manifest ──> config and layers, several at once
//!   │      └─── one ───┘                        │ as they are, or packed anew (`layer::pack`)
//!   └────────────────────────────────────────── then the manifest, then the index: what names comes last
//! ```
//!
//! Nothing is named before it is there, so a copy that stops leaves the place as it was, but for blobs.

mod lanes;

use std::sync::{Mutex, PoisonError};

use super::edit::Edit;
use super::load::choose;
use super::platform::Platform;
use super::{Blob, Descriptor, Put, Sink, Source, Supply, Takes};
use crate::digest::Digest;
use crate::error::{Context, Error, Kind, Result};
use crate::layer::pack;
pub use crate::layer::pack::Packing;
use crate::media::{Compression, Family};
use crate::progress::{Bar, Teller, count, size};
use crate::reference::Reference;
use crate::signature::Signature;

/// What of an index is copied.
#[derive(Debug, Clone)]
pub enum Choice {
    /// The image for a platform; `None` is this machine's.
    One(Option<Platform>),
    /// All of it.
    All,
}

/// How to copy.
#[derive(Debug, Clone)]
pub struct Options {
    /// What of an index is copied.
    pub choice: Choice,
    /// Nothing may change: an error where something would have to.
    pub preserve_digests: bool,
    /// Whose words the documents are to speak; `None` leaves them, where the place takes them.
    pub family: Option<Family>,
    /// How all layers are to be packed; `None` leaves them, where the place takes them.
    pub packing: Option<Packing>,
    /// Whether the source's signatures go along.
    pub signatures: bool,
}

impl Default for Options {
    fn default() -> Self {
        let choice = Choice::One(None);
        Self { choice, preserve_digests: false, family: None, packing: None, signatures: false }
    }
}

/// A copy that is under way.
struct Copy<'a> {
    source: &'a dyn Source,
    sink: &'a dyn Sink,
    takes: Takes,
    options: &'a Options,
    teller: &'a dyn Teller,
    /// What goes beside the documents when they are there.
    signatures: Mutex<Vec<(Digest, Vec<Signature>)>>,
}

/// Copies; gives what the sink stands for now, and its bytes.
pub fn copy(
    source: &dyn Source,
    sink: &dyn Sink,
    options: &Options,
    teller: &dyn Teller,
) -> Result<(Descriptor, Vec<u8>)> {
    let copy = Copy { source, sink, takes: sink.takes(), options, teller, signatures: Mutex::default() };
    let (descriptor, bytes) = copy.top()?;
    sink.put_top(&descriptor, &bytes)?;
    for (digest, signatures) in copy.signatures.into_inner().unwrap_or_else(PoisonError::into_inner) {
        sink.put_signatures(&digest, &signatures)
            .while_doing(|| format!("copy the signatures of {digest}"))?;
        teller.tell(&format!("copied {} of {}", count(signatures.len(), "signature"), digest.short()));
    }
    Ok((descriptor, bytes))
}

impl Copy<'_> {
    /// Brings over all that the sink is to stand for, but for the document itself.
    fn top(&self) -> Result<(Descriptor, Vec<u8>)> {
        let (top, bytes) = self.source.top()?;
        let edit = Edit::new(&top.media_type, &bytes)?;
        match (&self.options.choice, edit.is_index()) {
            (Choice::All, true) if !self.takes.indexes => {
                let what = format!("{} takes one image, not an index", self.sink.name());
                Err(Error::new(Kind::Unsupported, what).hint("leave --all away, or choose with --platform"))
            }
            (Choice::All, true) => self.index(edit),
            (Choice::One(platform), true) => {
                let (chosen, bytes) = choose(self.source, platform.as_ref(), top, bytes)?;
                self.manifest(Edit::new(&chosen.media_type, &bytes)?)
            }
            (_, false) => self.manifest(edit),
        }
    }

    /// Everything that an index names, and the index as it is then.
    fn index(&self, mut index: Edit) -> Result<(Descriptor, Vec<u8>)> {
        for (n, child) in index.manifests()?.iter().enumerate() {
            let step = || format!("manifest {child}");
            let bytes = self.source.document(child).while_doing(step)?;
            let edit = Edit::new(&child.media_type, &bytes).while_doing(step)?;
            let (now, bytes) = match edit.is_index() {
                true => self.index(edit),
                false => self.manifest(edit),
            }
            .while_doing(step)?;
            self.sink.put_child(&now, &bytes).while_doing(step)?;
            if now != *child {
                index.replace("manifests", n, &now);
            }
        }
        self.in_other_words(&mut index)?;
        self.unchanged(&index, "the index")?;
        index.done()
    }

    /// Config and layers of a manifest, and the manifest as it is then.
    fn manifest(&self, mut manifest: Edit) -> Result<(Descriptor, Vec<u8>)> {
        let (config, layers) = (manifest.config()?, manifest.layers()?);
        let diff_ids = self.diff_ids(&config, &layers)?;
        let mut jobs: Vec<(Descriptor, Option<Packing>, Option<String>)> = Vec::new();
        let mut copied = Vec::new();
        for (n, layer) in layers.iter().enumerate() {
            if self.takes.leaves_foreign && manifest.is_foreign(n) {
                self.teller.tell(&format!("left {} at its URL", layer.digest.short()));
                continue;
            }
            let id = diff_ids.as_ref().and_then(|ids| ids.get(n).cloned());
            jobs.push((layer.clone(), self.packing_of(layer, id.is_some()), id));
            copied.push(n);
        }
        let now = lanes::each(&jobs, self.takes.lanes, |(layer, packing, id)| {
            let name = || format!("layer {layer}");
            match packing {
                None => self.blob(layer).map(|()| layer.clone()).while_doing(name),
                Some(packing) => self.packed(layer, *packing, id.as_deref()).while_doing(name),
            }
        })?;
        for (n, now) in copied.into_iter().zip(&now) {
            if layers[n] != *now {
                manifest.replace("layers", n, now);
            }
        }
        self.in_other_words(&mut manifest)?;
        self.unchanged(&manifest, "the manifest")?;
        self.blob(&config).while_doing(|| format!("config {config}"))?;
        manifest.done()
    }

    /// One blob as it is, unless it is there.
    fn blob(&self, descriptor: &Descriptor) -> Result<()> {
        if self.sink.has(descriptor)? {
            self.teller.tell(&format!("kept {}", descriptor.digest.short()));
            return Ok(());
        }
        let supply = FromSource { source: self.source, descriptor };
        self.put(descriptor, &supply)
    }

    fn put(&self, descriptor: &Descriptor, supply: &dyn Supply) -> Result<()> {
        let bar = self.teller.follow(descriptor.digest.short(), descriptor.size);
        let (name, size) = (descriptor.digest.short(), size(descriptor.size));
        match self.sink.put_blob(descriptor, &Followed { supply, bar })? {
            Put::Sent => self.teller.tell(&format!("copied {name} ({size})")),
            Put::Mounted => self.teller.tell(&format!("mounted {name} ({size})")),
        }
        Ok(())
    }

    /// One layer packed in another way.
    fn packed(&self, layer: &Descriptor, packing: Packing, diff_id: Option<&str>) -> Result<Descriptor> {
        let family = Family::of(&layer.media_type);
        let packed = pack::repack(self.source.blob(layer)?, layer, packing, diff_id)?;
        let media_type = family.layer(packing.compression);
        let now = Descriptor { media_type, digest: packed.digest.clone(), size: packed.size };
        match self.sink.has(&now)? {
            true => self.teller.tell(&format!("kept {}", now.digest.short())),
            false => self.put(&now, &packed)?,
        }
        Ok(now)
    }

    /// How a layer is to be packed, where that is another way than it is.
    fn packing_of(&self, layer: &Descriptor, is_of_an_image: bool) -> Option<Packing> {
        let own = Compression::of(&layer.media_type).ok().filter(|_| is_of_an_image)?;
        let wanted = match (self.options.packing, self.takes.plain) {
            (_, true) => Some(Packing::plain()),
            (Some(packing), _) => Some(packing),
            (None, _) => self.packs_anyway().then(Packing::gzip).filter(|_| own == Compression::None),
        };
        wanted.filter(|packing| packing.compression != own)
    }

    /// Whether plain layers are packed though nobody asked for it.
    fn packs_anyway(&self) -> bool {
        self.takes.packs && self.source.is_made_up() && !self.options.preserve_digests
    }

    /// The diffIDs, where the configuration is an image's.
    fn diff_ids(&self, config: &Descriptor, layers: &[Descriptor]) -> Result<Option<Vec<String>>> {
        let image = [Family::Oci, Family::Docker].iter().any(|family| family.config() == config.media_type);
        if !image || layers.iter().any(|layer| Compression::of(&layer.media_type).is_err()) {
            return Ok(None);
        }
        let bytes = self.source.document(config).while_doing(|| format!("config {config}"))?;
        let config: serde_json::Value = super::json(&bytes)?;
        let ids = config["rootfs"]["diff_ids"].as_array().into_iter().flatten();
        Ok(Some(ids.filter_map(|id| id.as_str().map(str::to_owned)).collect()))
    }

    fn in_other_words(&self, document: &mut Edit) -> Result<()> {
        match self.options.family.or(self.takes.family) {
            Some(family) => document.speak(family),
            None => Ok(()),
        }
    }

    fn unchanged(&self, document: &Edit, what: &str) -> Result<()> {
        let changed = document.is_changed();
        if self.options.preserve_digests && changed {
            let what =
                format!("{what} would change for {}, and --preserve-digests forbids it", self.sink.name());
            return Err(Error::new(Kind::Unsupported, what));
        }
        let digest = document.digest_before();
        let signatures = match self.options.signatures {
            true => self.source.signatures(&digest)?,
            false => Vec::new(),
        };
        if changed && !signatures.is_empty() {
            let what = format!("{what} would change for {}, and it is signed as it is", self.sink.name());
            return Err(
                Error::new(Kind::Unsupported, what).hint("copy without signatures: --remove-signatures")
            );
        }
        if !signatures.is_empty() {
            let mut all = self.signatures.lock().unwrap_or_else(PoisonError::into_inner);
            all.push((digest, signatures));
        }
        Ok(())
    }
}

/// A supply whose bytes are counted while they are read.
struct Followed<'a> {
    supply: &'a dyn Supply,
    bar: Bar,
}

impl Supply for Followed<'_> {
    fn open(&self) -> Result<Blob> {
        Ok(self.supply.open()?.followed(&self.bar))
    }

    fn origins(&self) -> Vec<Reference> {
        self.supply.origins()
    }
}

/// A blob of a source.
struct FromSource<'a> {
    source: &'a dyn Source,
    descriptor: &'a Descriptor,
}

impl Supply for FromSource<'_> {
    fn open(&self) -> Result<Blob> {
        self.source.blob(self.descriptor)
    }

    fn origins(&self) -> Vec<Reference> {
        self.source.origins(self.descriptor)
    }
}
