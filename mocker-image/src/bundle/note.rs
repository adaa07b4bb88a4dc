//! What a bundle knows of where it comes from: `DIR/.mocker/bundle.json`, beside what an overlay needs.
//!
//! ```text
//! DIR/.mocker/bundle.json   this note
//! DIR/.mocker/files         what every file was, see `layer/inventory` (copy only)
//! DIR/.mocker/keep          the store's record of the bundle, by another name: it moves with it (overlay only)
//! DIR/.mocker/upper         what the container changed (overlay only)
//! DIR/.mocker/work          the kernel's own (overlay only)
//! ```

use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::error::{Context, Error, Kind, Result};
use crate::image::Descriptor;
use crate::layer::extract::{Manner, Ownership};
use crate::layer::ids::Ids;
use crate::layer::inventory::Head;
use crate::store::users::User;

/// The folder in a bundle.
pub const FOLDER: &str = ".mocker";

/// The list of a copy's files, in the folder.
pub const FILES: &str = "files";

/// How a bundle's root file system is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// By the runtime, from config.json's mount at `/`.
    Overlay,
    /// An overlay that is mounted at `rootfs`.
    Mounted,
    /// It is all there.
    Copy,
}

/// Where a bundle comes from.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Note {
    /// Told apart from any other bundle.
    pub id: String,
    /// How its root file system is made.
    pub way: Way,
    /// What the image was called.
    pub image: String,
    /// The store that has its layers.
    pub store: PathBuf,
    /// The image's manifest.
    pub manifest: Descriptor,
    /// Chain IDs of its layers, the lowest first, in hexadecimal.
    pub layers: Vec<String>,
    /// Which of the host's ids its files have for the image's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ids: Option<Ids>,
    /// Those are lent to a user, who needs a namespace to touch the files.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lent: bool,
    /// Links to directories were left where a layer has a directory.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keep_dirlinks: bool,
    /// Where the list of a copy's files begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<Head>,
}

impl Note {
    /// A name for a bundle that nothing else has.
    pub fn new_id(dir: &Path) -> String {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let text = format!("{} {} {}", dir.display(), now.as_nanos(), std::process::id());
        Digest::of(text.as_bytes()).hex()[..32].to_owned()
    }

    /// The note of a bundle, if it has one.
    pub fn read(dir: &Path) -> Result<Option<Self>> {
        let path = dir.join(FOLDER).join("bundle.json");
        let step = || format!("read {}", path.display());
        match std::fs::read(&path) {
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
            other => crate::image::json(&other.while_doing(step)?).while_doing(step).map(Some),
        }
    }

    /// The note of a directory that must be a bundle of ours.
    pub fn of(dir: &Path) -> Result<Self> {
        Self::read(dir)?.ok_or_else(|| {
            let what = format!("{} is not a bundle that mocker-image made", dir.display());
            Error::new(Kind::NotFound, what)
        })
    }

    /// Writes it into a folder that nobody else knows yet.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let path = folder.join("bundle.json");
        let mut text =
            serde_json::to_vec_pretty(self).map_err(|e| Error::new(Kind::Internal, e.to_string()))?;
        text.push(b'\n');
        let mut options = std::fs::OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o644).open(&path);
        file.and_then(|mut file| file.write_all(&text)).while_doing(|| format!("write {}", path.display()))
    }

    /// How its layers were unpacked. Inside a namespace the ids are the image's.
    pub fn manner(&self) -> Manner {
        let (ownership, keep_dirlinks) = (Ownership::usual(), self.keep_dirlinks);
        Manner { ownership, ids: self.mapped(), keep_dirlinks }
    }

    /// The map of ids that the files need, seen from here.
    pub fn mapped(&self) -> Option<Ids> {
        self.ids.clone().filter(|_| !self.lent)
    }

    /// What the store is to know of the bundle.
    pub fn user(&self, dir: PathBuf) -> User {
        User { dir, manifest: self.manifest.clone(), layers: self.layers.clone() }
    }

    /// The layers' directories, the lowest first.
    pub fn lower(&self) -> Vec<PathBuf> {
        self.layers.iter().map(|layer| self.store.join("layers").join(layer).join("fs")).collect()
    }
}
