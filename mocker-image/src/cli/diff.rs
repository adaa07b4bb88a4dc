//! `diff`: what a container changed in its root file system.

use std::path::PathBuf;

use serde_json::json;

use super::{Global, print};
use crate::bundle::base::Compared;
use crate::error::{Context, Result};
use crate::interrupt;
use crate::layer::diff::{Change, Kind};

#[derive(Debug, clap::Args)]
pub(super) struct Diff {
    /// The bundle
    #[arg(value_name = "BUNDLE")]
    dir: PathBuf,
    /// Leave this path and what is below it out; may be repeated
    #[arg(long, value_name = "PATH")]
    mask_path: Vec<String>,
}

impl Diff {
    /// The bundle.
    pub(super) fn bundle(&self) -> &std::path::Path {
        &self.dir
    }

    pub(super) fn run(&self, global: &Global) -> Result<()> {
        interrupt::watch()?;
        let step = || format!("find the changes in {}", self.dir.display());
        let compared = Compared::open(&self.dir).while_doing(step)?;
        let found = compared.changes(&masks(&self.mask_path)).while_doing(step)?;
        let path = |change: &Change| format!("/{}", String::from_utf8_lossy(&change.path));
        if !global.json {
            let line = |change: &Change| format!("{} {}\n", change.kind.letter(), path(change));
            return print(found.iter().map(line).collect::<String>());
        }
        let word = |kind| match kind {
            Kind::Added => "added",
            Kind::Changed => "changed",
            Kind::Removed => "removed",
        };
        let list = found.iter().map(|change| json!({ "path": path(change), "kind": word(change.kind) }));
        print(format!("{:#}\n", list.collect::<serde_json::Value>()))
    }
}

/// Paths as the walk has them.
pub(super) fn masks(paths: &[String]) -> Vec<Vec<u8>> {
    paths.iter().map(|path| path.trim_matches('/').as_bytes().to_vec()).collect()
}
