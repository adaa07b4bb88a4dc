//! `conformance`: proves a container runtime and an image tool against the OCI specifications.

mod cli;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    cli::Cli::parse().run()
}
