//! `tag`: one more name for an image, where it is.

use serde_json::json;

use super::{Access, Global};
use crate::error::{Context, Error, Kind, Result};
use crate::image::{Descriptor, Source};
use crate::interrupt;
use crate::place::{Opening, Place};
use crate::reference::Reference;

#[derive(Debug, clap::Args)]
pub(super) struct Tag {
    /// The image, as `list` shows it, or `docker://NAME` at its registry, or `oci:DIR:NAME`
    #[arg(value_name = "IMAGE")]
    source: Place,
    /// The new name, at a registry and in a layout only the tag; one that stands for another image now stands
    /// for this one
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    access: Access,
}

impl Tag {
    pub(super) fn run(&self, global: &Global) -> Result<()> {
        interrupt::watch()?;
        let tagged = match &self.source {
            Place::Registry(reference, false) | Place::Store(reference) => self.in_store(global, reference),
            place => self.there(global, place),
        };
        let (name, top) = tagged.while_doing(|| format!("tag {} as {}", self.source, self.name))?;
        let digest = top.digest.to_string();
        global.answer(|| json!({ "name": name, "digest": digest }), String::new)
    }

    fn in_store(&self, global: &Global, source: &Reference) -> Result<(String, Descriptor)> {
        let name: Reference = self.name.parse()?;
        if name.digest().is_some() {
            return Err(Error::invalid("a new name has a tag, not a digest"));
        }
        let store = global.store()?;
        let record = store.record(source)?.ok_or_else(|| {
            let e = Error::new(Kind::NotFound, "there is no such image in the store");
            e.hint(format!(
                "get it with `mocker-image pull {source}`, or name it at its registry: docker://{source}"
            ))
        })?;
        store.point(&name, &record.top, &record.manifest)?;
        Ok((name.to_string(), record.top))
    }

    /// At a registry or in a layout: the same document under one more name.
    fn there(&self, global: &Global, place: &Place) -> Result<(String, Descriptor)> {
        let named = match place {
            Place::Registry(reference, _) => Place::Registry(reference.with_tag(&self.name)?, true),
            Place::Oci(dir, _) => Place::Oci(dir.clone(), Some(self.name.clone())),
            _ => {
                let e = Error::new(Kind::Unsupported, "an image has no more names there");
                return Err(e.hint("copy it to store:NAME"));
            }
        };
        let (settings, store) = (self.access.settings(), || global.store());
        let opening = Opening::new(&store, &settings);
        let (top, bytes) = Source::top(&*place.source(&opening)?)?;
        named.sink(&opening)?.put_top(&top, &bytes)?;
        Ok((named.to_string(), top))
    }
}
