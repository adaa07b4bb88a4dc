//! Profiles of any shape: against the plain reading, and against libseccomp.

use super::*;

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

const VALUES: [u64; 9] = [0, 1, 5, 40, 0x7e02_0000, 0xffff_ffff, 0x1_0000_0000, 0x1_0000_0003, u64::MAX];

/// A profile of any shape. libseccomp takes a call twice only with conditions and the same action, so that `strict`
/// profiles say of no call two things.
fn any_profile(dice: &mut Dice, machine: &Machine, names: &[&str], strict: bool) -> serde_json::Value {
    const ACTIONS: [&str; 7] = [
        "SCMP_ACT_ALLOW",
        "SCMP_ACT_ERRNO",
        "SCMP_ACT_KILL_THREAD",
        "SCMP_ACT_KILL_PROCESS",
        "SCMP_ACT_LOG",
        "SCMP_ACT_TRACE",
        "SCMP_ACT_TRAP",
    ];
    let mut left: Vec<&str> = names.to_vec();
    let mut rules = Vec::new();
    for _ in 0..dice.below(30) {
        let count = 1 + dice.below(12);
        let chosen: Vec<&str> = (0..count)
            .filter_map(|_| match strict {
                true if left.is_empty() => None,
                true => Some(left.swap_remove(dice.below(left.len()))),
                false => Some(dice.pick(names)),
            })
            .collect();
        let mut indexes: Vec<usize> = (0..dice.below(3)).map(|_| dice.below(6)).collect();
        if strict {
            indexes.dedup();
        }
        let args: Vec<_> = indexes
            .into_iter()
            .map(|index| {
                let (word, _) = OPERATORS[dice.below(OPERATORS.len())];
                serde_json::json!({ "index": index, "op": word, "value": dice.pick(&VALUES), "valueTwo": dice.pick(&VALUES) })
            })
            .collect();
        let action = dice.pick(&ACTIONS);
        let mut rule = serde_json::json!({ "names": chosen, "action": action, "args": args });
        if ["SCMP_ACT_ERRNO", "SCMP_ACT_TRACE"].contains(&action) && dice.below(2) == 0 {
            rule["errnoRet"] = (1 + dice.below(100)).into();
        }
        rules.push(rule);
    }
    let mut architectures = vec!["SCMP_ARCH_MIPS"];
    architectures.extend([&machine.native].into_iter().chain(machine.others).map(|table| table.word()));
    architectures.retain(|_| dice.below(3) > 0);
    serde_json::json!({
        "defaultAction": dice.pick(&ACTIONS),
        "architectures": architectures,
        "syscalls": rules,
    })
}

/// How many profiles: most for the processor that most have.
fn rounds(machine: &Machine) -> usize {
    if machine.native == Table::X86_64 { 6 } else { 1 }
}

/// Whether the kernel shows 32 bits of each argument.
fn is_narrow(audit: u32) -> bool {
    audit & 0x8000_0000 == 0
}

/// Calls that a profile may say something of: every number near one that it names, and the edges of the arguments.
fn calls(dice: &mut Dice, machine: &Machine) -> Vec<Call> {
    const FOREIGN: u32 = 0xc000_0008; // AUDIT_ARCH_MIPSEL64
    let mut audits: Vec<u32> =
        [&machine.native].into_iter().chain(machine.others).map(|table| audit(*table)).collect();
    audits.push(FOREIGN);
    audits.dedup();
    let mut calls = Vec::new();
    let own = (0x000f_0000..0x000f_0008).chain(0x4000_0000..0x4000_0230);
    for number in (0..470).chain(own).chain([0x7fff_ffff, 0x8000_0000, u32::MAX]) {
        for audit in audits.iter().copied() {
            let mut args = [0; 6];
            args.fill_with(|| dice.pick(&VALUES));
            if is_narrow(audit) {
                args = args.map(|arg| arg & 0xffff_ffff);
            }
            // what socketcall(2) and ipc(2) are asked for
            args[0] = if dice.below(2) == 0 { dice.below(25) as u64 } else { args[0] };
            calls.push(Call { number, audit, args });
        }
    }
    calls
}

fn all_names(machine: &Machine) -> Vec<&'static str> {
    let tables = [&machine.native].into_iter().chain(machine.others);
    let mut names: Vec<&str> = tables.flat_map(|table| table.numbers().into_keys()).collect();
    names.extend(["send", "recv", "no_such_call"]);
    names.sort_unstable();
    names.dedup();
    names
}

#[test]
fn any_profile_is_compiled_to_what_a_plain_reading_says() {
    let mut dice = Dice(0x2545_f491_4f6c_dd1d);
    for machine in &MACHINES {
        let names = all_names(machine);
        for _ in 0..rounds(machine) {
            let text = any_profile(&mut dice, machine, &names, false).to_string();
            let profile: Seccomp<'_> = serde_json::from_str(&text).expect("parses");
            let filter = plan_for(machine, &profile).expect("plans");
            let plain = Plain::new(&profile, machine);
            for call in calls(&mut dice, machine) {
                assert_eq!(
                    run(&filter.program, &call),
                    plain.answer(&call),
                    "{:?}: {call:?} of {text}",
                    machine.native
                );
            }
        }
    }
}

/// libseccomp's own program for a profile, through a little C program, since a static one cannot load it.
fn by_libseccomp(
    helper: &std::path::Path,
    machine: &Machine,
    profile: &serde_json::Value,
) -> Vec<sock_filter> {
    use std::io::Write;
    let code = |rule: &serde_json::Value, action: &str| {
        let errno = rule[action].as_str().map(|word| {
            let errno =
                rule["errnoRet"].as_u64().or(rule["defaultErrnoRet"].as_u64()).map(|errno| errno as u32);
            Answer::parse(word, errno).expect("parses").0
        });
        errno.expect("an action")
    };
    let default = code(profile, "defaultAction");
    let mut lines = format!("default {default}\n");
    let named = |table: &&Table| {
        profile["architectures"].as_array().is_some_and(|all| all.contains(&table.word().into()))
    };
    for table in [&machine.native].into_iter().chain(machine.others.iter().filter(named)) {
        lines += &format!("arch {}\n", table.word().trim_start_matches("SCMP_ARCH_").to_lowercase());
    }
    for rule in profile["syscalls"].as_array().expect("a list") {
        let args = rule["args"].as_array().expect("a list");
        let conditions: String = args
            .iter()
            .map(|arg| {
                let op = OPERATORS.iter().position(|(word, _)| arg["op"] == *word).expect("known") + 1;
                let two = arg["valueTwo"].as_u64().unwrap_or(0);
                format!(" {} {op} {} {two}", arg["index"], arg["value"])
            })
            .collect();
        let action = code(rule, "action");
        for name in rule["names"].as_array().expect("a list").iter().filter(|_| action != default) {
            lines += &format!("rule {action} {} {}{conditions}\n", name.as_str().expect("text"), args.len());
        }
    }
    let mut child = std::process::Command::new(helper)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("starts");
    child.stdin.take().expect("piped").write_all(lines.as_bytes()).expect("writes");
    let output = child.wait_with_output().expect("ends");
    assert!(output.status.success(), "{lines}");
    let word = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().expect("four bytes"));
    let insns = output.stdout.chunks_exact(8);
    insns
        .map(|insn| sock_filter {
            code: u16::from_le_bytes([insn[0], insn[1]]),
            jt: insn[2],
            jf: insn[3],
            k: word(&insn[4..]),
        })
        .collect()
}

/// Builds the C program, or tells why this machine cannot.
fn helper(test: &str, dir: &std::path::Path) -> Option<std::path::PathBuf> {
    use conformance::host::{Need, skip};
    let library = "/usr/lib/x86_64-linux-gnu/libseccomp.so.2";
    if skip(test, Need::Program("gcc")) || skip(test, Need::Path(library)) {
        return None;
    }
    let (source, helper) = (dir.join("helper.c"), dir.join("helper"));
    std::fs::write(&source, include_str!("libseccomp.c")).expect("writes");
    let built = std::process::Command::new("gcc").arg("-o").args([&helper, &source]).arg(library).status();
    assert!(built.expect("starts").success());
    Some(helper)
}

/// What both say of many calls.
fn compare(helper: &std::path::Path, machine: &Machine, value: &serde_json::Value, dice: &mut Dice) {
    let theirs = by_libseccomp(helper, machine, value);
    let text = value.to_string();
    let profile: Seccomp<'_> = serde_json::from_str(&text).expect("parses");
    let ours = plan_for(machine, &profile).expect("plans").program;
    for call in calls(dice, machine) {
        // Calls newer than the profile are runc's idea, and not the library's.
        let answer = run(&ours, &call);
        let newer = answer == Answer::NO_SYSCALL.0 && is_newer(&call, machine, &profile);
        // The library looks at 32 bits of what is compared there, and so at another value.
        let cut = is_narrow(call.audit) && is_large(&profile);
        // The library takes x32 for an architecture of 32 bits, without the calls that Linux has for 64 alone.
        let x32 = call.audit == 0xc000_003e && (0x4000_0000..u32::MAX).contains(&call.number);
        let other = run(&theirs, &call);
        let same = newer || cut || x32 || answer == other;
        assert!(same, "{:?}: {call:?}: {answer:#x}, not {other:#x}, of {text}", machine.native);
    }
}

#[test]
fn any_profile_is_compiled_to_what_libseccomp_says() {
    let dir = tempfile::tempdir().expect("a directory");
    let Some(helper) = helper("any_profile_is_compiled_to_what_libseccomp_says", dir.path()) else { return };
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    // Debian 12's library does not know loongarch64, and writes half of a program for s390x in this machine's byte order.
    let known = |machine: &&Machine| ![Table::Loongarch64, Table::S390x].contains(&machine.native);
    for machine in MACHINES.iter().filter(known) {
        let names: Vec<&str> =
            all_names(machine).into_iter().filter(|name| is_known_to_libseccomp(name)).collect();
        for _ in 0..rounds(machine) {
            let profile = any_profile(&mut dice, machine, &names, true);
            compare(&helper, machine, &profile, &mut dice);
        }
    }
}

#[test]
fn the_profiles_of_managers_are_compiled_to_what_libseccomp_says() {
    let dir = tempfile::tempdir().expect("a directory");
    let Some(helper) = helper("the_profiles_of_managers_are_compiled_to_what_libseccomp_says", dir.path())
    else {
        return;
    };
    let mut dice = Dice(0x1234_5678_9abc_def1);
    for text in [
        include_str!("../../../../tests/profiles/docker.json"),
        include_str!("../../../../tests/profiles/podman.json"),
        include_str!("../../../../tests/profiles/containerd.json"),
    ] {
        let mut profile: serde_json::Value = serde_json::from_str(text).expect("parses");
        for rule in profile["syscalls"].as_array_mut().expect("a list") {
            let known = |name: &serde_json::Value| is_known_to_libseccomp(name.as_str().expect("text"));
            rule["names"].as_array_mut().expect("a list").retain(known);
            if rule["args"].is_null() {
                rule["args"] = serde_json::json!([]);
            }
        }
        compare(&helper, &MACHINES[0], &profile, &mut dice);
    }
}

/// Its tables are from Linux 5.17; `uretprobe`, `uprobe` and `riscv_hwprobe` have numbers that were free before,
/// and `sys_debug_setcontext` is not found by name.
fn is_known_to_libseccomp(name: &str) -> bool {
    let number = Table::X86_64.numbers().get(name).copied();
    number.is_none_or(|number| number <= 450 && !(335..=336).contains(&number))
        && !["riscv_hwprobe", "sys_debug_setcontext", "no_such_call"].contains(&name)
}

/// Whether a condition compares with more than 32 bits.
fn is_large(profile: &Seccomp<'_>) -> bool {
    let args = profile.syscalls.iter().flat_map(|rule| &rule.args);
    args.into_iter().any(|arg| arg.value.max(arg.value_two) > u64::from(u32::MAX))
}

/// Whether a call has a higher number than all that the profile names.
fn is_newer(call: &Call, machine: &Machine, profile: &Seccomp<'_>) -> bool {
    let mut tables = [machine.native].into_iter().chain(machine.others.iter().copied());
    let Some(table) =
        tables.find(|table| audit(*table) == call.audit && table.space().contains(&call.number))
    else {
        return false;
    };
    let numbers = table.numbers();
    let named = profile.syscalls.iter().flat_map(|rule| &rule.names).filter_map(|name| numbers.get(&**name));
    let growth = table.growth();
    named.filter(|number| growth.contains(number)).max().is_some_and(|newest| call.number > *newest)
}
