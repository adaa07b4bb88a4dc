//! Layers: from the bytes of a blob to files below a root.
//!
//! ```text
//! blob reader (digest verified) -> Ahead (inflate, diffID) -> Archive (tar) -> Extractor -> Tree (openat2)
//! ```
//!
//! Each stage lends its buffer to the next, so that a file's bytes are copied once after inflation,
//! by the kernel. There is one pass and nothing is read twice.

mod ahead;
pub mod archive;
mod attribute;
pub mod create;
pub mod diff;
pub mod entry;
pub mod extract;
mod field;
pub mod ids;
pub mod inventory;
mod owner;
pub mod pack;
mod pax;
mod tree;
pub mod unpacked;

use std::io::BufRead;

use crate::digest::Digest;
use crate::error::{Context, Result};
use crate::media::Compression;
use ahead::Ahead;
use extract::Extractor;
use unpacked::Unpacked;

/// One layer of an image: what it is called and what it must turn out to be.
#[derive(Debug, Clone)]
pub struct Layer {
    /// What errors call it.
    pub name: String,
    /// How its blob is packed.
    pub compression: Compression,
    /// The digest of the unpacked archive.
    pub diff_id: Digest,
}

impl Layer {
    /// Reads the layer to its end, checking the diffID, and keeps nothing.
    pub fn verify<R: BufRead>(&self, blob: R) -> Result<()> {
        let name = || self.name.clone();
        Unpacked::open(blob, self.compression, &self.diff_id).and_then(Unpacked::finish).while_doing(name)
    }

    /// Applies the layer to a root, checking the diffID at the end. A second thread inflates.
    pub fn apply<R: BufRead + Send + 'static>(&self, blob: R, extractor: &mut Extractor) -> Result<()> {
        let name = || self.name.clone();
        let mut unpacked = Ahead::open(blob, self.compression, &self.diff_id).while_doing(name)?;
        extractor.layer(&mut unpacked as &mut dyn BufRead).while_doing(name)?;
        unpacked.finish().while_doing(name)
    }
}
