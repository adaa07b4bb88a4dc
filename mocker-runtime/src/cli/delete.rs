//! `delete`: from words to one call.

use super::pattern;
use super::quick::{Given, Names, Quick};
use crate::container::Root;
use crate::container::delete::Force;
use crate::container::id::ContainerId;
use crate::error::{Kind, Result};

/// Delete a stopped container and all that belongs to it
#[derive(Debug, clap::Args)]
pub(super) struct Delete {
    /// The container; with --regex, a regular expression that names several
    id: String,
    /// Kill it first if it runs; a container that is not there is no error
    #[arg(short, long)]
    force: bool,
    /// Delete all containers whose names match
    #[arg(long)]
    regex: bool,
}

impl Quick for Delete {
    const SWITCHES: Names = &[("--force", "-f")];

    fn take(given: &mut Given<'_>) -> Option<Self> {
        Some(Self { id: given.word()?, force: given.switch("--force"), regex: false })
    }
}

impl Delete {
    pub(super) fn run(self, root: &Root) -> Result<()> {
        let force = if self.force { Force::Yes } else { Force::No };
        let forgive = |result: Result<()>| match result {
            Err(error) if force == Force::Yes && error.kind() == Kind::NotFound => Ok(()),
            result => result,
        };
        if self.regex {
            let found = pattern::matching(root, &self.id)?;
            return pattern::each(found, |container| forgive(container.delete(force)));
        }
        let id: ContainerId = self.id.parse()?;
        forgive(root.open(&id).and_then(|container| container.delete(force)))
    }
}
