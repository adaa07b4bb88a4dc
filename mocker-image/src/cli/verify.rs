//! `verify`: whether the store holds what its names promise.

use std::path::PathBuf;

use serde_json::json;

use super::sign::{Witness, by_keys};
use super::{Global, Remote, print};
use crate::error::{Context, Error, Result};
use crate::image::load::load;
use crate::image::tree::layer;
use crate::interrupt;
use crate::layer::unpacked::buffered;
use crate::place::Place;
use crate::store::Bad;

#[derive(Debug, clap::Args)]
pub(super) struct Verify {
    /// An image in any place, see `copy`: every byte of it, and its layers' diffIDs [default: the store]
    #[arg(value_name = "IMAGE")]
    place: Option<Place>,
    /// It must be signed by this key, too (PEM, cosign's or skopeo's); may be repeated
    #[arg(long, value_name = "KEY", requires = "place")]
    key: Vec<PathBuf>,
    #[command(flatten)]
    remote: Remote,
}

impl Verify {
    /// Prints a line for every bad blob; an error if there is one.
    pub(super) fn run(&self, global: &Global) -> Result<()> {
        interrupt::watch()?;
        if let Some(place) = &self.place {
            return self.image(place, global).while_doing(|| format!("verify {place}"));
        }
        let store = global.store()?;
        let step = || format!("verify the store {}", store.root().display());
        let verdict = store.verify().while_doing(step)?;
        let (blobs, bad) = (verdict.blobs, verdict.bad.len());
        if global.json {
            let list = verdict.bad.iter().map(|b| json!({ "blob": b.blob, "why": b.why, "names": b.names }));
            print(format!("{:#}\n", json!({ "blobs": blobs, "bad": list.collect::<Vec<_>>() })))?;
        } else {
            print(verdict.bad.iter().map(line).collect::<String>())?;
        }
        match bad {
            0 if global.json => Ok(()),
            0 => print(format!("all {blobs} blobs are what their digests say\n")),
            1 => Err(wrong("1 blob is bad or missing").step(step())),
            n => Err(wrong(&format!("{n} blobs are bad or missing")).step(step())),
        }
    }
}

impl Verify {
    /// Reads all of one image.
    fn image(&self, place: &Place, global: &Global) -> Result<()> {
        let source = self.remote.source(global, place)?;
        let witness = Witness::new(place, by_keys(&self.key)?, self.remote.settings())?;
        let guarded = witness.guard(&*source);
        let image = load(&guarded, self.remote.platform.as_ref(), global)?;
        for (n, descriptor) in image.manifest.layers.iter().enumerate() {
            layer(&image, n)?.verify(buffered(source.blob(descriptor)?))?;
        }
        let blobs = image.manifest.layers.len() + 2;
        let by: Vec<String> = self.key.iter().map(|key| key.display().to_string()).collect();
        if global.json {
            return print(format!("{:#}\n", json!({ "blobs": blobs, "bad": [], "signed": by })));
        }
        print(by.iter().map(|key| format!("signed by {key}\n")).collect::<String>())?;
        print(format!("all {blobs} blobs are what their digests say\n"))
    }
}

fn wrong(what: &str) -> Error {
    Error::invalid(what).hint("`mocker-image remove` the images that need them, and pull them again")
}

fn line(bad: &Bad) -> String {
    match bad.names.as_slice() {
        [] => format!("{} {} (no image needs it)\n", bad.blob, bad.why),
        names => format!("{} {} ({})\n", bad.blob, bad.why, names.join(", ")),
    }
}
