//! The parent's half of a checkpoint: which containers may be saved, and what becomes of them.

use super::Container;
use super::status::{Verb, allow};
use crate::cgroup;
use crate::checkpoint::dump::{self, After, Dump, Subject};
use crate::error::{Error, Kind, Result, WhileDoing};
use crate::plan::Plan;

impl Container {
    /// Saves the container. Unless it is to go on, it is deleted then, as under runc; if anything fails, it goes
    /// on and stays.
    pub(crate) fn checkpoint(mut self, dump: Dump) -> Result<()> {
        self.lock()?;
        let id = self.id.clone();
        let act = || format!("checkpoint container {id}");
        allow(Verb::Checkpoint, self.status()?).while_doing(act)?;
        let after = dump.after;
        self.save(dump).while_doing(act)?;
        match after {
            After::Stop => self.remove_all().while_doing(act),
            After::Run | After::PreDump => Ok(()),
        }
    }

    fn save(&self, dump: Dump) -> Result<()> {
        let record = self.record()?;
        let init = record.init.ok_or_else(|| Error::new(Kind::Internal, "the record has no init"))?.pid;
        let bundle = self.config()?;
        // What is relative belongs to the bundle, not to where its config is kept.
        let plan = Plan::new(&bundle.config()?, &record.bundle, cgroup::mode())?;
        let subject = Subject {
            init,
            plan: &plan,
            cgroup: &record.cgroup,
            annotations: &record.annotations,
            stdio: &record.stdio,
        };
        dump::dump(&subject, dump)
    }
}
