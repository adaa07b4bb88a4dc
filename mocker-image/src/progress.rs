//! What is going on, told while it goes on.
//!
//! Only `cli.rs` prints; everybody else tells a [`Teller`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Somebody who hears about progress; may be called from several threads.
pub trait Teller: Sync {
    /// One finished step or one thing worth knowing, a line without its end.
    fn tell(&self, line: &str);

    /// Something of so many bytes is on its way; who brings it says how far it is, and drops it at its end.
    fn follow(&self, _name: &str, _total: u64) -> Bar {
        Bar::default()
    }
}

/// Something on its way; the default one tells nobody.
#[derive(Debug, Clone, Default)]
pub struct Bar(Option<Arc<Way>>);

#[derive(Debug)]
struct Way {
    name: String,
    total: u64,
    done: AtomicU64,
}

impl Bar {
    /// Something that is to be seen.
    pub fn new(name: &str, total: u64) -> Self {
        Self(Some(Arc::new(Way { name: name.to_owned(), total, done: AtomicU64::new(0) })))
    }

    /// So many bytes more are here.
    pub fn add(&self, bytes: u64) {
        if let Some(way) = &self.0 {
            way.done.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    /// It begins anew.
    pub fn restart(&self) {
        if let Some(way) = &self.0 {
            way.done.store(0, Ordering::Relaxed);
        }
    }

    /// How many bytes are here.
    pub fn done(&self) -> u64 {
        self.0.as_ref().map_or(0, |way| way.done.load(Ordering::Relaxed))
    }

    /// How many there will be.
    pub fn total(&self) -> u64 {
        self.0.as_ref().map_or(0, |way| way.total)
    }

    /// What people call it.
    pub fn name(&self) -> &str {
        self.0.as_ref().map_or("", |way| &way.name)
    }

    /// Whether only whoever asks still has it.
    pub fn is_ended(&self) -> bool {
        self.0.as_ref().is_none_or(|way| Arc::strong_count(way) == 1)
    }
}

/// Hears and says nothing.
#[derive(Debug)]
pub struct Silent;

impl Teller for Silent {
    fn tell(&self, _line: &str) {}
}

/// Bytes for people: three digits and a unit.
pub fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if value < 999.5 {
            let digits = if unit == "B" || value >= 99.95 { 0 } else { 1 };
            return format!("{value:.digits$} {unit}");
        }
        value /= 1000.0;
    }
    format!("{value:.1} TB")
}

/// A number of things for people.
pub fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// A span of time for people: the largest unit that it fills.
pub fn age(seconds: u64) -> String {
    let units = [
        ("year", 31_557_600),
        ("month", 2_629_800),
        ("week", 604_800),
        ("day", 86_400),
        ("hour", 3600),
        ("minute", 60),
    ];
    for (unit, length) in units {
        if let n @ 1.. = seconds / length {
            return format!("{n} {unit}{} ago", if n == 1 { "" } else { "s" });
        }
    }
    "just now".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_three_digits_at_most() {
        for (bytes, want) in
            [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (69_123_456, "69.1 MB"), (999_900, "1.0 MB")]
        {
            assert_eq!(size(bytes), want);
        }
    }

    #[test]
    fn ages_are_told_in_the_largest_unit_that_they_fill() {
        for (seconds, want) in
            [(5, "just now"), (60, "1 minute ago"), (7300, "2 hours ago"), (800_000, "1 week ago")]
        {
            assert_eq!(age(seconds), want);
        }
    }
}
