//! Reads tar archives: ustar, old V7, GNU and PAX, without ever seeking.
//!
//! Entries come with everything that extension headers say about them. What does not fit (numbers
//! that are none, checksums that are wrong, an end in the middle) is an error: guessing would give
//! a file system that its author did not mean.

use std::io::BufRead;

use super::entry::{Entry, Kind, Runs};
use super::field::{BLOCK, Block, checksum_is_right, number, text};
use super::pax::{Long, Pax, decimal};
use crate::error::{Error, Result};

/// The most bytes that one extension header may have (Go's limit, which all image tools share).
const EXTENSION: u64 = 1 << 20;
/// The most runs that a sparse map may have.
const RUNS: usize = 1 << 16;

/// The most digits that a number of a sparse map may have: those of 2^64.
const DIGITS: usize = 20;

/// An archive that is being read.
pub struct Archive<'a> {
    input: &'a mut dyn BufRead,
    /// Bytes of the current entry's data that were not read yet.
    left: u64,
    /// Bytes that fill its last block.
    padding: u64,
}

impl<'a> Archive<'a> {
    /// Reads an archive from its first byte.
    pub fn new(input: &'a mut dyn BufRead) -> Self {
        Self { input, left: 0, padding: 0 }
    }

    /// The next entry, or `None` at the archive's end.
    pub fn next_entry(&mut self) -> Result<Option<Entry>> {
        if !self.skip_rest()? {
            return Ok(None);
        }
        let (mut pax, mut long) = (Pax::default(), Long::default());
        loop {
            let Some(block) = self.block()? else {
                return Ok(None);
            };
            if block.iter().all(|&b| b == 0) {
                return Ok(None);
            }
            if !checksum_is_right(&block) {
                return Err(Error::invalid("the archive has a header whose checksum is wrong"));
            }
            let size = unsigned(&block[124..136], "size")?;
            match block[156] {
                // The last one counts, and no other: else two readers see two archives, and this one grows.
                b'x' => pax = Pax::read(&self.extension(size)?)?,
                b'L' => long.path = Some(text(&self.extension(size)?).to_vec()),
                b'K' => long.link = Some(text(&self.extension(size)?).to_vec()),
                b'g' => drop(self.extension(size)?),
                _ => return self.entry(&block, size, pax.named(long)).map(Some),
            }
        }
    }

    /// Lends the current entry's next data; empty at its end.
    pub fn data(&mut self) -> Result<&[u8]> {
        if self.left == 0 {
            return Ok(&[]);
        }
        let buffer = self.input.fill_buf()?;
        if buffer.is_empty() {
            return Err(cut());
        }
        let n = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        Ok(&buffer[..n])
    }

    /// Marks `n` bytes of the lent data as read.
    pub fn consume(&mut self, n: usize) {
        self.input.consume(n);
        self.left -= n as u64;
    }

    fn entry(&mut self, block: &Block, size: u64, mut pax: Pax) -> Result<Entry> {
        let path = pax.path.take().unwrap_or_else(|| header_path(block));
        let kind = kind(block[156], &path)?;
        let has_data = kind == Kind::File;
        let stored = if has_data { pax.size.unwrap_or(size) } else { 0 };
        (self.left, self.padding) = (stored, stored.next_multiple_of(BLOCK as u64) - stored);
        let (runs, size) = self.sparse(block, &pax, stored)?;
        let mtime = match pax.mtime {
            Some(mtime) => mtime,
            None => (number(&block[136..148], "modification time")?, 0),
        };
        Ok(Entry {
            path,
            kind,
            link: pax.link.unwrap_or_else(|| text(&block[157..257]).to_vec()),
            mode: (unsigned(&block[100..108], "mode")? & 0o7777) as u32,
            uid: id(pax.uid, &block[108..116], "owner")?,
            gid: id(pax.gid, &block[116..124], "group")?,
            mtime,
            device: match kind {
                Kind::CharDevice | Kind::BlockDevice => {
                    (id(None, &block[329..337], "major")?, id(None, &block[337..345], "minor")?)
                }
                _ => (0, 0),
            },
            size,
            xattrs: pax.xattrs,
            runs,
        })
    }

    /// The runs of a sparse file and its size, whichever of the four ways it is written in.
    fn sparse(&mut self, block: &Block, pax: &Pax, stored: u64) -> Result<(Option<Runs>, u64)> {
        let (runs, size) = match block[156] {
            b'S' => (self.old_sparse(block)?, unsigned(&block[483..495], "size")?),
            _ if pax.sparse.map_in_data => (self.sparse_map()?, pax.sparse.real_size.unwrap_or(stored)),
            _ if pax.sparse.is_sparse() => (pax.sparse.runs.clone(), pax.sparse.real_size.unwrap_or(stored)),
            _ => return Ok((None, stored)),
        };
        let mut end = 0;
        for &(offset, length) in &runs {
            let next = offset.checked_add(length).filter(|&next| offset >= end && next <= size);
            end = next.ok_or_else(|| Error::invalid("a sparse map is out of order or out of bounds"))?;
        }
        match runs.iter().map(|run| run.1).sum::<u64>() == self.left {
            true => Ok((Some(runs), size)),
            false => Err(Error::invalid("a sparse map has another size than its data")),
        }
    }

    /// GNU's old form: four runs in the header, more in blocks behind it.
    fn old_sparse(&mut self, block: &Block) -> Result<Runs> {
        let mut runs = Vec::new();
        old_runs(&block[386..482], &mut runs)?;
        let mut more = block[482] != 0;
        while more {
            let block = self.block()?.ok_or_else(cut)?;
            old_runs(&block[..504], &mut runs)?;
            more = block[504] != 0;
        }
        Ok(runs)
    }

    /// PAX 1.0: decimal lines in front of the data, filled up to a block.
    fn sparse_map(&mut self) -> Result<Runs> {
        let bad = || Error::invalid("a sparse map is malformed");
        let (mut numbers, mut line, mut count) = (Vec::new(), Vec::new(), None);
        while count.is_none_or(|n: usize| numbers.len() < 2 * n) {
            self.left = self.left.checked_sub(BLOCK as u64).ok_or_else(bad)?;
            for &byte in &self.block()?.ok_or_else(cut)? {
                match (byte, count) {
                    (_, Some(n)) if numbers.len() >= 2 * n => break, // what fills the block
                    (b'\n', None) => {
                        let n = decimal(&std::mem::take(&mut line))?;
                        count = Some(usize::try_from(n).ok().filter(|&n| n <= RUNS).ok_or_else(bad)?);
                    }
                    (b'\n', Some(_)) => numbers.push(decimal(&std::mem::take(&mut line))?),
                    (byte, _) if line.len() < DIGITS => line.push(byte),
                    _ => return Err(bad()),
                }
            }
        }
        Ok(numbers.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
    }

    fn extension(&mut self, size: u64) -> Result<Vec<u8>> {
        if size > EXTENSION {
            return Err(Error::invalid(format!(
                "an extension header of {size} bytes is larger than {EXTENSION}"
            )));
        }
        let mut bytes = vec![0; size.next_multiple_of(BLOCK as u64) as usize];
        self.fill(&mut bytes)?;
        bytes.truncate(size as usize);
        Ok(bytes)
    }

    /// The next block; `None` where the archive ends between two blocks.
    fn block(&mut self) -> Result<Option<Block>> {
        if self.input.fill_buf()?.is_empty() {
            return Ok(None);
        }
        let mut block = [0; BLOCK];
        self.fill(&mut block)?;
        Ok(Some(block))
    }

    fn fill(&mut self, mut to: &mut [u8]) -> Result<()> {
        while !to.is_empty() {
            let from = self.input.fill_buf()?;
            let n = from.len().min(to.len());
            if n == 0 {
                return Err(cut());
            }
            to[..n].copy_from_slice(&from[..n]);
            self.input.consume(n);
            to = &mut to[n..];
        }
        Ok(())
    }

    /// To the next header; false where the archive ends without what fills its last block, as umoci writes some and
    /// Go's reader takes for the end.
    fn skip_rest(&mut self) -> Result<bool> {
        let (left, mut padding) = (self.left, self.padding as usize);
        self.skip(left)?;
        while padding > 0 {
            let step = self.input.fill_buf()?.len().min(padding);
            if step == 0 {
                return Ok(false);
            }
            self.input.consume(step);
            padding -= step;
        }
        Ok(true)
    }

    fn skip(&mut self, mut n: u64) -> Result<()> {
        while n > 0 {
            let have = self.input.fill_buf()?.len();
            if have == 0 {
                return Err(cut());
            }
            let step = have.min(usize::try_from(n).unwrap_or(usize::MAX));
            self.input.consume(step);
            n -= step as u64;
        }
        (self.left, self.padding) = (0, 0);
        Ok(())
    }
}

fn cut() -> Error {
    Error::invalid("the archive ends in the middle of an entry")
}

/// What a header makes under its whole name: a long one is cut in the header, and may be so behind a slash.
fn kind(flag: u8, name: &[u8]) -> Result<Kind> {
    match flag {
        // V7 archives know no directories but those whose name ends in a slash.
        0 | b'0' | b'7' if name.ends_with(b"/") => Ok(Kind::Directory),
        0 | b'0' | b'7' | b'S' => Ok(Kind::File),
        b'1' => Ok(Kind::Hardlink),
        b'2' => Ok(Kind::Symlink),
        b'3' => Ok(Kind::CharDevice),
        b'4' => Ok(Kind::BlockDevice),
        b'5' => Ok(Kind::Directory),
        b'6' => Ok(Kind::Fifo),
        other => {
            let (name, other) = (super::entry::text(name), char::from(other));
            Err(Error::invalid(format!("entry {name} is of the unknown type {other:?}")))
        }
    }
}

/// Name and, in POSIX archives, the prefix before it.
fn header_path(block: &Block) -> Vec<u8> {
    let name = text(&block[..100]);
    match (&block[257..263], text(&block[345..500])) {
        (b"ustar\0", prefix) if !prefix.is_empty() => [prefix, b"/", name].concat(),
        _ => name.to_vec(),
    }
}

fn unsigned(field: &[u8], what: &str) -> Result<u64> {
    u64::try_from(number(field, what)?).map_err(|_| Error::invalid(format!("a header's {what} is negative")))
}

/// A number that the kernel takes as 32 bits.
fn id(pax: Option<u64>, field: &[u8], what: &str) -> Result<u32> {
    let id = match pax {
        Some(id) => id,
        None => unsigned(field, what)?,
    };
    u32::try_from(id).map_err(|_| Error::invalid(format!("a header's {what} {id} has more than 32 bits")))
}

fn old_runs(fields: &[u8], runs: &mut Runs) -> Result<()> {
    for pair in fields.chunks_exact(24) {
        if pair[0] != 0 && pair[12] != 0 {
            runs.push((unsigned(&pair[..12], "sparse offset")?, unsigned(&pair[12..], "sparse length")?));
        }
    }
    match runs.len() <= RUNS {
        true => Ok(()),
        false => Err(Error::invalid("a sparse map is longer than any file needs")),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Read};

    use super::*;

    /// The same bytes for ever, and how many were taken.
    struct Endless<'a>(&'a [u8], usize);

    impl Read for Endless<'_> {
        fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
            for byte in buf.iter_mut() {
                *byte = self.0[self.1 % self.0.len()];
                self.1 += 1;
            }
            Ok(buf.len())
        }
    }

    fn block(kind: u8, size: &[u8; 12]) -> Block {
        let mut block = [0; BLOCK];
        block[0] = b'x';
        block[100..107].copy_from_slice(b"0000644");
        block[124..136].copy_from_slice(size);
        block[148..156].copy_from_slice(b"        ");
        block[156] = kind;
        let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
        block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        block
    }

    /// How much of an endless stream an archive reads before it says what is wrong.
    fn read(head: &[u8], rest: &[u8]) -> (usize, String) {
        let mut endless = Endless(rest, 0);
        let error = {
            let mut input = BufReader::with_capacity(BLOCK, head.chain(&mut endless));
            let mut archive = Archive::new(&mut input);
            archive.next_entry().map(|entry| entry.map(|entry| entry.xattrs.len())).unwrap_err().to_string()
        };
        (endless.1, error)
    }

    #[test]
    fn what_an_archive_promises_takes_no_memory() {
        // CVE-2017-14992, CVE-2025-58183: 8 GiB of an extension, of a sparse map's digits, of its runs.
        let large = b"77777777777\0";
        let (taken, error) = read(&block(b'x', large), b"a");
        assert!(taken <= BLOCK && error.contains("is larger than 1048576"), "{taken}: {error}");
        let record = b"22 GNU.sparse.major=1\n";
        let mut pax = block(b'x', b"00000000026\0").to_vec();
        pax.extend(record);
        pax.resize(2 * BLOCK, 0);
        let sparse = [pax, block(b'0', large).to_vec()].concat();
        for digits in [&b"1"[..], b"99999\n"] {
            let (taken, error) = read(&sparse, digits);
            assert!(taken <= 2 * BLOCK && error.contains("sparse map"), "{taken}: {error}");
        }
        // GNU's old form: runs without an end, in blocks behind the header.
        let mut old = block(b'S', large);
        old[482] = 1;
        old[148..156].copy_from_slice(b"        ");
        let sum: u32 = old.iter().map(|&byte| u32::from(byte)).sum();
        old[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        let (taken, error) = read(&old, b"1");
        assert!(taken <= 2 * RUNS * 24 && error.contains("sparse map"), "{taken}: {error}");
    }

    #[test]
    fn an_archive_may_end_without_the_padding_of_its_last_file_but_not_within_it() {
        for (content, good) in [(&b"abc"[..], true), (b"ab", false)] {
            let bytes = [&block(b'0', b"00000000003\0")[..], content].concat();
            let mut input = &bytes[..];
            let mut archive = Archive::new(&mut input);
            assert!(archive.next_entry().unwrap().is_some());
            assert_eq!(archive.next_entry().is_ok_and(|end| end.is_none()), good);
        }
    }

    #[test]
    fn of_many_extended_headers_the_last_one_is_kept() {
        let one = |name: &str| {
            let record = format!("{} SCHILY.xattr.user.{name}=x\n", 24 + name.len());
            let mut bytes =
                block(b'x', format!("{:011o}\0", record.len()).as_bytes().try_into().unwrap()).to_vec();
            bytes.extend(record.as_bytes());
            bytes.resize(2 * BLOCK, 0);
            bytes
        };
        let mut bytes: Vec<u8> = (0..9).flat_map(|n| one(&n.to_string())).collect();
        bytes.extend(block(b'0', b"00000000000\0"));
        let mut input = &bytes[..];
        let entry = Archive::new(&mut input).next_entry().unwrap().unwrap();
        assert_eq!(entry.xattrs, [(b"user.8".to_vec(), b"x".to_vec())]);
    }

    #[test]
    fn a_long_name_that_its_header_cuts_behind_a_slash_is_a_files() {
        let name = "d/".repeat(50) + "file";
        let mut file = block(b'0', b"00000000001\0");
        file[..100].copy_from_slice(&name.as_bytes()[..100]);
        file[148..156].copy_from_slice(b"        ");
        let sum: u32 = file.iter().map(|&byte| u32::from(byte)).sum();
        file[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        let mut bytes = block(b'L', b"00000000150\0").to_vec();
        bytes.extend(name.as_bytes());
        bytes.resize(2 * BLOCK, 0);
        bytes.extend(file);
        bytes.push(b'x');
        bytes.resize(4 * BLOCK, 0);
        let mut input = &bytes[..];
        let mut archive = Archive::new(&mut input);
        let entry = archive.next_entry().unwrap().unwrap();
        assert_eq!((entry.kind, entry.path), (Kind::File, name.into_bytes()));
        assert!(archive.next_entry().unwrap().is_none());
    }
}
