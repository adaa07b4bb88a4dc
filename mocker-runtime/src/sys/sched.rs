//! Scheduling of the processor and of the disk, and prlimit(2).
#![expect(unsafe_code, reason = "sched_setattr and ioprio_set have no safe wrappers")]

use super::check;
use crate::abi::SchedAttr;
use crate::error::{Result, WhileDoing};

/// Sets this thread's scheduling.
pub(crate) fn set_scheduler(attr: &SchedAttr) -> Result<()> {
    let attr = SchedAttr { size: size_of::<SchedAttr>() as u32, ..*attr };
    // SAFETY: `attr` is a whole sched_attr that says its own length; the kernel only reads it.
    check(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attr, 0) })
        .map(drop)
        .while_doing(|| format!("sched_setattr {attr:?}"))
}

/// Sets this process's disk priority: class (0 to 3) and level (0 to 7).
pub(crate) fn set_io_priority(class: u32, level: u32) -> Result<()> {
    const WHO_PROCESS: libc::c_int = 1;
    // SAFETY: ioprio_set takes three numbers.
    check(unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, (class << 13) | level) })
        .map(drop)
        .while_doing(|| format!("ioprio_set class {class} level {level}"))
}

/// Binds this process to processors: bit n of word n / 64 (sched_setaffinity(2)).
pub(crate) fn set_affinity(processors: &[u64]) -> Result<()> {
    // SAFETY: the mask is as long as it says; the kernel only reads it.
    check(unsafe {
        libc::syscall(libc::SYS_sched_setaffinity, 0, size_of_val(processors), processors.as_ptr())
    })
    .map(drop)
    .while_doing(|| format!("sched_setaffinity {processors:x?}"))
}

/// Says where this process's memory comes from: mode with flags, and nodes as bit n of word n / 64
/// (set_mempolicy(2)).
pub(crate) fn set_memory_policy(mode: i32, nodes: &[u64]) -> Result<()> {
    // The kernel reads one bit less than it is told of.
    let bits = if nodes.is_empty() { 0 } else { nodes.len() * 64 + 1 };
    let mask = if nodes.is_empty() { std::ptr::null() } else { nodes.as_ptr() };
    // SAFETY: the mask is null or as many bits long as is said, the last of which the kernel does not read.
    check(unsafe { libc::syscall(libc::SYS_set_mempolicy, mode, mask, bits) })
        .map(drop)
        .while_doing(|| format!("set_mempolicy mode {mode:#x} nodes {nodes:x?}"))
}

/// Sets one resource limit of this process.
pub(crate) fn set_rlimit(resource: u32, name: &str, soft: u64, hard: u64) -> Result<()> {
    let limit = libc::rlimit64 { rlim_cur: soft, rlim_max: hard };
    // SAFETY: pid 0 is this process; the new limit is only read, the old one not asked for.
    check(unsafe {
        libc::syscall(libc::SYS_prlimit64, 0, resource, &raw const limit, std::ptr::null::<libc::rlimit64>())
    })
    .map(drop)
    .while_doing(|| format!("raise {name} to soft {soft}, hard {hard}"))
}
