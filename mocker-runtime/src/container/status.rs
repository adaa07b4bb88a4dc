//! The life cycle (runtime.md "Lifecycle"): status is seen, not stored, and one table says what it allows.

use crate::error::{Error, Kind, Result};

/// runtime.md "State".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Creating,
    Created,
    Running,
    Paused,
    Stopped,
}

impl Status {
    /// In the order that a container goes through.
    pub(crate) const ALL: [Self; 5] =
        [Self::Creating, Self::Created, Self::Running, Self::Paused, Self::Stopped];

    /// The specification's word.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
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
    /// Its cgroup is frozen
    pub(crate) frozen: bool,
    /// Init still waits at the start fifo
    pub(crate) fifo: bool,
}

impl From<Seen> for Status {
    fn from(seen: Seen) -> Self {
        match seen {
            Seen { pid: false, .. } => Self::Creating,
            Seen { alive: false, .. } => Self::Stopped,
            Seen { frozen: true, .. } => Self::Paused,
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
    Exec,
    Pause,
    Resume,
    Update,
    Checkpoint,
}

/// Whether a container of that status may be treated so.
pub(crate) fn allow(verb: Verb, status: Status) -> Result<()> {
    let refuse = |text: &str| Err(Error::new(Kind::WrongState, text));
    match (verb, status) {
        (Verb::Start, Status::Created) => Ok(()),
        (Verb::Start, Status::Stopped) => refuse("cannot start a container that has stopped"),
        (Verb::Start, Status::Running | Status::Paused) => {
            refuse("cannot start an already running container")
        }
        (Verb::Kill, Status::Created | Status::Running | Status::Paused) => Ok(()),
        (Verb::Kill, Status::Stopped) => refuse("container not running"),
        (Verb::Delete, Status::Stopped | Status::Created) => Ok(()),
        (Verb::Delete, Status::Running) => refuse("cannot delete a container that is running"),
        (Verb::Delete, Status::Paused) => refuse("cannot delete a container that is paused"),
        (Verb::Exec, Status::Created | Status::Running) => Ok(()),
        (Verb::Exec, Status::Paused) => {
            refuse("cannot exec in a paused container (use --ignore-paused to override)")
        }
        (Verb::Exec, Status::Stopped) => refuse("cannot exec in a container that has stopped"),
        (Verb::Pause, Status::Created | Status::Running) => Ok(()),
        (Verb::Pause, Status::Paused) => refuse("container already paused"),
        (Verb::Resume, Status::Paused) => Ok(()),
        (Verb::Resume, Status::Created | Status::Running) => refuse("container not paused"),
        (Verb::Update, Status::Created | Status::Running | Status::Paused) => Ok(()),
        (Verb::Pause | Verb::Resume | Verb::Update, Status::Stopped) => refuse("container not running"),
        (Verb::Checkpoint, Status::Running | Status::Paused) => Ok(()),
        (Verb::Checkpoint, Status::Created) => refuse("cannot checkpoint a container that was not started"),
        (Verb::Checkpoint, Status::Stopped) => refuse("cannot checkpoint a container that has stopped"),
        (_, Status::Creating) => refuse("the container is still being created"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frozen_container_is_paused_even_before_its_start() {
        let seen = Seen { pid: true, alive: true, frozen: true, fifo: true };
        assert_eq!(Status::from(seen), Status::Paused);
    }

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
