//! One job and all who do it: rounds in turn, a table, a line of JSON.

use std::fmt::Write;
use std::path::Path;

use crate::contender::{Contender, Sample};

/// A job, known by the words that choose it on the command line.
pub struct Row {
    pub words: Vec<String>,
    entries: Vec<Entry>,
    heads: Vec<String>,
    /// None where something was looked at once.
    rounds: Option<usize>,
}

/// A contender's numbers, in the order of the row's heads; none where there is none.
struct Entry {
    name: String,
    numbers: Vec<Option<f64>>,
}

const HEADS: [&str; 6] = ["wall_ms_min", "wall_ms", "cpu_ms", "peak_kb", "faults", "calls"];

impl Row {
    /// Runs all contenders in turn in every round; the first round warms up and is not counted, and where only one is,
    /// the first contender warms up for all. `report` is where strace writes, for the last column.
    pub fn measure(
        words: Vec<String>,
        contenders: &[Contender],
        rounds: usize,
        report: Option<&Path>,
    ) -> Self {
        let mut samples: Vec<Vec<Sample>> = contenders.iter().map(|_| Vec::new()).collect();
        let mut failed: Vec<bool> = vec![false; contenders.len()];
        for n in 0..=rounds {
            let all = contenders.iter().enumerate().take(if (n, rounds) == (0, 1) { 1 } else { usize::MAX });
            for (at, contender) in all.filter(|(at, _)| !failed[*at]).collect::<Vec<_>>() {
                match contender.round(n) {
                    Ok(sample) if n > 0 => samples[at].push(sample),
                    Ok(_) => {}
                    Err(error) => {
                        failed[at] = true;
                        samples[at].clear();
                        eprintln!("bench: {}: {}: {error}", words.join(" "), contender.name);
                    }
                }
            }
        }
        let calls = |contender: &Contender| {
            let calls = contender.system_calls(rounds + 1, report.filter(|_| contender.counted)?);
            calls.map_err(|error| eprintln!("bench: {}: {error}", contender.name)).ok()
        };
        let entry = |(contender, samples): (&Contender, &Vec<Sample>)| Entry {
            name: contender.name.clone(),
            numbers: match samples.is_empty() {
                true => vec![None; HEADS.len()],
                false => numbers(samples)
                    .into_iter()
                    .map(Some)
                    .chain([calls(contender).map(|n| n as f64)])
                    .collect(),
            },
        };
        let entries = contenders.iter().zip(&samples).map(entry).collect();
        Self { words, entries, heads: HEADS.map(str::to_owned).to_vec(), rounds: Some(rounds) }
    }

    /// Numbers of another kind, each contender's under the same heads.
    pub fn figures(words: Vec<String>, heads: &[String], figures: Vec<(String, Vec<Option<f64>>)>) -> Self {
        let entries = figures.into_iter().map(|(name, numbers)| Entry { name, numbers }).collect();
        Self { words, entries, heads: heads.to_vec(), rounds: None }
    }

    /// Rows for people: what each one took, and the first one's ratio to the others.
    pub fn table(&self) -> String {
        let rounds = self.rounds.map(|n| format!(" x {n}")).unwrap_or_default();
        let title = self.words.join(" ") + &rounds;
        let mut table = format!("\n{title:34}{}\n", cells(self.heads.iter().map(|head| head.clone())));
        for entry in &self.entries {
            let numbers = entry.numbers.iter().map(|n| n.map_or("-".into(), |n| format!("{n:.1}")));
            _ = writeln!(table, "  {:32}{}", entry.name, cells(numbers));
        }
        let Some((first, others)) = self.entries.split_first() else { return table };
        for other in others {
            let ratios = first.numbers.iter().zip(&other.numbers).map(|pair| match pair {
                (Some(ours), Some(theirs)) if *theirs > 0.0 => format!("{:.2}", ours / theirs),
                _ => "-".into(),
            });
            _ = writeln!(table, "  {:32}{}", format!("ratio to {}", other.name), cells(ratios));
        }
        table
    }

    /// One object.
    pub fn json(&self) -> String {
        let entry = |entry: &Entry| {
            let numbers = self.heads.iter().zip(&entry.numbers);
            let numbers = numbers
                .map(|(head, n)| format!(", {head:?}: {}", n.map_or("null".into(), |n| format!("{n:.3}"))));
            format!("{{\"name\": {:?}{}}}", entry.name, numbers.collect::<String>())
        };
        let entries: Vec<String> = self.entries.iter().map(entry).collect();
        let rounds = self.rounds.map(|n| format!(" \"rounds\": {n},")).unwrap_or_default();
        format!("{{\"row\": {:?},{rounds} \"contenders\": [{}]}}", self.words.join(" "), entries.join(", "))
    }
}

fn cells(cells: impl Iterator<Item = String>) -> String {
    cells.map(|cell| format!("{cell:>13}")).collect()
}

/// Least and median wall time, then the medians of the others.
fn numbers(samples: &[Sample]) -> [f64; 5] {
    let sorted = |value: fn(&Sample) -> f64| {
        let mut values: Vec<f64> = samples.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        values
    };
    let median = |value| sorted(value)[samples.len() / 2];
    let wall: fn(&Sample) -> f64 = |sample| sample.wall_ms;
    [sorted(wall)[0], median(wall), median(|s| s.cpu_ms), median(|s| s.peak_kb), median(|s| s.faults)]
}
