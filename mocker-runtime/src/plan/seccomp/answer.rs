//! Actions and conditions: words to numbers (seccomp(2)).

use seccompiler::{SeccompCmpArgLen, SeccompCmpOp, SeccompCondition};

use crate::bundle::config::SeccompArg;
use crate::error::{Error, Result};

/// What a filter returns: an action in the upper half, its data in the lower.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Answer(pub(super) u32);

impl Answer {
    pub(super) const KILL_THREAD: Self = Self(0);
    const KILL_PROCESS: Self = Self(0x8000_0000);
    const TRAP: Self = Self(0x0003_0000);
    const ERRNO: u32 = 0x0005_0000;
    const TRACE: u32 = 0x7ff0_0000;
    const LOG: Self = Self(0x7ffc_0000);
    pub(super) const ALLOW: Self = Self(0x7fff_0000);
    pub(super) const NO_SYSCALL: Self = Self(Self::ERRNO | libc::ENOSYS as u32);

    /// The error number is for ERRNO and TRACE; without one it is EPERM.
    pub(super) fn parse(action: &str, errno: Option<u32>) -> Result<Self> {
        let data = errno.unwrap_or(libc::EPERM as u32) & 0xffff;
        Ok(match action {
            "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => Self::KILL_THREAD,
            "SCMP_ACT_KILL_PROCESS" => Self::KILL_PROCESS,
            "SCMP_ACT_TRAP" => Self::TRAP,
            "SCMP_ACT_ERRNO" => Self(Self::ERRNO | data),
            "SCMP_ACT_TRACE" => Self(Self::TRACE | data),
            "SCMP_ACT_LOG" => Self::LOG,
            "SCMP_ACT_ALLOW" => Self::ALLOW,
            "SCMP_ACT_NOTIFY" => return Err(Error::unsupported("SCMP_ACT_NOTIFY is not supported yet")),
            other => return Err(Error::invalid(format!("unknown action {other:?}"))),
        })
    }

    /// Whether a call that is not named gets through, so that a newer one needs no ENOSYS.
    pub(super) fn lets_pass(self) -> bool {
        self == Self::ALLOW || self == Self::LOG || self.0 & 0xffff_0000 == Self::TRACE
    }
}

/// The conditions of a rule: alternatives of lists that must all hold; no alternative means always.
///
/// Conditions on different arguments must all hold. As soon as two are on one argument, each stands for
/// itself: profiles were written when libseccomp could not do better, and runc still reads them so.
pub(super) fn conditions(given: &[SeccompArg<'_>]) -> Result<Vec<Vec<SeccompCondition>>> {
    let all: Vec<SeccompCondition> = given.iter().map(condition).collect::<Result<_>>()?;
    let twice =
        given.iter().enumerate().any(|(at, arg)| given.iter().skip(at + 1).any(|o| o.index == arg.index));
    Ok(match (all.is_empty(), twice) {
        (true, _) => Vec::new(),
        (false, true) => all.into_iter().map(|condition| vec![condition]).collect(),
        (false, false) => vec![all],
    })
}

fn condition(given: &SeccompArg<'_>) -> Result<SeccompCondition> {
    let (op, value) = match &*given.op {
        "SCMP_CMP_NE" => (SeccompCmpOp::Ne, given.value),
        "SCMP_CMP_LT" => (SeccompCmpOp::Lt, given.value),
        "SCMP_CMP_LE" => (SeccompCmpOp::Le, given.value),
        "SCMP_CMP_EQ" => (SeccompCmpOp::Eq, given.value),
        "SCMP_CMP_GE" => (SeccompCmpOp::Ge, given.value),
        "SCMP_CMP_GT" => (SeccompCmpOp::Gt, given.value),
        // The bits of the mask that the wanted value has outside it can never be equal; libseccomp drops them.
        "SCMP_CMP_MASKED_EQ" => (SeccompCmpOp::MaskedEq(given.value), given.value_two & given.value),
        other => return Err(Error::invalid(format!("unknown operator {other:?}"))),
    };
    let index = u8::try_from(given.index).ok().filter(|index| *index < 6);
    let index =
        index.ok_or_else(|| Error::invalid(format!("a system call has no argument {}", given.index)))?;
    SeccompCondition::new(index, SeccompCmpArgLen::Qword, op, value)
        .map_err(|error| Error::invalid(error.to_string()))
}
