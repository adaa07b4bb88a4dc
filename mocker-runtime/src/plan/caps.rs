//! Capabilities: names to bits (capabilities(7)).

use crate::bundle::config::{Capabilities, Text};
use crate::log;

/// All capabilities of Linux 5.9 and later, each at its number.
pub(crate) const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// How many capabilities this program knows by name.
pub(crate) const COUNT: u32 = NAMES.len() as u32;

/// The five sets as bit masks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sets {
    pub(crate) bounding: u64,
    pub(crate) effective: u64,
    pub(crate) inheritable: u64,
    pub(crate) permitted: u64,
    pub(crate) ambient: u64,
}

/// Plans the five sets; an unknown name only warns (config.md "Process": "SHOULD log a warning").
pub(crate) fn plan(given: &Capabilities<'_>) -> Sets {
    let mut unknown = Vec::new();
    let mut bits = |names: &[Text<'_>]| {
        names.iter().fold(0, |set, name| match number(name) {
            Some(number) => set | (1 << number),
            None => {
                if !unknown.contains(&name.to_string()) {
                    unknown.push(name.to_string());
                }
                set
            }
        })
    };
    let sets = Sets {
        bounding: bits(&given.bounding),
        effective: bits(&given.effective),
        inheritable: bits(&given.inheritable),
        permitted: bits(&given.permitted),
        ambient: bits(&given.ambient),
    };
    if !unknown.is_empty() {
        log::warn(&format!("ignore the unknown capabilities {}", unknown.join(", ")));
    }
    sets
}

fn number(name: &str) -> Option<u32> {
    let plain = name.strip_prefix("CAP_")?;
    NAMES.iter().position(|known| *known == plain).map(|at| at as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_at_the_kernels_numbers() {
        for (name, n) in
            [("CAP_CHOWN", 0), ("CAP_SYS_ADMIN", 21), ("CAP_MKNOD", 27), ("CAP_CHECKPOINT_RESTORE", 40)]
        {
            assert_eq!(number(name), Some(n), "{name}");
        }
    }

    #[test]
    fn an_unknown_name_is_left_out_and_the_rest_stays() {
        let given: Capabilities<'_> =
            serde_json::from_str(r#"{"effective":["CAP_KILL","CAP_RHUBARB"]}"#).expect("parses");
        assert_eq!(plan(&given).effective, 1 << 5);
    }
}
