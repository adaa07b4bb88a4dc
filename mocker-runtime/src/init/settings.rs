//! Small settings of the container and of its process.

use super::{Init, Keyring};
use crate::error::{Result, WhileDoing};
use crate::sys::{ids, sched};

/// Through the host's /proc: the files act on this process's own namespaces whatever /proc shows them.
pub(super) fn sysctls(init: &mut Init<'_>) -> Result<()> {
    init.plan
        .sysctl
        .iter()
        .try_for_each(|(file, value)| init.proc.write(&format!("sys/{file}"), value))
}

/// Host name and domain name.
pub(super) fn names(init: &mut Init<'_>) -> Result<()> {
    if let Some(name) = &init.plan.hostname {
        rustix::system::sethostname(name.as_bytes()).while_doing(|| format!("set the host name {name:?}"))?;
    }
    match &init.plan.domainname {
        Some(name) => rustix::system::setdomainname(name.as_bytes())
            .while_doing(|| format!("set the domain name {name:?}")),
        None => Ok(()),
    }
}

/// runc calls it `_ses.ID`; kernels without keys have none to protect.
pub(super) fn keyring(init: &mut Init<'_>) -> Result<()> {
    if init.options.keyring == Keyring::Inherited {
        return Ok(());
    }
    let name = std::ffi::CString::new(format!("_ses.{}", init.record.id)).unwrap_or_default();
    match ids::new_session_keyring(&name) {
        Err(error) if error.is_errno(rustix::io::Errno::NOSYS) => Ok(()),
        result => result,
    }
}

/// Limits and priorities that a process without the host's capabilities could not set.
pub(super) fn limits(init: &mut Init<'_>) -> Result<()> {
    let process = &init.plan.process;
    for limit in &process.rlimits {
        sched::set_rlimit(limit.resource, limit.name, limit.soft, limit.hard)?;
    }
    if let Some(score) = process.oom_score_adj {
        init.proc.write_self("oom_score_adj", &score.to_string())?;
    }
    if let Some(scheduler) = &process.scheduler {
        sched::set_scheduler(scheduler)?;
    }
    if let Some((class, level)) = process.io_priority {
        sched::set_io_priority(class, level)?;
    }
    process.personality.map_or(Ok(()), ids::set_personality)
}
