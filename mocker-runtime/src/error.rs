//! The one error type: a kind that a program decides on, a story that a person reads, and a hint.
//!
//! An error is plain data. Init sends it to its parent as it is, and the parent prints init's words.
//! The grammar of a step: the act and the object, present tense, lower case, no "failed to", no full stop.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a caller can decide on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// The object that was named is not there
    NotFound,
    /// The object that was to be made is there already
    Exists,
    /// The container's status does not allow the command
    WrongState,
    /// What the caller wrote is wrong
    Invalid,
    /// What the caller wrote is right, but this program or kernel cannot do it
    Unsupported,
    /// The kernel said no, with this errno
    Os(i32),
    /// A defect of this program
    Internal,
}

/// A kind, the steps that led to it (outermost first), and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Error {
    kind: Kind,
    steps: Vec<String>,
    hint: Option<String>,
}

/// The result of everything in this crate that can fail.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error with its innermost step.
    pub fn new(kind: Kind, step: impl Into<String>) -> Self {
        Self { kind, steps: vec![step.into()], hint: None }
    }

    /// Shorthand for [`Kind::Invalid`].
    pub fn invalid(step: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, step)
    }

    /// Shorthand for [`Kind::Unsupported`].
    pub fn unsupported(step: impl Into<String>) -> Self {
        Self::new(Kind::Unsupported, step)
    }

    /// What a program decides on.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What a person could do about it.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The same error with advice.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// True if the kernel's word was this errno.
    pub fn is_errno(&self, errno: rustix::io::Errno) -> bool {
        self.kind == Kind::Os(errno.raw_os_error())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.steps.join(": "))
    }
}

impl std::error::Error for Error {}

/// The kernel's word for an errno, without the number that the standard library adds.
fn errno_text(errno: i32) -> String {
    let text = std::io::Error::from_raw_os_error(errno).to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

impl From<rustix::io::Errno> for Error {
    fn from(errno: rustix::io::Errno) -> Self {
        Self::new(Kind::Os(errno.raw_os_error()), errno_text(errno.raw_os_error()))
    }
}

impl From<nix::errno::Errno> for Error {
    fn from(errno: nix::errno::Errno) -> Self {
        Self::new(Kind::Os(errno as i32), errno_text(errno as i32))
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        match error.raw_os_error() {
            Some(errno) => Self::new(Kind::Os(errno), errno_text(errno)),
            None => Self::new(Kind::Internal, error.to_string()),
        }
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::invalid(error.to_string())
    }
}

/// Adds the act and its object to whatever went wrong.
pub trait WhileDoing<T> {
    /// Puts `act` in front of the story; called only on failure.
    fn while_doing<S: Into<String>>(self, act: impl FnOnce() -> S) -> Result<T>;
}

impl<T, E: Into<Error>> WhileDoing<T> for std::result::Result<T, E> {
    fn while_doing<S: Into<String>>(self, act: impl FnOnce() -> S) -> Result<T> {
        self.map_err(|error| {
            let mut error = error.into();
            error.steps.insert(0, act().into());
            error
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_reads_from_the_outermost_step_to_the_kernels_word() {
        let error = Err::<(), _>(rustix::io::Errno::PERM)
            .while_doing(|| "mount proc at /proc")
            .while_doing(|| "mount the filesystems");
        let error = error.expect_err("it was an error");
        assert_eq!(error.to_string(), "mount the filesystems: mount proc at /proc: Operation not permitted");
        assert!(error.is_errno(rustix::io::Errno::PERM));
    }

    #[test]
    fn an_error_survives_the_way_through_the_socket() {
        let error = Error::invalid("a").with_hint("b");
        let text = serde_json::to_string(&error).expect("serializes");
        assert_eq!(serde_json::from_str::<Error>(&text).expect("parses"), error);
    }
}
