//! Structures of the kernel's interface: data that `plan` fills in and `sys` hands over. No calls.

/// What this program was built for, as Rust calls it: `x86_64`, `aarch64` ...
pub(crate) const PROCESSOR: &str = std::env::consts::ARCH;

/// How far a change of attributes reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// The mount itself
    One,
    /// It and all mounts below it
    Tree,
}

/// `struct mount_attr` of linux/mount.h.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attr {
    /// `MOUNT_ATTR_*` to set
    pub(crate) set: u64,
    /// `MOUNT_ATTR_*` to clear first
    pub(crate) clear: u64,
    /// `MS_SHARED`, `MS_SLAVE`, `MS_PRIVATE`, `MS_UNBINDABLE` or 0
    pub(crate) propagation: u64,
    /// The user namespace of an idmapped mount
    pub(crate) userns_fd: u64,
}

impl Attr {
    /// Nothing to change.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it says what `fsmount(2)` cannot be told.
    pub(crate) fn is_about_more_than_bits(&self) -> bool {
        self.propagation != 0 || self.userns_fd != 0
    }
}

/// One parameter of a file system: a flag, or a key with a value.
pub(crate) type Parameter = (String, Option<String>);

/// `struct sched_attr` of linux/sched/types.h, first version; times in nanoseconds.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct SchedAttr {
    /// Its own length
    pub(crate) size: u32,
    /// `SCHED_*`
    pub(crate) policy: u32,
    /// `SCHED_FLAG_*`
    pub(crate) flags: u64,
    /// -20 to 19
    pub(crate) nice: i32,
    /// 1 to 99 for the real-time policies
    pub(crate) priority: u32,
    /// Of the deadline policy
    pub(crate) runtime: u64,
    /// Of the deadline policy
    pub(crate) deadline: u64,
    /// Of the deadline policy
    pub(crate) period: u64,
}
