//! `stat`, `flatten`, `export`, `rebase`: an image's layers as a list, as one, and on other ones.

use std::io::{self, Write};
use std::path::PathBuf;

use serde_json::{Value, json};

use super::author::{Line, Packed, deliver, stored};
use super::{Global, Remote, print};
use crate::error::{Context, Error, Result};
use crate::image::draft::Draft;
use crate::image::load::load;
use crate::image::tree::Tree;
use crate::image::{Image, Source};
use crate::interrupt;
use crate::layer::create::Creator;
use crate::layer::extract::Ownership;
use crate::layer::pack::Packer;
use crate::place::Place;
use crate::progress::size;

#[derive(Debug, clap::Args)]
pub(super) struct Stat {
    /// The image: a name or a place, see `copy`
    #[arg(value_name = "IMAGE", required_unless_present = "image")]
    place: Option<Place>,
    /// The same, umoci's way
    #[arg(long, value_name = "IMAGE", hide = true)]
    image: Option<Place>,
    #[command(flatten)]
    remote: Remote,
}

impl Stat {
    pub(super) fn run(&self, global: &Global) -> Result<()> {
        interrupt::watch()?;
        let place = super::author::either(self.place.as_ref(), self.image.as_ref(), "which image")?;
        let read = || {
            let source = self.remote.source(global, &place)?;
            load(&*source, self.remote.platform.as_ref(), global)
        };
        let lines = lines(&read().while_doing(|| format!("read {place}"))?)?;
        if global.json {
            return print(format!("{:#}\n", json!({ "history": lines })));
        }
        let mut text = "LAYER         SIZE      CREATED               CREATED BY\n".to_owned();
        for line in &lines {
            let layer = line["layer"]["digest"].as_str().map_or("<none>", |digest| &digest[7..19]);
            let bytes = line["layer"]["size"].as_u64().map_or_else(|| "-".to_owned(), size);
            let word = |key: &str| line[key].as_str().unwrap_or("-").replace(['\n', '\t'], " ");
            text += &format!("{layer:12}  {bytes:8}  {:20}  {}\n", word("created"), word("created_by"));
        }
        print(text)
    }
}

/// The history, each line with its layer; layers without a line at the end.
fn lines(image: &Image) -> Result<Vec<Value>> {
    let config: Value = crate::image::json(&image.config_bytes)?;
    let mut layers = image.manifest.layers.iter();
    let mut lines = Vec::new();
    for line in config["history"].as_array().into_iter().flatten() {
        let mut line = line.clone();
        let empty = line["empty_layer"] == json!(true);
        line["empty_layer"] = json!(empty);
        line["layer"] = if empty { Value::Null } else { json!(layers.next()) };
        lines.push(line);
    }
    lines.extend(layers.map(|layer| json!({ "layer": layer, "empty_layer": false })));
    Ok(lines)
}

#[derive(Debug, clap::Args)]
pub(super) struct Flatten {
    /// The image: a name in the store, or a place, see `copy`
    #[arg(value_name = "IMAGE")]
    image: Place,
    /// What the new image is to be [default: IMAGE]
    #[arg(long, short, value_name = "IMAGE")]
    tag: Option<Place>,
    #[command(flatten)]
    line: Line,
    #[command(flatten)]
    packed: Packed,
    #[command(flatten)]
    remote: Remote,
}

impl Flatten {
    pub(super) fn run(&self, global: &Global) -> Result<()> {
        interrupt::watch()?;
        let from = stored(&self.image);
        self.flatten(global, &from).while_doing(|| format!("flatten {from}"))
    }

    fn flatten(&self, global: &Global, from: &Place) -> Result<()> {
        let source = self.remote.source(global, from)?;
        let image = load(&*source, self.remote.platform.as_ref(), global)?;
        let packing = self.packed.packing()?;
        let packed = pack(&*source, &image, Packer::new(packing)?)?.finish()?;
        let mut draft = Draft::of(&*source, &image)?;
        draft.manifest.value["layers"] = json!([]);
        draft.config["rootfs"]["diff_ids"] = json!([]);
        draft.config["history"] = json!([]);
        draft.push(packed, packing.compression);
        self.line.add(&mut draft, "flatten", false)?;
        deliver(global, draft, self.tag.as_ref().unwrap_or(from), &self.remote.settings())
    }
}

/// The whole file system as one archive.
fn pack<W: Write>(source: &dyn Source, image: &Image, to: W) -> Result<W> {
    let tree = Tree::of(source, image, ("flat", Ownership::usual().into()))?;
    let mut creator = Creator::new(to, Ownership::usual() == Ownership::Caller)?;
    creator.tree(&tree.open()?, b".", b".")?;
    creator.finish()
}

#[derive(Debug, clap::Args)]
pub(super) struct Export {
    /// The image: a name or a place, see `copy`
    #[arg(value_name = "IMAGE")]
    place: Place,
    /// The archive; `-` is standard output
    #[arg(value_name = "FILE", default_value = "-")]
    file: PathBuf,
    #[command(flatten)]
    remote: Remote,
}

impl Export {
    pub(super) fn run(&self, global: &Global) -> Result<()> {
        interrupt::watch()?;
        self.export(global).while_doing(|| format!("export {}", self.place))?;
        match global.json && self.file.as_os_str() != "-" {
            true => print(format!("{:#}\n", json!({ "file": self.file }))),
            false => Ok(()),
        }
    }

    fn export(&self, global: &Global) -> Result<()> {
        let source = self.remote.source(global, &self.place)?;
        let image = load(&*source, self.remote.platform.as_ref(), global)?;
        if self.file.as_os_str() == "-" {
            let out = pack(&*source, &image, io::BufWriter::new(io::stdout().lock()))?;
            return out
                .into_inner()
                .map_err(|e| e.into_error())
                .while_doing(|| "write the archive")
                .map(drop);
        }
        let temporary = crate::place::file::Temporary::beside(&self.file)?;
        let out = pack(&*source, &image, io::BufWriter::new(&temporary.file))?;
        out.into_inner().map_err(|e| e.into_error()).while_doing(|| "write the archive")?;
        temporary.keep()
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct Rebase {
    /// The image: a name in the store, or a place, see `copy`
    #[arg(value_name = "IMAGE")]
    image: Place,
    /// The image that it was made from
    #[arg(long, alias = "old_base", value_name = "IMAGE")]
    old_base: Place,
    /// The image that its own layers are put on
    #[arg(long, alias = "new_base", value_name = "IMAGE")]
    new_base: Place,
    /// What the new image is to be [default: IMAGE]
    #[arg(long, short, value_name = "IMAGE")]
    tag: Option<Place>,
    #[command(flatten)]
    remote: Remote,
}

impl Rebase {
    pub(super) fn run(&self, global: &Global) -> Result<()> {
        interrupt::watch()?;
        let from = stored(&self.image);
        self.rebase(global, &from).while_doing(|| format!("rebase {from}"))
    }

    fn rebase(&self, global: &Global, from: &Place) -> Result<()> {
        let open = |place: &Place| {
            let source = self.remote.source(global, &stored(place))?;
            let image = load(&*source, self.remote.platform.as_ref(), global)?;
            Ok::<_, Error>((source, image))
        };
        let (source, image) = open(from)?;
        let ((_, old), (base, new)) = (open(&self.old_base)?, open(&self.new_base)?);
        let below = old.config.diff_ids.len();
        if !image.config.diff_ids.starts_with(&old.config.diff_ids) {
            return Err(Error::invalid(format!("{} is not what it was made from", self.old_base)));
        }
        let mut draft = Draft::of(&*source, &image)?;
        draft.also(&*base);
        let (mut config, lower): (Value, Value) =
            (draft.config.clone(), crate::image::json(&new.config_bytes)?);
        let own = image.manifest.layers[below..].iter().map(|layer| {
            json!({ "mediaType": layer.media_type,
            "digest": layer.digest.to_string(), "size": layer.size })
        });
        let list: Value = crate::image::json(&new.bytes)?;
        let list = list["layers"].as_array().cloned().unwrap_or_default();
        draft.manifest.value["layers"] = list.into_iter().chain(own).collect();
        let ids = new.config.diff_ids.iter().chain(&image.config.diff_ids[below..]);
        config["rootfs"]["diff_ids"] = ids.map(ToString::to_string).collect();
        let lines = |config: &Value| config["history"].as_array().cloned().unwrap_or_default();
        let old_lines = crate::image::json::<Value>(&old.config_bytes)?;
        let own = lines(&config).into_iter().skip(lines(&old_lines).len());
        config["history"] = lines(&lower).into_iter().chain(own).collect();
        draft.config = config;
        deliver(global, draft, self.tag.as_ref().unwrap_or(from), &self.remote.settings())
    }
}
