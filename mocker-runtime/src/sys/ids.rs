//! Who a process is and what it may do: ids, capabilities, securebits, the session keyring.
#![expect(unsafe_code, reason = "keyctl and raw prctl have no safe wrappers")]

use rustix::process::{Gid, Uid};
use rustix::thread::{CapabilitySet, CapabilitySets};

use super::check;
use crate::error::{Result, WhileDoing};

/// All three user ids and all three group ids; the group first, while there is still the right to.
pub(crate) fn set_ids(uid: u32, gid: u32) -> Result<()> {
    let (u, g) = (Uid::from_raw(uid), Gid::from_raw(gid));
    rustix::thread::set_thread_res_gid(g, g, g).while_doing(|| format!("set the group id {gid}"))?;
    rustix::thread::set_thread_res_uid(u, u, u).while_doing(|| format!("set the user id {uid}"))
}

/// The supplementary groups.
pub(crate) fn set_groups(groups: &[u32]) -> Result<()> {
    let gids: Vec<Gid> = groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
    rustix::thread::set_thread_groups(&gids)
        .while_doing(|| format!("set the supplementary groups {groups:?}"))
}

/// Keeps the permitted set across the change to a user who is not root (PR_SET_KEEPCAPS).
pub(crate) fn keep_capabilities(keep: bool) -> Result<()> {
    rustix::thread::set_keep_capabilities(keep).while_doing(|| "set keepcaps")
}

/// Takes a capability out of the bounding set for ever.
pub(crate) fn drop_from_bounding(capability: u32) -> Result<()> {
    // SAFETY: prctl(PR_CAPBSET_DROP) takes a number.
    check(libc::c_long::from(unsafe {
        libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(capability), 0, 0, 0)
    }))
    .map(drop)
    .while_doing(|| format!("drop capability {capability} from the bounding set"))
}

/// This process's three classic sets.
pub(crate) fn capabilities() -> Result<CapabilitySets> {
    rustix::thread::capabilities(None).while_doing(|| "read the capabilities")
}

/// Sets the three classic sets (bit masks, capability 0 is bit 0).
pub(crate) fn set_capabilities(effective: u64, permitted: u64, inheritable: u64) -> Result<()> {
    let sets = CapabilitySets {
        effective: CapabilitySet::from_bits_retain(effective),
        permitted: CapabilitySet::from_bits_retain(permitted),
        inheritable: CapabilitySet::from_bits_retain(inheritable),
    };
    rustix::thread::set_capabilities(None, sets).while_doing(|| {
        format!("set the capabilities (effective {effective:#x}, permitted {permitted:#x}, inheritable {inheritable:#x})")
    })
}

/// Empties the ambient set.
pub(crate) fn clear_ambient() -> Result<()> {
    rustix::thread::clear_ambient_capability_set().while_doing(|| "clear the ambient capabilities")
}

/// Adds one capability to the ambient set; it must be permitted and inheritable.
pub(crate) fn raise_ambient(capability: u32) -> Result<()> {
    let set = CapabilitySet::from_bits_retain(1 << capability);
    rustix::thread::configure_capability_in_ambient_set(set, true)
        .while_doing(|| format!("raise ambient capability {capability}"))
}

/// A session keyring of its own, so that the container does not see the caller's keys; or the one of that name, if
/// it lets its user find it.
pub(crate) fn join_session_keyring(name: &std::ffi::CStr) -> Result<i64> {
    const JOIN_SESSION_KEYRING: libc::c_int = 1;
    // SAFETY: the name is a C string that the kernel copies.
    check(unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, name.as_ptr(), 0, 0, 0) })
        .while_doing(|| format!("join the session keyring {name:?}"))
}

/// Lets a keyring's user find it by its name, beyond what the kernel gives a new one (linux/key.h).
pub(crate) fn let_user_find(keyring: i64) -> Result<()> {
    const SETPERM: libc::c_int = 5;
    const NEW: u32 = 0x3f13_0000;
    const USER_SEARCH: u32 = 0x0008_0000;
    // SAFETY: it takes numbers.
    check(unsafe { libc::syscall(libc::SYS_keyctl, SETPERM, keyring, NEW | USER_SEARCH, 0, 0) })
        .map(drop)
        .while_doing(|| format!("set the permissions of keyring {keyring}"))
}

/// personality(2).
pub(crate) fn set_personality(persona: u64) -> Result<()> {
    // SAFETY: personality takes a number.
    check(unsafe { libc::syscall(libc::SYS_personality, persona) })
        .map(drop)
        .while_doing(|| format!("set the personality {persona:#x}"))
}
