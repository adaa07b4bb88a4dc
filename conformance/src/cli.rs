//! The command line of `conformance`; the only place that prints.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is where the program speaks"
)]

mod serve;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Proves a container runtime and an image tool against the OCI specifications
#[derive(Debug, Parser)]
#[command(name = "conformance", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Serve),
}

impl Cli {
    pub(crate) fn run(self) -> ExitCode {
        let done = match self.command {
            Command::Serve(serve) => serve.run(),
        };
        done.unwrap_or_else(|error| {
            eprintln!("conformance: {error:#}");
            ExitCode::FAILURE
        })
    }
}
