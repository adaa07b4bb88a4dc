//! Resource limits: names to the kernel's numbers (getrlimit(2)).

use crate::bundle::config::Rlimit as Given;
use crate::error::{Error, Result};

/// Name, number.
const NAMES: [(&str, u32); 16] = [
    ("RLIMIT_CPU", libc::RLIMIT_CPU),
    ("RLIMIT_FSIZE", libc::RLIMIT_FSIZE),
    ("RLIMIT_DATA", libc::RLIMIT_DATA),
    ("RLIMIT_STACK", libc::RLIMIT_STACK),
    ("RLIMIT_CORE", libc::RLIMIT_CORE),
    ("RLIMIT_RSS", libc::RLIMIT_RSS),
    ("RLIMIT_NPROC", libc::RLIMIT_NPROC),
    ("RLIMIT_NOFILE", libc::RLIMIT_NOFILE),
    ("RLIMIT_MEMLOCK", libc::RLIMIT_MEMLOCK),
    ("RLIMIT_AS", libc::RLIMIT_AS),
    ("RLIMIT_LOCKS", libc::RLIMIT_LOCKS),
    ("RLIMIT_SIGPENDING", libc::RLIMIT_SIGPENDING),
    ("RLIMIT_MSGQUEUE", libc::RLIMIT_MSGQUEUE),
    ("RLIMIT_NICE", libc::RLIMIT_NICE),
    ("RLIMIT_RTPRIO", libc::RLIMIT_RTPRIO),
    ("RLIMIT_RTTIME", libc::RLIMIT_RTTIME),
];

/// One limit to set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rlimit {
    pub(crate) resource: u32,
    pub(crate) name: &'static str,
    pub(crate) soft: u64,
    pub(crate) hard: u64,
}

/// Plans the limits; "The runtime MUST generate an error" for unknown names and for duplicates.
pub(crate) fn plan(given: &[Given<'_>]) -> Result<Vec<Rlimit>> {
    let mut out: Vec<Rlimit> = Vec::with_capacity(given.len());
    for limit in given {
        let kind = &*limit.kind;
        let Some((name, resource)) = NAMES.iter().find(|(name, _)| *name == kind) else {
            return Err(Error::invalid(format!("process.rlimits has the unknown type {kind:?}")));
        };
        if out.iter().any(|other| other.resource == *resource) {
            return Err(Error::invalid(format!("process.rlimits has {kind} twice")));
        }
        if limit.soft > limit.hard {
            let Given { soft, hard, .. } = limit;
            return Err(Error::invalid(format!("process.rlimits: {kind} has soft {soft} above hard {hard}")));
        }
        out.push(Rlimit { resource: *resource, name, soft: limit.soft, hard: limit.hard });
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_twice_and_upside_down_are_errors() {
        for (json, word) in [
            (r#"[{"type":"RLIMIT_TEA","soft":1,"hard":1}]"#, "RLIMIT_TEA"),
            (r#"[{"type":"RLIMIT_CPU","soft":1,"hard":1},{"type":"RLIMIT_CPU","soft":1,"hard":1}]"#, "twice"),
            (r#"[{"type":"RLIMIT_CPU","soft":2,"hard":1}]"#, "above"),
        ] {
            let given: Vec<Given<'_>> = serde_json::from_str(json).expect("parses");
            assert!(plan(&given).expect_err("must fail").to_string().contains(word), "{json}");
        }
    }
}
