//! Lists of processors and memory nodes, and the memory policy (config-linux.md "Memory policy").

use crate::bundle::config::{CpuAffinity, MemoryPolicy as Given};
use crate::error::{Error, Result, WhileDoing};

/// What set_mempolicy(2) calls them (linux/mempolicy.h).
pub(crate) const MODES: [(&str, i32); 7] = [
    ("MPOL_DEFAULT", 0),
    ("MPOL_PREFERRED", 1),
    ("MPOL_BIND", 2),
    ("MPOL_INTERLEAVE", 3),
    ("MPOL_LOCAL", 4),
    ("MPOL_PREFERRED_MANY", 5),
    ("MPOL_WEIGHTED_INTERLEAVE", 6),
];

/// Bits that are or'ed to the mode.
pub(crate) const FLAGS: [(&str, i32); 3] = [
    ("MPOL_F_NUMA_BALANCING", 1 << 13),
    ("MPOL_F_RELATIVE_NODES", 1 << 14),
    ("MPOL_F_STATIC_NODES", 1 << 15),
];

/// The highest number in a list: as many as the kernel can be built for (CONFIG_NR_CPUS).
const HIGHEST: usize = 8191;

/// A set of numbers as the kernel takes it: bit n of word n / 64.
pub(crate) type Set = Vec<u64>;

/// Every processor that there may be. Since Linux 6.2 a process keeps the processors that it was once bound to,
/// wherever it goes, so what the caller of this program was bound to must not stay with the container.
pub(crate) const ANY_PROCESSOR: [u64; (HIGHEST + 1) / 64] = [u64::MAX; (HIGHEST + 1) / 64];

/// What set_mempolicy(2) is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MemoryPolicy {
    /// Mode and flags
    pub(crate) mode: i32,
    pub(crate) nodes: Set,
}

/// Plans linux.memoryPolicy.
pub(crate) fn memory_policy(given: &Given<'_>) -> Result<MemoryPolicy> {
    let act = || "linux.memoryPolicy";
    let number = |table: &[(&str, i32)], what: &str, word: &str| {
        let found = table.iter().find(|(name, _)| *name == word).map(|(_, number)| *number);
        found.ok_or_else(|| Error::invalid(format!("linux.memoryPolicy has the unknown {what} {word:?}")))
    };
    let mut mode = number(&MODES, "mode", &given.mode)?;
    for flag in &given.flags {
        mode |= number(&FLAGS, "flag", flag)?;
    }
    Ok(MemoryPolicy { mode, nodes: list(given.nodes.as_deref().unwrap_or_default()).while_doing(act)? })
}

/// The processors of a process that `exec` brings in (config.md "execCPUAffinity"). None: what the kernel gives.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Affinity {
    /// Before it enters the container's cgroup
    pub(crate) initial: Option<Set>,
    /// After that
    pub(crate) last: Option<Set>,
}

/// Plans process.execCPUAffinity.
pub(crate) fn affinity(given: &CpuAffinity<'_>) -> Result<Affinity> {
    let one = |name: &str, text: Option<&str>| match text.unwrap_or_default() {
        "" => Ok(None),
        text => list(text).map(Some).while_doing(|| format!("process.execCPUAffinity.{name}")),
    };
    Ok(Affinity {
        initial: one("initial", given.initial.as_deref())?,
        last: one("final", given.last.as_deref())?,
    })
}

/// `0-3,7` as a set; an empty list is an empty set.
fn list(text: &str) -> Result<Set> {
    let mut set = Set::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |word: &str| word.trim().parse::<usize>().ok().filter(|number| *number <= HIGHEST);
        let (Some(first), Some(last)) = (number(first), number(last)) else {
            return Err(Error::invalid(format!(
                "the list {text:?} has {part:?}, which is no range of numbers"
            )));
        };
        if first > last {
            return Err(Error::invalid(format!(
                "the list {text:?} has {part:?}, which ends before it begins"
            )));
        }
        set.resize(set.len().max(last / 64 + 1), 0);
        for number in first..=last {
            set[number / 64] |= 1 << (number % 64);
        }
    }
    Ok(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_numbers_and_ranges_becomes_bits() {
        for (text, set) in [("", &[][..]), ("0-3,7", &[0x8f]), ("64", &[0, 1]), ("1, 0", &[3])] {
            assert_eq!(list(text).expect("parses"), set, "{text}");
        }
        for bad in ["a", "3-1", "-1", "1-", "8192"] {
            assert!(list(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_memory_policy_is_a_mode_with_flags_and_nodes() {
        let given: Given<'_> =
            serde_json::from_str(r#"{"mode":"MPOL_BIND","nodes":"0","flags":["MPOL_F_STATIC_NODES"]}"#)
                .expect("parses");
        let policy = memory_policy(&given).expect("plans");
        assert_eq!(policy, MemoryPolicy { mode: 2 | 1 << 15, nodes: vec![1] });
        let given: Given<'_> = serde_json::from_str(r#"{"mode":"MPOL_RHUBARB"}"#).expect("parses");
        let error = memory_policy(&given).expect_err("must fail");
        assert_eq!(error.to_string(), "linux.memoryPolicy has the unknown mode \"MPOL_RHUBARB\"");
    }
}
