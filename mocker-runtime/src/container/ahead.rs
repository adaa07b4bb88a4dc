//! What takes the kernel long and depends on little: begun as soon as the config is read.

use std::os::fd::OwnedFd;

use crate::bundle::config::Config;
use crate::sys::aside::NewNetwork;

/// Begun, or not wanted.
#[derive(Debug, Default)]
pub(crate) struct Ahead(Option<NewNetwork>);

impl Ahead {
    /// Begins a network namespace where the container gets one of its own that belongs to this process's user
    /// namespace; an ordinary user's container always has another. Devices that move in are told by init's pid where
    /// to, so init must be born in it then.
    pub(crate) fn begin(config: &Config<'_>) -> Self {
        let Some(linux) = &config.linux else { return Self::default() };
        let has = |kind: &str| linux.namespaces.iter().find(|namespace| &*namespace.kind == kind);
        let made =
            has("network").is_some_and(|namespace| namespace.path.as_deref().unwrap_or_default().is_empty());
        let apart = has("user").is_none() && linux.net_devices.is_empty();
        Self((made && apart).then(NewNetwork::begin).flatten())
    }

    /// The namespace, once it is there; None: init is to be born into one.
    pub(super) fn finish(self) -> Option<OwnedFd> {
        self.0?.finish()
    }
}
