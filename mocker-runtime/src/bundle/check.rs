//! Rules that need no plan: versions, and what this program refuses because it does not do it yet.
//!
//! Each property of the specification is honoured or refused, never dropped; what is refused is here.

use super::config::Config;
use crate::error::{Error, Result};

/// Checks the whole config.
pub(crate) fn check(config: &Config<'_>) -> Result<()> {
    version(&config.oci_version)?;
    let process = config.process.as_ref();
    refuse(&[
        ("vm", config.vm.is_some()),
        ("windows", config.windows.is_some()),
        ("solaris", config.solaris.is_some()),
        ("zos", config.zos.is_some()),
        ("freebsd", config.freebsd.is_some()),
        // Windows has these in the place of args and uid.
        ("process.commandLine", process.is_some_and(|process| process.command_line.is_some())),
        ("process.user.username", process.is_some_and(|process| process.user.username.is_some())),
    ])?;
    hooks(config)
}

/// config.md "Specification version": SemVer; a runtime for 1.x understands every 1.x.
fn version(version: &str) -> Result<()> {
    let mut parts = version.split(['-', '+']).next().unwrap_or_default().split('.');
    let numbers: Vec<Option<u64>> = parts.by_ref().map(|part| part.parse().ok()).collect();
    match numbers[..] {
        [Some(1), Some(_), Some(_)] => Ok(()),
        [Some(major), Some(_), Some(_)] => {
            Err(Error::unsupported(format!("ociVersion {version:?} has major version {major}, not 1")))
        }
        _ => Err(Error::invalid(format!("ociVersion {version:?} is not a version"))),
    }
}

fn refuse(properties: &[(&str, bool)]) -> Result<()> {
    match properties.iter().find(|(_, present)| *present) {
        Some((name, _)) => Err(Error::unsupported(format!("{name} is not supported"))),
        None => Ok(()),
    }
}

/// config.md "POSIX-platform Hooks": an absolute path, and a timeout above zero.
fn hooks(config: &Config<'_>) -> Result<()> {
    let Some(hooks) = &config.hooks else { return Ok(()) };
    for (phase, list) in hooks.phases() {
        for hook in list {
            if !hook.path.starts_with('/') {
                return Err(Error::invalid(format!(
                    "hooks.{phase}: the path {:?} is not absolute",
                    hook.path
                )));
            }
            if hook.timeout.is_some_and(|timeout| timeout <= 0) {
                return Err(Error::invalid(format!(
                    "hooks.{phase}: the timeout of {} is not above 0",
                    hook.path
                )));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: &str) -> Result<()> {
        check(&serde_json::from_str(json).expect("parses"))
    }

    #[test]
    fn every_minor_version_of_1_is_taken_and_nothing_else() {
        for good in ["1.0.0", "1.2.1", "1.3.0-rc.1", "1.9.9+dev"] {
            assert!(version(good).is_ok(), "{good}");
        }
        for bad in ["", "1", "1.0", "2.0.0", "0.9.0", "one.two.three"] {
            assert!(version(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_not_done_is_refused_by_name() {
        let error = of(r#"{"ociVersion":"1.0.0","vm":{}}"#).expect_err("must be refused");
        assert_eq!(error.to_string(), "vm is not supported");
    }

    #[test]
    fn a_relative_hook_is_refused() {
        let error = of(r#"{"ociVersion":"1.0.0","hooks":{"poststop":[{"path":"x"}]}}"#).expect_err("refused");
        assert_eq!(error.to_string(), "hooks.poststop: the path \"x\" is not absolute");
    }
}
