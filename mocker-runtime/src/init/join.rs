//! Namespaces that exist already.

use super::Init;
use crate::container::switched::join;
use crate::error::{Error, Result};
use crate::sys::ids;

/// Enters those given by path; pid was the parent's to enter, and mount comes last.
pub(super) fn namespaces(init: &mut Init<'_>) -> Result<()> {
    if init.plan.namespaces.path(libc::CLONE_NEWUSER).is_some() {
        return Err(Error::unsupported("joining a user namespace by path is not supported yet"));
    }
    init.plan
        .namespaces
        .join
        .iter()
        .filter(|(flag, _)| *flag != libc::CLONE_NEWPID as u64)
        .try_for_each(|(flag, path)| join(path, *flag as i32))
}

/// In a new user namespace this process is nobody until it says who it is.
pub(super) fn become_root(init: &mut Init<'_>) -> Result<()> {
    match init.plan.ids {
        Some(_) => ids::set_ids(0, 0),
        None => Ok(()),
    }
}
