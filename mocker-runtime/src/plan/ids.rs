//! User and group mappings (config-linux.md "User namespace mappings").

use super::namespaces::Namespaces;
use crate::bundle::config::IdMapping;
use crate::error::{Error, Result};

/// Both mappings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Maps {
    pub(crate) uids: Map,
    pub(crate) gids: Map,
}

/// The ranges of one kind of id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Map(Vec<IdMapping>);

impl Map {
    /// Of the file's own ranges.
    pub(crate) fn new(ranges: &[IdMapping]) -> Self {
        Self(ranges.to_vec())
    }

    /// The kernel's form: inside, outside, how many.
    pub(crate) fn text(&self) -> String {
        self.0.iter().map(|m| format!("{} {} {}\n", m.container_id, m.host_id, m.size)).collect()
    }

    /// The same numbers as words for newuidmap(1) and newgidmap(1).
    pub(crate) fn words(&self) -> Vec<String> {
        self.0.iter().flat_map(|m| [m.container_id, m.host_id, m.size]).map(|n| n.to_string()).collect()
    }

    /// True if this is one id, the given one of the host: all that the kernel lets an ordinary user map.
    pub(crate) fn is_only(&self, host_id: u32) -> bool {
        matches!(self.0[..], [IdMapping { host_id: only, size: 1, .. }] if only == host_id)
    }

    /// What an id of the container is on the host.
    pub(crate) fn on_host(&self, id: u32) -> Option<u32> {
        let range = self.0.iter().find(|m| id.checked_sub(m.container_id).is_some_and(|at| at < m.size))?;
        range.host_id.checked_add(id - range.container_id)
    }

    /// Whether the container's root is among them.
    fn has_root(&self) -> bool {
        self.0.iter().any(|m| m.container_id == 0 && m.size > 0)
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
    let maps = Maps { uids: Map::new(uids), gids: Map::new(gids) };
    match maps.uids.has_root() && maps.gids.has_root() {
        true => Ok(Some(maps)),
        false => {
            Err(Error::invalid("linux.uidMappings and linux.gidMappings must both map 0 of the container"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAP: IdMapping = IdMapping { container_id: 0, host_id: 100_000, size: 65_536 };

    #[test]
    fn a_mapping_becomes_the_kernels_line() {
        let user = Namespaces { new: libc::CLONE_NEWUSER as u64, ..Namespaces::default() };
        let maps = plan(&[MAP], &[MAP], &user).expect("plans").expect("is there");
        assert_eq!(maps.uids.text(), "0 100000 65536\n");
        assert_eq!(maps.gids.words(), ["0", "100000", "65536"]);
        assert!(!maps.uids.is_only(100_000));
    }

    #[test]
    fn mappings_and_a_user_namespace_need_each_other() {
        assert!(plan(&[MAP], &[MAP], &Namespaces::default()).is_err());
        let user = Namespaces { new: libc::CLONE_NEWUSER as u64, ..Namespaces::default() };
        assert!(plan(&[], &[MAP], &user).is_err());
    }
}
