//! `remove`: names go, and what only they needed.

use super::{Global, Teller, gc};
use crate::error::{Context, Error, Kind, Result};
use crate::interrupt;
use crate::reference::Reference;

#[derive(Debug, clap::Args)]
pub(super) struct Remove {
    /// Images as `list` shows them: `[HOST[:PORT]/]NAME[:TAG][@DIGEST]`
    #[arg(value_name = "IMAGE", required = true)]
    references: Vec<Reference>,
}

impl Remove {
    /// Removes all of the names, or, if one is not there, none.
    pub(super) fn run(&self, global: &Global) -> Result<()> {
        interrupt::watch()?;
        let store = global.store()?;
        for reference in &self.references {
            if store.record(reference)?.is_none() {
                let what = format!("remove {reference}: there is no such image in the store");
                return Err(Error::new(Kind::NotFound, what));
            }
        }
        for reference in &self.references {
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
}
