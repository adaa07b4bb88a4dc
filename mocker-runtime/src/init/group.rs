//! The container's cgroup namespace.

use super::Init;
use crate::error::Result;
use crate::sys::ns;

/// Its root is the cgroup in which it is made, so it is made when init is in the container's own.
pub(super) fn unshare(init: &Init<'_>) -> Result<()> {
    match init.plan.namespaces.makes(libc::CLONE_NEWCGROUP) {
        true => ns::unshare(libc::CLONE_NEWCGROUP as u64),
        false => Ok(()),
    }
}
