//! `start`: from words to one call.

use super::quick::{Given, Quick};
use crate::container::Root;
use crate::container::id::ContainerId;
use crate::container::notify::Listener;
use crate::error::Result;

/// Let a created container's program run
#[derive(Debug, clap::Args)]
pub(super) struct Start {
    /// The container
    id: ContainerId,
}

impl Quick for Start {
    fn take(given: &mut Given<'_>) -> Option<Self> {
        Some(Self { id: given.word()? })
    }
}

impl Start {
    pub(super) fn run(self, root: &Root) -> Result<()> {
        let mut container = root.open(&self.id)?;
        let listener = Listener::open(&container)?;
        container.start()?;
        listener.map_or(Ok(()), |listener| container.wait_ready(&listener))
    }
}
