//! `unpack`: an image to a bundle.

use std::path::PathBuf;

use super::{Global, Remote};
use crate::bundle::{Stage, config};
use crate::error::{Context, Result};
use crate::image::Source;
use crate::image::load::load;
use crate::image::pull::{self, Freshness, Which};
use crate::interrupt;
use crate::layer::Layer;
use crate::layer::extract::{Extractor, Ownership};
use crate::media::Compression;
use crate::place::Place;
use crate::reference::Reference;

#[derive(Debug, clap::Args)]
pub(super) struct Unpack {
    /// The image: `[HOST[:PORT]/]NAME[:TAG][@DIGEST]`, or another place, see `copy`
    #[arg(value_name = "IMAGE")]
    place: Place,
    /// The bundle: a directory that is missing or empty
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Copy the layers into a root file system of the bundle's own
    #[arg(long)]
    copy: bool,
    #[command(flatten)]
    remote: Remote,
}

impl Unpack {
    pub(super) fn run(&self, global: &Global) -> Result<()> {
        interrupt::watch()?;
        // The archive's modes are to be the files' modes.
        rustix::process::umask(rustix::fs::Mode::empty());
        let name = || format!("unpack {}", self.place);
        let stage = Stage::open(&self.dir).while_doing(name)?;
        match &self.place {
            Place::Registry(reference, _) => self.pull(global, reference, stage),
            place => self.copy(&*self.remote.source(global, place).while_doing(name)?, stage, global),
        }
        .while_doing(name)?;
        super::Teller::tell(global, &format!("unpacked {} into {}", self.place, self.dir.display()));
        Ok(())
    }

    /// Through the store, while it arrives.
    fn pull(&self, global: &Global, reference: &Reference, stage: Stage) -> Result<()> {
        let store = global.store()?;
        let settings = self.remote.settings();
        let mut pull = pull::Pull::new(&store, reference, &settings, global);
        pull.platform = self.remote.platform.as_ref();
        let made = self.fill(&pull, stage);
        if made.is_err() {
            store.undo_added()?;
        }
        made
    }

    /// Straight from a place, whose layers are read once.
    fn copy(&self, source: &dyn Source, stage: Stage, global: &Global) -> Result<()> {
        let image = load(source, self.remote.platform.as_ref(), global)?;
        let mut extractor = Extractor::new(&stage.rootfs(), ownership())?;
        for (descriptor, diff_id) in image.manifest.layers.iter().zip(&image.config.diff_ids) {
            let compression = Compression::of(&descriptor.media_type)?;
            let layer = Layer { name: format!("layer {descriptor}"), compression, diff_id: diff_id.clone() };
            layer.apply(source.blob(descriptor)?, &mut extractor)?;
        }
        let config = config::convert(&image.config.document, &stage.rootfs(), ownership())?;
        stage.finish(&config)
    }

    fn fill(&self, pull: &pull::Pull<'_>, stage: Stage) -> Result<()> {
        let image = pull.image(Freshness::Keep)?;
        let mut extractor = Extractor::new(&stage.rootfs(), ownership())?;
        pull.layers(&image, Which::All, |layer, blob| layer.apply(blob, &mut extractor))?;
        let config = config::convert(&image.config.document, &stage.rootfs(), ownership())?;
        pull.record(&image)?;
        stage.finish(&config)
    }
}

fn ownership() -> Ownership {
    match rustix::process::geteuid().is_root() {
        true => Ownership::Archive,
        false => Ownership::Caller,
    }
}
