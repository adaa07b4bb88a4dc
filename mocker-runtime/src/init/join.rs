//! Namespaces that exist already.

use std::os::fd::AsFd;
use std::path::Path;

use super::Init;
use crate::container::switched::{join, part_time};
use crate::error::Result;
use crate::sys::{ids, ns};

/// Enters the network namespace that was made ahead, and those given by path; pid was the parent's to enter, and mount
/// comes last. With a user namespace among them this process was born in all of them (`container/adopt.rs`).
pub(super) fn namespaces(init: &mut Init<'_>) -> Result<()> {
    if let Some(network) = init.network.take() {
        ns::join(network.as_fd(), libc::CLONE_NEWNET as u64)?;
    }
    let namespaces = &init.plan.namespaces;
    if namespaces.path(libc::CLONE_NEWUSER).is_some() {
        return Ok(());
    }
    namespaces
        .join
        .iter()
        .filter(|(flag, _)| *flag != libc::CLONE_NEWPID as u64)
        .try_for_each(|(flag, path)| join(path, *flag as i32))
}

/// In a user namespace this process is nobody until it says who it is.
pub(super) fn become_root(init: &mut Init<'_>) -> Result<()> {
    let namespaces = &init.plan.namespaces;
    if namespaces.has(libc::CLONE_NEWUSER) {
        ids::set_ids(0, 0)?;
    }
    if namespaces.makes(libc::CLONE_NEWUSER) && namespaces.makes(libc::CLONE_NEWTIME) {
        // Only this root may, and its offsets have to be there before anybody is in it.
        part_time(namespaces)?;
        join(Path::new("/proc/self/ns/time_for_children"), libc::CLONE_NEWTIME)?;
    }
    Ok(())
}
