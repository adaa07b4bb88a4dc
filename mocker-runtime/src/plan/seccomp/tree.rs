//! Ranges of numbers to a program: a binary search, with the answers at its leaves.
//!
//! The program is written from its end to its start. Jumps lead forward only, so what a jump leads to is there
//! already when the jump is written, and many numbers with the same answer can lead to one `return`.

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
pub(super) enum Leaf {
    /// Whatever the arguments are
    Always(Answer),
    /// What looks at the arguments, to its last return
    Program(Vec<sock_filter>),
}

impl Leaf {
    /// The first list whose conditions all hold gives the answer.
    pub(super) fn conditional(lists: &[(&[SeccompCondition], Answer)], default: Answer) -> Self {
        let mut out = Vec::new();
        for (conditions, answer) in lists {
            // A rule without conditions is no conditional one, so this cannot fail.
            if let Ok(rule) = SeccompRule::new(conditions.to_vec()) {
                // Two jumps for seccompiler's own chain of rules come first; a condition that does not hold
                // leads behind the return that follows the block.
                let block: BpfProgram = rule.into();
                out.extend(block.into_iter().skip(2));
                out.push(insn(RETURN, 0, 0, answer.0));
            }
        }
        out.push(insn(RETURN, 0, 0, default.0));
        Self::Program(out)
    }
}

/// From a number to the next range's start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Range {
    start: u32,
    leaf: Leaf,
}

/// The whole space of numbers, divided: each start and what holds from there on, in order.
#[derive(Debug, Default)]
pub(super) struct Ranges(Vec<Range>);

impl Ranges {
    /// From `start` on; what was said of that very number before counts no more. Neighbours with the same leaf are one.
    pub(super) fn push(&mut self, start: u32, leaf: Leaf) {
        self.0.pop_if(|last| last.start == start);
        if self.0.last().is_none_or(|last| last.leaf != leaf) {
            self.0.push(Range { start, leaf });
        }
    }

    /// All of them.
    pub(super) fn finish(self) -> Vec<Range> {
        self.0
    }
}

/// The whole program: which architecture, then its tree; any other architecture ends the thread, as with libseccomp.
pub(super) fn program(architectures: &[(u32, Vec<Range>)]) -> Vec<sock_filter> {
    let mut out = Backwards::default();
    let mut other = out.put_return(Answer::KILL_THREAD);
    for (audit, ranges) in architectures.iter().rev() {
        let tree = out.search(ranges);
        if out.over(tree) > 0 {
            // The load leads to what follows it.
            out.bring_near(tree);
        }
        let this = out.put(insn(LOAD, 0, 0, NUMBER));
        other = out.put_jump(JUMP_EQUAL, *audit, this, other);
    }
    out.put(insn(LOAD, 0, 0, ARCHITECTURE));
    let Backwards { mut program, .. } = out;
    program.reverse();
    program
}

/// A place in a program that is written backwards: how many instructions come behind it.
type Place = usize;

/// A program, its last instruction first.
#[derive(Default)]
struct Backwards {
    program: Vec<sock_filter>,
    /// The latest return of each answer
    returns: Vec<(Answer, Place)>,
}

impl Backwards {
    fn put(&mut self, insn: sock_filter) -> Place {
        self.program.push(insn);
        self.program.len() - 1
    }

    /// How many instructions the next one would have to jump over.
    fn over(&self, to: Place) -> usize {
        self.program.len() - to - 1
    }

    /// A jump to one of two places, which a conditional jump reaches at most 255 instructions away.
    fn put_jump(&mut self, code: u16, k: u32, yes: Place, no: Place) -> Place {
        // What brings the one nearer puts the other one instruction further away.
        let (mut yes, mut no) = (yes, no);
        if self.over(yes) >= 255 {
            yes = self.bring_near(yes);
        }
        if self.over(no) >= 255 {
            no = self.bring_near(no);
        }
        let over = |to| u8::try_from(self.over(to)).unwrap_or(u8::MAX);
        self.put(insn(code, over(yes), over(no), k))
    }

    /// The same return once more, or a jump that reaches any place.
    fn bring_near(&mut self, far: Place) -> Place {
        match self.program.get(far) {
            Some(insn) if insn.code == RETURN => self.put(insn.clone()),
            _ => self.put(insn(JUMP, 0, 0, self.over(far) as u32)),
        }
    }

    /// A return, or one that is there and near enough that many others can jump there as well.
    fn put_return(&mut self, answer: Answer) -> Place {
        let latest = self.returns.iter().find(|(known, _)| *known == answer).map(|(_, place)| *place);
        if let Some(place) = latest.filter(|place| self.over(*place) < 128) {
            return place;
        }
        let place = self.put(insn(RETURN, 0, 0, answer.0));
        self.returns.retain(|(known, _)| *known != answer);
        self.returns.push((answer, place));
        place
    }

    /// Halves the ranges until one is left; gives the place where the search begins.
    fn search(&mut self, ranges: &[Range]) -> Place {
        let (left, right) = ranges.split_at(ranges.len() / 2);
        match (left, right) {
            (_, []) => self.put_return(Answer::KILL_THREAD),
            ([], [range, ..]) => match &range.leaf {
                Leaf::Always(answer) => self.put_return(*answer),
                Leaf::Program(program) => {
                    self.program.extend(program.iter().rev().cloned());
                    self.program.len() - 1
                }
            },
            (left, [middle, ..]) => {
                let start = middle.start;
                let right = self.search(right);
                let left = self.search(left);
                self.put_jump(JUMP_AT_LEAST, start, right, left)
            }
        }
    }
}
