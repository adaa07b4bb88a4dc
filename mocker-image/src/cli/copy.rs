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
        let copied = transfer(global, &ends, &self.way, &self.source, &self.destination);
        let hinted = copied.map_err(|e| match &self.source {
            Place::Registry(reference, false) if global.has(reference).unwrap_or(false) => {
                e.hint(format!("the store has an image of this name: store:{reference}"))
            }
            _ => e,
        });
        let copied = hinted.while_doing(|| format!("copy {} to {}", self.source, self.destination))?;
        report(global, &self.way, &copied)
    }
}
