//! Whether this program has the rights of the machine's root. Root of a user namespace, as which podman's ordinary
//! users call it, has not.

use std::sync::atomic::{AtomicU8, Ordering};

/// What `--rootless` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Rootless {
    /// As the user and the user namespace have it
    #[default]
    Auto,
    /// Cgroups that cannot be made or given device rules are gone without
    True,
    /// They are errors
    False,
}

static SAID: AtomicU8 = AtomicU8::new(Rootless::Auto as u8);

/// For all that comes.
pub(crate) fn set(said: Rootless) {
    SAID.store(said as u8, Ordering::Relaxed);
}

/// Whether the container goes without what this user may not do with cgroups. Looks into /proc, so it is asked
/// where something was refused.
pub(crate) fn forgives() -> bool {
    match SAID.load(Ordering::Relaxed) {
        said if said == Rootless::Auto as u8 => !is_root_of_the_machine(),
        said => said == Rootless::True as u8,
    }
}

/// Root, and not of a user namespace alone: that has other ids than the whole space of them.
pub(crate) fn is_root_of_the_machine() -> bool {
    rustix::process::geteuid().is_root()
        && std::fs::read_to_string("/proc/self/uid_map")
            .is_ok_and(|map| map.split_whitespace().eq(["0", "0", "4294967295"]))
}
