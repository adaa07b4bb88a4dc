//! One entry of an archive, as data.

/// Runs of data in a sparse file: offset and length, in order.
pub type Runs = Vec<(u64, u64)>;

/// What an entry makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link to [`Entry::link`], which may be any text.
    Symlink,
    /// Another name for the file at [`Entry::link`].
    Hardlink,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A named pipe.
    Fifo,
}

/// A header of the archive with all that extension headers said about it.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The path as it is written in the archive.
    pub path: Vec<u8>,
    /// What it makes.
    pub kind: Kind,
    /// A link's target as it is written in the archive.
    pub link: Vec<u8>,
    /// Permission bits with set-uid, set-gid and sticky.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The owning group.
    pub gid: u32,
    /// Modification time: seconds since the epoch, and nanoseconds.
    pub mtime: (i64, u32),
    /// Major and minor number of a device.
    pub device: (u32, u32),
    /// The file's size; for a sparse one, with its holes.
    pub size: u64,
    /// Extended attributes.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// For a sparse file, where it has data.
    pub runs: Option<Runs>,
}

impl Entry {
    /// The path for an error's text.
    pub fn display(&self) -> String {
        text(&self.path)
    }
}

/// Bytes of a path for an error's text: quoted, control characters escaped.
pub fn text(path: &[u8]) -> String {
    format!("{:?}", String::from_utf8_lossy(path))
}
