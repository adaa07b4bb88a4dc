//! Network devices that move into the container (config-linux.md "Network Devices").

use std::collections::BTreeMap;

use super::namespaces::Namespaces;
use crate::bundle::config::{NetDevice as Given, Text};
use crate::error::{Error, Result};

/// A device's name is this long at most (`IFNAMSIZ` with its NUL).
const LONGEST: usize = 15;

/// One device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Device {
    /// Its name in the runtime's network namespace
    pub(crate) outside: String,
    /// Its name in the container; `%d` at the end stands for a number that the kernel chooses
    pub(crate) inside: String,
}

/// Plans all devices.
pub(crate) fn plan(
    given: &BTreeMap<Text<'_>, Option<Given<'_>>>,
    namespaces: &Namespaces,
) -> Result<Vec<Device>> {
    if given.is_empty() {
        return Ok(Vec::new());
    }
    if !namespaces.has(libc::CLONE_NEWNET) {
        return Err(Error::invalid("linux.netDevices is set, but linux.namespaces has no network namespace"));
    }
    let mut devices = Vec::<Device>::with_capacity(given.len());
    for (outside, device) in given {
        let name = device.as_ref().and_then(|device| device.name.as_deref()).unwrap_or_default();
        let inside = if name.is_empty() { &**outside } else { name };
        for name in [&**outside, inside] {
            check(name)?;
        }
        if !inside.contains('%') && devices.iter().any(|other| other.inside == inside) {
            return Err(Error::invalid(format!("linux.netDevices gives the name {inside:?} twice")));
        }
        devices.push(Device { outside: outside.to_string(), inside: inside.to_owned() });
    }
    Ok(devices)
}

/// As the kernel's dev_valid_name() has it.
fn check(name: &str) -> Result<()> {
    let bad = name.is_empty()
        || name.len() > LONGEST
        || matches!(name, "." | "..")
        || name.contains(|c: char| c == '/' || c == ':' || c.is_ascii_whitespace());
    match bad {
        true => Err(Error::invalid(format!("linux.netDevices: {name:?} is no name of a network device"))),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: &str, new: i32) -> Result<Vec<Device>> {
        let namespaces = Namespaces { new: new as u64, ..Namespaces::default() };
        plan(&serde_json::from_str(json).expect("parses"), &namespaces)
    }

    #[test]
    fn a_device_keeps_its_name_unless_another_is_given() {
        let devices = of(r#"{"a0":{},"b0":{"name":"eth%d"}}"#, libc::CLONE_NEWNET).expect("plans");
        let names: Vec<(&str, &str)> =
            devices.iter().map(|device| (&*device.outside, &*device.inside)).collect();
        assert_eq!(names, [("a0", "a0"), ("b0", "eth%d")]);
    }

    #[test]
    fn names_that_cannot_be_and_a_container_on_the_hosts_network_are_refused() {
        for (json, new, word) in [
            (r#"{"eth0":{}}"#, 0, "no network namespace"),
            (r#"{"a/b":{}}"#, libc::CLONE_NEWNET, "no name of a network device"),
            (r#"{"a":{"name":"sixteen_letters_"}}"#, libc::CLONE_NEWNET, "sixteen_letters_"),
            (r#"{"a":{"name":"x"},"b":{"name":"x"}}"#, libc::CLONE_NEWNET, "twice"),
        ] {
            assert!(of(json, new).expect_err("must fail").to_string().contains(word), "{json}");
        }
    }
}
