//! The fuzz targets of `mocker-runtime`. A target panics where its input breaks a promise.
//!
//! `scripts/fuzz` runs them under libFuzzer. The seeds, and whatever input was ever a finding, are files below
//! `seeds/TARGET`; a plain test runs them all.

#![allow(clippy::panic, reason = "a target tells of a finding by its panic")]

/// A target's name, and what it does with an input.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: &[Target] = &[("config", config), ("seccomp", seccomp), ("record", record)];

fn config(bytes: &[u8]) {
    mocker_runtime::fuzz::config(bytes);
}

fn record(bytes: &[u8]) {
    mocker_runtime::fuzz::record(bytes);
}

/// A program that is given to the kernel is one that it takes: every jump leads to an instruction further on, and
/// the last one returns.
fn seccomp(bytes: &[u8]) {
    let Some(program) = mocker_runtime::fuzz::seccomp(bytes) else { return };
    assert!((1..=4096).contains(&program.len()), "{} instructions", program.len());
    for (at, &(code, jt, jf, k)) in program.iter().enumerate() {
        let furthest = match code {
            0x05 => k as usize,
            0x15 | 0x25 | 0x35 | 0x45 => usize::from(jt.max(jf)),
            0x06 => continue,
            0x20 | 0x54 => 0,
            code => panic!("instruction {at} has the code {code:#x}"),
        };
        assert!(at + 1 + furthest < program.len(), "instruction {at} leads behind the end");
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    #[test]
    fn every_seed_and_every_former_finding_keeps_the_promises() {
        for (name, target) in super::TARGETS {
            let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(name);
            let files: Vec<_> = std::fs::read_dir(&seeds).unwrap().collect();
            assert!(!files.is_empty(), "{} has no seed", seeds.display());
            for file in files {
                target(&std::fs::read(file.unwrap().path()).unwrap());
            }
        }
    }

    #[test]
    fn the_first_seeds_are_accepted() {
        let read = |name: &str| std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(name));
        assert!(mocker_runtime::fuzz::config(&read("config/usual.json").unwrap()));
        assert!(mocker_runtime::fuzz::seccomp(&read("seccomp/all.json").unwrap()).is_some());
        assert!(mocker_runtime::fuzz::record(&read("record/running.json").unwrap()));
    }
}
