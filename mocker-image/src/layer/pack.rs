//! A layer packed in another way: unpacked, checked, and packed into a file that nobody else sees.
//!
//! The digest of what comes out is known only at its end, and every place wants it first; so there is
//! a file in between, without a name, in TMPDIR or /var/tmp.

mod gzip;

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use gzip::Gzip;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;

use super::unpacked::{Unpacked, buffered};
use crate::digest::{Digest, Hasher};
use crate::error::{Context, Error, Kind, Result};
use crate::home;
use crate::image::{Blob, Descriptor, Supply};
use crate::media::Compression;

/// What gzip packs at where nobody says: zlib-rs's third level packs as small as what skopeo and umoci pack with, and
/// takes two thirds of the time of its sixth.
const GZIP_LEVEL: u32 = 3;

/// How a layer is to be packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packing {
    /// The format.
    pub compression: Compression,
    /// How hard to try: gzip 0 to 9, zstd 1 to 22; `None` is the format's own default.
    pub level: Option<i32>,
}

impl Packing {
    /// Not at all.
    pub fn plain() -> Self {
        Self { compression: Compression::None, level: None }
    }

    /// The same, if the format has such a level.
    pub fn checked(self) -> Result<Self> {
        let (name, levels) = match self.compression {
            Compression::Gzip => ("gzip", 0..=9),
            Compression::Zstd => ("zstd", 1..=22),
            _ => return Ok(self),
        };
        match self.level.filter(|level| !levels.contains(level)) {
            None => Ok(self),
            Some(level) => {
                let (low, high) = levels.into_inner();
                Err(Error::invalid(format!("{name} packs at the levels {low} to {high}, not at {level}")))
            }
        }
    }

    /// What everybody reads.
    pub fn gzip() -> Self {
        Self { compression: Compression::Gzip, level: None }
    }
}

/// A packed layer in a file without a name.
pub struct Packed {
    file: File,
    /// Of the packed bytes.
    pub digest: Digest,
    /// Of the packed bytes.
    pub size: u64,
    /// Of the bytes that were packed.
    pub diff_id: Digest,
}

impl Supply for Packed {
    fn open(&self) -> Result<Blob> {
        let reader = At { file: self.file.try_clone().while_doing(|| "read the packed layer")?, at: 0 };
        Ok(Blob::new(Box::new(reader), "the packed layer", &self.digest, self.size))
    }
}

struct At {
    file: File,
    at: u64,
}

impl Read for At {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = std::os::unix::fs::FileExt::read_at(&self.file, buf, self.at)?;
        self.at += n as u64;
        Ok(n)
    }
}

/// Unpacks a layer, checks it, and packs it as is wished.
pub fn repack(blob: Blob, layer: &Descriptor, packing: Packing, diff_id: Option<&str>) -> Result<Packed> {
    let id = diff_id.map_or_else(|| Ok(layer.digest.clone()), str::parse)?;
    let mut unpacked = Unpacked::open(buffered(blob), Compression::of(&layer.media_type)?, &id)?;
    let mut packer = Packer::new(packing)?;
    io::copy(&mut unpacked, &mut packer)?;
    unpacked.finish()?;
    packer.finish()
}

enum Encoder {
    Plain(BufWriter<Hashed>),
    Gzip(Box<Gzip<BufWriter<Hashed>>>),
    Zstd(zstd::stream::write::Encoder<'static, BufWriter<Hashed>>),
}

/// Packs what is written to it into a file without a name.
pub struct Packer {
    encoder: Encoder,
    plain: Hasher,
}

impl Packer {
    /// Begins.
    pub fn new(packing: Packing) -> Result<Self> {
        let file = BufWriter::new(Hashed { file: scratch()?, hasher: Hasher::sha256(), size: 0 });
        let encoder = match packing.compression {
            Compression::None => Encoder::Plain(file),
            Compression::Gzip => {
                let level = packing.level.and_then(|level| u32::try_from(level).ok()).unwrap_or(GZIP_LEVEL);
                Encoder::Gzip(Box::new(Gzip::new(file, level.min(9)).while_doing(|| "begin to pack")?))
            }
            Compression::Zstd => {
                let encoder = zstd::stream::write::Encoder::new(file, packing.level.unwrap_or(3));
                Encoder::Zstd(encoder.while_doing(|| "begin to pack")?)
            }
            other => {
                let what = format!("nothing is packed in {} here", other.name());
                return Err(Error::new(Kind::Unsupported, what));
            }
        };
        Ok(Self { encoder, plain: Hasher::sha256() })
    }

    /// Ends; the bytes that were written are packed now.
    pub fn finish(self) -> Result<Packed> {
        let step = || "write the packed layer";
        let file = match self.encoder {
            Encoder::Plain(file) => file,
            Encoder::Gzip(encoder) => encoder.finish().while_doing(step)?,
            Encoder::Zstd(encoder) => encoder.finish().while_doing(step)?,
        };
        let mut hashed = file.into_inner().map_err(|e| e.into_error()).while_doing(step)?;
        hashed.file.seek(SeekFrom::Start(0)).while_doing(step)?;
        let (digest, size) = (hashed.hasher.finish(), hashed.size);
        Ok(Packed { file: hashed.file, digest, size, diff_id: self.plain.finish() })
    }
}

impl Write for Packer {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let n = match &mut self.encoder {
            Encoder::Plain(file) => file.write(buf),
            Encoder::Gzip(encoder) => encoder.write(buf),
            Encoder::Zstd(encoder) => encoder.write(buf),
        }?;
        self.plain.update(&buf[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Hashed {
    file: File,
    hasher: Hasher,
    size: u64,
}

impl Write for Hashed {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let n = self.file.write(buf)?;
        self.hasher.update(&buf[..n]);
        self.size += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// A file without a name; it is gone with its last descriptor, kill -9 or not.
pub fn scratch() -> Result<File> {
    let dir = home::variable("TMPDIR").unwrap_or_else(|| PathBuf::from("/var/tmp"));
    let step = || format!("make a temporary file in {}", dir.display());
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    match rustix::fs::openat(CWD, &dir, flags, Mode::RUSR | Mode::WUSR) {
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::NOENT) => named(&dir).while_doing(step),
        other => Ok(File::from(other.while_doing(step)?)),
    }
}

/// The same where the file system has no such files.
fn named(dir: &Path) -> Result<File> {
    let path = dir.join(format!("mocker-{}-{:?}", std::process::id(), std::thread::current().id()));
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}
