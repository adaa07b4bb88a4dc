//! User and group mappings (config-linux.md "User namespace mappings").

use super::namespaces::Namespaces;
use crate::bundle::config::IdMapping;
use crate::error::{Error, Result};

/// The text of both map files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Maps {
    /// For /proc/PID/uid_map
    pub(crate) uid: String,
    /// For /proc/PID/gid_map
    pub(crate) gid: String,
    root: (u32, u32),
}

impl Maps {
    /// Who the container's root is on the host.
    pub(crate) fn root_in_container(&self) -> (u32, u32) {
        self.root
    }
}

/// Plans the mappings; None without a new user namespace.
pub(crate) fn plan(uids: &[IdMapping], gids: &[IdMapping], namespaces: &Namespaces) -> Result<Option<Maps>> {
    if !namespaces.makes(libc::CLONE_NEWUSER) {
        let joins = namespaces.path(libc::CLONE_NEWUSER).is_some();
        return match uids.is_empty() && gids.is_empty() || joins {
            true => Ok(None),
            false => Err(Error::invalid("linux.uidMappings is set, but no user namespace is asked for")),
        };
    }
    if uids.is_empty() || gids.is_empty() {
        return Err(Error::invalid(
            "a new user namespace needs both linux.uidMappings and linux.gidMappings",
        ));
    }
    let (Some(uid), Some(gid)) = (on_host(uids, 0), on_host(gids, 0)) else {
        return Err(Error::invalid(
            "linux.uidMappings and linux.gidMappings must both map 0 of the container",
        ));
    };
    Ok(Some(Maps { uid: text(uids), gid: text(gids), root: (uid, gid) }))
}

/// The kernel's form: inside, outside, how many.
fn text(mappings: &[IdMapping]) -> String {
    mappings.iter().map(|m| format!("{} {} {}\n", m.container_id, m.host_id, m.size)).collect()
}

/// What an id of the container is on the host.
fn on_host(mappings: &[IdMapping], id: u32) -> Option<u32> {
    mappings
        .iter()
        .find(|m| id >= m.container_id && id - m.container_id < m.size)
        .and_then(|m| m.host_id.checked_add(id - m.container_id))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAP: IdMapping = IdMapping { container_id: 0, host_id: 100_000, size: 65_536 };

    #[test]
    fn a_mapping_becomes_the_kernels_line() {
        let user = Namespaces { new: libc::CLONE_NEWUSER as u64, ..Namespaces::default() };
        let maps = plan(&[MAP], &[MAP], &user).expect("plans").expect("is there");
        assert_eq!(maps.uid, "0 100000 65536\n");
        assert_eq!(maps.root_in_container(), (100_000, 100_000));
    }

    #[test]
    fn mappings_and_a_user_namespace_need_each_other() {
        assert!(plan(&[MAP], &[MAP], &Namespaces::default()).is_err());
        let user = Namespaces { new: libc::CLONE_NEWUSER as u64, ..Namespaces::default() };
        assert!(plan(&[], &[MAP], &user).is_err());
    }
}
