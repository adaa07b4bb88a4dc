//! `fixtures`: makes what tests keep between runs.

use std::process::ExitCode;

use anyhow::Result;
use conformance::{criu, debian};

/// Make the images that the tests share, and a criu where PATH has none that works here
///
/// The tests make them too, each when it first needs one; a machine without network gets them this way.
#[derive(Debug, clap::Args)]
pub(crate) struct Fixtures {}

impl Fixtures {
    pub(crate) fn run(self) -> Result<ExitCode> {
        debian::many()?;
        debian::zstd()?;
        let criu = criu::folder().map_or("none works here".into(), |folder| folder.display().to_string());
        super::say(&format!("{}\ncriu: {criu}", debian::folder()?.display()));
        Ok(ExitCode::SUCCESS)
    }
}
