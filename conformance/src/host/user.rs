//! From root to an ordinary user, for a run that shows what a tool does for one.

use anyhow::{Context, Result, ensure};
use rustix::process::{DumpableBehavior, Gid, Uid};

/// From here on this process is the user with this id: one group of the same number, no capabilities.
///
/// The kernel keeps these ids for each thread, so it has to be done before there is a second one.
///
/// # Errors
/// For root as the user, for a process that has threads, and when the caller is neither root nor that user already.
pub fn become_user(id: u32) -> Result<()> {
    ensure!(id != 0, "user 0 is root, and not an ordinary user");
    if rustix::process::geteuid().as_raw() == id {
        return Ok(());
    }
    let threads = std::fs::read_dir("/proc/self/task")?.count();
    ensure!(threads == 1, "{threads} threads run: the user can be changed before a second one only");
    let (uid, gid) = (Uid::from_raw(id), Gid::from_raw(id));
    let act = || format!("become user {id}");
    rustix::thread::set_thread_groups(&[]).with_context(act)?;
    rustix::thread::set_thread_res_gid(gid, gid, gid).with_context(act)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid).with_context(act)?;
    // the kernel takes /proc/self from a process that changed its user; it is no secret here
    rustix::process::set_dumpable_behavior(DumpableBehavior::Dumpable).with_context(act)
}
