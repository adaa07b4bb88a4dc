//! The parent's half of a restore: directory and cgroups as for a create, then criu in the place of init's steps.

use std::cell::{Cell, RefCell};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::rc::Rc;

use super::create::{Created, Creation, Outlets};
use super::id::ContainerId;
use super::rdt::Group;
use super::record::{Init as InitRecord, Record};
use super::status::Status;
use super::undo::Undo;
use super::{Container, Home, Root};
use crate::bundle::Bundle;
use crate::cgroup::{Cgroup, Placeholder};
use crate::checkpoint::restore::{self, Moment, Restore, Subject};
use crate::error::{Error, Kind, Result, WhileDoing};
use crate::hooks::{self, Output};
use crate::init::Keyring;
use crate::log;
use crate::plan::Plan;
use crate::sys::{proc, signal};

/// What the command line adds to the config.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) restore: Restore,
    /// Gets the master of the container's terminal
    pub(crate) console: Option<OwnedFd>,
    pub(crate) outlets: Outlets,
    /// The restored processes have the caller's in any case; this is for those that enter later
    pub(crate) keyring: Keyring,
}

impl Root {
    /// Makes a container from the images of a checkpoint; on failure nothing of it stays.
    pub(crate) fn restore(
        &self,
        id: &ContainerId,
        bundle: &Bundle,
        plan: &Plan,
        options: Options,
    ) -> Result<Created> {
        let creation = Creation { root: self, id, bundle, plan };
        creation.restore(options).while_doing(|| format!("restore container {id}"))
    }
}

impl Creation<'_> {
    fn restore(&self, options: Options) -> Result<Created> {
        let mut record = self.record(Cgroup::locate(&self.plan.cgroup, self.id.as_str())?);
        record.rdt = self.plan.rdt.as_ref().map(|rdt| Group::locate(rdt, self.id.as_str())).transpose()?;
        record.restored = true;
        record.keyring = options.keyring;
        let hooked = Rc::new(Cell::new(false));
        let mut undo = Undo::default();
        let (home, placeholder) = self.begin(&mut record, None, &hooked, &mut undo)?;
        self.bundle.copy_to(&home.path)?;
        record.cgroup.put_devices(record.cgroup.load_devices(&self.plan.cgroup)?)?;

        let place = Place::make(&home)?;
        let cgroup = record.cgroup.clone();
        let annotations = record.annotations.clone();
        let subject = Subject {
            plan: self.plan,
            cgroup: &cgroup,
            annotations: &annotations,
            place: &place.0,
            console: options.console,
        };
        let progress = Progress {
            creation: self,
            home: &home,
            record: RefCell::new(record),
            placeholder: Cell::new(placeholder),
            hooked: &hooked,
        };
        let child = restore::restore(&subject, &options.restore, |moment| progress.tell(moment))?;
        let record = progress.record.into_inner();
        drop(place);
        let handle = child.pidfd.try_clone().while_doing(|| "copy init's handle")?;
        undo.push(move || {
            signal::send(handle.as_fd(), libc::SIGKILL).ok();
            signal::reap(handle.as_fd()).map(drop)
        });
        options.outlets.tell(&child)?;
        undo.keep();
        let container = Container { id: self.id.clone(), home, record: Some(record) };
        Ok(Created::restored(container, child))
    }
}

/// Where criu finds the root file system, as long as it works.
struct Place(PathBuf);

impl Place {
    fn make(home: &Home) -> Result<Self> {
        // criu takes no path with a symlink in it.
        let link = format!("/proc/self/fd/{}", home.fd.as_raw_fd());
        let path = std::fs::read_link(&link).while_doing(|| format!("read {link}"))?.join("criu-root");
        std::fs::DirBuilder::new()
            .mode(0o755)
            .create(&path)
            .while_doing(|| format!("make {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // It goes with the container's directory at the latest.
        std::fs::remove_dir(&self.0).ok();
    }
}

/// What is to be done while criu works.
struct Progress<'a> {
    creation: &'a Creation<'a>,
    home: &'a Home,
    record: RefCell<Record>,
    /// Keeps systemd's scope until somebody else is in it
    placeholder: Cell<Option<Placeholder>>,
    hooked: &'a Cell<bool>,
}

impl Progress<'_> {
    fn tell(&self, moment: Moment) -> Result<()> {
        let mut record = self.record.borrow_mut();
        match moment {
            Moment::Begun(criu) => {
                record.cgroup.add(criu)?;
                self.placeholder.take().map_or(Ok(()), |placeholder| record.cgroup.relieve(placeholder))?;
                record.rdt.as_ref().map_or(Ok(()), |group| group.add(criu))
            }
            Moment::Namespaces(pid) => {
                let hooks = &self.creation.plan.hooks;
                if hooks.prestart.is_empty() && hooks.create_runtime.is_empty() && hooks.poststop.is_empty() {
                    return Ok(());
                }
                self.hooked.set(true);
                let mut seen = record.clone();
                seen.init = Some(InitRecord { pid, start_time: 0 });
                let state = seen.state(Status::Creating).to_string();
                let output = Output::open(&record.annotations)?;
                hooks::run_all("prestart", &hooks.prestart, &state, &output)?;
                hooks::run_all("createRuntime", &hooks.create_runtime, &state, &output)
            }
            Moment::Restored(pid) => {
                let stat = proc::stat(pid)?.ok_or_else(|| Error::new(Kind::Internal, "init is gone"))?;
                record.init = Some(InitRecord { pid, start_time: stat.start_time });
                log::debug(|| format!("container {}: init is process {pid}", self.creation.id));
                record.save(self.home)
            }
        }
    }
}
