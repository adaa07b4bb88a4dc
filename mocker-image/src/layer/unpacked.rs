//! A layer's archive, unpacked and hashed while it is read.

mod gzip;

use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;
use gzip::Gzip;

use crate::digest::{Digest, Hasher};
use crate::error::{Context, Error, Kind, Result};
use crate::interrupt;
use crate::media::Compression;
use crate::progress::size;

/// Bytes between inflation and the archive's reader; fits a second-level cache.
pub(super) const WINDOW: usize = 128 * 1024;
/// Bytes between the blob's reader and inflation.
pub const INPUT: usize = 64 * 1024;

/// A blob as it is unpacked: with a buffer, unless its reader has one.
pub fn buffered<R: Read>(blob: R) -> BufReader<R> {
    BufReader::with_capacity(INPUT, blob)
}

/// Inflates a stream whose format is known and whose digest nobody knows, as far as an honest one goes.
pub fn decoder<R: BufRead + Send + 'static>(
    packed: R,
    compression: Compression,
) -> Result<Box<dyn Read + Send>> {
    let seen = Arc::new(AtomicU64::new(0));
    let packed = Watched { inner: packed, seen: Arc::clone(&seen) };
    let inner: Box<dyn Read + Send> = match compression {
        Compression::None => return Ok(Box::new(packed)),
        Compression::Gzip => Box::new(MultiGzDecoder::new(packed)),
        Compression::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(packed)?),
        Compression::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(packed)),
        Compression::Xz => Box::new(lzma_rust2::XzReader::new_mem_limit(packed, true, DICTIONARY)),
    };
    Ok(Box::new(Bounded { inner, seen, out: 0, format: compression.name() }))
}

/// A reader whose owner is far away and wants to know how much was read.
struct Watched<R> {
    inner: R,
    seen: Arc<AtomicU64>,
}

impl<R: BufRead> BufRead for Watched<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, n: usize) {
        self.seen.fetch_add(n as u64, Ordering::Relaxed);
        self.inner.consume(n);
    }
}

impl<R: BufRead> Read for Watched<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.seen.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

/// What a decoder gives, up to where no honest stream goes.
struct Bounded {
    inner: Box<dyn Read + Send>,
    seen: Arc<AtomicU64>,
    out: u64,
    format: &'static str,
}

impl Read for Bounded {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf).map_err(|e| damaged(e, self.format))?;
        self.out += n as u64;
        bounded(self.seen.load(Ordering::Relaxed), self.out)?;
        Ok(n)
    }
}

/// The most KiB that a stream of xz may want for its dictionary: what `xz -9` writes fits.
const DICTIONARY: u32 = 80 << 10;
/// Bytes that a layer, or a packed archive of images, may unpack to whatever its size.
const FREE: u64 = 1 << 30;
/// How many times its size a layer may unpack to beyond that; real ones unpack to 2 to 20 times theirs.
const RATIO: u64 = 200;

/// What a layer may unpack to; 0 is the usual bound. For the whole program, like its umask.
static MOST: AtomicU64 = AtomicU64::new(0);

/// Lets layers and archives unpack to so many bytes, and no more.
pub fn allow(bytes: u64) {
    MOST.store(bytes, Ordering::Relaxed);
}

/// An error as soon as more comes out than any honest layer has in it.
fn bounded(packed: u64, out: u64) -> Result<()> {
    let most = MOST.load(Ordering::Relaxed);
    let bound = if most > 0 { most } else { FREE.saturating_add(packed.saturating_mul(RATIO)) };
    if out <= bound {
        return Ok(());
    }
    let (packed, bound) = (size(packed), size(bound));
    let e = Error::invalid(format!("{packed} of it unpack to more than {bound}: is it a bomb?"));
    Err(e.hint("if it is meant to be so large, say how much with --max-unpacked"))
}

/// A reader that knows how much was read.
struct Counted<R> {
    inner: R,
    seen: u64,
}

impl<R: BufRead> Read for Counted<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.seen += n as u64;
        Ok(n)
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, n: usize) {
        self.seen += n as u64;
        self.inner.consume(n);
    }
}

enum Decoder<R: BufRead> {
    Plain(Counted<R>),
    Gzip(Box<Gzip<Counted<R>>>),
    Zstd(zstd::stream::read::Decoder<'static, Counted<R>>),
}

impl<R: BufRead> Decoder<R> {
    /// How many packed bytes were read.
    fn packed(&self) -> u64 {
        match self {
            Self::Plain(blob) => blob.seen,
            Self::Gzip(decoder) => decoder.get_ref().seen,
            Self::Zstd(decoder) => decoder.get_ref().seen,
        }
    }
}

/// A layer's bytes as they come out of its blob, hashed by nobody.
pub(super) struct Inflated<R: BufRead> {
    decoder: Decoder<R>,
    /// Bytes that came out.
    out: u64,
}

impl<R: BufRead> Inflated<R> {
    /// Opens a blob that must be packed as its media type says.
    pub(super) fn open(blob: R, compression: Compression) -> Result<Self> {
        let mut blob = Counted { inner: blob, seen: 0 };
        let seen = Compression::sniff(blob.fill_buf()?);
        if seen != compression {
            let (says, is) = (compression.name(), seen.name());
            return Err(Error::invalid(format!("its media type says {says}, but its bytes are {is}")));
        }
        let decoder = match compression {
            Compression::None => Decoder::Plain(blob),
            Compression::Gzip => Decoder::Gzip(Box::new(Gzip::new(blob))),
            Compression::Zstd => Decoder::Zstd(zstd::stream::read::Decoder::with_buffer(blob)?),
            other => {
                let what = format!("a layer in {} has no media type", other.name());
                return Err(Error::new(Kind::Unsupported, what));
            }
        };
        Ok(Self { decoder, out: 0 })
    }

    /// The next bytes; none at the end.
    pub(super) fn fill(&mut self, window: &mut [u8]) -> io::Result<usize> {
        interrupt::check()?;
        let n = match &mut self.decoder {
            Decoder::Plain(blob) => blob.read(window)?,
            Decoder::Gzip(decoder) => decoder.read(window).map_err(|e| damaged(e, "gzip"))?,
            Decoder::Zstd(decoder) => decoder.read(window).map_err(|e| damaged(e, "zstd"))?,
        };
        self.out += n as u64;
        bounded(self.decoder.packed(), self.out)?;
        Ok(n)
    }

    /// Reads the blob to its end, where it is checked.
    pub(super) fn end(self) -> Result<()> {
        let blob = match self.decoder {
            Decoder::Plain(blob) => blob,
            Decoder::Gzip(decoder) => decoder.into_inner(),
            Decoder::Zstd(decoder) => decoder.finish(),
        };
        drain(blob).while_doing(|| "read the end of the blob")
    }
}

/// The unpacked bytes of a layer; every byte lent out was hashed before.
pub struct Unpacked<R: BufRead> {
    inflated: Inflated<R>,
    window: Vec<u8>,
    start: usize,
    end: usize,
    hasher: Hasher,
    want: Digest,
}

impl<R: BufRead> Unpacked<R> {
    /// Opens a blob that must be packed as its media type says.
    pub fn open(blob: R, compression: Compression, diff_id: &Digest) -> Result<Self> {
        let (inflated, window) = (Inflated::open(blob, compression)?, vec![0; WINDOW]);
        Ok(Self { inflated, window, start: 0, end: 0, hasher: diff_id.hasher(), want: diff_id.clone() })
    }

    /// Reads what is left and checks the diffID and, by reaching its end, the blob.
    pub fn finish(mut self) -> Result<()> {
        drain(&mut self)?;
        self.inflated.end()?;
        is_right(&self.want, self.hasher)
    }
}

/// Whether the bytes that were hashed are those of the diffID.
pub(super) fn is_right(diff_id: &Digest, hasher: Hasher) -> Result<()> {
    match hasher.finish() {
        got if got == *diff_id => Ok(()),
        got => Err(Error::invalid(format!("unpacks to {got}, but its diffID is {diff_id}"))),
    }
}

/// Names the format in the decoder's own complaints; those of the blob's reader pass as they are.
fn damaged(e: io::Error, format: &str) -> io::Error {
    let own = e.raw_os_error().is_none() && !e.get_ref().is_some_and(|inner| inner.is::<Error>());
    match own {
        true => Error::invalid(format!("its {format} stream is damaged: {e}")).into(),
        false => e,
    }
}

/// Reads what is left.
pub(super) fn drain(mut from: impl BufRead) -> Result<()> {
    loop {
        let n = from.fill_buf()?.len();
        if n == 0 {
            return Ok(());
        }
        from.consume(n);
    }
}

impl<R: BufRead> Read for Unpacked<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.fill_buf()?.read(buf)?;
        self.consume(n);
        Ok(n)
    }
}

impl<R: BufRead> BufRead for Unpacked<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            self.end = self.inflated.fill(&mut self.window)?;
            self.hasher.update(&self.window[..self.end]);
        }
        Ok(&self.window[self.start..self.end])
    }

    fn consume(&mut self, n: usize) {
        self.start = self.end.min(self.start + n);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn finish(blob: &[u8], compression: Compression, content: &[u8]) -> std::result::Result<(), String> {
        let unpacked = Unpacked::open(blob, compression, &Digest::of(content));
        unpacked.and_then(Unpacked::finish).map_err(|e| e.to_string())
    }

    #[test]
    fn gzip_of_several_members_zstd_of_several_frames_and_plain_bytes_unpack_to_their_diff_id() {
        let two = [gzip(b"one"), gzip(b"two")].concat();
        assert_eq!(finish(&two, Compression::Gzip, b"onetwo"), Ok(()));
        let two =
            [zstd::encode_all(&b"one"[..], 1).unwrap(), zstd::encode_all(&b"two"[..], 1).unwrap()].concat();
        assert_eq!(finish(&two, Compression::Zstd, b"onetwo"), Ok(()));
        assert_eq!(finish(b"onetwo", Compression::None, b"onetwo"), Ok(()));
    }

    #[test]
    fn what_estargz_and_zstd_chunked_add_for_others_is_passed_over() {
        // zstd:chunked ends with frames that decoders skip, estargz with an empty member that has an extra field.
        let skipped = [&[0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0][..], b"more"].concat();
        let zstd = [zstd::encode_all(&b"one"[..], 1).unwrap(), skipped].concat();
        assert_eq!(finish(&zstd, Compression::Zstd, b"one"), Ok(()));
        let footer = flate2::GzBuilder::new().extra(&b"SG\x16\x000000000000012345STARGZ"[..]);
        let footer = footer.write(Vec::new(), flate2::Compression::none()).finish().unwrap();
        assert_eq!(finish(&[gzip(b"one"), footer].concat(), Compression::Gzip, b"one"), Ok(()));
    }

    #[test]
    fn another_content_than_the_diff_id_says_is_an_error() {
        let e = finish(&gzip(b"one"), Compression::Gzip, b"two").unwrap_err();
        assert!(e.starts_with("unpacks to sha256:") && e.contains("but its diffID is sha256:"), "{e}");
    }

    #[test]
    fn bytes_that_are_not_what_the_media_type_says_are_named() {
        let e = finish(&zstd::encode_all(&b"one"[..], 1).unwrap(), Compression::Gzip, b"one").unwrap_err();
        assert_eq!(e, "its media type says gzip, but its bytes are zstd");
        let e = finish(b"one", Compression::Gzip, b"one").unwrap_err();
        assert_eq!(e, "its media type says gzip, but its bytes are a plain archive");
    }

    #[test]
    fn a_stream_cut_short_is_damaged() {
        let whole = gzip(&[7; 100_000]);
        let e = finish(&whole[..whole.len() / 2], Compression::Gzip, b"").unwrap_err();
        assert!(e.starts_with("its gzip stream is damaged: "), "{e}");
    }
}
