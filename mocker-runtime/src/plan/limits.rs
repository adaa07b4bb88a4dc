//! Scheduling, disk priority and personality: words to numbers.

use crate::abi::SchedAttr;
use crate::bundle::config::{IoPriority, Personality, Scheduler};
use crate::error::{Error, Result};

/// sched(7).
const POLICIES: [(&str, u32); 7] = [
    ("SCHED_OTHER", 0),
    ("SCHED_FIFO", 1),
    ("SCHED_RR", 2),
    ("SCHED_BATCH", 3),
    ("SCHED_ISO", 4),
    ("SCHED_IDLE", 5),
    ("SCHED_DEADLINE", 6),
];

/// linux/sched.h.
const FLAGS: [(&str, u64); 7] = [
    ("SCHED_FLAG_RESET_ON_FORK", 0x01),
    ("SCHED_FLAG_RECLAIM", 0x02),
    ("SCHED_FLAG_DL_OVERRUN", 0x04),
    ("SCHED_FLAG_KEEP_POLICY", 0x08),
    ("SCHED_FLAG_KEEP_PARAMS", 0x10),
    ("SCHED_FLAG_UTIL_CLAMP_MIN", 0x20),
    ("SCHED_FLAG_UTIL_CLAMP_MAX", 0x40),
];

/// Plans process.scheduler.
pub(crate) fn scheduler(given: &Scheduler<'_>) -> Result<SchedAttr> {
    let policy = &*given.policy;
    let Some((_, number)) = POLICIES.iter().find(|(name, _)| *name == policy) else {
        return Err(Error::invalid(format!("process.scheduler has the unknown policy {policy:?}")));
    };
    let mut flags = 0;
    for flag in &given.flags {
        let flag = &**flag;
        let Some((_, bit)) = FLAGS.iter().find(|(name, _)| *name == flag) else {
            return Err(Error::invalid(format!("process.scheduler has the unknown flag {flag:?}")));
        };
        flags |= bit;
    }
    let priority = u32::try_from(given.priority)
        .map_err(|_| Error::invalid(format!("process.scheduler has the priority {}", given.priority)))?;
    Ok(SchedAttr {
        policy: *number,
        flags,
        nice: given.nice,
        priority,
        runtime: given.runtime,
        deadline: given.deadline,
        period: given.period,
        ..SchedAttr::default()
    })
}

/// Plans process.ioPriority: class and level.
pub(crate) fn io_priority(given: &IoPriority<'_>) -> Result<(u32, u32)> {
    let class = match &*given.class {
        "IOPRIO_CLASS_RT" => 1,
        "IOPRIO_CLASS_BE" => 2,
        "IOPRIO_CLASS_IDLE" => 3,
        other => {
            return Err(Error::invalid(format!("process.ioPriority has the unknown class {other:?}")));
        }
    };
    match u32::try_from(given.priority) {
        Ok(level @ 0..=7) => Ok((class, level)),
        _ => {
            Err(Error::invalid(format!("process.ioPriority has the priority {}, not 0 to 7", given.priority)))
        }
    }
}

/// Plans linux.personality: `PER_LINUX` or `PER_LINUX32` of linux/personality.h.
pub(crate) fn personality(given: &Personality<'_>) -> Result<u64> {
    if !given.flags.is_empty() {
        return Err(Error::invalid("linux.personality has flags, of which the specification defines none"));
    }
    match &*given.domain {
        "LINUX" => Ok(0),
        "LINUX32" => Ok(8),
        other => Err(Error::invalid(format!("linux.personality has the unknown domain {other:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_with_flags_becomes_the_kernels_numbers() {
        let given: Scheduler<'_> = serde_json::from_str(
            r#"{"policy":"SCHED_FIFO","priority":9,"flags":["SCHED_FLAG_RESET_ON_FORK"]}"#,
        )
        .expect("parses");
        let attr = scheduler(&given).expect("plans");
        assert_eq!((attr.policy, attr.priority, attr.flags), (1, 9, 1));
    }

    #[test]
    fn a_disk_priority_out_of_range_is_an_error() {
        let given: IoPriority<'_> =
            serde_json::from_str(r#"{"class":"IOPRIO_CLASS_BE","priority":8}"#).expect("parses");
        assert!(io_priority(&given).is_err());
    }
}
