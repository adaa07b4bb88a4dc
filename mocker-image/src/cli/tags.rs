//! `tags`: what a repository offers.

use super::{Access, Global, print, wait};
use crate::error::{Context, Result};
use crate::interrupt;
use crate::reference::Reference;
use crate::registry::Registry;

#[derive(Debug, clap::Args)]
pub(super) struct Tags {
    /// The repository: `[HOST[:PORT]/]NAME`
    #[arg(value_name = "REPOSITORY")]
    repository: Reference,
    #[command(flatten)]
    access: Access,
}

impl Tags {
    pub(super) fn run(&self, global: &Global) -> Result<()> {
        interrupt::watch()?;
        let step = || format!("list the tags of {}", self.repository.name());
        let registry = Registry::new(&self.repository, &self.access.settings())?;
        let tags = wait(registry.tags()).while_doing(step)?;
        match global.json {
            true => print(format!("{:#}\n", serde_json::Value::from(tags))),
            false => print(tags.iter().map(|tag| format!("{tag}\n")).collect::<String>()),
        }
    }
}
