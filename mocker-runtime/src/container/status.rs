//! The life cycle (runtime.md "Lifecycle"): status is seen, not stored, and one table says what it allows.

use crate::error::{Error, Kind, Result};

/// runtime.md "State".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Creating,
    Created,
    Running,
    Stopped,
}

impl Status {
    /// The specification's word.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Stopped => "stopped",
        }
    }
}

/// What can be observed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    /// A record with a pid is there
    pub(crate) pid: bool,
    /// The process of that pid is the one that was recorded, and no zombie
    pub(crate) alive: bool,
    /// Init still waits at the start fifo
    pub(crate) fifo: bool,
}

impl From<Seen> for Status {
    fn from(seen: Seen) -> Self {
        match seen {
            Seen { pid: false, .. } => Self::Creating,
            Seen { alive: false, .. } => Self::Stopped,
            Seen { fifo: true, .. } => Self::Created,
            Seen { fifo: false, .. } => Self::Running,
        }
    }
}

/// What a user asks of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Start,
    Kill,
    Delete,
}

/// Whether a container of that status may be treated so.
pub(crate) fn allow(verb: Verb, status: Status) -> Result<()> {
    let refuse = |text: &str| Err(Error::new(Kind::WrongState, text));
    match (verb, status) {
        (Verb::Start, Status::Created) => Ok(()),
        (Verb::Start, Status::Stopped) => refuse("cannot start a container that has stopped"),
        (Verb::Start, Status::Running) => refuse("cannot start an already running container"),
        (Verb::Kill, Status::Created | Status::Running) => Ok(()),
        (Verb::Kill, Status::Stopped) => refuse("container not running"),
        (Verb::Delete, Status::Stopped | Status::Created) => Ok(()),
        (Verb::Delete, Status::Running) => refuse("cannot delete a container that is running"),
        (_, Status::Creating) => refuse("the container is still being created"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_created_container_can_be_started() {
        for (status, good) in [
            (Status::Creating, false),
            (Status::Created, true),
            (Status::Running, false),
            (Status::Stopped, false),
        ] {
            assert_eq!(allow(Verb::Start, status).is_ok(), good, "{status:?}");
        }
    }
}
