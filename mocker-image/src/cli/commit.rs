//! `commit`, `repack`: what a container changed becomes a layer of a new image.

use std::io;
use std::path::PathBuf;

use super::author::{Line, Packed, deliver, either, stored};
use super::diff::masks;
use super::{Access, Global, Teller};
use crate::bundle::base::Compared;
use crate::bundle::note::{FILES, FOLDER, Note, Way};
use crate::error::{Context, Error, Kind, Result};
use crate::image::draft::Draft;
use crate::image::{Descriptor, Source};
use crate::interrupt;
use crate::layer::create::Creator;
use crate::layer::extract::Ownership;
use crate::layer::pack::Packer;
use crate::place::Place;

#[derive(Debug, clap::Args)]
pub(super) struct Commit {
    /// The bundle
    #[arg(value_name = "BUNDLE")]
    dir: PathBuf,
    /// What the new image is to be: a name in the store, or a place, see `copy`
    #[arg(value_name = "IMAGE")]
    to: Option<Place>,
    /// The same, umoci's way
    #[arg(long, value_name = "IMAGE", hide = true)]
    image: Option<Place>,
    /// Leave changes at this path and below it out; may be repeated
    #[arg(long, value_name = "PATH")]
    mask_path: Vec<String>,
    /// From now on the bundle is one of the new image (not for an overlay)
    #[arg(long)]
    refresh_bundle: bool,
    #[command(flatten)]
    line: Line,
    #[command(flatten)]
    packed: Packed,
    #[command(flatten)]
    access: Access,
}

impl Commit {
    /// The bundle.
    pub(super) fn bundle(&self) -> &std::path::Path {
        &self.dir
    }

    pub(super) fn run(&self, global: &Global) -> Result<()> {
        interrupt::watch()?;
        let to = either(self.to.as_ref(), self.image.as_ref(), "what the new image is to be")?;
        let step = || format!("commit {} as {}", self.dir.display(), stored(&to));
        self.commit(global, &to).while_doing(step)
    }

    fn commit(&self, global: &Global, to: &Place) -> Result<()> {
        let compared = Compared::open(&self.dir)?;
        if self.refresh_bundle && compared.note.way != Way::Copy {
            let what = "an overlay's layers cannot be exchanged";
            return Err(Error::new(Kind::Unsupported, what).hint("unpack the new image instead"));
        }
        let found = compared.changes(&masks(&self.mask_path))?;
        let mut draft = Draft::of(&*compared.base, &compared.image)?;
        if found.is_empty() {
            global.tell("nothing was changed: the new image gets no layer");
        } else {
            let packing = self.packed.packing()?;
            let rootless = Ownership::usual() == Ownership::Caller;
            let mut creator = Creator::new(Packer::new(packing)?, rootless)?.mapped(compared.note.mapped());
            creator.changes(&compared.now, &found)?;
            draft.push(creator.finish()?.finish()?, packing.compression);
        }
        self.line.add(&mut draft, "commit", found.is_empty())?;
        draft.seal()?;
        let (manifest, _) = draft.top()?;
        deliver(global, draft, to, &self.access.settings())?;
        match self.refresh_bundle {
            true => self.refresh(compared.note.clone(), manifest, to),
            false => Ok(()),
        }
    }

    fn refresh(&self, note: Note, manifest: Descriptor, to: &Place) -> Result<()> {
        // The list tells what the files were when they were the old image's.
        let note = Note { manifest, image: stored(to).absolute()?.to_string(), files: None, ..note };
        let folder = self.dir.join(FOLDER);
        for path in [folder.join("bundle.json"), folder.join(FILES)] {
            match std::fs::remove_file(&path) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                other => other.while_doing(|| format!("replace {}", path.display()))?,
            }
        }
        note.write(&folder)
    }
}
