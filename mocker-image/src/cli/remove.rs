//! `remove`: names go, and what only they needed.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::{Access, Global, Teller, gc};
use crate::bundle::note::{Note, Way};
use crate::error::{Context, Error, Kind, Result};
use crate::interrupt;
use crate::layout::Layout;
use crate::overlay;
use crate::place::Place;
use crate::place::file::is_there;
use crate::reference::Reference;
use crate::registry::remote::Remote;
use crate::registry::{Actions, Settings};
use crate::store::users::Missing;
use crate::store::{Freed, Store};

#[derive(Debug, clap::Args)]
pub(super) struct Remove {
    /// Images as `list` shows them, `docker://NAME` at its registry, or `oci:DIR:NAME`; bundles as paths
    /// that begin with `/` or `.`
    #[arg(value_name = "IMAGE|BUNDLE", required = true, value_parser = target)]
    targets: Vec<Target>,
    #[command(flatten)]
    access: Access,
}

impl Remove {
    /// The bundles among what is to go.
    pub(super) fn bundles(&self) -> impl Iterator<Item = &Path> {
        self.targets.iter().filter_map(|target| match target {
            Target::Bundle(dir) => Some(dir.as_path()),
            Target::Place(_) => None,
        })
    }

    /// Removes all of them.
    pub(super) fn run(&self, global: &Global) -> Result<()> {
        interrupt::watch()?;
        let mut stored = Vec::new();
        for target in &self.targets {
            match target {
                Target::Bundle(dir) => {
                    bundle(dir, global).while_doing(|| format!("remove {}", dir.display()))?
                }
                Target::Place(Place::Registry(reference, false) | Place::Store(reference)) => {
                    stored.push(reference);
                }
                Target::Place(place) => {
                    self.elsewhere(place, global).while_doing(|| format!("remove {place}"))?
                }
            }
        }
        let freed = if stored.is_empty() { None } else { here(&stored, global)? };
        let form = || {
            let removed: Vec<String> = self.targets.iter().map(ToString::to_string).collect();
            let freed = freed.map(|freed| json!({ "files": freed.gone.files, "bytes": freed.gone.bytes }));
            json!({ "removed": removed, "freed": freed })
        };
        global.answer(form, String::new)
    }

    /// At a registry, by digest: all tags of it go; in a layout, only the name.
    fn elsewhere(&self, place: &Place, global: &Global) -> Result<()> {
        match place {
            Place::Registry(reference, _) => {
                let settings = Settings { actions: Actions::Delete, ..self.access.settings() };
                let digest = Remote::new(reference, &settings)?.delete()?;
                global.tell(&format!("removed {digest} from {}", reference.name()));
                Ok(())
            }
            Place::Oci(dir, Some(name)) => match Layout::new(dir, None).forget(name)? {
                true => Ok(()),
                false => Err(Error::new(Kind::NotFound, format!("there is no {name:?} in it"))),
            },
            _ => Err(Error::new(Kind::Unsupported, "nothing can be removed there").hint("remove the file")),
        }
    }
}

/// What is to go.
#[derive(Debug, Clone)]
enum Target {
    Place(Place),
    Bundle(PathBuf),
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Place(Place::Registry(reference, false)) => reference.fmt(f),
            Self::Place(place) => place.fmt(f),
            Self::Bundle(dir) => dir.display().fmt(f),
        }
    }
}

fn target(text: &str) -> Result<Target> {
    match text.starts_with(['/', '.']) {
        true => Ok(Target::Bundle(text.into())),
        false => text.parse().map(Target::Place),
    }
}

/// A bundle of ours, with what is mounted in it.
fn bundle(dir: &Path, global: &Global) -> Result<()> {
    let note = match Note::of(dir) {
        // Gone without this command, but for what it keeps in the store.
        Err(e) if e.kind() == Kind::NotFound => {
            let dir = std::path::absolute(dir).while_doing(|| "find it")?;
            if !is_there(&global.root()?)? || !global.store()?.forget_missing(&dir)? {
                return Err(e);
            }
            global.tell(&format!("forgot {}", dir.display()));
            return Ok(());
        }
        other => other?,
    };
    if note.way == Way::Mounted {
        overlay::detach(&dir.join("rootfs"))?;
    }
    let removed = std::fs::remove_dir_all(dir);
    removed.while_doing(|| "remove its files; is a container still running from it?")?;
    if note.way != Way::Copy {
        Store::open(&note.store)?.forget_user(&note.id)?;
    }
    global.tell(&format!("removed {}", dir.display()));
    Ok(())
}

/// All of the names, or, if one is not there, none.
fn here(references: &[&Reference], global: &Global) -> Result<Option<Freed>> {
    let store = global.store()?;
    for reference in references {
        if store.record(reference)?.is_none() {
            let what = format!("remove {reference}: there is no such image in the store");
            return Err(Error::new(Kind::NotFound, what));
        }
    }
    for reference in references {
        store.unpoint(reference).while_doing(|| format!("remove {reference}"))?;
        global.tell(&format!("removed {reference}"));
    }
    match store.collect(Missing::Keep) {
        Err(e) if e.kind() == Kind::Busy => {
            global.tell(&format!("{e}: `mocker-image gc` will free what no image needs"));
            Ok(None)
        }
        freed => {
            let freed = freed?;
            global.tell(&gc::sentence(&freed));
            gc::kept(&freed).iter().for_each(|line| global.tell(line));
            Ok(Some(freed))
        }
    }
}
