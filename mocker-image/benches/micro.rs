//! The image tool's parts that decide: `scripts/bench micro`.
#![allow(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]

#[path = "../../scripts/lib/bench/micro.rs"]
mod micro;

use std::io::{Cursor, Write};
use std::sync::Arc;

use micro::{part, part_with};
use mocker_image::digest::Digest;
use mocker_image::fuzz;
use mocker_image::layer::Layer;
use mocker_image::layer::extract::{Extractor, Ownership};
use mocker_image::layer::pack::{Packer, Packing};
use mocker_image::media::Compression;

/// An archive of so many files with so many bytes each, which pack to about a third.
fn archive(files: usize, bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut content = || -> Vec<u8> {
        let words = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            format!("{:x} ", state % 5000)
        });
        words.flat_map(String::into_bytes).take(bytes).collect()
    };
    let mut builder = tar::Builder::new(Vec::new());
    for n in 0..files {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes as u64);
        header.set_mode(0o644);
        header.set_mtime(1_700_000_000);
        builder.append_data(&mut header, format!("dir{}/file{n}", n / 50), &content()[..]).unwrap();
    }
    builder.into_inner().unwrap()
}

fn packed(archive: &[u8], compression: Compression) -> Vec<u8> {
    match compression {
        Compression::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
            encoder.write_all(archive).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Zstd => zstd::encode_all(archive, 3).unwrap(),
        _ => archive.to_vec(),
    }
}

/// A folder in memory where there is such a place: a disk would be measured too, see docs/performance.md.
fn in_memory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn main() {
    let (large, many) = (archive(16, 1 << 20), archive(2000, 200));
    part("sha256", large.len(), || Digest::of(&large));
    part("tar, 2000 small files read", many.len(), || fuzz::tar(&many));
    let formats = [("plain", Compression::None), ("gzip", Compression::Gzip), ("zstd", Compression::Zstd)];
    for (name, compression) in formats {
        let layer =
            |archive: &[u8]| Layer { name: name.to_owned(), compression, diff_id: Digest::of(archive) };
        let (blob, checked) = (packed(&large, compression), layer(&large));
        part(&format!("16 MB inflated and hashed, {name}"), large.len(), || {
            checked.verify(&blob[..]).unwrap()
        });
        let (blob, extracted) = (Arc::<[u8]>::from(packed(&many, compression)), layer(&many));
        rustix::process::umask(rustix::fs::Mode::empty());
        let apply = |dir: &tempfile::TempDir| {
            extracted
                .apply(
                    Cursor::new(Arc::clone(&blob)),
                    &mut Extractor::new(dir.path(), Ownership::usual()).unwrap(),
                )
                .unwrap();
        };
        part_with(&format!("2000 small files extracted, {name}"), many.len(), in_memory, apply);
    }
    for (name, packing) in
        [("gzip", Packing::gzip()), ("zstd", Packing { compression: Compression::Zstd, level: None })]
    {
        part(&format!("16 MB packed and hashed twice, {name}"), large.len(), || {
            let mut packer = Packer::new(packing).unwrap();
            packer.write_all(&large).unwrap();
            packer.finish().unwrap().size
        });
    }
}
