//! What commands that make images share: the words for history and packing, and where the image goes.

use std::sync::Arc;

use serde_json::json;

use super::transfer::Pack;
use super::{Global, Teller};
use crate::error::{Error, Kind, Result};
use crate::image::copy::{self, Packing};
use crate::image::draft::{Draft, History};
use crate::media::Compression;
use crate::place::{Opening, Place};
use crate::progress::Bar;
use crate::registry::Settings;
use crate::store::Store;

/// The line that a change adds to the image's history.
#[derive(Debug, clap::Args)]
pub(super) struct Line {
    /// Who made the change
    #[arg(long = "history.author", alias = "author", value_name = "NAME")]
    history_author: Option<String>,
    /// Words about it
    #[arg(long = "history.comment", aliases = ["message", "comment"], short = 'm', value_name = "TEXT")]
    history_comment: Option<String>,
    /// When, as RFC 3339 [default: SOURCE_DATE_EPOCH, else now]
    #[arg(long = "history.created", value_name = "TIME")]
    history_created: Option<String>,
    /// What made the change [default: this command]
    #[arg(long = "history.created_by", alias = "history.created-by", value_name = "COMMAND")]
    history_created_by: Option<String>,
    /// Add no line to the history
    #[arg(long)]
    no_history: bool,
}

impl Line {
    /// Adds the line.
    pub(super) fn add(&self, draft: &mut Draft<'_>, command: &str, empty: bool) -> Result<()> {
        if self.no_history {
            return Ok(());
        }
        let created_by = self.history_created_by.clone().unwrap_or_else(|| format!("mocker-image {command}"));
        let history = History {
            created_by: Some(created_by),
            author: self.history_author.clone(),
            comment: self.history_comment.clone(),
            created: self.history_created.clone(),
        };
        draft.note(&history, empty)
    }
}

/// How a new layer is packed.
#[derive(Debug, clap::Args)]
pub(super) struct Packed {
    /// Pack the new layer so
    #[arg(long, visible_alias = "compress-format", value_name = "FORMAT", default_value = "gzip")]
    compress: Pack,
    /// How hard to pack: gzip 0 to 9, zstd 1 to 22
    #[arg(long, value_name = "LEVEL", allow_hyphen_values = true)]
    compress_level: Option<i32>,
}

impl Packed {
    pub(super) fn packing(&self) -> Result<Packing> {
        let compression = match self.compress {
            Pack::Gzip => Compression::Gzip,
            Pack::Zstd => Compression::Zstd,
            Pack::None => Compression::None,
        };
        Packing { compression, level: self.compress_level }.checked()
    }
}

/// Brings a finished draft to a place and prints its digest. A name alone is the store's.
pub(super) fn deliver(global: &Global, mut draft: Draft<'_>, to: &Place, settings: &Settings) -> Result<()> {
    draft.seal()?;
    let to = stored(to);
    let store = std::cell::OnceCell::<Arc<Store>>::new();
    let open = || {
        let opened = store.get().cloned().map_or_else(|| global.store(), Ok)?;
        Ok(Arc::clone(store.get_or_init(|| opened)))
    };
    let opening = Opening::new(&open, settings);
    let sink = to.sink(&opening)?;
    let copied = copy::copy(&draft, &*sink, &copy::Options::default(), &Quiet(global));
    if let (Err(_), Some(store)) = (&copied, store.get()) {
        store.undo_added()?;
    }
    let (top, ..) = copied?;
    global.tell(&format!("wrote {to}"));
    let place = to.to_string();
    let form = || {
        let digest = top.digest.to_string();
        json!({ "place": place, "media_type": top.media_type, "digest": digest, "size": top.size })
    };
    global.answer(form, || format!("{}\n", top.digest))
}

/// Without an index, and without a word for each layer that stays.
struct Quiet<'a>(&'a Global);

impl Teller for Quiet<'_> {
    fn tell(&self, line: &str) {
        if !line.starts_with("kept ") {
            self.0.tell(line);
        }
    }

    fn follow(&self, name: &str, total: u64) -> Bar {
        self.0.follow(name, total)
    }
}

/// A name alone is the store's here, since nothing is pulled and nothing pushed.
pub(super) fn stored(place: &Place) -> Place {
    match place {
        Place::Registry(reference, false) => Place::Store(reference.clone()),
        place => place.clone(),
    }
}

/// A value that one of two ways must give.
pub(super) fn either<T: Clone>(one: Option<&T>, other: Option<&T>, what: &str) -> Result<T> {
    match (one, other) {
        (Some(value), None) | (None, Some(value)) => Ok(value.clone()),
        _ => Err(Error::new(Kind::Invalid, format!("say once {what}"))),
    }
}
