//! The program against a plain reading of the profile, for every number, architecture and argument that matters.

use seccompiler::sock_filter;

use super::names::{MACHINES, Table};
use super::*;

mod any;

/// What the kernel shows a filter: number, architecture, arguments (`struct seccomp_data`).
#[derive(Debug, Clone, Copy)]
struct Call {
    number: u32,
    audit: u32,
    args: [u64; 6],
}

impl Call {
    fn word(&self, offset: u32) -> u32 {
        match offset {
            0 => self.number,
            4 => self.audit,
            offset => {
                let arg = self.args[(offset as usize - 16) / 8];
                if offset.is_multiple_of(8) { arg as u32 } else { (arg >> 32) as u32 }
            }
        }
    }
}

/// Runs a program as the kernel would.
fn run(program: &[sock_filter], call: &Call) -> u32 {
    let (mut a, mut at) = (0_u32, 0_usize);
    loop {
        let sock_filter { code, jt, jf, k } = program[at];
        at += 1;
        let mut jump = |holds: bool| at += usize::from(if holds { jt } else { jf });
        match code {
            0x20 => a = call.word(k),
            0x05 => at += k as usize,
            0x15 => jump(a == k),
            0x25 => jump(a > k),
            0x35 => jump(a >= k),
            0x54 => a &= k,
            0x06 => return k,
            other => panic!("unknown operation {other:#x}"),
        }
    }
}

/// What the kernel of the table's processor calls it.
fn audit(table: Table) -> u32 {
    Family::all(&[table])[0].audit
}

/// The profile in its own words: no tree, no ranges.
struct Plain<'a> {
    profile: &'a Seccomp<'a>,
    default: Answer,
    tables: Vec<(u32, Table, std::collections::HashMap<&'static str, u32>)>,
}

impl<'a> Plain<'a> {
    fn new(profile: &'a Seccomp<'a>, machine: &Machine) -> Self {
        let default = Answer::parse(&profile.default_action, profile.default_errno_ret).expect("parses");
        let named = |table: &&Table| profile.architectures.iter().any(|word| **word == *table.word());
        let tables = [machine.native].into_iter().chain(machine.others.iter().filter(named).copied());
        let tables = tables.map(|table| (audit(table), table, table.numbers())).collect();
        Self { profile, default, tables }
    }

    fn answer(&self, call: &Call) -> u32 {
        if !self.tables.iter().any(|(audit, ..)| *audit == call.audit) {
            return Answer::KILL_THREAD.0;
        }
        if call.number == u32::MAX {
            return self.default.0;
        }
        let of = |(audit, table, _): &&(u32, Table, _)| {
            *audit == call.audit && table.space().contains(&call.number)
        };
        let Some((_, _, numbers)) = self.tables.iter().find(of) else { return Answer::KILL_THREAD.0 };
        let number = |name: &Text<'_>| numbers.get(&**name).copied();
        let (mut always, mut conditional) = (None, None);
        let table = self.tables.iter().find(of).expect("found above").1;
        for rule in &self.profile.syscalls {
            let answer = Answer::parse(&rule.action, rule.errno_ret).expect("parses");
            if answer == self.default {
                continue;
            }
            for name in &rule.names {
                if number(name) == Some(call.number) {
                    if rule.args.is_empty() {
                        always = always.or(Some(answer));
                    } else if holds(&rule.args, call) {
                        conditional = conditional.or(Some(answer));
                    }
                }
                if table
                    .multiplexer(Name::new(name))
                    .is_some_and(|(outer, inner)| outer == call.number && inner == call.args[0])
                    && holds_but_first(&rule.args, call)
                {
                    conditional = conditional.or(Some(answer));
                }
            }
        }
        if let Some(answer) = always.or(conditional) {
            return answer.0;
        }
        let named = self.profile.syscalls.iter().flat_map(|rule| &rule.names).filter_map(number);
        let growth = table.growth();
        match named.filter(|number| growth.contains(number)).max() {
            Some(newest)
                if call.number > newest && growth.contains(&call.number) && !self.default.lets_pass() =>
            {
                Answer::NO_SYSCALL.0
            }
            _ => self.default.0,
        }
    }
}

fn holds(args: &[SeccompArg<'_>], call: &Call) -> bool {
    let one = |arg: &SeccompArg<'_>| {
        let value = call.args[arg.index as usize];
        match &*arg.op {
            "SCMP_CMP_NE" => value != arg.value,
            "SCMP_CMP_LT" => value < arg.value,
            "SCMP_CMP_LE" => value <= arg.value,
            "SCMP_CMP_EQ" => value == arg.value,
            "SCMP_CMP_GE" => value >= arg.value,
            "SCMP_CMP_GT" => value > arg.value,
            _ => value & arg.value == arg.value_two & arg.value,
        }
    };
    let mut indexes: Vec<u32> = args.iter().map(|arg| arg.index).collect();
    indexes.sort_unstable();
    indexes.dedup();
    if indexes.len() < args.len() { args.iter().any(one) } else { args.iter().all(one) }
}

/// For a call that is made through another one: what is said of its first argument cannot be seen.
fn holds_but_first(args: &[SeccompArg<'_>], call: &Call) -> bool {
    let rest: Vec<SeccompArg<'_>> = args.iter().filter(|arg| arg.index != 0).cloned().collect();
    let mut indexes: Vec<u32> = args.iter().map(|arg| arg.index).collect();
    indexes.sort_unstable();
    indexes.dedup();
    match indexes.len() < args.len() {
        true if args.iter().any(|arg| arg.index == 0) => true,
        true => rest.iter().any(|arg| holds(std::slice::from_ref(arg), call)),
        false => rest.is_empty() || holds(&rest, call),
    }
}

/// A profile with everything in it: many calls, conditions of all kinds, two conditions on one argument.
const PROFILE: &str = r#"{
    "defaultAction": "DEFAULT",
    "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_S390X"],
    "syscalls": [
        {"names": ["read", "write", "open", "close", "mmap", "ioctl", "execve", "openat2", "no_such_call"], "action": "SCMP_ACT_ALLOW"},
        {"names": ["ptrace"], "action": "SCMP_ACT_ERRNO"},
        {"names": ["personality"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 8, "op": "SCMP_CMP_EQ"}]},
        {"names": ["personality"], "action": "SCMP_ACT_LOG", "args": [{"index": 0, "value": 4294967295, "op": "SCMP_CMP_GE"}]},
        {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 2114060288, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]},
        {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
        {"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 40, "op": "SCMP_CMP_NE"}, {"index": 2, "value": 4294967299, "op": "SCMP_CMP_LT"}]},
        {"names": ["kcmp"], "action": "SCMP_ACT_TRAP", "args": [{"index": 1, "value": 5, "op": "SCMP_CMP_LE"}, {"index": 1, "value": 4294967296, "op": "SCMP_CMP_GT"}]},
        {"names": ["mount"], "action": "SCMP_ACT_KILL_PROCESS"},
        {"names": ["futex"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]},
        {"names": ["futex"], "action": "SCMP_ACT_ALLOW"}
    ]
}"#;

#[test]
fn the_tree_says_what_the_profile_says_for_every_number_architecture_and_edge_of_an_argument() {
    let machine = &MACHINES[0];
    let edges: [u64; 10] = [0, 4, 5, 6, 8, 40, 2_114_060_288, 0xffff_ffff, 0x1_0000_0000, 0x1_0000_0003];
    for default in ["SCMP_ACT_ERRNO", "SCMP_ACT_ALLOW", "SCMP_ACT_KILL", "SCMP_ACT_LOG"] {
        let text = PROFILE.replacen("DEFAULT", default, 1);
        let profile: Seccomp<'_> = serde_json::from_str(&text).expect("parses");
        let filter = plan_for(machine, &profile).expect("plans");
        let plain = Plain::new(&profile, machine);
        for audit in [0xc000_003e, 0x4000_0003, 0xc000_00b7] {
            let numbers = (0..700).chain(0x4000_0000..0x4000_0300).chain([
                0x3fff_ffff,
                0x7fff_ffff,
                0x8000_0000,
                u32::MAX,
            ]);
            for number in numbers {
                for value in edges {
                    for at in 0..3 {
                        let mut args = [value ^ 1; 6];
                        args[at] = value;
                        let call = Call { number, audit, args };
                        assert_eq!(run(&filter.program, &call), plain.answer(&call), "{default} {call:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn what_the_profile_cannot_mean_is_refused() {
    for (json, word) in [
        (r#"{"defaultAction":"SCMP_ACT_TEA"}"#, "SCMP_ACT_TEA"),
        (
            r#"{"defaultAction":"SCMP_ACT_ALLOW","defaultErrnoRet":1}"#,
            "SCMP_ACT_ALLOW answers with no error number",
        ),
        (r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_TEA"]}"#, "SCMP_ARCH_TEA"),
        (r#"{"defaultAction":"SCMP_ACT_ALLOW","flags":["TEA"]}"#, "TEA"),
        (r#"{"defaultAction":"SCMP_ACT_NOTIFY"}"#, "cannot be the defaultAction"),
        (
            r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],"action":"SCMP_ACT_NOTIFY"}]}"#,
            "needs a listenerPath",
        ),
        (r#"{"defaultAction":"SCMP_ACT_ALLOW","listenerMetadata":"x"}"#, "needs a listenerPath"),
        (
            r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":[],"action":"SCMP_ACT_ERRNO"}]}"#,
            "a rule of SCMP_ACT_ERRNO has no names",
        ),
        (
            r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],"action":"SCMP_ACT_ERRNO","args":[{"index":6,"value":1,"op":"SCMP_CMP_EQ"}]}]}"#,
            "no argument 6",
        ),
    ] {
        let profile: Seccomp<'_> = serde_json::from_str(json).expect("parses");
        assert!(plan(&profile).expect_err("must fail").to_string().contains(word), "{json}");
    }
}

#[test]
fn a_filter_without_flags_allows_speculation_and_tsync_changes_nothing() {
    let of = |json: &str| plan(&serde_json::from_str(json).expect("parses")).expect("plans").flags;
    assert_eq!(of(r#"{"defaultAction":"SCMP_ACT_ALLOW"}"#), FLAG_SPEC_ALLOW);
    assert_eq!(of(r#"{"defaultAction":"SCMP_ACT_ALLOW","flags":["SECCOMP_FILTER_FLAG_TSYNC"]}"#), 0);
}
