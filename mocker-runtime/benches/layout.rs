//! Writes `layout.ld` anew, the list of functions that the usual commands run: `scripts/layout`.
//!
//! Each command is stepped through, instruction by instruction, and every function met is put on the list, by a pattern
//! that stays the same from one compiler to the next. The linker lays those side by side, so that a command touches few
//! pages of the program.
#![allow(clippy::unwrap_used, reason = "a tool that cannot go on has failed")]
#![cfg_attr(
    not(target_arch = "x86_64"),
    allow(dead_code, unused_imports, reason = "it reads x86_64's registers")
)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};

use common::{Bundle, LIMIT, RUNTIME};
use conformance::host::{in_mount_namespace, wait_until};
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use regex_lite::Regex;

const LAYOUT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/layout.ld");
const HEAD: &str = "/* What the usual commands run lies side by side, so that they touch few pages of the program.\n   \
                    Written by scripts/layout; a name that is no more does no harm. */\n";

#[cfg(not(target_arch = "x86_64"))]
fn main() {}

#[cfg(target_arch = "x86_64")]
fn main() {
    let profile: serde_json::Value =
        serde_json::from_str(include_str!("../tests/profiles/docker.json")).unwrap();
    let short = Bundle::new(&["true"]).set("/linux/seccomp", profile.clone());
    let long = Bundle::new(&["sleep", "1000"]).set("/linux/seccomp", profile);
    short.write();
    long.write();
    let mut met = BTreeSet::new();
    let id = long.id.as_str();
    step(&short, &["run", &short.id], &mut met);
    plainly(&long, &["create", id]);
    for words in [&["start", id][..], &["state", id], &["list"], &["exec", id, "true"], &["pause", id]] {
        step(&long, words, &mut met);
    }
    plainly(&long, &["resume", id]);
    for words in [&["kill", id, "KILL"][..], &["delete", "--force", id], &["--version"]] {
        step(&long, words, &mut met);
    }
    let patterns = patterns(&met);
    let text = format!("{HEAD}SECTIONS\n{{\n  .text.often : {{\n{patterns}  }}\n}}\nINSERT BEFORE .text;\n");
    fs::write(LAYOUT, text).unwrap();
}

/// A call of the runtime where version 2 is the only hierarchy of cgroups, as users have it.
fn call(bundle: &Bundle, words: &[&str], first: &str) -> Command {
    let line =
        format!("umount -R /sys/fs/cgroup; mount -t cgroup2 cgroup2 /sys/fs/cgroup && {first} exec \"$@\"");
    let mut command = in_mount_namespace("sh");
    command.args(["-c", &line, "sh", RUNTIME, "--root"]).arg(bundle.state_root()).args(words);
    command.current_dir(bundle.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn plainly(bundle: &Bundle, words: &[&str]) {
    assert!(call(bundle, words, "").status().unwrap().success(), "{words:?}");
}

/// Adds the addresses of all instructions of the runtime that a call runs, from the start of the file's first mapping.
#[cfg(target_arch = "x86_64")]
fn step(bundle: &Bundle, words: &[&str], met: &mut BTreeSet<u64>) {
    let mut child = call(bundle, words, "kill -STOP $$ &&").spawn().unwrap();
    let pid = Pid::from_raw(child.id() as i32);
    let stat = || fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    wait_until(LIMIT, "the stopped shell", || stat().contains(") T ")).unwrap();
    let children = Options::PTRACE_O_TRACECLONE | Options::PTRACE_O_TRACEFORK | Options::PTRACE_O_TRACEVFORK;
    ptrace::seize(pid, Options::PTRACE_O_TRACEEXEC | children).unwrap();
    kill(pid, Signal::SIGCONT).unwrap();
    let mut bases: HashMap<Pid, u64> = HashMap::new();
    while let Ok(status) = waitpid(None, Some(WaitPidFlag::__WALL)) {
        let Some(of) = status.pid() else { continue };
        let mut pass = None;
        match status {
            WaitStatus::Exited(ended, code) if ended == pid => assert_eq!(code, 0, "{words:?}"),
            WaitStatus::PtraceEvent(_, _, nix::libc::PTRACE_EVENT_EXEC) => drop(bases.remove(&of)),
            WaitStatus::Stopped(_, Signal::SIGTRAP) => {
                let base = *bases.entry(of).or_insert_with(|| base(of).unwrap_or(0));
                let at = ptrace::getregs(of).map_or(0, |registers| registers.rip);
                met.extend(at.checked_sub(base).filter(|_| base != 0));
            }
            WaitStatus::Stopped(_, signal) if signal != Signal::SIGSTOP => pass = Some(signal),
            _ => {}
        }
        // The shell before it and the container's program after it go their way; one that has ended cannot go on.
        match bases.get(&of) {
            Some(0) => ptrace::cont(of, pass).ok(),
            None if base(of).is_none() => ptrace::cont(of, pass).ok(),
            _ => ptrace::step(of, pass).ok(),
        };
    }
    child.wait().ok();
}

/// Where the runtime's file begins in a process; None where another program runs.
fn base(of: Pid) -> Option<u64> {
    let (there, own) = (fs::metadata(format!("/proc/{of}/exe")).ok()?, fs::metadata(RUNTIME).ok()?);
    let maps = fs::read_to_string(format!("/proc/{of}/maps")).ok()?;
    let inode = own.ino().to_string();
    let line = maps.lines().find(|line| line.split_whitespace().nth(4) == Some(&inode))?;
    let start = u64::from_str_radix(line.split('-').next()?, 16).ok()?;
    (there.ino() == own.ino()).then_some(start)
}

/// A line for each function met; the C library's are in sections of their object files.
fn patterns(met: &BTreeSet<u64>) -> String {
    let mut symbols: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    for line in output(&["nm", RUNTIME]).lines() {
        if let [address, "t" | "T" | "w" | "W" | "i", name] = line.split(' ').collect::<Vec<_>>()[..] {
            symbols.entry(u64::from_str_radix(address, 16).unwrap()).or_default().push(name.to_owned());
        }
    }
    assert!(symbols.len() > 1000, "the program has no symbols");
    let archive = output(&["cc", "-print-file-name=libc.a"]);
    let members = members(&output(&["nm", "-A", archive.trim()]));
    // What depends on the compiler: which build of a crate it is, and how far back a repeated part of the name lies.
    let (build, back, copy) =
        (regex("Cs[0-9A-Za-z]+_"), regex("B[0-9A-Za-z]*_"), regex(r"\.(llvm\.)?[0-9]+$"));
    let (mut own, mut library) = (BTreeSet::new(), BTreeSet::new());
    let starts: BTreeSet<u64> =
        met.iter().filter_map(|at| Some(*symbols.range(..=*at).next_back()?.0)).collect();
    for name in starts.iter().flat_map(|start| &symbols[start]) {
        match members.get(name) {
            Some(member) => drop(library.insert(format!("    *libc.a:{member}(.text .text.*)\n"))),
            None if name.starts_with("_R") => {
                let pattern = build.replace_all(name, "Cs*_");
                let pattern = back.replace_all(&pattern, "B*_");
                let pattern = copy.replace(&pattern, ".*");
                own.insert(format!("    *(.text.*{pattern})\n"));
            }
            None => {}
        }
    }
    own.into_iter().chain(library).collect()
}

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).unwrap()
}

/// Which object file of an archive has a function, from `archive:member:address kind name`.
fn members(listed: &str) -> HashMap<String, String> {
    let member = |line: &str| {
        let (file, symbol) = line.rsplit_once(':')?;
        match symbol.split_whitespace().collect::<Vec<_>>()[..] {
            [_, "t" | "T" | "w" | "W" | "i", name] => {
                Some((name.to_owned(), file.rsplit_once(':')?.1.to_owned()))
            }
            _ => None,
        }
    };
    listed.lines().filter_map(member).collect()
}

fn output(words: &[&str]) -> String {
    let out = Command::new(words[0]).args(&words[1..]).stderr(Stdio::null()).output().unwrap();
    String::from_utf8(out.stdout).unwrap()
}
