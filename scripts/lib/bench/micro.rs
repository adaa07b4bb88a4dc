//! How long one part takes: what the micro-benches of both programs share.
#![allow(dead_code, reason = "each takes what it needs")]
#![expect(clippy::print_stdout, reason = "the table is what a bench is for")]

use std::hint::black_box;
use std::time::{Duration, Instant};

/// Samples of each part.
const SAMPLES: usize = 30;
/// How long a sample is at least, so that the clock's own cost does not show.
const SAMPLE: Duration = Duration::from_millis(2);

/// Measures a part that can be done again and again; `bytes` is what it goes through each time, if that says something.
pub(crate) fn part<T>(name: &str, bytes: usize, mut work: impl FnMut() -> T) {
    let (start, mut times) = (Instant::now(), 0_u32);
    while start.elapsed() < SAMPLE || times == 0 {
        black_box(work());
        times += 1;
    }
    let samples = (0..SAMPLES).map(|_| {
        let start = Instant::now();
        (0..times).for_each(|_| drop(black_box(work())));
        start.elapsed() / times
    });
    tell(name, bytes, samples.collect());
}

/// The same for a part that needs something new each time, which is not measured.
pub(crate) fn part_with<S, T>(
    name: &str,
    bytes: usize,
    mut prepare: impl FnMut() -> S,
    mut work: impl FnMut(&S) -> T,
) {
    let samples = (0..SAMPLES).map(|_| {
        let prepared = prepare();
        let start = Instant::now();
        black_box(work(&prepared));
        start.elapsed()
    });
    tell(name, bytes, samples.collect());
}

fn tell(name: &str, bytes: usize, mut samples: Vec<Duration>) {
    samples.sort();
    let [least, median] = [samples[0], samples[samples.len() / 2]];
    let speed = match bytes {
        0 => String::new(),
        bytes => format!("{:>12.0} MB/s", bytes as f64 / 1e6 / least.as_secs_f64()),
    };
    let us = |time: Duration| time.as_secs_f64() * 1e6;
    println!("{name:44}{:>12.1} us{:>12.1} us median{speed}", us(least), us(median));
}
