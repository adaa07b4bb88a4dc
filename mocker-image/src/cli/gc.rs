//! `gc`: what no image needs goes.

use serde_json::json;

use super::{Global, Teller};
use crate::error::{Context, Result};
use crate::interrupt;
use crate::progress::size;
use crate::store::Freed;
use crate::store::users::Missing;

#[derive(Debug, clap::Args)]
pub(super) struct Gc {
    /// Forget bundles that are not where they were made; else those keep their layers for 30 days, since they
    /// may have been moved to another file system
    #[arg(long)]
    forget_missing: bool,
}

impl Gc {
    pub(super) fn run(&self, global: &Global) -> Result<()> {
        interrupt::watch()?;
        let missing = if self.forget_missing { Missing::Forget } else { Missing::Keep };
        let freed = global.store()?.collect(missing).while_doing(|| "free what no image needs")?;
        kept(&freed).iter().for_each(|line| global.tell(line));
        let form = || {
            let (gone, missing) = (freed.gone, &freed.missing);
            json!({ "files": gone.files, "bytes": gone.bytes, "kept": freed.kept.bytes, "missing": missing })
        };
        global.answer(form, || format!("{}\n", sentence(&freed)))
    }
}

/// What was freed.
pub(super) fn sentence(freed: &Freed) -> String {
    let s = if freed.gone.files == 1 { "" } else { "s" };
    format!("freed {} in {} file{s}", size(freed.gone.bytes), freed.gone.files)
}

/// What was not, since it may be needed by bundles that were not found.
pub(super) fn kept(freed: &Freed) -> Option<String> {
    let (first, more) = freed.missing.split_first().filter(|_| freed.kept.files > 0)?;
    let more = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
    let (kept, first) = (size(freed.kept.bytes), first.display());
    Some(format!(
        "kept {kept} for bundles that are not where they were made, {first}{more}, in case they were moved to another \
         file system: for 30 days, or until `mocker-image remove {first}` or `mocker-image gc --forget-missing`"
    ))
}
