//! `state`: from words to one call.

use super::quick::{Given, Quick};
use crate::container::Root;
use crate::container::id::ContainerId;
use crate::error::Result;

/// Print a container's state as JSON
#[derive(Debug, clap::Args)]
pub(super) struct State {
    /// The container
    id: ContainerId,
}

impl Quick for State {
    fn take(given: &mut Given<'_>) -> Option<Self> {
        Some(Self { id: given.word()? })
    }
}

impl State {
    pub(super) fn run(self, root: &Root) -> Result<()> {
        super::print(&root.open(&self.id)?.state()?)
    }
}
