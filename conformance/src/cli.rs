//! The command line of `conformance`; the only place that prints.
#![expect(clippy::print_stderr, reason = "this is where the program speaks")]

mod fixtures;
mod report;
mod run;
mod serve;
mod suite;
mod tools;

use std::io::{self, Write};
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
    Run(run::Run),
    Compare(run::Compare),
    List(run::List),
    Fixtures(fixtures::Fixtures),
    Serve(serve::Serve),
    Tools(tools::Tools),
}

impl Cli {
    pub(crate) fn run(self) -> ExitCode {
        let done = match self.command {
            Command::Run(run) => run.run(),
            Command::Compare(compare) => compare.run(),
            Command::List(list) => list.run(),
            Command::Fixtures(fixtures) => fixtures.run(),
            Command::Serve(serve) => serve.run(),
            Command::Tools(tools) => tools.run(),
        };
        done.unwrap_or_else(|error| {
            eprintln!("conformance: {error:#}");
            ExitCode::FAILURE
        })
    }
}

/// A line for the reader; one who has hung up (`| head`) is no error.
fn say(line: &str) {
    drop(writeln!(io::stdout(), "{line}"));
}
