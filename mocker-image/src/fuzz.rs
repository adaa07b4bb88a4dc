//! Doors for the fuzz targets: each reader of bytes that come from outside, none of which may panic, hang or
//! grow without bounds. The micro-benches use them too, and nothing else.

use std::io::Read;

use crate::digest::Digest;
use crate::image::{Config, Document};
use crate::layer::archive::Archive;
use crate::layer::unpacked::Unpacked;
use crate::media::{Compression, OCI_MANIFEST};
use crate::reference::Reference;
use crate::registry;

/// An image's name: what it is written back as, or None if it is none.
pub fn reference(text: &str) -> Option<String> {
    text.parse::<Reference>().ok().map(|reference| reference.to_string())
}

/// A manifest or an index, and behind a NUL the configuration: true if both can be read.
pub fn manifest(bytes: &[u8]) -> bool {
    let mut parts = bytes.splitn(2, |&byte| byte == 0);
    match Document::parse(parts.next().unwrap_or_default(), OCI_MANIFEST) {
        Ok(Document::Manifest(manifest)) => {
            Config::parse(parts.next().unwrap_or_default(), &manifest).is_ok()
        }
        Ok(Document::Index(_)) => true,
        Err(_) => false,
    }
}

/// The lines of `WWW-Authenticate`: true if they hold a challenge that can be answered.
pub fn challenge(text: &str) -> bool {
    registry::is_challenge(text.lines())
}

/// A layer's archive: how many entries and bytes of content were read before its end, or before what is wrong.
pub fn tar(mut bytes: &[u8]) -> (usize, u64) {
    let (mut entries, mut content) = (0, 0);
    let mut archive = Archive::new(&mut bytes);
    while let Ok(Some(_)) = archive.next_entry() {
        entries += 1;
        while let Ok(data) = archive.data() {
            let n = data.len();
            if n == 0 {
                break;
            }
            content += n as u64;
            archive.consume(n);
        }
    }
    (entries, content)
}

/// A layer in gzip, of at most 4 MiB as another reader unpacks it: that reader's length, and our reader's complaint where
/// it does not come to the same bytes. None: the other reader refuses it too, or it is longer.
pub fn gzip(bytes: &[u8]) -> Option<(usize, Result<(), String>)> {
    const MOST: u64 = 4 << 20;
    let mut content = Vec::new();
    let read = flate2::bufread::MultiGzDecoder::new(bytes).take(MOST + 1).read_to_end(&mut content);
    let theirs = read.is_ok() && content.len() as u64 <= MOST;
    let ours = Unpacked::open(bytes, Compression::Gzip, &Digest::of(&content)).and_then(Unpacked::finish);
    theirs.then(|| (content.len(), ours.map_err(|error| error.to_string())))
}
