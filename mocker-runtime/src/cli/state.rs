//! `state`: from words to one call.

use crate::container::Root;
use crate::container::id::ContainerId;
use crate::error::Result;

/// Print a container's state as JSON
#[derive(Debug, clap::Args)]
pub(super) struct State {
    /// The container
    id: ContainerId,
}

impl State {
    pub(super) fn run(self, root: &Root) -> Result<()> {
        super::print(&root.open(&self.id)?.state()?)
    }
}
