//! `append`, `raw add-layer`, `insert`, `new`, `import`, `init`: images out of files.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags};
use serde_json::json;

use super::author::{Line, Packed, deliver, either, stored};
use super::{Global, Remote};
use crate::error::{Context, Error, Result};
use crate::image::draft::Draft;
use crate::image::load::load;
use crate::image::platform::Platform;
use crate::interrupt;
use crate::layer::create::Creator;
use crate::layer::extract::Ownership;
use crate::layer::pack::{self, Packer, Packing};
use crate::layer::unpacked::decoder;
use crate::layout::Layout;
use crate::media::Compression;
use crate::place::Place;

/// Which image is changed, and what the new one is to be.
#[derive(Debug, clap::Args)]
struct Changed {
    /// The image: a name in the store, or a place, see `copy`
    #[arg(long, alias = "base", short_alias = 'b', value_name = "IMAGE")]
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

impl Changed {
    /// Puts layers on the image and delivers it.
    fn with(
        &self,
        global: &Global,
        command: &str,
        layers: impl FnOnce(Packing) -> Result<Vec<pack::Packed>>,
    ) -> Result<()> {
        let from = stored(&self.image);
        let source = self.remote.source(global, &from)?;
        let image = load(&*source, self.remote.platform.as_ref(), global)?;
        let mut draft = Draft::of(&*source, &image)?;
        let packing = self.packed.packing()?;
        for layer in layers(packing)? {
            draft.push(layer, packing.compression);
            self.line.add(&mut draft, command, false)?;
        }
        deliver(global, draft, self.tag.as_ref().unwrap_or(&from), &self.remote.settings())
    }
}

/// An archive, packed or not, as a layer; `-` is standard input.
fn layer(file: &Path, packing: Packing) -> Result<pack::Packed> {
    let step = || format!("read the layer {}", file.display());
    let mut packer = Packer::new(packing)?;
    let mut copy = |from: Box<dyn Read + Send>| -> Result<()> {
        let mut from = BufReader::new(from);
        let first = io::BufRead::fill_buf(&mut from)?;
        let compression = Compression::sniff(first);
        io::copy(&mut decoder(from, compression)?, &mut packer)?;
        Ok(())
    };
    match file == Path::new("-") {
        true => copy(Box::new(io::stdin())),
        false => File::open(file).while_doing(|| "open").and_then(|file| copy(Box::new(file))),
    }
    .while_doing(step)?;
    packer.finish()
}

#[derive(Debug, clap::Args)]
pub(super) struct Append {
    /// Archives, packed or not, the lowest layer first
    #[arg(value_name = "FILE", required_unless_present = "more")]
    files: Vec<PathBuf>,
    /// The same, crane's way
    #[arg(long = "new_layer", short = 'f', value_name = "FILE", hide = true)]
    more: Vec<PathBuf>,
    #[command(flatten)]
    changed: Changed,
}

impl Append {
    pub(super) fn run(&self, global: &Global) -> Result<()> {
        interrupt::watch()?;
        let files = || self.files.iter().chain(&self.more);
        let layers = |packing| files().map(|file| layer(file, packing)).collect();
        self.changed
            .with(global, "append", layers)
            .while_doing(|| format!("append to {}", self.changed.image))
    }
}

/// umoci's name for the plumbing.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Raw {
    /// Put archives on an image as layers
    AddLayer(Append),
}

impl Raw {
    pub(super) fn run(&self, global: &Global) -> Result<()> {
        let Self::AddLayer(append) = self;
        append.run(global)
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct Insert {
    /// A file or a folder here; with --whiteout a path in the image
    #[arg(value_name = "SOURCE")]
    source: PathBuf,
    /// Its path in the image
    #[arg(value_name = "TARGET", required_unless_present = "whiteout", conflicts_with = "whiteout")]
    target: Option<PathBuf>,
    /// Hide what the image has in that folder
    #[arg(long)]
    opaque: bool,
    /// Remove a path from the image
    #[arg(long)]
    whiteout: bool,
    #[command(flatten)]
    changed: Changed,
}

impl Insert {
    pub(super) fn run(&self, global: &Global) -> Result<()> {
        interrupt::watch()?;
        let step = || format!("insert {} into {}", self.source.display(), self.changed.image);
        self.changed.with(global, "insert", |packing| Ok(vec![self.layer(packing)?])).while_doing(step)
    }

    fn layer(&self, packing: Packing) -> Result<pack::Packed> {
        let mut creator = Creator::new(Packer::new(packing)?, Ownership::usual() == Ownership::Caller)?;
        let target = self.target.as_ref().unwrap_or(&self.source);
        let target = target.as_os_str().as_bytes();
        let target: Vec<&[u8]> =
            target.split(|&b| b == b'/').filter(|part| !matches!(*part, b"" | b".")).collect();
        if target.is_empty() || target.contains(&&b".."[..]) {
            return Err(Error::invalid("the path in the image names nothing below its root"));
        }
        let target = target.join(&b'/');
        match self.whiteout {
            true => creator.whiteout(&target)?,
            false => {
                let name = self.source.file_name().ok_or_else(|| Error::invalid("the source has no name"))?;
                let parent =
                    self.source.parent().filter(|dir| *dir != Path::new("")).unwrap_or(Path::new("."));
                let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
                let dir = rustix::fs::openat(CWD, parent, flags, Mode::empty());
                let dir = dir.while_doing(|| format!("open {}", parent.display()))?;
                creator.tree(&dir, name.as_bytes(), &target)?;
                if self.opaque {
                    creator.opaque(&target)?;
                }
            }
        }
        creator.finish()?.finish()
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct New {
    /// What the new image is to be: a name in the store, or a place, see `copy`
    #[arg(value_name = "IMAGE")]
    to: Option<Place>,
    /// The same, umoci's way
    #[arg(long, value_name = "IMAGE", hide = true)]
    image: Option<Place>,
    /// What it is for [default: this machine]
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Platform>,
}

impl New {
    pub(super) fn run(&self, global: &Global) -> Result<()> {
        interrupt::watch()?;
        let to = either(self.to.as_ref(), self.image.as_ref(), "what the new image is to be")?;
        let draft = empty(self.platform.as_ref())?;
        deliver(global, draft, &to, &Default::default()).while_doing(|| format!("make {}", stored(&to)))
    }
}

fn empty(platform: Option<&Platform>) -> Result<Draft<'static>> {
    let platform = platform.cloned().unwrap_or_else(Platform::host);
    let words = platform.to_string();
    let mut parts = words.split('/');
    let (os, architecture) = (parts.next().unwrap_or("linux"), parts.next().unwrap_or_default());
    Draft::empty(os, architecture)
}

#[derive(Debug, clap::Args)]
pub(super) struct Import {
    /// An archive of a root file system, packed or not; `-` is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// What the new image is to be: a name in the store, or a place, see `copy`
    #[arg(value_name = "IMAGE")]
    to: Place,
    /// What it is for [default: this machine]
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Platform>,
    #[command(flatten)]
    line: Line,
    #[command(flatten)]
    packed: Packed,
}

impl Import {
    pub(super) fn run(&self, global: &Global) -> Result<()> {
        interrupt::watch()?;
        let step = || format!("import {} as {}", self.file.display(), stored(&self.to));
        let make = || {
            let (mut draft, packing) = (empty(self.platform.as_ref())?, self.packed.packing()?);
            draft.push(layer(&self.file, packing)?, packing.compression);
            self.line.add(&mut draft, "import", false)?;
            deliver(global, draft, &self.to, &Default::default())
        };
        make().while_doing(step)
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct Init {
    /// The folder
    #[arg(value_name = "DIR", required_unless_present = "layout")]
    dir: Option<PathBuf>,
    /// The same, umoci's way
    #[arg(long, value_name = "DIR", hide = true)]
    layout: Option<PathBuf>,
}

impl Init {
    pub(super) fn run(&self, global: &Global) -> Result<()> {
        let dir = either(self.dir.as_ref(), self.layout.as_ref(), "which folder")?;
        Layout::new(&dir, None).init()?;
        global.answer(|| json!({ "layout": dir }), String::new)
    }
}
