//! `pause` and `resume`: from words to one call.

use super::quick::{Given, Quick};
use crate::container::Root;
use crate::container::id::ContainerId;
use crate::error::Result;

/// Stop every process of a container until it is resumed
#[derive(Debug, clap::Args)]
pub(super) struct Pause {
    /// The container
    id: ContainerId,
}

impl Quick for Pause {
    fn take(given: &mut Given<'_>) -> Option<Self> {
        Some(Self { id: given.word()? })
    }
}

impl Pause {
    pub(super) fn run(self, root: &Root) -> Result<()> {
        root.open(&self.id)?.pause()
    }
}

/// Let a paused container go on
#[derive(Debug, clap::Args)]
pub(super) struct Resume {
    /// The container
    id: ContainerId,
}

impl Quick for Resume {
    fn take(given: &mut Given<'_>) -> Option<Self> {
        Some(Self { id: given.word()? })
    }
}

impl Resume {
    pub(super) fn run(self, root: &Root) -> Result<()> {
        root.open(&self.id)?.resume()
    }
}
