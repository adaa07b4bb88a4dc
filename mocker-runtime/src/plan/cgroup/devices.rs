//! Device rules: which devices may be opened and made (config-linux.md "Allowed Device list").
//!
//! The last rule that fits a device decides, for each kind of access by itself; what no rule fits is
//! denied. That is what version 1's lists come to, without their dependence on the order of writes.

use crate::bundle::config::DeviceRule;
use crate::error::{Error, Result};

/// Bits of `BPF_DEVCG_ACC_*` (linux/bpf.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Access(pub(crate) u32);

impl Access {
    const ALL: Self = Self(0b111);
    const LETTERS: [(char, u32); 3] = [('m', 0b001), ('r', 0b010), ('w', 0b100)];

    fn parse(text: &str) -> Result<Self> {
        let mut bits = 0;
        for letter in text.chars() {
            let Some((_, bit)) = Self::LETTERS.iter().find(|(known, _)| *known == letter) else {
                return Err(Error::invalid(format!("devices: access {text:?} is not made of r, w and m")));
            };
            bits |= bit;
        }
        Ok(if bits == 0 { Self::ALL } else { Self(bits) })
    }

    /// The letters in the order in which the kernel prints them.
    pub(crate) fn letters(self) -> String {
        ['r', 'w', 'm']
            .into_iter()
            .filter(|letter| Self::LETTERS.iter().any(|(known, bit)| known == letter && self.0 & bit != 0))
            .collect()
    }
}

/// One rule; None stands for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) allow: bool,
    /// `c`, `b`, or None
    pub(crate) kind: Option<char>,
    pub(crate) major: Option<u32>,
    pub(crate) minor: Option<u32>,
    pub(crate) access: Access,
}

impl Rule {
    /// True if the rule is about every device and access.
    pub(crate) fn is_total(&self) -> bool {
        let Self { kind, major, minor, access, .. } = self;
        (kind, major, minor, *access) == (&None, &None, &None, Access::ALL)
    }

    /// True if a device exists that both rules are about.
    fn overlaps(&self, other: &Self) -> bool {
        fn meet<T: PartialEq>(a: Option<T>, b: Option<T>) -> bool {
            a.is_none() || b.is_none() || a == b
        }
        meet(self.kind, other.kind)
            && meet(self.major, other.major)
            && meet(self.minor, other.minor)
            && self.access.0 & other.access.0 != 0
    }

    fn same_devices(&self, other: &Self) -> bool {
        (self.kind, self.major, self.minor) == (other.kind, other.major, other.minor)
    }
}

/// What runc and crun allow in every container: making any node (opening it is another matter), the
/// default devices, and terminals.
const DEFAULT: [(char, Option<u32>, Option<u32>, u32); 11] = [
    ('c', None, None, 0b001),
    ('b', None, None, 0b001),
    ('c', Some(1), Some(3), 0b111),
    ('c', Some(1), Some(5), 0b111),
    ('c', Some(1), Some(7), 0b111),
    ('c', Some(1), Some(8), 0b111),
    ('c', Some(1), Some(9), 0b111),
    ('c', Some(5), Some(0), 0b111),
    ('c', Some(5), Some(1), 0b111),
    ('c', Some(5), Some(2), 0b111),
    ('c', Some(136), None, 0b111),
];

pub(super) fn plan(given: &[DeviceRule<'_>]) -> Result<Vec<Rule>> {
    let mut rules: Vec<Rule> = given.iter().map(parse).collect::<Result<_>>()?;
    rules.extend(DEFAULT.iter().map(|(kind, major, minor, access)| Rule {
        allow: true,
        kind: Some(*kind),
        major: *major,
        minor: *minor,
        access: Access(*access),
    }));
    Ok(rules)
}

fn parse(given: &DeviceRule<'_>) -> Result<Rule> {
    let kind = match given.kind.as_deref().unwrap_or("a") {
        "" | "a" => None,
        "c" => Some('c'),
        "b" => Some('b'),
        other => return Err(Error::invalid(format!("devices has the unknown type {other:?}"))),
    };
    let number = |value: Option<i64>| match value {
        None | Some(-1) => Ok(None),
        Some(value) => u32::try_from(value)
            .map(Some)
            .map_err(|_| Error::invalid(format!("devices has the device number {value}"))),
    };
    Ok(Rule {
        allow: given.allow,
        kind,
        major: number(given.major)?,
        minor: number(given.minor)?,
        access: Access::parse(given.access.as_deref().unwrap_or_default())?,
    })
}

/// Version 1 keeps one list of exceptions, so it cannot take a part out of an allowed range again.
pub(super) fn check_version_1(rules: &[Rule]) -> Result<()> {
    for (at, deny) in rules.iter().enumerate().filter(|(_, rule)| !rule.allow && !rule.is_total()) {
        let before = rules.get(..at).unwrap_or_default();
        let since_total = before.iter().rposition(Rule::is_total).unwrap_or(0);
        let clash = |rule: &&Rule| rule.allow && rule.overlaps(deny) && !rule.same_devices(deny);
        if let Some(allow) = before.get(since_total..).unwrap_or_default().iter().find(clash)
            && !allow.is_total()
        {
            return Err(Error::unsupported(
                "devices: cgroup version 1 cannot deny a part of what an earlier rule allows",
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: &str) -> Result<Vec<Rule>> {
        let given: Vec<DeviceRule<'_>> = serde_json::from_str(json).expect("parses");
        let rules = plan(&given)?;
        check_version_1(&rules)?;
        Ok(rules)
    }

    #[test]
    fn no_type_no_number_and_no_access_mean_all() {
        let rules = of(r#"[{"allow":false,"access":"rwm"}]"#).expect("plans");
        assert!(rules[0].is_total() && !rules[0].allow);
        assert!(of(r#"[{"allow":false}]"#).expect("plans")[0].is_total());
    }

    #[test]
    fn version_1_refuses_to_punch_a_hole() {
        let hole = r#"[{"allow":false},{"allow":true,"type":"c","major":10},{"allow":false,"type":"c","major":10,"minor":200}]"#;
        assert!(of(hole).is_err());
        let from_all = r#"[{"allow":true},{"allow":false,"type":"c","major":10,"minor":200}]"#;
        assert!(of(from_all).is_ok());
    }

    #[test]
    fn unknown_letters_and_types_are_errors() {
        assert!(of(r#"[{"allow":true,"access":"rx"}]"#).is_err());
        assert!(of(r#"[{"allow":true,"type":"z"}]"#).is_err());
    }
}
