//! `pause` and `resume`: from words to one call.

use crate::container::Root;
use crate::container::id::ContainerId;
use crate::error::Result;

/// Stop every process of a container until it is resumed
#[derive(Debug, clap::Args)]
pub(super) struct Pause {
    /// The container
    id: ContainerId,
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

impl Resume {
    pub(super) fn run(self, root: &Root) -> Result<()> {
        root.open(&self.id)?.resume()
    }
}
