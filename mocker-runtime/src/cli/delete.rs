//! `delete`: from words to one call.

use crate::container::Root;
use crate::container::delete::Force;
use crate::container::id::ContainerId;
use crate::error::{Kind, Result};

/// Delete a stopped container and all that belongs to it
#[derive(Debug, clap::Args)]
pub(super) struct Delete {
    /// The container
    id: ContainerId,
    /// Kill it first if it runs; a container that is not there is no error
    #[arg(short, long)]
    force: bool,
}

impl Delete {
    pub(super) fn run(self, root: &Root) -> Result<()> {
        let force = if self.force { Force::Yes } else { Force::No };
        match root.open(&self.id).and_then(|container| container.delete(force)) {
            Err(error) if force == Force::Yes && error.kind() == Kind::NotFound => Ok(()),
            result => result,
        }
    }
}
