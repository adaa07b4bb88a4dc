//! What is on its way, drawn at a terminal: a line for each, with how far, how fast, and how long yet.
//!
//! ```text
//! 3b60f289ac2e [#########...........] 45.1 MB / 120 MB  12.3 MB/s  6 s left
//! ```
//!
//! One thread draws while there is something to draw. Who has a line to tell takes the drawing away first.

use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::progress::{Bar, size};

/// How often it is drawn.
const TICK: Duration = Duration::from_millis(150);
/// Lines that are drawn at most.
const LINES: usize = 8;
/// Characters of a bar.
const WIDTH: u64 = 20;

static BOARD: Mutex<Board> = Mutex::new(Board { rows: Vec::new(), drawn: 0, running: false });

/// All that is on its way.
struct Board {
    rows: Vec<Row>,
    /// Lines that are on the terminal now.
    drawn: usize,
    running: bool,
}

struct Row {
    bar: Bar,
    /// Bytes when it was drawn last, and when that was.
    seen: (u64, Instant),
    /// Bytes a second, smoothed.
    speed: f64,
}

fn board() -> MutexGuard<'static, Board> {
    BOARD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Draws this one, too, until everybody else has dropped it; nothing where there is no terminal.
pub(super) fn follow(bar: &Bar) {
    if !io::stderr().is_terminal() {
        return;
    }
    let mut board = board();
    board.rows.push(Row { bar: bar.clone(), seen: (bar.done(), Instant::now()), speed: 0.0 });
    if !board.running {
        board.running = true;
        std::thread::spawn(draw);
    }
}

/// Writes a line above what is drawn.
pub(super) fn tell(line: &str) {
    let mut board = board();
    let text = format!("{}{line}\n", board.erase());
    // Where stderr is closed nobody would hear of that either.
    drop(io::stderr().write_all(text.as_bytes()));
}

/// Takes the drawing away: the program ends.
pub(super) fn clear() {
    let mut board = board();
    board.rows.clear();
    let text = board.erase();
    drop(io::stderr().write_all(text.as_bytes()));
}

fn draw() {
    loop {
        {
            let mut board = board();
            board.rows.retain(|row| !row.bar.is_ended());
            let mut text = board.erase();
            let columns = rustix::termios::tcgetwinsize(io::stderr()).map_or(0, |size| size.ws_col);
            let columns = if columns == 0 { 80 } else { columns.max(20) };
            let now = Instant::now();
            let begun = board.rows.iter_mut().filter(|row| row.bar.done() > 0).take(LINES);
            let lines: Vec<String> = begun.map(|row| row.line(now)).collect();
            for line in &lines {
                text.extend(line.chars().take(usize::from(columns) - 1));
                text.push('\n');
            }
            board.drawn = lines.len();
            board.running = !board.rows.is_empty();
            drop(io::stderr().write_all(text.as_bytes()));
            if !board.running {
                return;
            }
        }
        std::thread::sleep(TICK);
    }
}

impl Board {
    /// What makes a terminal forget the lines.
    fn erase(&mut self) -> String {
        match std::mem::take(&mut self.drawn) {
            0 => String::new(),
            n => format!("\x1b[{n}A\x1b[J"),
        }
    }
}

impl Row {
    fn line(&mut self, now: Instant) -> String {
        let (done, total) = (self.bar.done(), self.bar.total());
        let (before, then) = self.seen;
        let seconds = now.duration_since(then).as_secs_f64();
        if seconds > 0.0 {
            let speed = done.saturating_sub(before) as f64 / seconds;
            self.speed = if self.speed > 0.0 { 0.8 * self.speed + 0.2 * speed } else { speed };
            self.seen = (done, now);
        }
        line(self.bar.name(), (done, total), self.speed)
    }
}

fn line(name: &str, (done, total): (u64, u64), speed: f64) -> String {
    let filled = (done.saturating_mul(WIDTH) / total.max(1)).min(WIDTH);
    let (full, rest) = ("#".repeat(filled as usize), ".".repeat((WIDTH - filled) as usize));
    let (of, all, fast) = (size(done), size(total), size(speed as u64));
    let left = match speed >= 1.0 {
        true => format!("  {} left", span((total.saturating_sub(done) as f64 / speed).ceil() as u64)),
        false => String::new(),
    };
    format!("{name} [{full}{rest}] {of} / {all}  {fast}/s{left}")
}

/// A span of time for people.
fn span(seconds: u64) -> String {
    match seconds {
        0..100 => format!("{seconds} s"),
        100..6000 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_how_fast_and_how_long_yet() {
        for (facts, speed, want) in [
            ((0, 100), 0.0, "a [....................] 0 B / 100 B  0 B/s"),
            ((50, 100), 10.0, "a [##########..........] 50 B / 100 B  10 B/s  5 s left"),
            (
                (1_000_000, 4_000_000),
                1000.0,
                "a [#####...............] 1.0 MB / 4.0 MB  1.0 kB/s  50 min left",
            ),
            ((100, 100), 1.0, "a [####################] 100 B / 100 B  1 B/s  0 s left"),
        ] {
            assert_eq!(line("a", facts, speed), want);
        }
    }
}
