//! Whiteouts: entries that delete (`.wh.NAME`) or that hide a directory's older content
//! (`.wh..wh..opq`). See the image specification, layer.md.

use super::{Extractor, os};
use crate::error::{Error, Result};
use crate::layer::tree::{Folder, names};

const PREFIX: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// AUFS's own files, which mean nothing to others.
const INTERNAL: &[u8] = b".wh..wh.";

/// Whether a name is no file's.
pub(super) fn is(name: &[u8]) -> bool {
    name.starts_with(PREFIX)
}

impl Extractor {
    pub(super) fn whiteout(&mut self, parent: &[u8], name: &[u8]) -> Result<()> {
        let target = &name[PREFIX.len()..];
        if matches!(target, b"" | b"." | b"..") {
            return Err(Error::invalid("is a whiteout of no file's name"));
        }
        if name != OPAQUE && name.starts_with(INTERNAL) {
            return Ok(());
        }
        let Some(folder) = self.tree.folder(parent)? else {
            return Ok(());
        };
        self.keep_times(parent, &folder);
        match name == OPAQUE {
            true => self.hide_older(parent, &folder),
            false => self.hide(parent, &folder, target),
        }
    }

    /// Hides what the layers below have in the directory.
    fn hide_older(&mut self, path: &[u8], folder: &Folder) -> Result<()> {
        if self.lowest {
            return Ok(());
        }
        names(&folder.fd)?.iter().try_for_each(|name| self.hide(path, folder, name))
    }

    /// Hides one name of the layers below; what this layer made under it stays, whichever came first.
    fn hide(&mut self, path: &[u8], folder: &Folder, name: &[u8]) -> Result<()> {
        if self.lowest {
            return Ok(());
        }
        let child = match path {
            b"" => name.to_vec(),
            path => [path, b"/", name].concat(),
        };
        if !self.was_made(&child) {
            return self.tree.remove(folder, name).map(drop);
        }
        let stat = rustix::fs::statat(&folder.fd, os(name), rustix::fs::AtFlags::SYMLINK_NOFOLLOW)?;
        if rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir()
            && let Some(below) = self.tree.folder(&child)?
        {
            self.hide_older(&child, &below)?;
        }
        Ok(())
    }
}
