//! Device rules as the kernel takes them: lines for version 1, a program for version 2.

use crate::plan::cgroup::Rule;
use crate::sys::bpf::Insn;

/// Lines for `devices.deny` and `devices.allow`, in the order of writing.
pub(super) fn lists(rules: &[Rule]) -> Vec<(&'static str, String)> {
    // A fresh cgroup has its parent's list; what no rule fits is denied.
    let mut out = vec![("devices.deny", "a".to_owned())];
    let since_total = rules.iter().rposition(Rule::is_total);
    let rest = match since_total.and_then(|at| rules.get(at..)) {
        Some([total, rest @ ..]) => {
            if total.allow {
                out = vec![("devices.allow", "a".to_owned())];
            }
            rest
        }
        _ => rules,
    };
    for rule in rest {
        let file = if rule.allow { "devices.allow" } else { "devices.deny" };
        let kinds = rule.kind.map_or_else(|| vec!['c', 'b'], |kind| vec![kind]);
        let number = |value: Option<u32>| value.map_or_else(|| "*".to_owned(), |value| value.to_string());
        for kind in kinds {
            let (major, minor) = (number(rule.major), number(rule.minor));
            out.push((file, format!("{kind} {major}:{minor} {}", rule.access.letters())));
        }
    }
    out
}

// Registers: r1 context, r2 type of device, r3 kinds of access still undecided, r4 major, r5 minor.
const R0: u8 = 0;
const TYPE: u8 = 2;
const ACCESS: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;
const SCRATCH: u8 = 6;

// Operation codes of linux/bpf.h, put together.
const LOAD_WORD: u8 = 0x61; // BPF_LDX | BPF_MEM | BPF_W
const MOVE: u8 = 0xbf; // BPF_ALU64 | BPF_MOV | BPF_X
const SET: u8 = 0xb7; // BPF_ALU64 | BPF_MOV | BPF_K
const AND: u8 = 0x57; // BPF_ALU64 | BPF_AND | BPF_K
const SHIFT_RIGHT: u8 = 0x77; // BPF_ALU64 | BPF_RSH | BPF_K
const JUMP_NOT_EQUAL: u8 = 0x55; // BPF_JMP | BPF_JNE | BPF_K
const JUMP_EQUAL: u8 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const EXIT: u8 = 0x95; // BPF_JMP | BPF_EXIT

fn insn(code: u8, destination: u8, source: u8, offset: i16, immediate: i32) -> Insn {
    Insn { code, registers: (source << 4) | destination, offset, immediate }
}

/// A program that looks at the rules from the last to the first. A rule that allows takes its kinds of
/// access off those asked for, and when none is left says yes; one that denies any that is left says no.
///
/// The kernel proves a program by walking every way through it, so neighbours that ask for the same type of device
/// and the same major number ask once.
pub(super) fn program(rules: &[Rule]) -> Vec<Insn> {
    let mut out = vec![
        // struct bpf_cgroup_dev_ctx: access in the upper and type in the lower half of one word, major, minor
        insn(LOAD_WORD, TYPE, 1, 0, 0),
        insn(MOVE, ACCESS, TYPE, 0, 0),
        insn(SHIFT_RIGHT, ACCESS, 0, 0, 16),
        insn(AND, TYPE, 0, 0, 0xffff),
        insn(LOAD_WORD, MAJOR, 1, 4, 0),
        insn(LOAD_WORD, MINOR, 1, 8, 0),
    ];
    // What no rule is about is denied, unless a rule about everything says otherwise; before that one none counts.
    let total = rules.iter().rposition(Rule::is_total);
    let rest = total.and_then(|at| rules.get(at..)).and_then(|rules| rules.split_first());
    let (otherwise, rules) = rest.map_or((false, rules), |(total, rest)| (total.allow, rest));
    let rules: Vec<&Rule> = rules.iter().rev().collect();
    for of_kind in rules.chunk_by(|a, b| a.kind == b.kind).flat_map(|rules| rules.chunks(FAR)) {
        let mut inner = Vec::new();
        for of_major in of_kind.chunk_by(|a, b| a.major == b.major) {
            let (major, then) = (of_major.first().and_then(|rule| rule.major), of_major_number(of_major));
            inner.extend(when(MAJOR, major.map(|major| major as i32), then));
            // The kernel takes no program with instructions that are never reached.
            if major.is_none() && of_major.iter().any(|rule| decides(rule)) {
                break;
            }
        }
        // BPF_DEVCG_DEV_BLOCK, BPF_DEVCG_DEV_CHAR
        let kind = of_kind.first().and_then(|rule| rule.kind).map(|kind| if kind == 'b' { 1 } else { 2 });
        out.extend(when(TYPE, kind, inner));
    }
    out.extend([insn(SET, R0, 0, 0, i32::from(otherwise)), insn(EXIT, 0, 0, 0, 0)]);
    out
}

/// Rules of one type and major number, down to the first that leaves nothing to the others.
fn of_major_number(rules: &[&Rule]) -> Vec<Insn> {
    let count = rules.iter().position(|rule| decides(rule)).map_or(rules.len(), |last| last + 1);
    let one = |rule: &&Rule| when(MINOR, rule.minor.map(|minor| minor as i32), verdict(rule));
    rules.iter().take(count).flat_map(one).collect()
}

/// Whether a rule says all of the devices of its type and major number.
fn decides(rule: &Rule) -> bool {
    rule.minor.is_none() && rule.access.0 as i32 == EVERY_ACCESS
}

/// Over as many rules a jump certainly reaches (its offset has 16 bits).
const FAR: usize = 1024;

/// What is done if a register has a value; whatever it has if none is given.
fn when(register: u8, value: Option<i32>, then: Vec<Insn>) -> Vec<Insn> {
    let test = value.map(|value| insn(JUMP_NOT_EQUAL, register, 0, then.len() as i16, value));
    test.into_iter().chain(then).collect()
}

/// What a rule that fits does.
fn verdict(rule: &Rule) -> Vec<Insn> {
    let access = rule.access.0 as i32;
    let say = |yes: bool| [insn(SET, R0, 0, 0, i32::from(yes)), insn(EXIT, 0, 0, 0, 0)];
    let unless = match rule.allow {
        // Of what is asked for something is always left, so a rule about all kinds of access decides.
        _ if access == EVERY_ACCESS => vec![],
        true => vec![insn(AND, ACCESS, 0, 0, !access & EVERY_ACCESS), insn(JUMP_NOT_EQUAL, ACCESS, 0, 2, 0)],
        false => vec![
            insn(MOVE, SCRATCH, ACCESS, 0, 0),
            insn(AND, SCRATCH, 0, 0, access),
            insn(JUMP_EQUAL, SCRATCH, 0, 2, 0),
        ],
    };
    unless.into_iter().chain(say(rule.allow)).collect()
}

/// Making, reading, writing: `BPF_DEVCG_ACC_*`.
const EVERY_ACCESS: i32 = 0b111;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::cgroup::Access;

    /// Runs a program as the kernel would, as far as these programs go.
    fn run(program: &[Insn], kind: u32, access: u32, major: u32, minor: u32) -> bool {
        let context = [(access << 16) | kind, major, minor];
        let mut register = [0_i64; 11];
        let mut at = 0;
        loop {
            let Insn { code, registers, offset, immediate } = program[at];
            let (destination, source) = (usize::from(registers & 15), usize::from(registers >> 4));
            let immediate = i64::from(immediate);
            at += 1;
            match code {
                LOAD_WORD => register[destination] = i64::from(context[offset as usize / 4]),
                MOVE => register[destination] = register[source],
                SET => register[destination] = immediate,
                AND => register[destination] &= immediate,
                SHIFT_RIGHT => register[destination] >>= immediate,
                JUMP_NOT_EQUAL if register[destination] != immediate => at += offset as usize,
                JUMP_EQUAL if register[destination] == immediate => at += offset as usize,
                JUMP_NOT_EQUAL | JUMP_EQUAL => {}
                EXIT => return register[0] == 1,
                other => panic!("unknown operation {other:#x}"),
            }
        }
    }

    /// The kernel refuses a program with an instruction that no way leads to (check_cfg of kernel/bpf/cfg.c).
    fn assert_all_is_reached(program: &[Insn]) {
        let mut reached = vec![false; program.len()];
        let mut ways = vec![0];
        while let Some(at) = ways.pop() {
            if std::mem::replace(&mut reached[at], true) {
                continue;
            }
            let Insn { code, offset, .. } = program[at];
            if matches!(code, JUMP_NOT_EQUAL | JUMP_EQUAL) {
                ways.push(at + 1 + offset as usize);
            }
            if code != EXIT {
                ways.push(at + 1);
            }
        }
        assert!(reached.iter().all(|reached| *reached), "{program:?}");
    }

    /// The rule in words: the last rule that fits decides, for each kind of access.
    fn expected(rules: &[Rule], kind: char, access: u32, major: u32, minor: u32) -> bool {
        [1, 2, 4].into_iter().filter(|bit| access & bit != 0).all(|bit| {
            rules
                .iter()
                .rev()
                .find(|rule| {
                    rule.kind.is_none_or(|k| k == kind)
                        && rule.major.is_none_or(|m| m == major)
                        && rule.minor.is_none_or(|m| m == minor)
                        && rule.access.0 & bit != 0
                })
                .is_some_and(|rule| rule.allow)
        })
    }

    #[test]
    fn the_program_says_what_the_rules_say_for_every_list_of_three() {
        let mut pool = Vec::new();
        for allow in [true, false] {
            for (kind, major, minor) in [
                (None, None, None),
                (Some('c'), Some(1), None),
                (Some('c'), Some(1), Some(3)),
                (Some('b'), None, None),
            ] {
                for access in [0b111, 0b010, 0b110] {
                    pool.push(Rule { allow, kind, major, minor, access: Access(access) });
                }
            }
        }
        for a in &pool {
            for b in &pool {
                for c in &pool {
                    let rules = [*a, *b, *c];
                    let program = program(&rules);
                    assert_all_is_reached(&program);
                    for (kind, number, major, minor) in
                        [('c', 2, 1, 3), ('c', 2, 1, 5), ('c', 2, 9, 3), ('b', 1, 1, 3)]
                    {
                        for access in 1..8 {
                            assert_eq!(
                                run(&program, number, access, major, minor),
                                expected(&rules, kind, access, major, minor),
                                "{rules:?} {kind} {access} {major}:{minor}"
                            );
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn the_lists_of_version_1_begin_with_the_last_total_rule() {
        let total = |allow| Rule { allow, kind: None, major: None, minor: None, access: Access(0b111) };
        let null =
            Rule { allow: true, kind: Some('c'), major: Some(1), minor: Some(3), access: Access(0b110) };
        assert_eq!(
            lists(&[total(true), total(false), null]),
            [("devices.deny", "a".to_owned()), ("devices.allow", "c 1:3 rw".to_owned())]
        );
        assert_eq!(lists(&[total(true)]), [("devices.allow", "a".to_owned())]);
    }
}
