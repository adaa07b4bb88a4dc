//! An image's file system without a bundle: in a folder that is gone afterwards.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::fs::{CWD, Mode, OFlags};

use super::{Image, Source};
use crate::error::{Context, Result};
use crate::layer::Layer;
use crate::layer::extract::{Extractor, Manner};
use crate::layer::unpacked::buffered;
use crate::media::Compression;

/// A folder below TMPDIR or /var/tmp, removed with this.
#[derive(Debug)]
pub struct Tree {
    dir: PathBuf,
}

impl Drop for Tree {
    fn drop(&mut self) {
        // Nobody to tell, and what is temporary is cleared away sooner or later.
        drop(std::fs::remove_dir_all(&self.dir));
    }
}

impl Tree {
    /// Unpacks all layers, checked.
    pub fn of(source: &dyn Source, image: &Image, (name, manner): (&str, Manner)) -> Result<Self> {
        let scratch = crate::home::variable("TMPDIR").unwrap_or_else(|| "/var/tmp".into());
        let this = Self { dir: scratch.join(format!("mocker-{name}-{}", std::process::id())) };
        std::fs::create_dir(&this.dir).while_doing(|| format!("make {}", this.dir.display()))?;
        // The archive's modes are to be the files' modes.
        let mask = rustix::process::umask(Mode::empty());
        let mut extractor = Extractor::new(&this.dir, manner)?;
        for (n, descriptor) in image.manifest.layers.iter().enumerate() {
            layer(image, n)?.apply(buffered(source.blob(descriptor)?), &mut extractor)?;
        }
        rustix::process::umask(mask);
        Ok(this)
    }

    /// Its root.
    pub fn open(&self) -> Result<OwnedFd> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(CWD, &self.dir, flags, Mode::empty());
        opened.while_doing(|| format!("open {}", self.dir.display()))
    }
}

/// One layer of an image.
pub fn layer(image: &Image, n: usize) -> Result<Layer> {
    let (descriptor, diff_id) = (&image.manifest.layers[n], image.config.diff_ids[n].clone());
    let compression = Compression::of(&descriptor.media_type)?;
    Ok(Layer { name: format!("layer {descriptor}"), compression, diff_id })
}
