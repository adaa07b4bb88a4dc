//! What the parent does for init while init sets itself up (`sync.rs` has the words).

use std::cell::Cell;

use super::create::{Creation, set_oom_score};
use super::record::Record;
use super::status::Status;
use super::{ids, watch};
use crate::cgroup::DeviceRules;
use crate::error::{Error, Kind, Result};
use crate::hooks::{self, Output};
use crate::sync::{End, FromInit, FromParent};

impl Creation<'_> {
    /// What only the parent may do for init, before init goes on.
    pub(super) fn prepare(&self, pid: i32, record: &Record) -> Result<()> {
        record.cgroup.add_to_scope(pid)?;
        if let Some(group) = &record.rdt {
            group.add(pid)?;
        }
        set_oom_score(pid, &self.plan.process)?;
        self.plan.ids.as_ref().map_or(Ok(()), |maps| ids::map(pid, maps))
    }

    /// Answers init until it is ready. The device rules come into force when its first word says that its own devices
    /// are there, before any hook, so that they are about the container alone (as under runc).
    pub(super) fn converse(
        &self,
        sync: &End,
        record: &Record,
        devices: DeviceRules<'_>,
        hooked: &Cell<bool>,
    ) -> Result<()> {
        let mut devices = Some(devices);
        // The listener comes from another thread of init's, and may come last.
        let watched = watch::is_wanted(&self.plan.process);
        let mut awaited = 1 + usize::from(watched);
        while awaited > 0 {
            let message = match watched {
                true => sync.receive_all()?,
                false => sync.receive()?.map(|message| (message, None)),
            };
            let Some((word, listener)) = message else {
                return Err(Error::new(Kind::Internal, "init died without a word")
                    .with_hint("the memory limit may be too low for it"));
            };
            if !matches!(word, FromInit::Failed(_))
                && let Some(rules) = devices.take()
            {
                record.cgroup.put_devices(rules)?;
            }
            match word {
                FromInit::Ready => awaited -= 1,
                FromInit::Failed(error) => return Err(error),
                FromInit::Listener => {
                    let pid = record.init.map_or(0, |init| init.pid);
                    watch::hand_over(&self.plan.process, pid, &record.state(Status::Creating), listener)?;
                    awaited -= 1;
                }
                FromInit::RunHooks => {
                    hooked.set(true);
                    let output = &Output::open(&self.plan.annotations)?;
                    let state = record.state(Status::Creating).to_string();
                    hooks::run_all("prestart", &self.plan.hooks.prestart, &state, output)?;
                    hooks::run_all("createRuntime", &self.plan.hooks.create_runtime, &state, output)?;
                    sync.send(&FromParent::Go)?;
                }
            }
        }
        Ok(())
    }
}
