//! Actions and conditions: words to numbers (seccomp(2)).

use seccompiler::{SeccompCmpArgLen, SeccompCmpOp, SeccompCondition};

use crate::bundle::config::SeccompArg;
use crate::error::{Error, Result};

/// The words for actions.
pub(crate) const ACTIONS: [(&str, Answer); 9] = [
    ("SCMP_ACT_KILL", Answer::KILL_THREAD),
    ("SCMP_ACT_KILL_THREAD", Answer::KILL_THREAD),
    ("SCMP_ACT_KILL_PROCESS", Answer::KILL_PROCESS),
    ("SCMP_ACT_TRAP", Answer::TRAP),
    ("SCMP_ACT_ERRNO", Answer(Answer::ERRNO)),
    ("SCMP_ACT_TRACE", Answer(Answer::TRACE)),
    ("SCMP_ACT_NOTIFY", Answer::NOTIFY),
    ("SCMP_ACT_LOG", Answer::LOG),
    ("SCMP_ACT_ALLOW", Answer::ALLOW),
];

/// What a condition asks of an argument, and the value that it is compared with.
type Operator = fn(&SeccompArg<'_>) -> (SeccompCmpOp, u64);

/// The words for operators.
pub(crate) const OPERATORS: [(&str, Operator); 7] = [
    ("SCMP_CMP_NE", |given| (SeccompCmpOp::Ne, given.value)),
    ("SCMP_CMP_LT", |given| (SeccompCmpOp::Lt, given.value)),
    ("SCMP_CMP_LE", |given| (SeccompCmpOp::Le, given.value)),
    ("SCMP_CMP_EQ", |given| (SeccompCmpOp::Eq, given.value)),
    ("SCMP_CMP_GE", |given| (SeccompCmpOp::Ge, given.value)),
    ("SCMP_CMP_GT", |given| (SeccompCmpOp::Gt, given.value)),
    // The bits of the mask that the wanted value has outside it can never be equal; libseccomp drops them.
    ("SCMP_CMP_MASKED_EQ", |given| (SeccompCmpOp::MaskedEq(given.value), given.value_two & given.value)),
];

/// What a filter returns: an action in the upper half, its data in the lower.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Answer(pub(super) u32);

impl Answer {
    pub(super) const KILL_THREAD: Self = Self(0);
    const KILL_PROCESS: Self = Self(0x8000_0000);
    const TRAP: Self = Self(0x0003_0000);
    const ERRNO: u32 = 0x0005_0000;
    const TRACE: u32 = 0x7ff0_0000;
    /// Whoever holds the listener decides (Linux 5.0)
    pub(super) const NOTIFY: Self = Self(0x7fc0_0000);
    const LOG: Self = Self(0x7ffc_0000);
    pub(super) const ALLOW: Self = Self(0x7fff_0000);
    pub(super) const NO_SYSCALL: Self = Self(Self::ERRNO | libc::ENOSYS as u32);

    /// The error number is for ERRNO and TRACE, where it is EPERM unless given; with another it is an error.
    pub(super) fn parse(action: &str, errno: Option<u32>) -> Result<Self> {
        let data = errno.unwrap_or(libc::EPERM as u32) & 0xffff;
        match ACTIONS.iter().find(|(word, _)| *word == action) {
            Some((_, Self(bits @ (Self::ERRNO | Self::TRACE)))) => Ok(Self(bits | data)),
            Some((_, answer)) if errno.is_none() => Ok(*answer),
            Some(_) => Err(Error::invalid(format!("{action} answers with no error number"))),
            None => Err(Error::invalid(format!("unknown action {action:?}"))),
        }
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
    Ok(match (all.is_empty(), is_twice(given)) {
        (true, _) => Vec::new(),
        (false, true) => all.into_iter().map(|condition| vec![condition]).collect(),
        (false, false) => vec![all],
    })
}

fn is_twice(given: &[SeccompArg<'_>]) -> bool {
    given.iter().enumerate().any(|(at, arg)| given.iter().skip(at + 1).any(|other| other.index == arg.index))
}

/// The same for a call that is made through another one, whose first argument says which it is. What the condition on
/// the call's own first argument would look at is in memory, so it falls away, as with libseccomp.
pub(super) fn multiplexed(given: &[SeccompArg<'_>], call: u64) -> Result<Vec<Vec<SeccompCondition>>> {
    let eq = || {
        SeccompCondition::new(0, SeccompCmpArgLen::Qword, SeccompCmpOp::Eq, call)
            .map_err(|error| Error::invalid(error.to_string()))
    };
    let own = |arg: &&SeccompArg<'_>| arg.index != 0;
    if !is_twice(given) {
        let mut all = vec![eq()?];
        for arg in given.iter().filter(own) {
            all.push(condition(arg)?);
        }
        return Ok(vec![all]);
    }
    given
        .iter()
        .map(|arg| match arg.index {
            0 => Ok(vec![eq()?]),
            _ => Ok(vec![eq()?, condition(arg)?]),
        })
        .collect()
}

fn condition(given: &SeccompArg<'_>) -> Result<SeccompCondition> {
    let Some((_, operator)) = OPERATORS.iter().find(|(word, _)| *word == &*given.op) else {
        return Err(Error::invalid(format!("unknown operator {:?}", &*given.op)));
    };
    let (op, value) = operator(given);
    let index = u8::try_from(given.index).ok().filter(|index| *index < 6);
    let index =
        index.ok_or_else(|| Error::invalid(format!("a system call has no argument {}", given.index)))?;
    SeccompCondition::new(index, SeccompCmpArgLen::Qword, op, value)
        .map_err(|error| Error::invalid(error.to_string()))
}
