//! Which bundles use layers, and so keep them.
//!
//! ```text
//! bundles/new-<id>        a bundle that is being made, or whose making was killed
//! bundles/<id>            one that is there: at its path, or somewhere on the same file system, where its
//!                         second name for this very file, DIR/.mocker/keep, went with it
//! bundles/missing-<id>    one that a gc did not find, at the time of this file: removed, or moved to another
//!                         file system. Nobody can tell which, so its layers stay for [`GRACE`]
//! ```
//!
//! Each is the same file under another name, so its other name holds whatever is killed when.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use std::os::unix::fs::MetadataExt;

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::{Store, list, remove, replace};
use crate::bundle::note::Note;
use crate::error::{Context, Error, Kind, Result};
use crate::image::Descriptor;

/// How long a bundle that is not found keeps its layers.
pub const GRACE: Duration = Duration::from_hours(30 * 24);
const NEW: &str = "new-";
const MISSING: &str = "missing-";

/// A bundle that uses layers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct User {
    /// The bundle.
    pub dir: PathBuf,
    /// The image that it was made from.
    pub manifest: Descriptor,
    /// Chain IDs of its layers, in hexadecimal.
    pub layers: Vec<String>,
}

/// What is to be done with bundles that are not where they were made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// They keep their layers for [`GRACE`].
    Keep,
    /// They are forgotten at once.
    Forget,
}

/// A record of a bundle.
#[derive(Debug)]
struct Held {
    path: PathBuf,
    id: String,
    user: User,
}

impl Held {
    /// Whether it is at its path.
    fn is_there(&self) -> Result<bool> {
        Ok(Note::read(&self.user.dir)?.is_some_and(|note| note.id == self.id))
    }

    /// Whether there is a second name for its record somewhere.
    fn is_moved(&self) -> Result<bool> {
        let stat = self.path.metadata().while_doing(|| format!("stat {}", self.path.display()))?;
        Ok(stat.nlink() > 1)
    }

    fn is(&self, state: &str) -> bool {
        self.path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(state))
    }

    /// How long it has been missing.
    fn missing_for(&self) -> Result<Duration> {
        let modified = self.path.metadata().and_then(|stat| stat.modified());
        let since = modified.while_doing(|| format!("stat {}", self.path.display()))?;
        Ok(SystemTime::now().duration_since(since).unwrap_or_default())
    }
}

impl Store {
    /// Notes that a bundle is to use layers, and so keeps them while it is made. `keep` becomes the record's
    /// second name, unless another file system is there: then the bundle is known by its path only.
    pub fn begin_user(&self, id: &str, user: &User, keep: &Path) -> Result<()> {
        let json = serde_json::to_vec(user).map_err(|e| Error::new(Kind::Internal, e.to_string()))?;
        let path = self.user_path(NEW, id);
        replace(&self.root.join("partial"), &path, &json)?;
        match rustix::fs::link(&path, keep) {
            Err(Errno::XDEV | Errno::PERM | Errno::OPNOTSUPP) => Ok(()),
            other => other.while_doing(|| format!("tie the bundle to {}", self.root.display())),
        }
    }

    /// The bundle is there: from now on it keeps its layers wherever it is.
    pub fn keep_user(&self, id: &str) -> Result<()> {
        self.rename_user(&self.user_path(NEW, id), "", id)
    }

    /// A bundle was found at a path: its record says so from now on, if it is not a copy of one that still stands
    /// where it was made.
    pub fn find_user(&self, id: &str, user: &User, keep: &Path) -> Result<()> {
        let held = self.held()?.into_iter().find(|held| held.id == id);
        match held {
            Some(held) if held.user.dir == user.dir && held.is(MISSING) => {
                self.rename_user(&held.path, "", id)
            }
            Some(held) if held.is_there()? => Ok(()),
            _ => {
                self.forget_user(id)?;
                remove(keep)?;
                self.begin_user(id, user, keep)?;
                self.keep_user(id)
            }
        }
    }

    /// Forgets a bundle.
    pub fn forget_user(&self, id: &str) -> Result<()> {
        ["", NEW, MISSING].iter().try_for_each(|state| remove(&self.user_path(state, id)))
    }

    /// Forgets the bundles that were made at a path and are not there; whether there were any.
    pub fn forget_missing(&self, dir: &Path) -> Result<bool> {
        let mut any = false;
        for held in self.held()?.into_iter().filter(|held| held.user.dir == dir) {
            if !held.is_there()? {
                remove(&held.path)?;
                any = true;
            }
        }
        Ok(any)
    }

    /// The bundles that keep what they use.
    pub(super) fn users(&self) -> Result<Vec<User>> {
        Ok(self.held()?.into_iter().map(|held| held.user).collect())
    }

    /// Looks for every bundle, and forgets those that keep nothing any more; gives those that were not found and
    /// keep their layers still. To be called with the store's lock held alone.
    pub(super) fn look_for_users(&self, missing: Missing) -> Result<Vec<User>> {
        let mut absent = Vec::new();
        for held in self.held()? {
            match (held.is_there()?, held.is(NEW)) {
                (true, _) => self.rename_user(&held.path, "", &held.id)?,
                (false, false) if held.is_moved()? => self.rename_user(&held.path, "", &held.id)?,
                (false, false) if missing == Missing::Keep => {
                    if !held.is(MISSING) {
                        self.rename_user(&held.path, MISSING, &held.id)?;
                        absent.push(held.user);
                    } else if held.missing_for()? < GRACE {
                        absent.push(held.user);
                    } else {
                        remove(&held.path)?;
                    }
                }
                // Never finished, or nobody wants it.
                _ => remove(&held.path)?,
            }
        }
        Ok(absent)
    }

    fn held(&self) -> Result<Vec<Held>> {
        let mut all = Vec::new();
        for path in list(&self.root.join("bundles"))? {
            let step = || format!("read {}", path.display());
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let id =
                [NEW, MISSING].iter().find_map(|state| name.strip_prefix(state)).unwrap_or(&name).to_owned();
            let bytes = match std::fs::read(&path) {
                // Another program found it, or forgot it.
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
                other => other.while_doing(step)?,
            };
            let user = crate::image::json(&bytes).while_doing(step)?;
            all.push(Held { path, id, user });
        }
        Ok(all)
    }

    /// Gives a record the name of its state; the time of it says since when.
    fn rename_user(&self, from: &Path, state: &str, id: &str) -> Result<()> {
        let to = self.user_path(state, id);
        let step = || format!("rename {}", from.display());
        if from != to {
            let file = std::fs::File::open(from).while_doing(step)?;
            file.set_modified(SystemTime::now()).while_doing(step)?;
            std::fs::rename(from, &to).while_doing(step)?;
        }
        Ok(())
    }

    fn user_path(&self, state: &str, id: &str) -> PathBuf {
        self.root.join("bundles").join(format!("{state}{id}"))
    }
}
