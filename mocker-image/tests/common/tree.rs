//! A file system tree as facts, to be compared entry by entry.

use std::collections::{BTreeMap, HashMap};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use conformance::blob::Digest;

/// What there is to know about one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) kind: &'static str,
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
    pub(crate) mtime: (i64, i64),
    pub(crate) size: u64,
    pub(crate) device: u64,
    /// A file's digest, a link's target.
    pub(crate) content: String,
    pub(crate) xattrs: Vec<(String, Vec<u8>)>,
    /// The first path of the same file.
    pub(crate) same_as: PathBuf,
}

/// Everything below a root, the root itself as the empty path.
pub(crate) fn read(root: &Path) -> BTreeMap<PathBuf, Facts> {
    let (mut all, mut first) = (BTreeMap::new(), HashMap::new());
    let mut todo = vec![PathBuf::new()];
    while let Some(path) = todo.pop() {
        let full = root.join(&path);
        if full.symlink_metadata().unwrap().is_dir() {
            let mut names: Vec<_> =
                std::fs::read_dir(&full).unwrap().map(|e| path.join(e.unwrap().file_name())).collect();
            names.sort();
            todo.extend(names.into_iter().rev());
        }
        all.insert(path.clone(), facts(&full, &path, &mut first));
    }
    all
}

/// Unpacks an image of any place into a folder of ours and reads the tree.
pub(crate) fn unpacked(place: &super::Place, from: &str, dir: &str) -> BTreeMap<PathBuf, Facts> {
    let dir = place.path(dir);
    place.run(&["unpack", "--copy", from, dir.to_str().unwrap()]).ok();
    read(&dir.join("rootfs"))
}

/// One entry alone.
pub(crate) fn read_one(path: &Path) -> Facts {
    facts(path, Path::new(""), &mut HashMap::new())
}

fn facts(full: &Path, path: &Path, first: &mut HashMap<u64, PathBuf>) -> Facts {
    let meta = full.symlink_metadata().unwrap();
    let kind = meta.file_type();
    let (kind, content) = match () {
        () if kind.is_dir() => ("directory", String::new()),
        () if kind.is_file() => ("file", Digest::of(&std::fs::read(full).unwrap()).as_str().to_owned()),
        () if kind.is_symlink() => ("symlink", std::fs::read_link(full).unwrap().display().to_string()),
        () if kind.is_char_device() => ("character device", String::new()),
        () if kind.is_block_device() => ("block device", String::new()),
        () if kind.is_fifo() => ("fifo", String::new()),
        () => ("other", String::new()),
    };
    let same_as =
        if meta.is_dir() { path } else { first.entry(meta.ino()).or_insert_with(|| path.to_owned()) };
    Facts {
        kind,
        mode: meta.mode(),
        owner: (meta.uid(), meta.gid()),
        mtime: (meta.mtime(), meta.mtime_nsec()),
        size: if meta.is_file() { meta.len() } else { 0 },
        device: meta.rdev(),
        content,
        xattrs: xattrs(full),
        same_as: same_as.to_owned(),
    }
}

fn xattrs(path: &Path) -> Vec<(String, Vec<u8>)> {
    let mut buffer = vec![0; 65_536];
    let length = rustix::fs::llistxattr(path, &mut buffer[..]).unwrap_or(0);
    let names: Vec<Vec<u8>> =
        buffer[..length].split(|&b| b == 0).filter(|n| !n.is_empty()).map(<[u8]>::to_vec).collect();
    let mut all: Vec<_> = names
        .iter()
        .map(|name| {
            let mut value = vec![0; 65_536];
            let length =
                rustix::fs::lgetxattr(path, std::ffi::OsStr::from_bytes(name), &mut value[..]).unwrap();
            (String::from_utf8_lossy(name).into_owned(), value[..length].to_vec())
        })
        .collect();
    all.sort();
    all
}

/// The differences between two trees, a line each.
pub(crate) fn differences(ours: &BTreeMap<PathBuf, Facts>, theirs: &BTreeMap<PathBuf, Facts>) -> Vec<String> {
    let mut lines = Vec::new();
    for (path, our) in ours {
        match theirs.get(path) {
            None => lines.push(format!("{}: only ours: {our:?}", path.display())),
            Some(their) if their != our => {
                lines.push(format!("{}:\n  ours   {our:?}\n  theirs {their:?}", path.display()));
            }
            Some(_) => {}
        }
    }
    let only_theirs = theirs.iter().filter(|(path, _)| !ours.contains_key(*path));
    lines.extend(only_theirs.map(|(path, their)| format!("{}: only theirs: {their:?}", path.display())));
    lines
}
