//! `features`: from words to one call.

use crate::error::Result;
use crate::features;

/// Print as JSON what this runtime can do
#[derive(Debug, clap::Args)]
pub(super) struct Features {}

impl Features {
    pub(super) fn run(self) -> Result<()> {
        super::print(&features::document())
    }
}
