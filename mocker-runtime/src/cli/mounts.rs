//! `mounts`: into a running container and out of it, as crun has it.

use std::path::{Path, PathBuf};

use crate::bundle::config::Mount;
use crate::container::Root;
use crate::container::id::ContainerId;
use crate::error::{Result, WhileDoing};

/// Add mounts to a running container, or remove some
#[derive(Debug, clap::Args)]
pub(super) struct Mounts {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, clap::Subcommand)]
enum Act {
    /// Make the mounts of a file
    Add(Words),
    /// Take away what is mounted at the destinations of a file
    Remove(Words),
}

#[derive(Debug, clap::Args)]
struct Words {
    /// The container
    id: ContainerId,
    /// A JSON array of mounts as config.json has them
    file: PathBuf,
}

impl Mounts {
    pub(super) fn run(self, root: &Root) -> Result<()> {
        match self.act {
            Act::Add(Words { id, file }) => {
                let text = read(&file)?;
                root.open(&id)?.add_mounts(&parse(&file, &text)?)
            }
            Act::Remove(Words { id, file }) => {
                let text = read(&file)?;
                root.open(&id)?.remove_mounts(&parse(&file, &text)?)
            }
        }
    }
}

fn read(file: &Path) -> Result<Vec<u8>> {
    std::fs::read(file).while_doing(|| format!("read {}", file.display()))
}

fn parse<'a>(file: &Path, text: &'a [u8]) -> Result<Vec<Mount<'a>>> {
    serde_json::from_slice(text).while_doing(|| format!("read {}", file.display()))
}
