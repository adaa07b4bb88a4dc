//! A layer's bytes, inflated by a thread of their own while the caller hashes them and makes files of them: of the
//! three, inflation takes about as long as the other two together.
//!
//! ```text
//! thread: blob -> inflate -> piece --full--> caller: diffID -> archive
//!                              ^---empty------'
//! ```

use std::io::{self, BufRead, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};

use super::unpacked::{Inflated, WINDOW, drain, is_right};
use crate::digest::{Digest, Hasher};
use crate::error::{Context, Error, Kind, Result};
use crate::media::Compression;

/// Pieces that are there at once: one is filled, one is read, and two wait so that neither side does.
const PIECES: usize = 4;

/// Inflated bytes, or why there are no more; an empty piece is the end.
struct Piece {
    bytes: Vec<u8>,
    len: io::Result<usize>,
}

/// The unpacked bytes of a layer; every byte lent out was hashed before.
pub(super) struct Ahead {
    full: Receiver<Piece>,
    empty: SyncSender<Vec<u8>>,
    thread: JoinHandle<Result<()>>,
    piece: Vec<u8>,
    start: usize,
    end: usize,
    ended: bool,
    hasher: Hasher,
    want: Digest,
}

impl Ahead {
    /// Opens a blob that must be packed as its media type says, and begins to inflate it. Where this is dropped before
    /// the end, nobody waits for the thread: the blob may come from a registry that has fallen silent.
    pub(super) fn open<R: BufRead + Send + 'static>(
        blob: R,
        compression: Compression,
        diff_id: &Digest,
    ) -> Result<Self> {
        let inflated = Inflated::open(blob, compression)?;
        let (give_full, full) = sync_channel(PIECES);
        let (empty, take_empty) = sync_channel(PIECES);
        for _ in 0..PIECES {
            // there is room for all of them, and the other end is here
            drop(empty.try_send(vec![0; WINDOW]));
        }
        let thread = Builder::new().spawn(move || inflate(inflated, &take_empty, &give_full));
        let thread = thread.while_doing(|| "start a thread")?;
        let (hasher, want) = (diff_id.hasher(), diff_id.clone());
        Ok(Self { full, empty, thread, piece: Vec::new(), start: 0, end: 0, ended: false, hasher, want })
    }

    /// Reads what is left and checks the diffID and, by reaching its end, the blob.
    pub(super) fn finish(mut self) -> Result<()> {
        drain(&mut self)?;
        let broken = |_| Error::new(Kind::Internal, "the thread that inflates broke down");
        self.thread.join().map_err(broken)??;
        is_right(&self.want, self.hasher)
    }
}

/// Fills piece after piece; without an error if nobody wants more.
fn inflate<R: BufRead>(
    mut inflated: Inflated<R>,
    empty: &Receiver<Vec<u8>>,
    full: &SyncSender<Piece>,
) -> Result<()> {
    while let Ok(mut bytes) = empty.recv() {
        let len = inflated.fill(&mut bytes);
        let more = matches!(len, Ok(1..));
        if full.send(Piece { bytes, len }).is_err() {
            return Ok(());
        }
        if !more {
            break;
        }
    }
    inflated.end()
}

impl Read for Ahead {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.fill_buf()?.read(buf)?;
        self.consume(n);
        Ok(n)
    }
}

impl BufRead for Ahead {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.start == self.end && !self.ended {
            // The thread waits for empty pieces only while it runs: one that it does not take is not missed.
            let used = std::mem::take(&mut self.piece);
            if !used.is_empty() {
                drop(self.empty.try_send(used));
            }
            let gone = || io::Error::from(Error::new(Kind::Internal, "the thread that inflates is gone"));
            let Piece { bytes, len } = self.full.recv().map_err(|_| gone())?;
            (self.piece, self.start, self.end) = (bytes, 0, len?);
            self.ended = self.end == 0;
            self.hasher.update(&self.piece[..self.end]);
        }
        Ok(&self.piece[self.start..self.end])
    }

    fn consume(&mut self, n: usize) {
        self.start = self.end.min(self.start + n);
    }
}
