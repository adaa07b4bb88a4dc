//! The container's cgroup namespace.

use super::Init;
use crate::error::Result;
use crate::sys::ns;

/// Its root is the cgroup in which it is made, so it is made when init is in the container's own, and before it
/// goes to one below, which is the container's to rule.
pub(super) fn unshare(init: &Init<'_>) -> Result<()> {
    if init.plan.namespaces.makes(libc::CLONE_NEWCGROUP) {
        ns::unshare(libc::CLONE_NEWCGROUP as u64)?;
    }
    match &init.plan.cgroup.delegated {
        Some(name) => init.record.cgroup.enter_below(name),
        None => Ok(()),
    }
}
