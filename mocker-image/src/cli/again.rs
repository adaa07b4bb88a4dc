//! Commands that have to run as root of a user namespace: where the files are the sub-ids' of a user.

use std::path::Path;
use std::process::ExitCode;

use super::{Cli, Command};
use crate::bundle::note::Note;
use crate::error::Result;
use crate::layer::ids::Ids;
use crate::userns;

impl Cli {
    /// Runs the command in a user namespace, where it needs one and is not in it yet.
    pub(super) fn again(&self) -> Result<Option<ExitCode>> {
        let ids = match &self.command {
            _ if rustix::process::geteuid().is_root() => None,
            Command::Unpack(unpack) => unpack.namespace()?,
            Command::Commit(commit) => lent_to(commit.bundle())?,
            Command::Diff(diff) => lent_to(diff.bundle())?,
            Command::Remove(remove) => {
                remove.bundles().find_map(|dir| lent_to(dir).transpose()).transpose()?
            }
            _ => None,
        };
        let Some(ids) = ids else { return Ok(None) };
        let root = self.global.root.is_none().then(|| self.global.root()).transpose()?;
        userns::again(&ids, root.as_deref()).map(Some)
    }
}

/// The lent ids that a bundle's files have.
fn lent_to(dir: &Path) -> Result<Option<Ids>> {
    Ok(Note::read(dir)?.filter(|note| note.lent).and_then(|note| note.ids))
}
