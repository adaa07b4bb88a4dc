//! A bundle's root beside the image's, to be compared.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{CWD, Mode, OFlags};

use super::note::{FILES, FOLDER, Note, Way};
use super::stack::Stack;
use crate::error::{Context, Error, Kind, Result};
use crate::image::tree::Tree;
use crate::image::{Config, Document, Image, Source};
use crate::layer::diff::{self, Change, Trees};
use crate::layer::inventory::{Found, Inventory};
use crate::overlay;
use crate::place::{Opening, Place};
use crate::registry::Settings;
use crate::store::Store;
use crate::store::place::Held;

/// A bundle and its image.
pub struct Compared {
    /// The bundle's note.
    pub note: Note,
    /// The image that it was made from.
    pub image: Image,
    /// The bundle's root.
    pub now: OwnedFd,
    /// Where the image's blobs are: the store, or the place that it was unpacked from.
    pub base: Box<dyn Source>,
    was: Was,
}

/// What tells what the bundle's files were.
enum Was {
    /// An overlay: the image's tree and the bundle's, mounted, and its upper directory.
    Layers { base: OwnedFd, upper: OwnedFd, _mounts: [OwnedFd; 2] },
    /// A list from when the copy was made; without one only the image.
    Copy(Option<Inventory>),
}

impl Compared {
    /// Opens a bundle.
    pub fn open(dir: &Path) -> Result<Self> {
        let note = Note::of(dir)?;
        let store = Arc::new(Store::open(&note.store)?);
        if note.way != Way::Copy {
            let absolute = std::path::absolute(dir).while_doing(|| format!("find {}", dir.display()))?;
            store.find_user(&note.id, &note.user(absolute), &dir.join(FOLDER).join("keep"))?;
        }
        let base = source(&store, &note)?;
        let image = image(&*base, &note)?;
        match note.way {
            Way::Copy => Self::of_copy(dir, note, image, base),
            Way::Overlay | Way::Mounted => Self::of_overlay(dir, note, image, (base, &store)),
        }
    }

    fn of_overlay(
        dir: &Path,
        note: Note,
        image: Image,
        (base, store): (Box<dyn Source>, &Arc<Store>),
    ) -> Result<Self> {
        let (mut lower, upper) = (note.lower(), dir.join(FOLDER).join("upper"));
        let merged = Stack::new(store, &image.config.diff_ids).merged()?;
        // As the topmost of the lower ones: the container may be running.
        lower.push(upper.clone());
        let mounted = overlay::mount(&lower, None)?;
        let (was, now) = (overlay::open(&merged)?, overlay::open(&mounted)?);
        let was = Was::Layers { base: was, upper: directory(&upper)?, _mounts: [merged, mounted] };
        Ok(Self { note, image, now, base, was })
    }

    fn of_copy(dir: &Path, note: Note, image: Image, base: Box<dyn Source>) -> Result<Self> {
        let list = note.files.map(|head| Inventory::open(&dir.join(FOLDER).join(FILES), head)).transpose()?;
        let now = directory(&dir.join("rootfs"))?;
        Ok(Self { note, image, now, base, was: Was::Copy(list.flatten()) })
    }

    /// What was changed, but for what is at and below the masked paths.
    pub fn changes(&self, masks: &[Vec<u8>]) -> Result<Vec<Change>> {
        match &self.was {
            Was::Layers { base, upper, .. } => {
                diff::changes(&Trees { base, now: &self.now, upper: Some(upper) }, masks)
            }
            Was::Copy(None) => {
                let copy = self.unpack()?;
                diff::changes(&Trees { base: &copy.open()?, now: &self.now, upper: None }, masks)
            }
            Was::Copy(Some(list)) => self.listed(list.compare(&self.now, masks)?),
        }
    }

    /// All changes of a list; of what is in doubt the image tells.
    fn listed(&self, Found { changes, doubtful }: Found) -> Result<Vec<Change>> {
        if doubtful.is_empty() {
            return Ok(changes);
        }
        let copy = self.unpack()?;
        let (base, mut all) = (copy.open()?, Vec::new());
        for (n, change) in changes.into_iter().enumerate() {
            if !doubtful.contains(&n) || !diff::is_same(&base, &self.now, &change.path)? {
                all.push(change);
            }
        }
        Ok(all)
    }

    /// The image, unpacked once more.
    fn unpack(&self) -> Result<Tree> {
        Tree::of(&*self.base, &self.image, ("base", self.note.manner()))
    }
}

fn directory(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, path, flags, Mode::empty()).while_doing(|| format!("open {}", path.display()))
}

/// Where the image of a bundle can be read: the store, unless only the place that it came from has it.
fn source(store: &Arc<Store>, note: &Note) -> Result<Box<dyn Source>> {
    if store.document(&note.manifest)?.is_some() {
        return Ok(Box::new(Held::new(store)));
    }
    let open = || Ok(Arc::clone(store));
    let settings = Settings::default();
    let opening = Opening::new(&open, &settings);
    let place: Place = note.image.parse()?;
    match place {
        Place::Registry(reference, _) => {
            let e = Error::new(
                Kind::NotFound,
                format!("{reference} is not in the store {}", note.store.display()),
            );
            Err(e.hint(format!("get it with `mocker-image pull {reference}`")))
        }
        place => place.source(&opening),
    }
}

/// The documents of a bundle's image.
fn image(source: &dyn Source, note: &Note) -> Result<Image> {
    let step = || format!("read the image of the bundle, {}", note.image);
    let bytes = source.document(&note.manifest).while_doing(step)?;
    let Document::Manifest(manifest) = Document::parse(&bytes, &note.manifest.media_type)? else {
        return Err(Error::invalid("the bundle's image is an index")).while_doing(step);
    };
    let config_bytes = source.document(&manifest.config).while_doing(step)?;
    let config = Config::parse(&config_bytes, &manifest).while_doing(step)?;
    let top = note.manifest.clone();
    Ok(Image { descriptor: top.clone(), top, bytes, manifest, config, config_bytes })
}
