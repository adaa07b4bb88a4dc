//! `inspect`: an image's documents, from the store or else from its registry.

use super::{Global, Remote, print};
use crate::error::{Context, Error, Kind, Result};
use crate::image::pull::{Freshness, Pull};
use crate::image::view::View;
use crate::interrupt;
use crate::reference::Reference;

#[derive(Debug, clap::Args)]
pub(super) struct Inspect {
    /// The image: `[HOST[:PORT]/]NAME[:TAG][@DIGEST]`
    #[arg(value_name = "IMAGE")]
    reference: Reference,
    /// Print the manifest or the index, byte by byte
    #[arg(long, conflicts_with = "config")]
    raw: bool,
    /// Print the image's configuration, byte by byte
    #[arg(long)]
    config: bool,
    #[command(flatten)]
    remote: Remote,
}

impl Inspect {
    pub(super) fn run(&self, global: &Global) -> Result<()> {
        interrupt::watch()?;
        let store = global.store()?;
        let settings = self.remote.settings();
        let mut pull = Pull::new(&store, &self.reference, &settings, global);
        pull.platform = self.remote.platform.as_ref();
        let text = self.text(&pull).while_doing(|| format!("inspect {}", self.reference));
        // What was only looked at is not kept.
        store.undo_added()?;
        print(text?)
    }

    fn text(&self, pull: &Pull<'_>) -> Result<Vec<u8>> {
        if self.raw {
            return Ok(pull.top(Freshness::Keep)?.1);
        }
        let image = pull.image(Freshness::Keep)?;
        if self.config {
            let config = pull.store.document(&image.manifest.config)?;
            return config.ok_or_else(|| Error::new(Kind::NotFound, "the config vanished from the store"));
        }
        let view = View::new(pull.store, &self.reference, &image, self.tags(pull)?)?;
        let text = serde_json::to_vec_pretty(&view).map_err(|e| Error::new(Kind::Internal, e.to_string()))?;
        Ok([text, b"\n".to_vec()].concat())
    }

    /// The other tags: those in the store of an image that is there, else the registry's.
    fn tags(&self, pull: &Pull<'_>) -> Result<Vec<String>> {
        if pull.store.record(&self.reference)?.is_none() {
            return match pull.tags() {
                // Who may see an image may not see all of its repository.
                Err(e) if matches!(e.kind(), Kind::Denied | Kind::NotFound) => Ok(Vec::new()),
                tags => tags,
            };
        }
        let records = pull.store.records()?.into_iter();
        let names = records.filter_map(|record| record.name.parse::<Reference>().ok());
        let same = names.filter(|name| name.name() == self.reference.name());
        Ok(same.filter_map(|name| name.tag().map(str::to_owned)).collect())
    }
}
