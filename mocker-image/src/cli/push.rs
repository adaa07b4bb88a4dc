//! `push`: an image, usually of the store, to its registry, or to any other place.

use super::Global;
use super::author::stored;
use super::transfer::{Common, DestinationEnd, Ends, Way, report, transfer};
use crate::error::{Context, Error, Result};
use crate::interrupt;
use crate::place::Place;

#[derive(Debug, clap::Args)]
pub(super) struct Push {
    /// The image, as `list` shows it, or in another place, see `copy`
    #[arg(value_name = "IMAGE")]
    image: Place,
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
        let source = stored(&self.image);
        let own = || match &source {
            Place::Store(reference) => Ok(Place::Registry(reference.clone(), true)),
            place => Err(Error::invalid(format!("push {place}: say where to"))),
        };
        let destination = self.destination.clone().map_or_else(own, Ok)?;
        let ends = Ends { common: &self.common, source: None, destination: Some(&self.to) };
        let pushed = transfer(global, &ends, &self.way, &source, &destination)
            .while_doing(|| format!("push {} to {destination}", self.image))?;
        report(global, &self.way, &pushed)
    }
}
