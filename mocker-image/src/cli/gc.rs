//! `gc`: what no image needs goes.

use serde_json::json;

use super::{Global, print};
use crate::error::{Context, Result};
use crate::interrupt;
use crate::progress::size;
use crate::store::Freed;

#[derive(Debug, clap::Args)]
pub(super) struct Gc {}

impl Gc {
    pub(super) fn run(&self, global: &Global) -> Result<()> {
        interrupt::watch()?;
        let freed = global.store()?.collect().while_doing(|| "free what no image needs")?;
        match global.json {
            true => print(format!("{:#}\n", json!({ "files": freed.files, "bytes": freed.bytes }))),
            false => print(format!("{}\n", sentence(freed))),
        }
    }
}

pub(super) fn sentence(freed: Freed) -> String {
    let s = if freed.files == 1 { "" } else { "s" };
    format!("freed {} in {} file{s}", size(freed.bytes), freed.files)
}
