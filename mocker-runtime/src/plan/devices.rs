//! Device nodes (config-linux.md "Devices" and "Default Devices").

use std::path::PathBuf;

use crate::bundle::config::Device as Given;
use crate::error::{Error, Result};

/// A node to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Device {
    /// In the container, absolute
    pub(crate) path: PathBuf,
    pub(crate) kind: Kind,
    pub(crate) major: u32,
    pub(crate) minor: u32,
    /// Permission bits
    pub(crate) mode: u32,
    /// User and group as the container numbers them
    pub(crate) owner: (u32, u32),
}

/// What mknod(2) makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Char,
    Block,
    Fifo,
}

/// The devices that every container has: path, major, minor.
const DEFAULT: [(&str, u32, u32); 6] = [
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
];

/// Symlinks that every container has in /dev: name and target ("Default Devices", and what every userland expects).
pub(crate) const SYMLINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// Plans the default devices and those of the file, which win.
pub(crate) fn plan(given: &[Given<'_>]) -> Result<Vec<Device>> {
    let own: Vec<Device> = given.iter().map(plan_one).collect::<Result<_>>()?;
    let default = DEFAULT.iter().map(|(path, major, minor)| Device {
        path: PathBuf::from(path),
        kind: Kind::Char,
        major: *major,
        minor: *minor,
        mode: 0o666,
        owner: (0, 0),
    });
    let mut all: Vec<Device> = default.filter(|d| !own.iter().any(|o| o.path == d.path)).collect();
    all.extend(own);
    Ok(all)
}

fn plan_one(given: &Given<'_>) -> Result<Device> {
    let path = &*given.path;
    if !path.starts_with('/') {
        return Err(Error::invalid(format!("linux.devices: the path {path:?} is not absolute")));
    }
    let kind = match &*given.kind {
        "c" | "u" => Kind::Char,
        "b" => Kind::Block,
        "p" => Kind::Fifo,
        other => {
            return Err(Error::invalid(format!("linux.devices: {path} has the unknown type {other:?}")));
        }
    };
    let number = |what: &str, value: Option<i64>| match (value, kind) {
        (Some(value), _) => u32::try_from(value)
            .map_err(|_| Error::invalid(format!("linux.devices: {path} has the {what} number {value}"))),
        (None, Kind::Fifo) => Ok(0),
        (None, _) => Err(Error::invalid(format!("linux.devices: {path} has no {what} number"))),
    };
    Ok(Device {
        path: PathBuf::from(path),
        kind,
        major: number("major", given.major)?,
        minor: number("minor", given.minor)?,
        mode: given.file_mode.unwrap_or(0o666) & 0o7777,
        owner: (given.uid.unwrap_or(0), given.gid.unwrap_or(0)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: &str) -> Result<Vec<Device>> {
        let given: Vec<Given<'_>> = serde_json::from_str(json).expect("parses");
        plan(&given)
    }

    #[test]
    fn a_device_of_the_file_replaces_the_default_one_of_its_path() {
        let all =
            of(r#"[{"path":"/dev/null","type":"c","major":1,"minor":3,"fileMode":384}]"#).expect("plans");
        let nulls: Vec<&Device> = all.iter().filter(|d| d.path.ends_with("null")).collect();
        assert_eq!(nulls.len(), 1);
        assert_eq!(nulls[0].mode, 0o600);
        assert_eq!(all.len(), DEFAULT.len());
    }

    #[test]
    fn a_fifo_needs_no_numbers_and_a_disk_does() {
        assert!(of(r#"[{"path":"/dev/initctl","type":"p"}]"#).is_ok());
        let error = of(r#"[{"path":"/dev/sda","type":"b"}]"#).expect_err("must fail");
        assert_eq!(error.to_string(), "linux.devices: /dev/sda has no major number");
    }
}
