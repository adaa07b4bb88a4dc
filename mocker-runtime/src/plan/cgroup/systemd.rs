//! What systemd is asked for: a unit, its slice, and limits as properties (systemd.resource-control(5)).
//!
//! A property says what a line for the kernel's file says; so the lines are the source, and whatever has no
//! property is only written. The properties are what `systemctl show` tells and what systemd writes again
//! when it likes to; lines without one are in files that systemd never writes.

use std::collections::BTreeMap;

use super::{Otherwise, Rule, Value, Write};
use crate::error::{Error, Result, WhileDoing};

/// A unit's property and its value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Property {
    pub(crate) name: String,
    pub(crate) value: Value,
}

impl Property {
    pub(crate) fn new(name: &str, value: Value) -> Self {
        Self { name: name.to_owned(), value }
    }
}

/// The scope that a container is to be in.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Unit {
    /// With its suffix
    pub(crate) slice: String,
    prefix: String,
    /// Empty for the container's id
    name: String,
    /// What annotations ask for, in their order
    pub(crate) asked: Vec<Property>,
    /// A directory below the scope's, in which the container is then
    pub(crate) subgroup: Option<String>,
}

/// Whose manager it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    System,
    User,
}

const ANNOTATION: &str = "org.systemd.property.";
/// crun's word for a directory below the scope's.
const SUBGROUP: &str = "run.oci.systemd.subgroup";

impl Unit {
    /// Reads linux.cgroupsPath in the form `slice:prefix:name`, and the annotations.
    pub(super) fn plan(path: &str, annotations: &BTreeMap<String, String>, owner: Owner) -> Result<Self> {
        let (slice, prefix, name) = match path.split(':').collect::<Vec<_>>()[..] {
            _ if path.is_empty() => ("", "mocker", ""),
            [slice, prefix, name] if !name.is_empty() => (slice, prefix, name),
            _ => {
                return Err(Error::invalid(format!(
                    "expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups, got {path:?} instead"
                )));
            }
        };
        if name.ends_with(".slice") {
            return Err(Error::unsupported(format!(
                "linux.cgroupsPath {path:?} asks for a slice, and only a scope can hold a container"
            )));
        }
        let slice = match (slice, owner) {
            ("", Owner::System) => "system.slice",
            ("", Owner::User) => "user.slice",
            ("-", _) => "-.slice",
            (slice, _) => slice,
        };
        expand_slice(slice)?;
        let subgroup = super::directory(annotations, SUBGROUP)?;
        Ok(Self {
            slice: slice.to_owned(),
            prefix: prefix.to_owned(),
            name: name.to_owned(),
            asked: asked(annotations)?,
            subgroup,
        })
    }

    /// The scope's name. An id may have a `+`, which no unit's name has: it is escaped as systemd does it.
    pub(crate) fn scope(&self, id: &str) -> String {
        match self.name.as_str() {
            "" => format!("{}-{}.scope", self.prefix, id.replace('+', "\\x2b")),
            name => format!("{}-{name}.scope", self.prefix),
        }
    }

    /// The scope's directory, from where the manager's own slices begin.
    pub(crate) fn directory(&self, id: &str) -> Result<String> {
        expand_slice(&self.slice).map(|slices| format!("{slices}{}", self.scope(id)))
    }

    /// What a unit has from its start on and for ever: runc's choices, so that its limits find their files.
    pub(crate) fn constant(&self, id: &str, accounting: &[&str]) -> Vec<Property> {
        let text = |text: String| Value::Str(text);
        let mut out = vec![
            Property::new("Description", text(format!("mocker container {id}"))),
            Property::new("Slice", text(self.slice.clone())),
            Property::new("Delegate", Value::Bool(true)),
            Property::new("DefaultDependencies", Value::Bool(false)),
        ];
        out.extend(accounting.iter().map(|name| Property::new(name, Value::Bool(true))));
        out
    }
}

/// `a-b.slice` is in `a.slice`: the directories that lead to it, each with a slash behind it.
fn expand_slice(slice: &str) -> Result<String> {
    let bad = || Error::invalid(format!("linux.cgroupsPath has {slice:?}, which is no slice's name"));
    let name = slice.strip_suffix(".slice").filter(|name| !name.contains('/')).ok_or_else(bad)?;
    if name == "-" {
        return Ok(String::new());
    }
    let (mut out, mut prefix) = (String::new(), String::new());
    for part in name.split('-') {
        if part.is_empty() {
            return Err(bad());
        }
        out.push_str(&format!("{prefix}{part}.slice/"));
        prefix.push_str(&format!("{part}-"));
    }
    Ok(out)
}

/// `org.systemd.property.TimeoutStopSec`: `'...'` in GVariant text; seconds become microseconds.
fn asked(annotations: &BTreeMap<String, String>) -> Result<Vec<Property>> {
    let given = annotations.iter().filter_map(|(key, text)| Some((key, key.strip_prefix(ANNOTATION)?, text)));
    given
        .map(|(key, name, text)| {
            if name.len() < 3 || !name.chars().all(|c| c.is_ascii_alphabetic()) {
                return Err(Error::invalid(format!("annotation {key}: {name:?} is no property's name")));
            }
            let at = || format!("annotation {key}={text:?}");
            let value = Value::parse(text).while_doing(at)?;
            // A small letter before it, as in TimeoutStopSec; USec is spelled so already.
            match name.strip_suffix("Sec").filter(|stem| stem.ends_with(|c: char| c.is_ascii_lowercase())) {
                Some(stem) => {
                    let value = value.seconds_to_microseconds().while_doing(at)?;
                    Ok(Property::new(&format!("{stem}USec"), value))
                }
                None => Ok(Property::new(name, value)),
            }
        })
        .collect()
}

/// Properties that are one number, `max` being the largest: the file and the name.
const NUMBERS: [(&str, &str); 13] = [
    ("memory.max", "MemoryMax"),
    ("memory.high", "MemoryHigh"),
    ("memory.low", "MemoryLow"),
    ("memory.min", "MemoryMin"),
    ("memory.swap.max", "MemorySwapMax"),
    ("memory.zswap.max", "MemoryZSwapMax"),
    ("pids.max", "TasksMax"),
    ("cpu.weight", "CPUWeight"),
    ("io.weight", "IOWeight"),
    // version 1
    ("memory.limit_in_bytes", "MemoryLimit"),
    ("cpu.shares", "CPUShares"),
    ("blkio.weight", "BlockIOWeight"),
    ("blkio.bfq.weight", "BlockIOWeight"),
];
/// What systemd and the kernel take for the period if none is given, in microseconds.
const PERIOD: u64 = 100_000;
const SECOND: u64 = 1_000_000;
/// systemd keeps a quota as a whole percentage of a processor.
const PERCENT: u64 = SECOND / 100;

/// The properties that say what the lines say, as far as there are such.
pub(crate) fn properties(writes: &[Write]) -> Vec<Property> {
    let mut out = Vec::new();
    for Write { file, value, otherwise, .. } in writes {
        // systemd's own scale is that of the file for every scheduler.
        let (file, value) = match otherwise {
            Otherwise::Write(file, value) if file == "io.weight" => (file, value),
            _ => (file, value),
        };
        let number = NUMBERS.iter().find(|(known, _)| known == file);
        match (number, file.as_str()) {
            (Some((_, name)), _) => {
                out.extend(parse_number(value).map(|number| Property::new(name, Value::U64(number))));
            }
            // A weight of 0 is systemd's word for an idle group (since 252).
            (_, "cpu.idle") if value == "1" => out.push(Property::new("CPUWeight", Value::U64(0))),
            // No weight at all is what the kernel goes back to as well.
            (_, "cpu.idle") => out.push(Property::new("CPUWeight", Value::U64(u64::MAX))),
            (_, "cpuset.cpus") => out.extend(mask(value).map(|mask| Property::new("AllowedCPUs", mask))),
            (_, "cpuset.mems") => {
                out.extend(mask(value).map(|mask| Property::new("AllowedMemoryNodes", mask)));
            }
            _ => {}
        }
    }
    out.extend(bandwidth(writes));
    out.extend(throttles(writes));
    out
}

/// What io.max calls a throttle, and systemd.
const THROTTLES: [(&str, &str); 4] = [
    ("rbps", "IOReadBandwidthMax"),
    ("wbps", "IOWriteBandwidthMax"),
    ("riops", "IOReadIOPSMax"),
    ("wiops", "IOWriteIOPSMax"),
];

/// Lines `8:0 rbps=1048576 wiops=max` for io.max. systemd takes a device by a path, under which udev has it.
fn throttles(writes: &[Write]) -> Vec<Property> {
    let lines = || writes.iter().filter(|write| write.file == "io.max").flat_map(|write| write.value.lines());
    let entry = |line: &str, key: &str| {
        let (device, rest) = line.trim().split_once(' ')?;
        let value = rest.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('='))?;
        let path = Value::Str(format!("/dev/block/{device}"));
        Some(Value::Struct(vec![path, Value::U64(parse_number(value)?)]))
    };
    let property = |(key, name): &(&str, &str)| {
        let entries: Vec<Value> = lines().filter_map(|line| entry(line, key)).collect();
        (!entries.is_empty()).then(|| Property::new(name, Value::Array("(st)".to_owned(), entries)))
    };
    THROTTLES.iter().filter_map(property).collect()
}

/// A number as the kernel reads it: `max`, `-1`, or with K, M or G.
fn parse_number(text: &str) -> Option<u64> {
    let text = text.trim().strip_prefix("default ").unwrap_or(text.trim());
    if matches!(text, "max" | "-1") {
        return Some(u64::MAX);
    }
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at_checked(end)?;
    let shift = match unit {
        "" => 0,
        "K" | "k" => 10,
        "M" | "m" => 20,
        "G" | "g" => 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// `0-2,7` as bits, the lowest byte first.
fn mask(list: &str) -> Option<Value> {
    let mut bytes: Vec<u8> = Vec::new();
    for part in list.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        // No kernel has more processors than this; a mask for 4294967295 would fill the memory.
        let (first, last) =
            (first.parse::<usize>().ok()?, last.parse::<usize>().ok().filter(|n| *n < 65_536)?);
        for bit in first..=last {
            if bytes.len() <= bit / 8 {
                bytes.resize(bit / 8 + 1, 0);
            }
            *bytes.get_mut(bit / 8)? |= 1 << (bit % 8);
        }
    }
    let bytes = bytes.into_iter().map(Value::Byte).collect::<Vec<_>>();
    (!bytes.is_empty()).then(|| Value::Array("y".to_owned(), bytes))
}

/// Quota (None: no limit) and period of the lines, if they say something of them.
fn quota_and_period(writes: &[Write]) -> Option<(Option<u64>, u64)> {
    let last =
        |name: &str| writes.iter().rev().find(|write| write.file == name).map(|write| write.value.as_str());
    if let Some(line) = last("cpu.max") {
        let mut words = line.split_whitespace();
        let quota = words.next().and_then(|word| word.parse().ok());
        return Some((quota, words.next().and_then(|word| word.parse().ok()).unwrap_or(PERIOD)));
    }
    let (quota, period) = (last("cpu.cfs_quota_us"), last("cpu.cfs_period_us"));
    let known = quota.is_some() || period.is_some();
    known.then(|| {
        let period = period.and_then(|text| text.parse().ok()).unwrap_or(PERIOD);
        (quota.and_then(|text| text.parse().ok()), period)
    })
}

fn bandwidth(writes: &[Write]) -> Vec<Property> {
    let Some((quota, period)) = quota_and_period(writes).filter(|(_, period)| *period > 0) else {
        return Vec::new();
    };
    let share = quota.map_or(u64::MAX, |quota| whole_percents(quota, period));
    vec![
        Property::new("CPUQuotaPeriodUSec", Value::U64(period)),
        Property::new("CPUQuotaPerSecUSec", Value::U64(share)),
    ]
}

fn whole_percents(quota: u64, period: u64) -> u64 {
    let share = u128::from(quota) * u128::from(SECOND) / u128::from(period);
    u64::try_from(share).unwrap_or(u64::MAX / 2).next_multiple_of(PERCENT)
}

/// Rounds the lines' quota up to what systemd would write, as runc does: it must not change when systemd
/// writes it again.
pub(crate) fn round_bandwidth(writes: &mut [Write]) {
    let Some((Some(quota), period @ 1..)) = quota_and_period(writes) else { return };
    let rounded = u128::from(whole_percents(quota, period)) * u128::from(period) / u128::from(SECOND);
    for write in writes {
        match write.file.as_str() {
            "cpu.max" => write.value = format!("{rounded} {period}"),
            "cpu.cfs_quota_us" => write.value = rounded.to_string(),
            _ => {}
        }
    }
}

/// systemd knows lists of allowed devices only: whatever the rules allow, and more where they take a part of
/// it back. The container's own rules decide beside it.
pub(crate) fn devices(rules: &[Rule]) -> Vec<Property> {
    let list = |entries| Property::new("DeviceAllow", Value::Array("(ss)".to_owned(), entries));
    let policy = |word: &str| Property::new("DevicePolicy", Value::Str(word.to_owned()));
    let since = rules.iter().rposition(Rule::is_total);
    let rest = match since.and_then(|at| rules.get(at..)) {
        // Who may use any device is not asked at all.
        Some([total, ..]) if total.allow => return vec![list(Vec::new()), policy("auto")],
        Some(rest) => rest,
        None => rules,
    };
    let entries = rest.iter().filter(|rule| rule.allow).flat_map(|rule| {
        let kinds = rule.kind.map_or_else(|| vec!['c', 'b'], |kind| vec![kind]);
        kinds.into_iter().map(|kind| {
            let long = if kind == 'c' { "char" } else { "block" };
            let name = match (rule.major, rule.minor) {
                (Some(major), Some(minor)) => format!("/dev/{long}/{major}:{minor}"),
                (Some(major), None) => format!("{long}-{major}"),
                (None, _) => format!("{long}-*"),
            };
            Value::Struct(vec![Value::Str(name), Value::Str(rule.access.letters())])
        })
    });
    // The empty list takes away what a list had before.
    vec![list(Vec::new()), policy("strict"), list(entries.collect())]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(path: &str, owner: Owner) -> Result<Unit> {
        Unit::plan(path, &BTreeMap::new(), owner)
    }

    #[test]
    fn the_path_names_slice_and_scope() {
        for (path, owner, scope, directory) in [
            ("", Owner::System, "mocker-id.scope", "system.slice/"),
            ("", Owner::User, "mocker-id.scope", "user.slice/"),
            (":p:n", Owner::System, "p-n.scope", "system.slice/"),
            ("::n", Owner::System, "-n.scope", "system.slice/"),
            ("-:p:n", Owner::System, "p-n.scope", ""),
            ("-.slice:p:n", Owner::System, "p-n.scope", ""),
            ("a-b-c.slice:p:n", Owner::User, "p-n.scope", "a.slice/a-b.slice/a-b-c.slice/"),
        ] {
            let unit = unit(path, owner).expect(path);
            assert_eq!(unit.scope("id"), scope, "{path}");
            assert_eq!(unit.directory("id").expect(path), format!("{directory}{scope}"));
        }
        assert_eq!(unit("", Owner::System).expect("plans").scope("a+b"), "mocker-a\\x2bb.scope");
    }

    #[test]
    fn a_path_of_another_form_is_refused_with_runcs_words() {
        let error = unit("/a/b", Owner::System).expect_err("must be refused").to_string();
        let want = "expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups, got \"/a/b\" instead";
        assert_eq!(error, want);
        for path in
            ["a:b", "a.slice:b:", "a:b:c", "a/b.slice:b:c", "a--b.slice:b:c", ".slice:b:c", "::x.slice"]
        {
            assert!(unit(path, Owner::System).is_err(), "{path}");
        }
    }

    #[test]
    fn annotations_become_properties_and_seconds_microseconds() {
        let read = |key: &str, text: &str| {
            asked(&BTreeMap::from([(format!("org.systemd.property.{key}"), text.to_owned())]))
        };
        for (key, text, want) in [
            (
                "CollectMode",
                "'inactive-or-failed'",
                ("CollectMode", Value::Str("inactive-or-failed".to_owned())),
            ),
            ("TimeoutStopUSec", "uint64 5", ("TimeoutStopUSec", Value::U64(5))),
            ("TimeoutStopSec", "5", ("TimeoutStopUSec", Value::U64(5_000_000))),
        ] {
            assert_eq!(read(key, text), Ok(vec![Property::new(want.0, want.1)]), "{key}");
        }
        for (key, text) in [("No-Name", "5"), ("X", "5"), ("Good", "bad"), ("StopSec", "'x'")] {
            assert!(read(key, text).is_err(), "{key}");
        }
    }

    fn write(file: &str, value: &str) -> Write {
        Write::new("x", file, value)
    }

    #[test]
    fn a_line_and_its_property_say_the_same() {
        let bytes =
            |list: &[u8]| Value::Array("y".to_owned(), list.iter().copied().map(Value::Byte).collect());
        for (file, value, name, want) in [
            ("memory.max", "max", "MemoryMax", Value::U64(u64::MAX)),
            ("memory.max", "64M", "MemoryMax", Value::U64(64 << 20)),
            ("memory.low", "5", "MemoryLow", Value::U64(5)),
            ("pids.max", "7", "TasksMax", Value::U64(7)),
            ("cpu.idle", "1", "CPUWeight", Value::U64(0)),
            ("io.weight", "default 50", "IOWeight", Value::U64(50)),
            ("cpuset.cpus", "0,3-4, 9", "AllowedCPUs", bytes(&[0b1_1001, 0b10])),
            ("cpu.shares", "1024", "CPUShares", Value::U64(1024)),
        ] {
            assert_eq!(properties(&[write(file, value)]), [Property::new(name, want)], "{file}={value}");
        }
        for (file, value) in
            [("io.max", "8:0"), ("io.weight", "8:0 50"), ("cpuset.cpus", "x"), ("cpu.max.burst", "0")]
        {
            assert_eq!(properties(&[write(file, value)]), [], "{file}={value}");
        }
    }

    #[test]
    fn throttles_name_the_device_by_its_number() {
        let entry = |device: &str, rate| {
            Value::Struct(vec![Value::Str(format!("/dev/block/{device}")), Value::U64(rate)])
        };
        let property = |name, entries| Property::new(name, Value::Array("(st)".to_owned(), entries));
        let lines = [write("io.max", "8:0 rbps=5 wiops=max\n"), write("io.max", "8:16 rbps=6")];
        let want = [
            property("IOReadBandwidthMax", vec![entry("8:0", 5), entry("8:16", 6)]),
            property("IOWriteIOPSMax", vec![entry("8:0", u64::MAX)]),
        ];
        assert_eq!(properties(&lines), want);
    }

    #[test]
    fn a_quota_is_rounded_up_to_whole_percents_in_both() {
        for (line, share, rounded) in [
            ("50000 100000", 500_000, "50000 100000"),
            ("12345 100000", 130_000, "13000 100000"),
            ("max 20000", u64::MAX, "max 20000"),
            ("200000", 2_000_000, "200000 100000"),
        ] {
            let mut writes = [write("cpu.max", line)];
            assert!(
                properties(&writes).contains(&Property::new("CPUQuotaPerSecUSec", Value::U64(share))),
                "{line}"
            );
            round_bandwidth(&mut writes);
            assert_eq!(writes[0].value, rounded);
        }
        let mut writes = [write("cpu.cfs_period_us", "50000"), write("cpu.cfs_quota_us", "12345")];
        round_bandwidth(&mut writes);
        assert_eq!(writes[1].value, "12500");
    }

    #[test]
    fn systemd_allows_whatever_a_rule_allows() {
        let rules = |json: &str| {
            let given: Vec<crate::bundle::config::DeviceRule<'_>> =
                serde_json::from_str(json).expect("parses");
            super::super::devices::plan(&given).expect("plans")
        };
        let strict = devices(&rules(
            r#"[{"allow":false},{"allow":true,"type":"c","major":10,"minor":229,"access":"rw"},{"allow":true,"major":7}]"#,
        ));
        assert_eq!(strict[1].value, Value::Str("strict".to_owned()));
        let Value::Array(_, entries) = &strict[2].value else { panic!("{strict:?}") };
        let entry =
            |a: &str, b: &str| Value::Struct(vec![Value::Str(a.to_owned()), Value::Str(b.to_owned())]);
        for wanted in [
            entry("/dev/char/10:229", "rw"),
            entry("char-7", "rwm"),
            entry("block-7", "rwm"),
            entry("char-*", "m"),
            entry("/dev/char/1:3", "rwm"),
            entry("char-136", "rwm"),
        ] {
            assert!(entries.contains(&wanted), "{wanted:?}");
        }
        let all = devices(&rules(r#"[{"allow":true},{"allow":false,"type":"c","major":10}]"#));
        assert_eq!(all[1].value, Value::Str("auto".to_owned()));
    }
}
