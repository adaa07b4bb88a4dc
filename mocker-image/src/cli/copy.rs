//! `copy`: from any place to any other.

use super::Global;
use super::transfer::{Common, DestinationEnd, Ends, SourceEnd, Way, report, transfer};
use crate::error::{Context, Result};
use crate::interrupt;
use crate::place::Place;

/// Places: `docker://NAME` (or `NAME`), `store:NAME`, `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]`,
/// `docker-archive:FILE[:NAME]`, `dir:DIR`, `docker-daemon:NAME`
#[derive(Debug, clap::Args)]
pub(super) struct Copy {
    /// Where from
    #[arg(value_name = "SOURCE")]
    source: Place,
    /// Where to
    #[arg(value_name = "DESTINATION")]
    destination: Place,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    from: SourceEnd,
    #[command(flatten)]
    to: DestinationEnd,
    #[command(flatten)]
    way: Way,
}

impl Copy {
    pub(super) fn run(&self, global: &Global) -> Result<()> {
        interrupt::watch()?;
        let ends = Ends { common: &self.common, source: Some(&self.from), destination: Some(&self.to) };
        let copied = transfer(global, &ends, &self.way, &self.source, &self.destination)
            .while_doing(|| format!("copy {} to {}", self.source, self.destination))?;
        report(global, &self.way, &copied)
    }
}
