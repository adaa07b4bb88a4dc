//! Ranges of numbers to a program: a binary search, with the answers at its leaves.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use seccompiler::{BpfProgram, SeccompCondition, SeccompRule, sock_filter};

use super::Answer;

// Operation codes of linux/bpf_common.h, put together.
const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const JUMP: u16 = 0x05; // BPF_JMP | BPF_JA
const JUMP_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const JUMP_AT_LEAST: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
const RETURN: u16 = 0x06; // BPF_RET | BPF_K

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;

fn insn(code: u16, jt: u8, jf: u8, k: u32) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

/// What is done when the number is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Leaf(Vec<sock_filter>);

impl Leaf {
    pub(super) fn of(answer: Answer) -> Self {
        Self(vec![insn(RETURN, 0, 0, answer.0)])
    }

    /// The first list whose conditions all hold gives the answer.
    pub(super) fn conditional(lists: &[(Vec<SeccompCondition>, Answer)], default: Answer) -> Self {
        let mut out = Vec::new();
        for (conditions, answer) in lists {
            // A rule without conditions is no conditional one, so this cannot fail.
            if let Ok(rule) = SeccompRule::new(conditions.clone()) {
                // Two jumps for seccompiler's own chain of rules come first; a condition that does not hold
                // leads behind the return that follows the block.
                let block: BpfProgram = rule.into();
                out.extend(block.into_iter().skip(2));
                out.push(insn(RETURN, 0, 0, answer.0));
            }
        }
        out.push(insn(RETURN, 0, 0, default.0));
        Self(out)
    }
}

/// From a number to the next range's start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Range {
    start: u32,
    leaf: Leaf,
}

/// The whole space of numbers while it is divided: each start and what holds from there on.
#[derive(Debug)]
pub(super) struct Ranges(BTreeMap<u32, Leaf>);

impl Ranges {
    /// One range with one answer.
    pub(super) fn new(answer: Answer) -> Self {
        Self(BTreeMap::from([(0, Leaf::of(answer))]))
    }

    /// Gives a part of the space another leaf.
    pub(super) fn set(&mut self, numbers: RangeInclusive<u32>, leaf: Leaf) {
        let (start, end) = numbers.into_inner();
        if let Some(after) = end.checked_add(1)
            && let Some((_, here)) = self.0.range(..=after).next_back()
        {
            let here = here.clone();
            self.0.insert(after, here);
        }
        let inside: Vec<u32> = self.0.range(start..=end).map(|(at, _)| *at).collect();
        for at in inside {
            self.0.remove(&at);
        }
        self.0.insert(start, leaf);
    }

    /// Neighbours with the same leaf become one.
    pub(super) fn finish(self) -> Vec<Range> {
        let mut out: Vec<Range> = Vec::with_capacity(self.0.len());
        for (start, leaf) in self.0 {
            if out.last().is_none_or(|last| last.leaf != leaf) {
                out.push(Range { start, leaf });
            }
        }
        out
    }
}

/// The whole program: which architecture, then its tree; any other architecture ends the thread, as with libseccomp.
pub(super) fn program(architectures: &[(u32, Vec<Range>)]) -> Vec<sock_filter> {
    let mut out = vec![insn(LOAD, 0, 0, ARCHITECTURE)];
    for (audit, ranges) in architectures {
        let tree = search(ranges);
        // not this one: over the long jump, the load and the tree
        out.push(insn(JUMP_EQUAL, 1, 0, *audit));
        out.push(insn(JUMP, 0, 0, tree.len() as u32 + 1));
        out.push(insn(LOAD, 0, 0, NUMBER));
        out.extend(tree);
    }
    out.push(insn(RETURN, 0, 0, Answer::KILL_THREAD.0));
    out
}

/// Halves the ranges until one is left.
fn search(ranges: &[Range]) -> Vec<sock_filter> {
    let (left, right) = ranges.split_at(ranges.len() / 2);
    let Some(middle) = right.first() else { return Vec::new() };
    if left.is_empty() {
        return middle.leaf.0.clone();
    }
    let (start, left, right) = (middle.start, search(left), search(right));
    let mut out = Vec::with_capacity(left.len() + right.len() + 2);
    match u8::try_from(left.len()) {
        Ok(past) => out.push(insn(JUMP_AT_LEAST, past, 0, start)),
        // A conditional jump reaches 255 instructions, a plain one any.
        Err(_) => out.extend([insn(JUMP_AT_LEAST, 0, 1, start), insn(JUMP, 0, 0, left.len() as u32)]),
    }
    out.extend(left);
    out.extend(right);
    out
}
