//! `spec`: from words to one call.

use std::path::PathBuf;

use crate::bundle::default::{self, Host};
use crate::cgroup;
use crate::error::Result;
use crate::plan::CgroupMode;

/// Write a config.json to start from
#[derive(Debug, clap::Args)]
pub(super) struct Spec {
    /// The bundle's directory [default: the working directory]
    #[arg(short, long, value_name = "DIR")]
    bundle: Option<PathBuf>,
    /// For a container that an ordinary user runs
    #[arg(long)]
    rootless: bool,
}

impl Spec {
    pub(super) fn run(self) -> Result<()> {
        let ids = || (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let host = Host { user: self.rootless.then(ids), unified: cgroup::mode() == CgroupMode::V2 };
        default::write(&self.bundle.unwrap_or_default(), host)
    }
}
