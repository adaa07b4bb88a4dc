//! `digest`, `manifest`, `manifest-digest`: what a name stands for.

use std::path::PathBuf;

use serde_json::json;

use super::{Global, Remote, print};
use crate::error::{Context, Result};
use crate::image::load::choose;
use crate::image::{Descriptor, Source};
use crate::interrupt;
use crate::place::Place;

#[derive(Debug, clap::Args)]
pub(super) struct Digest {
    /// The image: a place, see `copy`
    #[arg(value_name = "IMAGE")]
    place: Place,
    #[command(flatten)]
    remote: Remote,
}

impl Digest {
    pub(super) fn run(&self, global: &Global) -> Result<()> {
        interrupt::watch()?;
        let top = top(global, &self.place, &self.remote);
        let (descriptor, _) = top.while_doing(|| format!("find the digest of {}", self.place))?;
        match global.json {
            true => print(format!("{:#}\n", json!(descriptor))),
            false => print(format!("{}\n", descriptor.digest)),
        }
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct Manifest {
    /// The image: a place, see `copy`
    #[arg(value_name = "IMAGE")]
    place: Place,
    #[command(flatten)]
    remote: Remote,
}

impl Manifest {
    pub(super) fn run(&self, global: &Global) -> Result<()> {
        interrupt::watch()?;
        let top = top(global, &self.place, &self.remote);
        print(top.while_doing(|| format!("get the manifest of {}", self.place))?.1)
    }
}

/// What a place stands for; for a platform, where one was asked for.
fn top(global: &Global, place: &Place, remote: &Remote) -> Result<(Descriptor, Vec<u8>)> {
    let source: Box<dyn Source> = remote.source(global, place)?;
    let (descriptor, bytes) = source.top()?;
    match &remote.platform {
        Some(platform) => choose(&*source, Some(platform), descriptor, bytes),
        None => Ok((descriptor, bytes)),
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct ManifestDigest {
    /// A file with a manifest or an index, as it was received
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

impl ManifestDigest {
    pub(super) fn run(&self, global: &Global) -> Result<()> {
        let bytes = std::fs::read(&self.file).while_doing(|| format!("read {}", self.file.display()))?;
        let digest = crate::digest::Digest::of(&bytes).to_string();
        global.answer(|| json!({ "digest": digest }), || format!("{digest}\n"))
    }
}
