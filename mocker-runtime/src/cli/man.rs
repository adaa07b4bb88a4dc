//! `man`: the manual, from the commands themselves.

use std::path::PathBuf;

use clap::CommandFactory;

use super::Cli;
use crate::error::{Result, WhileDoing};

/// Print the manual, or write a page for each command
#[derive(Debug, clap::Args)]
pub(super) struct Man {
    /// Write a page for each command into this folder
    #[arg(value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl Man {
    pub(super) fn run(self) -> Result<()> {
        let mut all = Cli::command();
        all.build();
        let Some(dir) = &self.dir else {
            return clap_mangen::Man::new(all).render(&mut std::io::stdout()).while_doing(|| "print");
        };
        std::fs::create_dir_all(dir)
            .and_then(|()| clap_mangen::generate_to(all, dir))
            .while_doing(|| format!("write the manual into {}", dir.display()))
    }
}
