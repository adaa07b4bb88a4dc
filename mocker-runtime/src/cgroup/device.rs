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
    for rule in rules.iter().rev() {
        block(rule, &mut out);
    }
    out.extend([insn(SET, R0, 0, 0, 0), insn(EXIT, 0, 0, 0, 0)]);
    out
}

/// One rule; every "does not fit" jumps behind its last instruction.
fn block(rule: &Rule, out: &mut Vec<Insn>) {
    let access = rule.access.0 as i32;
    let body = match rule.allow {
        true => vec![
            insn(AND, ACCESS, 0, 0, !access & 0b111),
            insn(JUMP_NOT_EQUAL, ACCESS, 0, 2, 0),
            insn(SET, R0, 0, 0, 1),
            insn(EXIT, 0, 0, 0, 0),
        ],
        false => vec![
            insn(MOVE, SCRATCH, ACCESS, 0, 0),
            insn(AND, SCRATCH, 0, 0, access),
            insn(JUMP_EQUAL, SCRATCH, 0, 2, 0),
            insn(SET, R0, 0, 0, 0),
            insn(EXIT, 0, 0, 0, 0),
        ],
    };
    // BPF_DEVCG_DEV_BLOCK, BPF_DEVCG_DEV_CHAR
    let kind = rule.kind.map(|kind| if kind == 'b' { 1 } else { 2 });
    let tests: Vec<(u8, i32)> = [
        (TYPE, kind),
        (MAJOR, rule.major.map(|major| major as i32)),
        (MINOR, rule.minor.map(|minor| minor as i32)),
    ]
    .into_iter()
    .filter_map(|(register, value)| value.map(|value| (register, value)))
    .collect();
    for (at, (register, value)) in tests.iter().enumerate() {
        let past = tests.len() - at - 1 + body.len();
        out.push(insn(JUMP_NOT_EQUAL, *register, 0, past as i16, *value));
    }
    out.extend(body);
}

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
