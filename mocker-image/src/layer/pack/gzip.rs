//! gzip on all processors. The bytes are cut into blocks of one size, and each block is packed on its own, knowing the
//! 32 KiB before it; what comes out is one gzip stream that every reader takes, and the same whatever number of
//! threads there was.
//!
//! ```text
//! write -> block --job--> threads: deflate, ended at a byte --done--> header, blocks in order, checksum and length
//! ```

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, available_parallelism};

use flate2::{Compress, Compression, Crc, FlushCompress, Status};

/// Bytes that are packed by one thread at a time; it costs the last few of each that it ends at a byte.
const BLOCK: usize = 512 * 1024;
/// How far back deflate can point.
const REACH: usize = 32 * 1024;
/// More threads than these are faster than any disk.
const THREADS: usize = 4;

/// A block that somebody shall pack.
struct Job {
    before: Vec<u8>,
    block: Vec<u8>,
    done: SyncSender<io::Result<Vec<u8>>>,
}

/// Packs what is written to it.
pub(super) struct Gzip<W> {
    to: W,
    level: Compression,
    crc: Crc,
    /// What is not handed out yet.
    block: Vec<u8>,
    /// The last bytes before it.
    before: Vec<u8>,
    /// Where blocks go; none before there is a first full one.
    jobs: Option<Sender<Job>>,
    threads: usize,
    /// What comes back, in order.
    waiting: VecDeque<Receiver<io::Result<Vec<u8>>>>,
}

impl<W: Write> Gzip<W> {
    /// Begins. No time and no name in the header: the same bytes in give the same bytes out.
    pub(super) fn new(mut to: W, level: u32) -> io::Result<Self> {
        to.write_all(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255])?;
        let threads = available_parallelism().map_or(1, usize::from).min(THREADS);
        let (level, crc) = (Compression::new(level), Crc::new());
        let (block, before, waiting) = (Vec::new(), Vec::new(), VecDeque::new());
        Ok(Self { to, level, crc, block, before, jobs: None, threads, waiting })
    }

    /// Ends the stream.
    pub(super) fn finish(mut self) -> io::Result<W> {
        while !self.waiting.is_empty() {
            self.take()?;
        }
        let last = pack(self.level, &self.before, &self.block, FlushCompress::Finish)?;
        self.to.write_all(&last)?;
        self.to.write_all(&self.crc.sum().to_le_bytes())?;
        self.to.write_all(&self.crc.amount().to_le_bytes())?;
        Ok(self.to)
    }

    /// Hands a full block to the threads.
    fn give(&mut self) -> io::Result<()> {
        let jobs = match self.jobs.take() {
            Some(jobs) => jobs,
            None => start(self.threads, self.level)?,
        };
        let block = std::mem::replace(&mut self.block, Vec::with_capacity(BLOCK));
        let before = std::mem::replace(&mut self.before, block[BLOCK - REACH..].to_vec());
        let (done, packed) = sync_channel(1);
        jobs.send(Job { before, block, done }).map_err(|_| gone())?;
        self.waiting.push_back(packed);
        self.jobs = Some(jobs);
        // each thread has one at hand and one to go on with
        if self.waiting.len() > 2 * self.threads {
            self.take()?;
        }
        Ok(())
    }

    /// Writes the next packed block.
    fn take(&mut self) -> io::Result<()> {
        match self.waiting.pop_front() {
            Some(packed) => self.to.write_all(&packed.recv().map_err(|_| gone())??),
            None => Ok(()),
        }
    }
}

impl<W: Write> Write for Gzip<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if self.block.len() == BLOCK {
            self.give()?;
        }
        let n = buf.len().min(BLOCK - self.block.len());
        self.block.extend_from_slice(&buf[..n]);
        self.crc.update(&buf[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn gone() -> io::Error {
    io::Error::other("a thread that packs is gone")
}

/// Threads that pack until nobody can give them anything any more.
fn start(threads: usize, level: Compression) -> io::Result<Sender<Job>> {
    let (jobs, take) = channel::<Job>();
    let take = Arc::new(Mutex::new(take));
    for _ in 0..threads {
        let take = Arc::clone(&take);
        let next = move || take.lock().unwrap_or_else(PoisonError::into_inner).recv();
        Builder::new().spawn(move || {
            while let Ok(Job { before, block, done }) = next() {
                // whoever gave it up has gone
                drop(done.send(pack(level, &before, &block, FlushCompress::Sync)));
            }
        })?;
    }
    Ok(jobs)
}

/// One block, ended at a byte or, the last one, for ever. By a new compressor each time: one that was reset finds other
/// matches, and which thread has packed what before is chance.
fn pack(level: Compression, before: &[u8], block: &[u8], end: FlushCompress) -> io::Result<Vec<u8>> {
    let mut deflate = Compress::new(level, false);
    if !before.is_empty() {
        deflate.set_dictionary(before)?;
    }
    let mut packed = Vec::with_capacity(block.len() / 2 + 1024);
    loop {
        let used = usize::try_from(deflate.total_in()).unwrap_or(usize::MAX);
        let status = deflate.compress_vec(&block[used..], &mut packed, end)?;
        let room = packed.len() < packed.capacity();
        if status == Status::StreamEnd || room && !matches!(end, FlushCompress::Finish) {
            return Ok(packed);
        }
        packed.reserve(REACH);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn noise() -> impl Iterator<Item = u8> {
        let mut state = 1_u64;
        std::iter::repeat_with(move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        })
    }

    fn packed(content: &[u8], threads: usize) -> Vec<u8> {
        let mut gzip = Gzip::new(Vec::new(), 3).unwrap();
        gzip.threads = threads;
        gzip.write_all(content).unwrap();
        gzip.finish().unwrap()
    }

    #[test]
    fn what_is_packed_unpacks_to_itself_and_does_not_depend_on_the_number_of_threads() {
        let content: Vec<u8> = noise().map(|byte| byte & 0xf).take(3 * BLOCK + 77).collect();
        for size in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, content.len()] {
            let one = packed(&content[..size], 1);
            // one stream: a reader of a single member comes to its end
            let mut out = Vec::new();
            flate2::read::GzDecoder::new(&one[..]).read_to_end(&mut out).unwrap();
            assert!(out == content[..size], "{size}");
            assert!(packed(&content[..size], 3) == one, "{size}");
        }
    }

    #[test]
    fn what_repeats_over_the_border_of_two_blocks_is_packed_once() {
        let content = noise().take(20_000).collect::<Vec<u8>>().repeat(2 * BLOCK / 20_000);
        let alone: usize = content.chunks(BLOCK).map(|block| packed(block, 1).len()).sum();
        assert!(packed(&content, 2).len() + 19_000 < alone);
    }
}
