//! What happens in a container, until it ends.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use serde_json::{Value, json};

use super::Container;
use super::record::Record;
use super::status::Status;
use crate::cgroup::{Oom, OomWatch};
use crate::error::{Error, Kind, Result, WhileDoing};
use crate::sys::signal;

impl Container {
    /// What the container has used so far, as an event.
    pub(crate) fn stats(&self) -> Result<Value> {
        if self.status()? == Status::Stopped {
            return Err(self.not_running());
        }
        Ok(self.used(self.record()?))
    }

    fn used(&self, record: &Record) -> Value {
        let mut data = json!(record.cgroup.stats());
        if let (Some(group), Some(members)) = (&record.rdt, data.as_object_mut()) {
            members.insert("intel_rdt".to_owned(), group.told());
        }
        json!({ "type": "stats", "id": self.id.as_str(), "data": data })
    }

    /// Tells of each kill for want of memory at once and of what is used in each interval, and returns
    /// when init has ended.
    pub(crate) fn events(
        &self,
        interval: Duration,
        mut tell: impl FnMut(&Value) -> Result<()>,
    ) -> Result<()> {
        let init = self.open_init()?.ok_or_else(|| self.not_running())?;
        let record = self.record()?;
        let mut watch = record.cgroup.watch_oom()?;
        if watch.is_none() {
            crate::log::warn("there is no memory controller, so no kill for want of memory can be told");
        }
        let mut next = Instant::now() + interval;
        loop {
            let mut fds = vec![PollFd::new(&init, PollFlags::IN)];
            fds.extend(watch.as_ref().map(OomWatch::poll));
            wait(&mut fds, next.saturating_duration_since(Instant::now()))?;
            // Before the end is told of, since it is often what the kill has led to.
            let ended = fds.first().is_some_and(|init| !init.revents().is_empty());
            match watch.as_mut().map(OomWatch::look).transpose()? {
                Some(Oom::Killed) => tell(&json!({ "type": "oom", "id": self.id.as_str() }))?,
                Some(Oom::Gone) => watch = None,
                Some(Oom::Nothing) | None => {}
            }
            if ended {
                return Ok(());
            }
            if Instant::now() >= next {
                let used = self.used(record);
                // The numbers of a cgroup that went away meanwhile would be none.
                if !signal::wait_gone(init.as_fd(), Some(0))? {
                    tell(&used)?;
                }
                next = Instant::now() + interval;
            }
        }
    }

    fn not_running(&self) -> Error {
        Error::new(Kind::WrongState, format!("container with id {} is not running", self.id))
    }
}

/// Until one of them has something to say, but no longer than that.
fn wait(fds: &mut [PollFd<'_>], limit: Duration) -> Result<()> {
    let limit = Timespec {
        tv_sec: limit.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: limit.subsec_nanos().into(),
    };
    match poll(fds, Some(&limit)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(errno).while_doing(|| "wait for events"),
    }
}
