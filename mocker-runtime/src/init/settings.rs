//! Small settings of the container and of its process.

use super::Init;
use super::task::Task;
use crate::error::{Result, WhileDoing};
use crate::sys::{ids, sched};

/// Through the host's /proc: the files act on this process's own namespaces whatever /proc shows them.
pub(super) fn sysctls(init: &mut Init<'_>) -> Result<()> {
    let proc = init.task.proc()?;
    init.plan.sysctl.iter().try_for_each(|(file, value)| proc.write(&format!("sys/{file}"), value))
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

impl Task<'_> {
    /// runc calls it `_ses.ID`, by which what enters the container later finds it; kernels without keys have none
    /// to protect.
    pub(super) fn join_keyring(&mut self) -> Result<()> {
        let Some(id) = &self.keyring else { return Ok(()) };
        let name = std::ffi::CString::new(format!("_ses.{id}")).unwrap_or_default();
        // The keyring gets the program's label, or SELinux would keep the program from it.
        if let Some(label) = &self.process.selinux {
            self.proc()?.write_self("attr/keycreate", label)?;
        }
        match ids::join_session_keyring(&name) {
            Err(error) if error.is_errno(rustix::io::Errno::NOSYS) => {}
            keyring => ids::let_user_find(keyring?)?,
        }
        match self.process.selinux {
            Some(_) => self.proc()?.write_self("attr/keycreate", "\n"),
            None => Ok(()),
        }
    }

    /// Limits and priorities that a process without the host's capabilities could not set.
    pub(super) fn set_limits(&mut self) -> Result<()> {
        let process = self.process;
        for limit in &process.rlimits {
            sched::set_rlimit(limit.resource, limit.name, limit.soft, limit.hard)?;
        }
        if let Some(scheduler) = &process.scheduler {
            sched::set_scheduler(scheduler)?;
        }
        if let Some((class, level)) = process.io_priority {
            sched::set_io_priority(class, level)?;
        }
        if let Some(policy) = &process.memory_policy {
            sched::set_memory_policy(policy.mode, &policy.nodes)?;
        }
        process.personality.map_or(Ok(()), ids::set_personality)
    }
}
