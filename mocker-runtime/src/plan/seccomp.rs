//! A seccomp profile to one BPF program (config-linux.md "Seccomp").
//!
//! The kernel runs a filter once for every system call number when it is attached, and again for every
//! call, so its shape decides its cost: for each architecture this is a binary search over ranges of
//! numbers with the same answer, and only the answers that depend on arguments look at them.
//!
//! ```text
//!   architecture? ──> x86_64 ──> number < 200? ──> number < 60? ──> ... ──> answer
//!                └──> i386   ──> ...                                  └──> arguments? ──> answer
//!                └──> other: kill
//! ```
//!
//! A kernel reports only the architectures of its own family, so only those are compiled in; the names of
//! all others are checked and have nothing to say. The words of libseccomp are kept where profiles depend
//! on them: a rule without conditions wins over rules with, a rule that says what the default says is
//! none, names that the architecture does not have are skipped, and what i386 can also reach through socketcall(2)
//! or ipc(2) is ruled there as well.

mod answer;
mod names;
mod tree;

use std::path::PathBuf;

use seccompiler::sock_filter;

use crate::bundle::config::{Seccomp, SeccompArg, SeccompRule, Text};
use crate::error::{Error, Result, WhileDoing};
pub(crate) use answer::{ACTIONS, OPERATORS};
use answer::{Answer, conditions, multiplexed};
pub(crate) use names::WORDS as ARCHITECTURES;
use names::{Family, Machine, Name, Table};

/// What is handed to the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Filter {
    pub(crate) program: Vec<sock_filter>,
    /// `SECCOMP_FILTER_FLAG_*`
    pub(crate) flags: u64,
    /// Who decides on calls that the profile leaves to others; None: there are none
    pub(crate) listener: Option<Listener>,
}

/// Where a descriptor for decisions goes (config-linux.md "Seccomp", `listenerPath`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listener {
    /// A Unix stream socket of the host
    pub(crate) path: PathBuf,
    pub(crate) metadata: String,
}

const FLAG_LOG: u64 = 1 << 1;
const FLAG_SPEC_ALLOW: u64 = 1 << 2;
const FLAG_NEW_LISTENER: u64 = 1 << 3;
const FLAG_WAIT_KILLABLE_RECV: u64 = 1 << 5;
/// `BPF_MAXINSNS` of linux/bpf_common.h.
const MAX_LENGTH: usize = 4096;

/// Plans the filter.
pub(crate) fn plan(given: &Seccomp<'_>) -> Result<Filter> {
    plan_for(Machine::here()?, given)
}

fn plan_for(machine: &Machine, given: &Seccomp<'_>) -> Result<Filter> {
    let default =
        Answer::parse(&given.default_action, given.default_errno_ret).while_doing(|| "defaultAction")?;
    if default == Answer::NOTIFY {
        // The runtime's own last steps would have to be decided on.
        return Err(Error::invalid("SCMP_ACT_NOTIFY cannot be the defaultAction"));
    }
    let rules = parse_rules(&given.syscalls)?;
    let listener = listener(given, rules.iter().any(|rule| rule.answer == Answer::NOTIFY))?;
    let families = families(machine, &given.architectures)?;
    let calls = rules.iter().flat_map(|rule| rule.names.iter().map(move |name| (Name::new(name), rule)));
    let calls: Vec<(Name, &Rule<'_>)> = calls.collect();
    let of = |family: &Family| Ok((family.audit, ranges(family, &calls, default)?));
    let numbers: Vec<(u32, Vec<tree::Range>)> = families.iter().map(of).collect::<Result<_>>()?;
    let program = tree::program(&numbers);
    if program.len() > MAX_LENGTH {
        return Err(Error::invalid(format!(
            "the filter has {} instructions, over {MAX_LENGTH}",
            program.len()
        )));
    }
    let mut flags = flags(given.flags.as_deref())?;
    match listener {
        Some(_) => flags |= FLAG_NEW_LISTENER,
        // About how a listener's answer is waited for, and an error without one.
        None => flags &= !FLAG_WAIT_KILLABLE_RECV,
    }
    Ok(Filter { program, flags, listener })
}

/// Without a rule that needs it the path means nothing, as the specification says.
fn listener(given: &Seccomp<'_>, wanted: bool) -> Result<Option<Listener>> {
    let path = given.listener_path.as_deref().unwrap_or_default();
    let metadata = given.listener_metadata.as_deref().unwrap_or_default();
    match (path, wanted) {
        ("", true) => Err(Error::invalid("SCMP_ACT_NOTIFY needs a listenerPath")),
        ("", false) if !metadata.is_empty() => Err(Error::invalid("listenerMetadata needs a listenerPath")),
        (_, false) => Ok(None),
        (path, true) if !path.starts_with('/') => {
            Err(Error::invalid(format!("the listenerPath {path:?} is not absolute")))
        }
        (path, true) => Ok(Some(Listener { path: PathBuf::from(path), metadata: metadata.to_owned() })),
    }
}

/// Words and bits; TSYNC is for programs with threads, of which there are none yet.
pub(crate) const FLAGS: [(&str, u64); 4] = [
    ("SECCOMP_FILTER_FLAG_TSYNC", 0),
    ("SECCOMP_FILTER_FLAG_LOG", FLAG_LOG),
    ("SECCOMP_FILTER_FLAG_SPEC_ALLOW", FLAG_SPEC_ALLOW),
    ("SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", FLAG_WAIT_KILLABLE_RECV),
];

/// Without the property, what the kernel did for everybody once.
fn flags(given: Option<&[Text<'_>]>) -> Result<u64> {
    let Some(given) = given else { return Ok(FLAG_SPEC_ALLOW) };
    given.iter().try_fold(0, |flags, name| match FLAGS.iter().find(|(known, _)| *known == &**name) {
        Some((_, bit)) => Ok(flags | bit),
        None => Err(Error::invalid(format!("unknown flag {:?}", &**name))),
    })
}

/// The architectures of the profile that the machine's kernel can report, its own always among them.
fn families(machine: &Machine, given: &[Text<'_>]) -> Result<Vec<Family>> {
    let mut tables = vec![machine.native];
    for name in given {
        match machine.table(name) {
            None => return Err(Error::invalid(format!("unknown architecture {:?}", &**name))),
            Some(Some(table)) if !tables.contains(&table) => tables.push(table),
            Some(_) => {}
        }
    }
    Ok(Family::all(&tables))
}

/// One system call's rule, after its words have been read.
#[derive(Debug, Clone)]
struct Rule<'a> {
    names: &'a [Text<'a>],
    args: &'a [SeccompArg<'a>],
    answer: Answer,
    /// Each a list of conditions that must all hold; empty: always
    alternatives: Vec<Vec<seccompiler::SeccompCondition>>,
}

fn parse_rules<'a>(given: &'a [SeccompRule<'a>]) -> Result<Vec<Rule<'a>>> {
    let parse = |rule: &'a SeccompRule<'a>| {
        if rule.names.is_empty() {
            return Err(Error::invalid(format!("syscalls: a rule of {} has no names", &*rule.action)));
        }
        let answer = Answer::parse(&rule.action, rule.errno_ret).while_doing(|| "syscalls")?;
        let alternatives = conditions(&rule.args).while_doing(|| "syscalls: args")?;
        Ok(Rule { names: &rule.names, args: &rule.args, answer, alternatives })
    };
    given.iter().map(parse).collect()
}

/// What a rule says of a number.
#[derive(Debug, Clone, Copy)]
struct Said<'a> {
    number: u32,
    rule: &'a Rule<'a>,
    /// Of a call that is made through this number: what the first argument is then
    through: Option<u64>,
}

/// All that is said of the numbers of a table: in their order, and in the profile's for each.
fn said<'a>(table: Table, calls: &[(Name, &'a Rule<'a>)]) -> Vec<Said<'a>> {
    let mut out = Vec::with_capacity(calls.len() + calls.len() / 8);
    for (name, rule) in calls {
        if let Some(number) = table.number(*name) {
            out.push(Said { number, rule, through: None });
        }
        if let Some((number, call)) = table.multiplexer(*name) {
            out.push(Said { number, rule, through: Some(call) });
        }
    }
    in_order(out, *table.space().start())
}

/// Numbers are dense, so that each goes to a place of its own, which is cheaper than comparing them with each other; the
/// few that are not (arm's own) come last and are sorted.
fn in_order(said: Vec<Said<'_>>, first: u32) -> Vec<Said<'_>> {
    const DENSE: usize = 1024;
    const NONE: usize = usize::MAX;
    // Of each number the first thing said, and of each thing the next one of the same number.
    let (mut heads, mut next) = ([NONE; DENSE], vec![NONE; said.len()]);
    let (mut out, mut rest) = (Vec::with_capacity(said.len()), Vec::new());
    for (at, one) in said.iter().enumerate().rev() {
        match (heads.get_mut((one.number - first) as usize), next.get_mut(at)) {
            (Some(head), Some(next)) => *next = std::mem::replace(head, at),
            _ => rest.push(*one),
        }
    }
    for mut at in heads {
        while let (Some(one), Some(next)) = (said.get(at), next.get(at)) {
            out.push(*one);
            at = *next;
        }
    }
    rest.reverse();
    rest.sort_by_key(|said| said.number);
    out.append(&mut rest);
    out
}

/// The whole space of numbers of one audit architecture, in ranges.
fn ranges(family: &Family, calls: &[(Name, &Rule<'_>)], default: Answer) -> Result<Vec<tree::Range>> {
    let mut out = tree::Ranges::default();
    out.push(0, tree::Leaf::Always(Answer::KILL_THREAD));
    for table in &family.tables {
        let said = said(*table, calls);
        let (space, growth) = (table.space(), table.growth());
        // Calls newer than the profile: a program must be able to see that they are not there.
        let known = said.iter().filter(|said| said.through.is_none() && growth.contains(&said.number));
        let newest = known.map(|said| said.number).max().filter(|_| !default.lets_pass());
        let unsaid = |number: u32| match newest {
            Some(newest) if number > newest && growth.contains(&number) => Answer::NO_SYSCALL,
            _ => default,
        };
        let mut from = |number: u32, leaf: tree::Leaf| {
            out.push(number, leaf);
            if let Some(after) = number.checked_add(1).filter(|after| space.contains(after)) {
                out.push(after, tree::Leaf::Always(unsaid(after)));
            }
        };
        from(*space.start(), tree::Leaf::Always(unsaid(*space.start())));
        // What is beyond the growth has numbers above all others.
        let (grown, own) = said.split_at(said.partition_point(|said| said.number <= *growth.end()));
        for of_one in grown.chunk_by(|a, b| a.number == b.number) {
            from(of_one.first().map_or(0, |said| said.number), leaf(of_one, default)?);
        }
        if growth.end() < space.end() {
            from(growth.end() + 1, tree::Leaf::Always(default));
        }
        for of_one in own.chunk_by(|a, b| a.number == b.number) {
            from(of_one.first().map_or(0, |said| said.number), leaf(of_one, default)?);
        }
        if let Some(after) = space.end().checked_add(1) {
            out.push(after, tree::Leaf::Always(Answer::KILL_THREAD));
        }
    }
    // A tracer that skips a call sets -1; that is no call of any table.
    out.push(u32::MAX, tree::Leaf::Always(default));
    Ok(out.finish())
}

/// What happens for one number: conditions in the order of the profile, then the rest. A rule that says what the
/// default says is none.
fn leaf(said: &[Said<'_>], default: Answer) -> Result<tree::Leaf> {
    let counts = |said: &&Said<'_>| said.rule.answer != default;
    let always = |said: &Said<'_>| said.through.is_none() && said.rule.alternatives.is_empty();
    // Of two that contradict each other the first counts, as with libseccomp: podman's profile has such.
    if let Some(said) = said.iter().filter(counts).find(|said| always(said)) {
        return Ok(tree::Leaf::Always(said.rule.answer));
    }
    let mut made = Vec::new();
    for said in said.iter().filter(counts) {
        let alternatives = match said.through {
            Some(call) => multiplexed(said.rule.args, call)?,
            None => said.rule.alternatives.clone(),
        };
        made.extend(alternatives.into_iter().map(|all| (all, said.rule.answer)));
    }
    let lists: Vec<_> = made.iter().map(|(all, answer)| (all.as_slice(), *answer)).collect();
    match lists.is_empty() {
        true => Ok(tree::Leaf::Always(default)),
        false => Ok(tree::Leaf::conditional(&lists, default)),
    }
}

#[cfg(test)]
mod tests;
