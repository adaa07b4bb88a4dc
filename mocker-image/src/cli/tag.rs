//! `tag`: one more name for an image of the store.

use serde_json::json;

use super::Global;
use crate::error::{Context, Error, Kind, Result};
use crate::reference::Reference;

#[derive(Debug, clap::Args)]
pub(super) struct Tag {
    /// The image, as `list` shows it
    #[arg(value_name = "IMAGE")]
    source: Reference,
    /// The new name; one that stands for another image now stands for this one
    #[arg(value_name = "NAME")]
    name: Reference,
}

impl Tag {
    pub(super) fn run(&self, global: &Global) -> Result<()> {
        self.tag(global).while_doing(|| format!("tag {} as {}", self.source, self.name))
    }

    fn tag(&self, global: &Global) -> Result<()> {
        if self.name.digest().is_some() {
            return Err(Error::invalid("a new name has a tag, not a digest"));
        }
        let store = global.store()?;
        let record = store.record(&self.source)?.ok_or_else(|| {
            let e = Error::new(Kind::NotFound, "there is no such image in the store");
            e.hint(format!("get it with `mocker-image pull {}`", self.source))
        })?;
        store.point(&self.name, &record.top, &record.manifest)?;
        let digest = record.top.digest.to_string();
        global.answer(|| json!({ "name": self.name.to_string(), "digest": digest }), String::new)
    }
}
