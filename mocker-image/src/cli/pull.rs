//! `pull`: an image into the store.

use serde_json::json;

use super::sign::Signed;
use super::{Global, Remote};
use crate::error::{Context, Error, Result};
use crate::image::pull::{self, Freshness, Which};
use crate::interrupt;
use crate::place::Place;
use crate::reference::Reference;

#[derive(Debug, clap::Args)]
pub(super) struct Pull {
    /// The image: `[HOST[:PORT]/]NAME[:TAG][@DIGEST]`
    #[arg(value_name = "IMAGE", value_parser = at_registry)]
    reference: Reference,
    #[command(flatten)]
    signed: Signed,
    #[command(flatten)]
    remote: Remote,
}

/// The name of an image at its registry.
fn at_registry(text: &str) -> Result<Reference> {
    match text.parse()? {
        Place::Registry(reference, _) => Ok(reference),
        place => Err(Error::invalid(format!(
            "registries are pulled from; `mocker-image copy {place} store:NAME` takes this one"
        ))),
    }
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
            Ok(image)
        });
        if pulled.is_err() {
            store.undo_added()?;
        }
        let image = pulled.while_doing(|| format!("pull {}", self.reference))?;
        let form = || {
            let (top, manifest) = (&image.top, image.descriptor.digest.to_string());
            json!({ "name": self.reference.to_string(), "media_type": top.media_type,
                "digest": top.digest.to_string(), "size": top.size, "manifest": manifest })
        };
        global.answer(form, || format!("{}\n", image.top.digest))
    }
}
