//! `pull`: an image into the store.

use super::sign::Signed;
use super::{Global, Remote, print};
use crate::error::{Context, Result};
use crate::image::pull::{self, Freshness, Which};
use crate::interrupt;
use crate::place::Place;
use crate::reference::Reference;

#[derive(Debug, clap::Args)]
pub(super) struct Pull {
    /// The image: `[HOST[:PORT]/]NAME[:TAG][@DIGEST]`
    #[arg(value_name = "IMAGE")]
    reference: Reference,
    #[command(flatten)]
    signed: Signed,
    #[command(flatten)]
    remote: Remote,
}

impl Pull {
    /// Prints the digest that the name stands for.
    pub(super) fn run(&self, global: &Global) -> Result<()> {
        interrupt::watch()?;
        let place = Place::Registry(self.reference.clone(), true);
        let demands =
            self.signed.demands(global, &place).while_doing(|| format!("pull {}", self.reference))?;
        let store = global.store()?;
        store.sweep()?;
        let settings = self.remote.settings();
        let mut pull = pull::Pull::new(&store, &self.reference, &settings, global);
        pull.demands = &demands;
        pull.platform = self.remote.platform.as_ref();
        let pulled = pull.image(Freshness::Ask).and_then(|image| {
            pull.layers(&image, Which::Missing, |_, layer, blob| layer.verify(blob))?;
            pull.record(&image)?;
            Ok(image.top.digest)
        });
        if pulled.is_err() {
            store.undo_added()?;
        }
        let digest = pulled.while_doing(|| format!("pull {}", self.reference))?;
        print(format!("{digest}\n"))
    }
}
