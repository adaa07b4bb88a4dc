//! The one error of this crate: what went wrong as data (a kind), as a story (steps, outermost
//! first) and, where one is known, with a hint at what to do.
//!
//! Errors also travel inside `io::Error`, because the readers of a layer are nested in decoders
//! that only speak `io`; [`Error::from`] takes them out again.

use std::{fmt, io};

/// What a program decides by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The image, tag, blob, host or file is not there.
    NotFound,
    /// Something stands where we were to put ours.
    Exists,
    /// The registry wants credentials, or other ones.
    Denied,
    /// What was given (by the user or by the registry) breaks its rules.
    Invalid,
    /// Right, but more than this program does.
    Unsupported,
    /// The registry could not be reached or broke off.
    Unreachable,
    /// Another program works with it.
    Busy,
    /// The kernel said no; its errno.
    Os(i32),
    /// The user stopped the program; the signal's number.
    Interrupted(i32),
    /// A fault of this program.
    Internal,
}

/// A kind, the steps that led to it, and perhaps a hint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    kind: Kind,
    steps: Vec<String>,
    hint: Option<String>,
}

/// The result of everything here.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error that begins with `what`.
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self { kind, steps: vec![what.into()], hint: None }
    }

    /// Something given breaks its rules.
    pub fn invalid(what: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, what)
    }

    /// The same error with a hint at what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint.get_or_insert_with(|| hint.into());
        self
    }

    /// The same error, one step further out.
    #[must_use]
    pub fn step(mut self, step: impl Into<String>) -> Self {
        self.steps.insert(0, step.into());
        self
    }

    /// What a program decides by.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What to do about it, if that is known.
    pub fn advice(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.steps.join(": "))
    }
}

impl std::error::Error for Error {}

impl From<io::Error> for Error {
    fn from(e: io::Error) -> Self {
        match e.raw_os_error() {
            Some(errno) => Self::new(Kind::Os(errno), kernel_words(&e)),
            None => match e.downcast::<Self>() {
                Ok(ours) => ours,
                Err(e) => Self::invalid(e.to_string()),
            },
        }
    }
}

impl From<rustix::io::Errno> for Error {
    fn from(e: rustix::io::Errno) -> Self {
        io::Error::from(e).into()
    }
}

impl From<Error> for io::Error {
    fn from(e: Error) -> Self {
        Self::other(e)
    }
}

/// "No space left on device", without the number that std appends.
fn kernel_words(e: &io::Error) -> String {
    let text = e.to_string();
    match text.rfind(" (os error ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

/// Says what was being done when something failed.
pub trait Context<T> {
    /// Adds one step, made only when it is needed.
    fn while_doing<S: Into<String>>(self, step: impl FnOnce() -> S) -> Result<T>;
}

impl<T, E: Into<Error>> Context<T> for std::result::Result<T, E> {
    fn while_doing<S: Into<String>>(self, step: impl FnOnce() -> S) -> Result<T> {
        self.map_err(|e| e.into().step(step()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_read_from_the_outside_in_and_the_kernel_keeps_its_words() {
        let e: Result<()> = Err(io::Error::from_raw_os_error(28)).while_doing(|| "write the blob");
        let e = e.unwrap_err().step("pull x");
        assert_eq!(e.to_string(), "pull x: write the blob: No space left on device");
        assert_eq!(e.kind(), Kind::Os(28));
    }

    #[test]
    fn an_error_survives_the_way_through_io() {
        let e = Error::new(Kind::Denied, "no").hint("log in");
        assert_eq!(Error::from(io::Error::from(e.clone())), e);
    }
}
