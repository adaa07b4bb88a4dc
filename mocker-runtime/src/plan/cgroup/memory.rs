//! Limits of memory: version 1 counts memory and swap together, version 2 each by itself.

use super::Writes;
use crate::bundle::config::Memory;
use crate::error::{Error, Result};

/// Bytes, where a negative number lifts the limit.
fn bytes(value: i64) -> String {
    if value < 0 { "max".to_owned() } else { value.to_string() }
}

pub(super) fn version_1(memory: &Memory, out: &mut Writes) -> Result<()> {
    warn_of_kernel_memory(memory);
    let nonzero = |value: Option<i64>| value.filter(|value| *value != 0);
    out.add_some("memory", "memory.limit_in_bytes", nonzero(memory.limit));
    out.add_some("memory", "memory.soft_limit_in_bytes", nonzero(memory.reservation));
    out.add_some("memory", "memory.memsw.limit_in_bytes", nonzero(memory.swap));
    out.add_some("memory", "memory.kmem.tcp.limit_in_bytes", nonzero(memory.kernel_tcp));
    out.add_some("memory", "memory.swappiness", swappiness(memory)?);
    out.add_some("memory", "memory.use_hierarchy", memory.use_hierarchy.filter(|on| *on).map(|_| 1));
    out.add_some("memory", "memory.oom_control", memory.disable_oom_killer.filter(|on| *on).map(|_| 1));
    Ok(())
}

pub(super) fn version_2(memory: &Memory, out: &mut Writes) -> Result<()> {
    warn_of_kernel_memory(memory);
    refuse_version_1_only(memory)?;
    let limit = memory.limit.unwrap_or(0);
    if let Some(swap) = memory.swap.filter(|swap| *swap != 0) {
        out.add("memory", "memory.swap.max", swap_alone(swap, limit)?);
    } else if limit < 0 {
        // Without a limit of memory, version 1's sum with swap has none either.
        out.add("memory", "memory.swap.max", "max");
    }
    if limit != 0 {
        out.add("memory", "memory.max", bytes(limit));
    }
    out.add_some("memory", "memory.low", memory.reservation.filter(|low| *low != 0).map(bytes));
    Ok(())
}

/// Properties whose files version 2 does not have. `useHierarchy` is no such one: version 2 always does.
fn refuse_version_1_only(memory: &Memory) -> Result<()> {
    let given = [
        ("swappiness", swappiness(memory)?.is_some()),
        ("kernelTCP", memory.kernel_tcp.is_some_and(|limit| limit > 0)),
        ("disableOOMKiller", memory.disable_oom_killer == Some(true)),
    ];
    match given.iter().find(|(_, given)| *given) {
        Some((name, _)) => {
            Err(Error::unsupported(format!("memory.{name}: cgroup version 2 has no such setting")))
        }
        None => Ok(()),
    }
}

/// The file gives memory and swap together, version 2 wants swap alone.
fn swap_alone(swap: i64, limit: i64) -> Result<String> {
    match (swap, limit) {
        (..0, _) => Ok("max".to_owned()),
        (_, ..=0) => Err(Error::invalid("memory.swap is set without memory.limit, so swap alone is unknown")),
        (swap, limit) if swap < limit => {
            Err(Error::invalid(format!("memory.swap {swap} is less than memory.limit {limit}")))
        }
        (swap, limit) => Ok((swap - limit).to_string()),
    }
}

/// The kernel has no limits of its own memory any more (deprecated in 5.4, gone in 5.16); runc ignores them.
fn warn_of_kernel_memory(memory: &Memory) {
    if memory.kernel.is_some_and(|kernel| kernel > 0) {
        crate::log::warn("ignore memory.kernel: Linux has no limit of kernel memory any more");
    }
}

fn swappiness(memory: &Memory) -> Result<Option<u64>> {
    match memory.swappiness {
        Some(value) if value > 100 => {
            Err(Error::invalid(format!("memory.swappiness {value} is not 0 to 100")))
        }
        value => Ok(value),
    }
}
