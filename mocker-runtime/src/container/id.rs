//! A container's id: the only way to have one is to have parsed it.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

/// A name that is safe as the name of a directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ContainerId(String);

impl ContainerId {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// An id that nobody else has: for `run DIR`.
    pub(crate) fn made_up() -> Result<Self> {
        let mut bytes = [0_u8; 6];
        rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
        Ok(Self(bytes.iter().map(|byte| format!("{byte:02x}")).collect()))
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ContainerId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let good = |c: char| c.is_ascii_alphanumeric() || "_+-.".contains(c);
        match text {
            "" | "." | ".." => Err(Error::invalid(format!("container id {text:?} is not a file name"))),
            _ if text.len() > 1024 => Err(Error::invalid("container id is longer than 1024 characters")),
            _ if !text.chars().all(good) => {
                Err(Error::invalid(format!("container id {text:?} has a character outside [A-Za-z0-9_+-.]")))
            }
            _ => Ok(Self(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_is_no_file_name_is_refused() {
        for bad in ["", ".", "..", "a/b", "a b", "../x", "ä"] {
            assert!(bad.parse::<ContainerId>().is_err(), "{bad:?}");
        }
        for good in ["a", "A-b_c+d.e", "0123456789abcdef"] {
            assert!(good.parse::<ContainerId>().is_ok(), "{good:?}");
        }
    }
}
