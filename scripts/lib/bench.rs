//! The measuring core of scripts/bench, compiled by it with rustc alone.
//!
//! ```text
//! bench ROUNDS FILE      FILE: one contender a line, words separated by tabs:
//!                        NAME  BEFORE  PROGRAM  ARGUMENT...
//! ```
//!
//! All contenders run in turn in every round, the first in the file being the one that the others are
//! compared with. BEFORE is a shell command that is not measured (`-`: none). `{n}` in any word becomes
//! the round's number. One round more, the first, warms up and is not counted.
//!
//! The kernel counts a process's peak from before its exec: what is below our own peak, about 2 MB, is shown as that.

use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;
use std::{env, fs};

/// What one run cost.
struct Sample {
    wall_ms: f64,
    cpu_ms: f64,
    faults: f64,
    peak_kb: f64,
}

struct Contender {
    words: Vec<String>,
    samples: Vec<Sample>,
}

/// `struct rusage` of Linux on every 64-bit architecture.
#[repr(C)]
#[derive(Default)]
struct Rusage {
    user: [i64; 2],
    system: [i64; 2],
    peak_kb: i64,
    unused: [i64; 3],
    minor_faults: i64,
    rest: [i64; 9],
}

unsafe extern "C" {
    fn wait4(pid: i32, status: *mut i32, options: i32, usage: *mut Rusage) -> i32;
}

fn main() -> ExitCode {
    match bench() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn bench() -> Result<(), String> {
    let args: Vec<String> = env::args().collect();
    let [_, rounds, file] = &args[..] else { return Err("usage: bench ROUNDS FILE".into()) };
    let rounds: usize = rounds.parse().map_err(|error| format!("{rounds}: {error}"))?;
    let list = fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
    let mut contenders: Vec<Contender> = list
        .lines()
        .map(|line| Contender { words: line.split('\t').map(str::to_owned).collect(), samples: Vec::new() })
        .collect();
    for round in 0..=rounds {
        for contender in &mut contenders {
            let sample = run(&contender.words, round)?;
            if round > 0 {
                contender.samples.push(sample);
            }
        }
    }
    print(&contenders);
    Ok(())
}

fn run(words: &[String], round: usize) -> Result<Sample, String> {
    let words: Vec<String> = words.iter().map(|word| word.replace("{n}", &round.to_string())).collect();
    let [name, before, program, arguments @ ..] = &words[..] else {
        return Err(format!("{words:?}: too short"));
    };
    if before != "-" {
        let done = Command::new("sh").args(["-c", before]).status();
        done.ok().filter(|status| status.success()).ok_or_else(|| format!("{name}: {before} failed"))?;
    }
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
    let start = Instant::now();
    let child = command.spawn().map_err(|error| format!("{program}: {error}"))?;
    let (mut status, mut usage) = (0, Rusage::default());
    // SAFETY: both pointers are to live values of the types that wait4(2) fills, and nobody else waits for the child.
    let pid = unsafe { wait4(child.id().cast_signed(), &raw mut status, 0, &raw mut usage) };
    let wall_ms = start.elapsed().as_secs_f64() * 1e3;
    if pid < 0 || status != 0 {
        return Err(format!("{name}: wait status {status} of {program} {arguments:?}"));
    }
    let ms = |[seconds, micros]: [i64; 2]| seconds as f64 * 1e3 + micros as f64 / 1e3;
    Ok(Sample {
        wall_ms,
        cpu_ms: ms(usage.user) + ms(usage.system),
        faults: usage.minor_faults as f64,
        peak_kb: usage.peak_kb as f64,
    })
}

impl Contender {
    fn sorted(&self, value: fn(&Sample) -> f64) -> Vec<f64> {
        let mut values: Vec<f64> = self.samples.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        values
    }

    fn median(&self, value: fn(&Sample) -> f64) -> f64 {
        let values = self.sorted(value);
        values[values.len() / 2]
    }

    /// Minimum and median wall time, then the medians of the others.
    fn row(&self) -> [f64; 5] {
        let rest: [fn(&Sample) -> f64; 3] = [|s| s.cpu_ms, |s| s.faults, |s| s.peak_kb];
        let [cpu, faults, peak] = rest.map(|value| self.median(value));
        [self.sorted(|s| s.wall_ms)[0], self.median(|s| s.wall_ms), cpu, faults, peak]
    }
}

fn print(contenders: &[Contender]) {
    let heads = ["wall min", "wall med", "user+sys", "faults", "peak kB"];
    println!("{:30}{}", "ms; medians but for wall min", heads.map(|head| format!("{head:>10}")).concat());
    for contender in contenders {
        let cells = contender.row().map(|cell| format!("{cell:>10.1}")).concat();
        println!("{:30}{cells}", contender.words[0]);
    }
    let Some((ours, others)) = contenders.split_first() else { return };
    for other in others {
        let (ours_row, other_row) = (ours.row(), other.row());
        let cells: String = (0..5).map(|i| format!("{:>10.2}", ours_row[i] / other_row[i])).collect();
        println!("{:30}{cells}", format!("ratio to {}", other.words[0]));
    }
}
