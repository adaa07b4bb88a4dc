//! `completion`: the words of this program for a shell.

use clap::CommandFactory;
use clap_complete::Shell;

use super::Cli;
use crate::error::{Result, WhileDoing};

/// Print what completes this program's words in a shell
#[derive(Debug, clap::Args)]
pub(super) struct Completion {
    /// The shell
    shell: Shell,
}

impl Completion {
    pub(super) fn run(self) -> Result<()> {
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "mocker-runtime", &mut text);
        std::io::Write::write_all(&mut std::io::stdout(), &text).while_doing(|| "print")
    }
}
