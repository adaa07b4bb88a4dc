//! Reads gzip without its checksum (RFC 1952): what comes out is hashed against a diffID anyway, and a checksum beside
//! that costs as much as a tenth of the hash.
//!
//! ```text
//! member  1f 8b 08, flags, time (4), two hints, then as the flags say: extra field (length, bytes), name and comment
//!         (each up to a NUL), checksum of the header; then deflate's blocks, checksum (4), length modulo 2^32 (4)
//! stream  members, one behind the other
//! ```

use std::io::{self, BufRead, Error, ErrorKind, Read};

use flate2::{Decompress, FlushDecompress, Status};

const HEADER_CHECKSUM: u8 = 1 << 1;
const EXTRA: u8 = 1 << 2;
const NAME: u8 = 1 << 3;
const COMMENT: u8 = 1 << 4;
/// Flags that nobody has given a meaning.
const RESERVED: u8 = 0b1110_0000;

/// The content of all members.
pub(super) struct Gzip<R> {
    packed: R,
    inflate: Decompress,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The first member must come.
    Start,
    /// In a member.
    Member,
    /// A member or the end may come.
    Between,
    End,
}

impl<R: BufRead> Gzip<R> {
    /// Nothing is read yet.
    pub(super) fn new(packed: R) -> Self {
        Self { packed, inflate: Decompress::new(false), state: State::Start }
    }

    /// Where the packed bytes come from.
    pub(super) fn get_ref(&self) -> &R {
        &self.packed
    }

    /// The same, for what is behind the last member.
    pub(super) fn into_inner(self) -> R {
        self.packed
    }

    /// Passes a member's header.
    fn header(&mut self) -> io::Result<()> {
        let [0x1f, 0x8b, 8, flags, ..] = self.bytes::<10>()? else {
            return Err(bad("invalid gzip header"));
        };
        if flags & RESERVED != 0 {
            return Err(bad("invalid gzip header"));
        }
        if flags & EXTRA != 0 {
            let length = u16::from_le_bytes(self.bytes()?);
            for _ in 0..length {
                self.bytes::<1>()?;
            }
        }
        for text in [NAME, COMMENT] {
            while flags & text != 0 && self.bytes()? != [0] {}
        }
        if flags & HEADER_CHECKSUM != 0 {
            self.bytes::<2>()?;
        }
        Ok(())
    }

    /// Passes what stands behind a member's blocks.
    fn trailer(&mut self) -> io::Result<()> {
        let [_, _, _, _, length @ ..] = self.bytes::<8>()?;
        match u64::from(u32::from_le_bytes(length)) == self.inflate.total_out() & u64::from(u32::MAX) {
            true => Ok(()),
            false => Err(bad("it has another length than its trailer says")),
        }
    }

    fn bytes<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.packed.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// Inflates what there is; none where more must come first, or the member ends.
    fn inflate(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let input = self.packed.fill_buf()?;
        let (read, written, ends) = (self.inflate.total_in(), self.inflate.total_out(), input.is_empty());
        let status =
            self.inflate.decompress(input, to, FlushDecompress::None).map_err(|e| bad(&e.to_string()))?;
        // Neither is more than a buffer's length.
        let (read, written) = (self.inflate.total_in() - read, self.inflate.total_out() - written);
        self.packed.consume(read as usize);
        match status {
            Status::StreamEnd => {
                self.trailer()?;
                self.state = State::Between;
            }
            _ if ends && written == 0 => return Err(ErrorKind::UnexpectedEof.into()),
            _ => {}
        }
        Ok(written as usize)
    }
}

impl<R: BufRead> Read for Gzip<R> {
    /// Fills as much as there is: pieces are as large as their reader wants them.
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < to.len() {
            match self.state {
                State::End => break,
                State::Between if self.packed.fill_buf()?.is_empty() => self.state = State::End,
                State::Start | State::Between => {
                    self.header()?;
                    self.inflate.reset(false);
                    self.state = State::Member;
                }
                State::Member => filled += self.inflate(&mut to[filled..])?,
            }
        }
        Ok(filled)
    }
}

fn bad(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Write};

    use flate2::bufread::MultiGzDecoder;
    use flate2::{Compression, GzBuilder};

    use super::*;

    fn member(builder: GzBuilder, content: &[u8], level: u32) -> Vec<u8> {
        let mut encoder = builder.write(Vec::new(), Compression::new(level));
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    /// The first member with a checksum of its header, which flate2 does not write.
    fn with_header_checksum(mut stream: Vec<u8>) -> Vec<u8> {
        stream[3] |= HEADER_CHECKSUM;
        let mut crc = flate2::Crc::new();
        crc.update(&stream[..10]);
        let sum = u16::try_from(crc.sum() & 0xffff).unwrap();
        stream.splice(10..10, sum.to_le_bytes());
        stream
    }

    /// Words that pack, and bytes that do not.
    fn content(n: usize) -> Vec<u8> {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut word = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            if state.is_multiple_of(3) { state.to_le_bytes() } else { *b"a word, " }
        };
        std::iter::repeat_with(&mut word).flatten().take(n).collect()
    }

    fn streams() -> Vec<Vec<u8>> {
        let plain = |content: &[u8], level| member(GzBuilder::new(), content, level);
        let dressed = GzBuilder::new().filename("a name").comment("a remark").extra(vec![7; 300]).mtime(5);
        let long = content(300_000);
        vec![
            plain(b"", 6),
            plain(b"one", 6),
            plain(&long, 6),
            plain(&long, 0),
            [plain(&long, 1), plain(b"", 9), plain(b"two", 6)].concat(),
            member(dressed, &long, 3),
            with_header_checksum(plain(b"content", 6)),
        ]
    }

    /// All that comes out in pieces of this size, or that it is wrong.
    fn ours(stream: &[u8], input: usize, piece: usize) -> Option<Vec<u8>> {
        let mut gzip = Gzip::new(BufReader::with_capacity(input, stream));
        let (mut all, mut buf) = (Vec::new(), vec![0; piece]);
        loop {
            match gzip.read(&mut buf).ok()? {
                0 => return Some(all),
                n => all.extend_from_slice(&buf[..n]),
            }
        }
    }

    fn theirs(stream: &[u8]) -> Option<Vec<u8>> {
        let mut all = Vec::new();
        MultiGzDecoder::new(stream).read_to_end(&mut all).ok().map(|_| all)
    }

    #[test]
    fn whatever_pieces_it_comes_in_the_content_is_the_same_as_another_readers() {
        for (n, stream) in streams().iter().enumerate() {
            let want = theirs(stream);
            assert!(want.is_some(), "{n}");
            for (input, piece) in [(1 << 16, 1 << 17), (1000, 3000), (7, 100_000), (1, 1 << 17)] {
                assert!(ours(stream, input, piece) == want, "stream {n} in pieces of {input} and {piece}");
            }
        }
    }

    #[test]
    fn a_stream_that_is_cut_anywhere_is_refused() {
        for (n, stream) in streams().iter().enumerate() {
            let short = if stream.len() > 2000 { 331 } else { 1 };
            for len in (0..stream.len()).step_by(short) {
                assert_eq!(
                    ours(&stream[..len], 64, 4096).is_some(),
                    theirs(&stream[..len]).is_some(),
                    "{n}: {len}"
                );
            }
        }
    }

    #[test]
    fn a_header_or_a_length_that_is_wrong_is_refused() {
        let good = member(GzBuilder::new(), b"content", 6);
        let wrong = |at: usize, byte: u8| {
            let mut stream = good.clone();
            stream[at] = byte;
            stream
        };
        let length = good.len() - 4;
        for (at, byte) in [(0, 0), (1, 0), (2, 7), (3, 0x20), (3, 0x80), (length, 8), (length + 3, 1)] {
            assert_eq!(
                (ours(&wrong(at, byte), 64, 64), theirs(&wrong(at, byte))),
                (None, None),
                "{at}: {byte}"
            );
        }
        let behind = [&good[..], b"more"].concat();
        assert_eq!((ours(&behind, 64, 64), theirs(&behind)), (None, None));
        // The checksum alone is not looked at: the digest of the content says more.
        assert_eq!(ours(&wrong(length - 1, 1), 64, 64).as_deref(), Some(&b"content"[..]));
    }

    #[test]
    fn a_stream_with_any_one_byte_changed_ends() {
        let stream = with_header_checksum(member(GzBuilder::new(), &content(500), 6));
        for at in 0..stream.len() {
            for bit in 0..8 {
                let mut stream = stream.clone();
                stream[at] ^= 1 << bit;
                drop(ours(&stream, 64, 4096));
            }
        }
    }
}
