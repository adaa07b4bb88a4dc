//! `logout`: forgets who somebody is at a registry.

use std::path::PathBuf;

use serde_json::json;

use super::{Global, Teller};
use crate::error::{Context, Result};
use crate::reference;
use crate::registry::credentials;

#[derive(Debug, clap::Args)]
pub(super) struct Logout {
    /// The registry, as it was given to login: `HOST[:PORT][/PATH]`
    #[arg(value_name = "REGISTRY", value_parser = reference::parse_place, required_unless_present = "all")]
    place: Option<String>,
    /// Forget all registries of the file
    #[arg(long, conflicts_with = "place")]
    all: bool,
    /// The file of credentials [default: as for login]
    #[arg(long, value_name = "FILE")]
    authfile: Option<PathBuf>,
}

impl Logout {
    pub(super) fn run(&self, global: &Global) -> Result<()> {
        let whom = self.place.as_deref().unwrap_or("all registries");
        let forgot = credentials::forget(self.place.as_deref(), self.authfile.as_deref());
        let place = forgot.while_doing(|| format!("log out of {whom}"))?;
        global.tell(&format!("logged out of {whom}; {place} has forgotten it"));
        global.answer(|| json!({ "registry": self.place, "kept": place }), String::new)
    }
}
