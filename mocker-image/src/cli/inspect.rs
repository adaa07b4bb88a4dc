//! `inspect`: an image's documents, from any place.

use super::{Global, Remote, print};
use crate::error::{Context, Error, Kind, Result};
use crate::image::load::load;
use crate::image::view::View;
use crate::image::{Image, Source};
use crate::interrupt;
use crate::place::Place;
use crate::reference::Reference;
use crate::registry::remote::Remote as Registry;

#[derive(Debug, clap::Args)]
pub(super) struct Inspect {
    /// The image: a name (the store's or else its registry's) or a place, see `copy`
    #[arg(value_name = "IMAGE")]
    place: Place,
    /// Print the manifest or the index, byte by byte
    #[arg(long, conflicts_with = "config")]
    raw: bool,
    /// Print the index of what refers to the image at its registry: signatures, lists of parts ...
    #[arg(long, conflicts_with_all = ["raw", "config"])]
    referrers: bool,
    /// Print the image's configuration, byte by byte
    #[arg(long)]
    config: bool,
    /// Do not ask for the repository's other tags
    #[arg(long, short)]
    no_tags: bool,
    #[command(flatten)]
    remote: Remote,
}

impl Inspect {
    pub(super) fn run(&self, global: &Global) -> Result<()> {
        interrupt::watch()?;
        print(self.text(global).while_doing(|| format!("inspect {}", self.place))?)
    }

    fn text(&self, global: &Global) -> Result<Vec<u8>> {
        let source: Box<dyn Source> = self.remote.source(global, &self.place)?;
        if self.referrers {
            let reference = self.place.reference().ok_or_else(|| {
                Error::new(Kind::Unsupported, "only what stands at a registry is referred to")
            })?;
            let mut bytes =
                Registry::new(reference, &self.remote.settings())?.referrers(&source.top()?.0.digest)?;
            bytes.push(b'\n');
            return Ok(bytes);
        }
        if self.raw {
            return Ok(source.top()?.1);
        }
        let image: Image = load(&*source, self.remote.platform.as_ref(), global)?;
        if self.config {
            return Ok(image.config_bytes);
        }
        let name = self.place.reference().map_or_else(|| source.name(), Reference::name);
        let tag = self.place.reference().and_then(Reference::tag);
        let view = View::new(name, tag, &image, self.tags(global)?)?;
        let text = serde_json::to_vec_pretty(&view).map_err(|e| Error::new(Kind::Internal, e.to_string()))?;
        Ok([text, b"\n".to_vec()].concat())
    }

    /// The other tags: those in the store of an image that is there, else the registry's.
    fn tags(&self, global: &Global) -> Result<Vec<String>> {
        let stored = match &self.place {
            Place::Registry(reference, false) => global.has(reference)?,
            Place::Store(_) => true,
            _ => false,
        };
        match &self.place {
            _ if self.no_tags => Ok(Vec::new()),
            Place::Registry(reference, _) | Place::Store(reference) if stored => {
                let records = global.store()?.records()?.into_iter();
                let names = records.filter_map(|record| record.name.parse::<Reference>().ok());
                let same = names.filter(|name| name.name() == reference.name());
                Ok(same.filter_map(|name| name.tag().map(str::to_owned)).collect())
            }
            Place::Registry(reference, _) => {
                match Registry::new(reference, &self.remote.settings())?.tags() {
                    // Who may see an image may not see all of its repository.
                    Err(e) if matches!(e.kind(), Kind::Denied | Kind::NotFound) => Ok(Vec::new()),
                    tags => tags,
                }
            }
            _ => Ok(Vec::new()),
        }
    }
}
