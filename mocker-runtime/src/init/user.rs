//! Who the program runs as, what it may do, and where it begins.

use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::task::{Cwd, Task};
use crate::error::{Error, Result, WhileDoing};
use crate::plan::caps::{COUNT, Sets};
use crate::sync::FromInit;
use crate::sys::path::{self, Make};
use crate::sys::{ids, seccomp};

impl Task<'_> {
    /// Goes to `process.cwd`, which is made when it is missing, and proves that it is inside the container.
    pub(super) fn enter_cwd(&mut self) -> Result<()> {
        let cwd = &self.process.cwd;
        if cwd == Path::new("/") {
            // Where this process has been since it entered the root.
            return check_inside();
        }
        let act = || format!("enter {}", cwd.display());
        match rustix::process::chdir(cwd) {
            Err(Errno::NOENT) => {
                let root = path::open(Path::new("/"), OFlags::PATH | OFlags::DIRECTORY)?;
                path::open_or_make(root, cwd, Make::Dir).while_doing(|| format!("make {}", cwd.display()))?;
                rustix::process::chdir(cwd).while_doing(act)?;
            }
            // Perhaps only the user may enter: tried again as that user.
            Err(Errno::ACCESS) => {
                self.cwd = Cwd::Pending;
                return Ok(());
            }
            result => result.while_doing(act)?,
        }
        check_inside()
    }

    /// Groups, user, capabilities; the last rights go last.
    pub(super) fn become_user(&mut self) -> Result<()> {
        let process = self.process;
        rustix::process::umask(Mode::from_raw_mode(process.umask));
        let (sets, early) = (process.caps, process.seccomp.is_some() && !process.no_new_privileges);
        if let Some(sets) = &sets {
            drop_bounding(sets)?;
        }
        if process.uid != 0 {
            ids::keep_capabilities(sets.is_some() || early)?;
        }
        self.set_groups()?;
        // The program's path is the image's, and may begin at a descriptor (CVE-2024-21626). Before any filter.
        self.proc = None;
        ids::set_ids(process.uid, process.gid)?;
        if self.cwd == Cwd::Pending {
            // Before the filter, which may know nothing of getcwd(2).
            let act = || format!("enter {}", process.cwd.display());
            rustix::process::chdir(&process.cwd).while_doing(act)?;
            check_inside()?;
        }
        // Asked before the filter, which may know nothing of capget(2).
        let have = ids::capabilities()?;
        if early {
            // It takes CAP_SYS_ADMIN, which may not be among the rights that stay.
            let permitted = have.permitted.bits();
            if have.effective != have.permitted || !have.inheritable.is_empty() {
                ids::set_capabilities(permitted, permitted, 0)?;
            }
            self.load_filter()?;
        }
        match &sets {
            Some(sets) => set_capabilities(sets, have.permitted.bits())?,
            None if early && process.uid != 0 => ids::set_capabilities(0, 0, 0)?,
            None => {}
        }
        if process.no_new_privileges {
            rustix::thread::set_no_new_privs(true).while_doing(|| "set no_new_privs")?;
        }
        Ok(())
    }

    /// Puts the seccomp filter on this process, and so on the program.
    fn load_filter(&self) -> Result<()> {
        let Some(filter) = &self.process.seccomp else { return Ok(()) };
        if filter.listener.is_none() {
            return seccomp::load(&filter.program, filter.flags);
        }
        let parent = self.sync.share()?;
        seccomp::load_watched(&filter.program, filter.flags, move |listener| {
            // Without this word the parent hears nothing more, and says so.
            parent.send_with(&FromInit::Listener, &listener).ok();
        })
    }

    /// With a listener the filter is loaded while the parent is still there to take it.
    pub(super) fn load_watched_filter(&mut self) -> Result<()> {
        match self.is_watched() && self.process.no_new_privileges {
            true => self.load_filter(),
            false => Ok(()),
        }
    }

    fn is_watched(&self) -> bool {
        self.process.seccomp.as_ref().is_some_and(|filter| filter.listener.is_some())
    }

    /// With no_new_privs the filter needs no right, so it comes as late as it can: the program alone is under it.
    pub(super) fn load_late_filter(&mut self) -> Result<()> {
        match self.process.no_new_privileges && !self.is_watched() {
            true => self.load_filter(),
            false => Ok(()),
        }
    }

    /// setgroups(2) is refused in a user namespace that an unprivileged user made; without groups that is fine.
    fn set_groups(&self) -> Result<()> {
        let Some(groups) = &self.process.groups else { return Ok(()) };
        match ids::set_groups(groups) {
            Err(error) if groups.is_empty() && error.is_errno(Errno::PERM) && self.is_without_groups() => {
                Ok(())
            }
            result => result,
        }
    }

    fn is_without_groups(&self) -> bool {
        let text = self.proc().and_then(|proc| Ok(proc.read("self/setgroups")?));
        text.is_ok_and(|text| text.trim() == "deny")
    }
}

/// A directory that is not below the root has no path (CVE-2024-21626): getcwd(2) then gives "(unreachable)".
fn check_inside() -> Result<()> {
    let cwd = rustix::process::getcwd(Vec::new()).while_doing(|| "ask for the working directory")?;
    match cwd.to_bytes().first() {
        Some(b'/') => Ok(()),
        _ => Err(Error::invalid("the working directory is outside the container's root")),
    }
}

/// Capabilities that only the kernel knows are dropped too: it says where they end.
fn drop_bounding(sets: &Sets) -> Result<()> {
    for n in (0..u64::BITS).filter(|n| sets.bounding & (1 << n) == 0) {
        match ids::drop_from_bounding(n) {
            Err(error) if n >= COUNT && error.is_errno(Errno::INVAL) => break,
            result => result?,
        }
    }
    Ok(())
}

/// Only what this process has can be given on (a runtime in a container, or one without all of root's rights).
fn set_capabilities(sets: &Sets, have: u64) -> Result<()> {
    let permitted = sets.permitted & have;
    ids::set_capabilities(sets.effective & permitted, permitted, sets.inheritable & have)?;
    ids::clear_ambient()?;
    let ambient = sets.ambient & permitted & sets.inheritable;
    (0..COUNT).filter(|n| ambient & (1 << n) != 0).try_for_each(ids::raise_ambient)
}
