//! `remove`: names go, and what only they needed.

use super::{Access, Global, Teller, gc};
use crate::error::{Context, Error, Kind, Result};
use crate::interrupt;
use crate::layout::Layout;
use crate::place::Place;
use crate::reference::Reference;
use crate::registry::remote::Remote;
use crate::registry::{Actions, Settings};

#[derive(Debug, clap::Args)]
pub(super) struct Remove {
    /// Images as `list` shows them, `docker://NAME` at its registry, or `oci:DIR:NAME`
    #[arg(value_name = "IMAGE", required = true)]
    places: Vec<Place>,
    #[command(flatten)]
    access: Access,
}

impl Remove {
    /// Removes all of them.
    pub(super) fn run(&self, global: &Global) -> Result<()> {
        interrupt::watch()?;
        let mut stored = Vec::new();
        for place in &self.places {
            match place {
                Place::Registry(reference, false) | Place::Store(reference) => stored.push(reference),
                place => self.elsewhere(place, global).while_doing(|| format!("remove {place}"))?,
            }
        }
        if stored.is_empty() { Ok(()) } else { here(&stored, global) }
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

/// All of the names, or, if one is not there, none.
fn here(references: &[&Reference], global: &Global) -> Result<()> {
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
    match store.collect() {
        Err(e) if e.kind() == Kind::Busy => {
            global.tell(&format!("{e}: `mocker-image gc` will free what no image needs"));
            Ok(())
        }
        freed => {
            global.tell(&gc::sentence(freed?));
            Ok(())
        }
    }
}
