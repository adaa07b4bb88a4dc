//! What AppArmor and SELinux know the program by. The labels are set on this process for its next execve, through
//! a /proc that is proved to be one (CVE-2019-16884), while the host's is still there.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags, XattrFlags};
use rustix::io::Errno;

use super::task::Task;
use crate::error::{Error, Result, WhileDoing};
use crate::plan::Plan;
use crate::plan::process::Process;
use crate::sys::proc::Proc;

const APPARMOR: &str = "/sys/module/apparmor/parameters/enabled";
const SELINUX: &str = "/sys/fs/selinux/enforce";

/// A label that nobody on this host understands would protect nothing, so it is an error.
pub(crate) fn check_container(plan: &Plan) -> Result<()> {
    if plan.mount_label.is_some() && !is_there(SELINUX) {
        return Err(disabled("linux.mountLabel", "SELinux"));
    }
    check(&plan.process)
}

/// The same for one process.
pub(crate) fn check(process: &Process) -> Result<()> {
    let enabled = || std::fs::read_to_string(APPARMOR).is_ok_and(|text| text.starts_with('Y'));
    if process.apparmor.is_some() && !enabled() {
        return Err(disabled("process.apparmorProfile", "AppArmor"));
    }
    if process.selinux.is_some() && !is_there(SELINUX) {
        return Err(disabled("process.selinuxLabel", "SELinux"));
    }
    Ok(())
}

fn is_there(path: &str) -> bool {
    Path::new(path).try_exists().unwrap_or(false)
}

fn disabled(property: &str, module: &str) -> Error {
    Error::unsupported(format!("{property} is set, but {module} is not enabled on this host"))
}

/// Labels a file system that takes no label when it is made, at its root.
pub(super) fn label_root(tree: &OwnedFd, label: &str) -> Result<()> {
    // The descriptor of a mount is a path only.
    rustix::fs::openat(tree, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .and_then(|root| {
            rustix::fs::fsetxattr(root, "security.selinux", label.as_bytes(), XattrFlags::empty())
        })
        .while_doing(|| format!("set the SELinux label {label:?}"))
}

impl Task<'_> {
    /// Sets the labels of the program.
    pub(super) fn set_labels(&mut self) -> Result<()> {
        if let Some(profile) = &self.process.apparmor {
            apply_profile(self.proc()?, profile)?;
        }
        match &self.process.selinux {
            Some(label) => self
                .proc()?
                .write_self("attr/exec", label)
                .while_doing(|| format!("set the SELinux label {label:?}")),
            None => Ok(()),
        }
    }
}

/// The file of its own came with Linux 5.8; before, whichever module was first owned attr/exec.
fn apply_profile(proc: &Proc, profile: &str) -> Result<()> {
    let file = match is_there("/proc/self/attr/apparmor") {
        true => "attr/apparmor/exec",
        false => "attr/exec",
    };
    proc.write_self(file, &format!("exec {profile}"))
        .map_err(|error| match error.is_errno(Errno::NOENT) {
            true => error.with_hint("no profile of that name is loaded; apparmor_parser loads one"),
            false => error,
        })
        .while_doing(|| format!("set the AppArmor profile {profile:?}"))
}
