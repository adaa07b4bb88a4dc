//! Doors for the fuzz targets: each reader of bytes that come from outside, none of which may panic, hang or
//! grow without bounds. Nothing else calls them.

use std::path::Path;

use crate::bundle::check;
use crate::bundle::config::{Config, Seccomp};
use crate::container::record::Record;
use crate::plan::{CgroupMode, Plan, seccomp};

/// `config.json`: true if a container would be made of it, whichever cgroups the host has.
pub fn config(bytes: &[u8]) -> bool {
    let Ok(config) = serde_json::from_slice::<Config<'_>>(bytes) else { return false };
    let modes = [CgroupMode::V1, CgroupMode::V2, CgroupMode::None];
    check::check(&config).is_ok()
        && modes.into_iter().filter(|mode| Plan::new(&config, Path::new("/bundle"), *mode).is_ok()).count()
            > 0
}

/// A seccomp profile: the instructions of its program (code, jump if true, jump if false, operand), or None if it
/// is refused.
pub fn seccomp(profile: &[u8]) -> Option<Vec<(u16, u8, u8, u32)>> {
    let profile: Seccomp<'_> = serde_json::from_slice(profile).ok()?;
    let filter = seccomp::plan(&profile).ok()?;
    Some(filter.program.iter().map(|insn| (insn.code, insn.jt, insn.jf, insn.k)).collect())
}

/// A container's record: true if it is one.
pub fn record(bytes: &[u8]) -> bool {
    Record::parse(&String::from_utf8_lossy(bytes)).is_ok()
}
