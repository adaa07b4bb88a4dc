//! `unpack`: an image to a bundle.

use std::path::PathBuf;

use super::{Global, Remote};
use crate::bundle::{Stage, config};
use crate::error::{Context, Result};
use crate::image::pull::{self, Freshness, Which};
use crate::interrupt;
use crate::layer::extract::{Extractor, Ownership};
use crate::reference::Reference;

#[derive(Debug, clap::Args)]
pub(super) struct Unpack {
    /// The image: `[HOST[:PORT]/]NAME[:TAG][@DIGEST]`
    #[arg(value_name = "IMAGE")]
    reference: Reference,
    /// The bundle: a directory that is missing or empty
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    #[command(flatten)]
    remote: Remote,
}

impl Unpack {
    pub(super) fn run(&self, global: &Global) -> Result<()> {
        interrupt::watch()?;
        // The archive's modes are to be the files' modes.
        rustix::process::umask(rustix::fs::Mode::empty());
        let name = || format!("unpack {}", self.reference);
        let stage = Stage::open(&self.dir).while_doing(name)?;
        let store = global.store()?;
        let settings = self.remote.settings();
        let mut pull = pull::Pull::new(&store, &self.reference, &settings, global);
        pull.platform = self.remote.platform.as_ref();
        let made = self.fill(&pull, stage);
        if made.is_err() {
            store.undo_added()?;
        }
        made.while_doing(name)?;
        super::Teller::tell(global, &format!("unpacked {} into {}", self.reference, self.dir.display()));
        Ok(())
    }

    fn fill(&self, pull: &pull::Pull<'_>, stage: Stage) -> Result<()> {
        let ownership = match rustix::process::geteuid().is_root() {
            true => Ownership::Archive,
            false => Ownership::Caller,
        };
        let image = pull.image(Freshness::Keep)?;
        let mut extractor = Extractor::new(&stage.rootfs(), ownership)?;
        pull.layers(&image, Which::All, |layer, blob| layer.apply(blob, &mut extractor))?;
        let config = config::convert(&image.config.document, &stage.rootfs(), ownership)?;
        pull.record(&image)?;
        stage.finish(&config)
    }
}
