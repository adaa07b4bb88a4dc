//! `push`: an image of the store to its registry, or to any other place.

use super::Global;
use super::transfer::{Common, DestinationEnd, Ends, Way, report, transfer};
use crate::error::{Context, Result};
use crate::interrupt;
use crate::place::Place;
use crate::reference::Reference;

#[derive(Debug, clap::Args)]
pub(super) struct Push {
    /// The image, as `list` shows it
    #[arg(value_name = "IMAGE")]
    image: Reference,
    /// Where to, if not to the registry of its name
    #[arg(value_name = "DESTINATION")]
    destination: Option<Place>,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    to: DestinationEnd,
    #[command(flatten)]
    way: Way,
}

impl Push {
    pub(super) fn run(&self, global: &Global) -> Result<()> {
        interrupt::watch()?;
        let own = || Place::Registry(self.image.clone(), true);
        let destination = self.destination.clone().unwrap_or_else(own);
        let ends = Ends { common: &self.common, source: None, destination: Some(&self.to) };
        let source = Place::Store(self.image.clone());
        let pushed = transfer(global, &ends, &self.way, &source, &destination)
            .while_doing(|| format!("push {} to {destination}", self.image))?;
        report(global, &self.way, &pushed)
    }
}
