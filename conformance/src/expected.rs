//! Known failures of known runtimes: `expected.txt`, one a line.

/// The file's own first lines say how it is written.
const LINES: &str = include_str!("expected.txt");

/// What one runtime is known to fail.
#[derive(Debug)]
pub struct Expected {
    lines: Vec<(&'static str, &'static str)>,
}

impl Expected {
    /// For the runtime whose `--version` begins with this line: its first word names it.
    pub fn of(version: &str) -> Self {
        let name = version.split(' ').next().unwrap_or_default();
        let lines =
            entries().filter(|(runtime, ..)| *runtime == name).map(|(_, case, reason)| (case, reason));
        Self { lines: lines.collect() }
    }

    /// Why it fails this case.
    pub fn reason(&self, case: &str) -> Option<&'static str> {
        self.lines.iter().find(|(name, _)| *name == case).map(|(_, reason)| *reason)
    }
}

fn entries() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    let lines = LINES.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.filter_map(|line| {
        let (runtime, rest) = line.split_once(' ')?;
        let (case, reason) = rest.trim_start().split_once(' ')?;
        Some((runtime, case, reason.trim()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_failure_is_of_a_case_that_exists_and_has_a_reason() {
        for (runtime, case, reason) in entries() {
            assert!(crate::cases::all().any(|held| held.name == case), "{runtime} {case}");
            assert!(reason.len() > 10, "{runtime} {case} {reason}");
        }
        let lines = LINES.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        assert_eq!(lines.count(), entries().count());
    }
}
