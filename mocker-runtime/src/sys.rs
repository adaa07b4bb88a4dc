//! The only door to the kernel: the only place with `unsafe`, and wrappers that print their own
//! arguments when they fail, so that a caller adds only what the wrapper cannot know.
//!
//! Knows nothing of containers. Where rustix or nix has a safe call, it is used; raw system calls are
//! here for what neither has (clone, clone3, mount_setattr, close_range, bpf, keyctl, sched_setattr, ioprio_set,
//! sched_setaffinity, set_mempolicy).

pub(crate) mod aside;
pub(crate) mod bpf;
pub(crate) mod clone;
pub(crate) mod entry;
pub(crate) mod exec;
pub(crate) mod fd;
pub(crate) mod ids;
pub(crate) mod mount;
pub(crate) mod netlink;
pub(crate) mod ns;
pub(crate) mod path;
pub(crate) mod proc;
pub(crate) mod sched;
pub(crate) mod seccomp;
pub(crate) mod signal;
pub(crate) mod tty;

use rustix::io::Errno;

/// The result of a raw system call: its value, or the errno that libc left.
fn check(result: libc::c_long) -> std::result::Result<libc::c_long, Errno> {
    if result >= 0 {
        return Ok(result);
    }
    let errno = std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EINVAL);
    Err(Errno::from_raw_os_error(errno))
}
