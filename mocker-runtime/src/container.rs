//! Containers as the parent sees them: a directory with a record, a process, and cgroups.
//!
//! ```text
//! ROOT/ID/            0711, flock'ed by whoever changes the container
//!   state.json        the record: what cannot be observed (written whole, by rename)
//!   start             a fifo that init waits at: while init holds its end, the container is created
//!   report            a fifo that tells `start` what came of it, and ends when the program runs
//! ```
//!
//! Nothing else is stored. Whether a container lives is asked of the kernel each time.

mod adopt;
pub(crate) mod ahead;
mod answer;
mod checkpoint;
pub(crate) mod create;
pub(crate) mod delete;
mod events;
pub(crate) mod exec;
pub(crate) mod id;
mod ids;
mod mounts;
mod network;
pub(crate) mod notify;
pub(crate) mod rdt;
pub(crate) mod record;
pub(crate) mod restore;
pub(crate) mod source;
pub(crate) mod start;
pub(crate) mod status;
pub(crate) mod switched;
mod undo;
pub(crate) mod usage;
pub(crate) mod wait;
mod watch;

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::bundle::config::Resources;
use crate::cgroup::{self, Freeze};
use crate::error::{Error, Kind, Result, WhileDoing};
use crate::sys::{fd, signal};
use id::ContainerId;
use record::{Init, Record};
use status::{Seen, Status, Verb, allow};

/// The directory of all containers.
#[derive(Debug, Clone)]
pub(crate) struct Root(PathBuf);

impl Root {
    /// The given directory, else /run/mocker for root and $XDG_RUNTIME_DIR/mocker for a user.
    pub(crate) fn new(given: Option<PathBuf>) -> Result<Self> {
        let path = match given {
            Some(path) => path,
            None if !is_somebodys() => PathBuf::from("/run/mocker"),
            None => match std::env::var_os("XDG_RUNTIME_DIR") {
                Some(dir) if !dir.is_empty() => PathBuf::from(dir).join("mocker"),
                _ => {
                    return Err(Error::invalid("there is no XDG_RUNTIME_DIR to keep containers below")
                        .with_hint("set XDG_RUNTIME_DIR, or give --root DIR"));
                }
            },
        };
        std::path::absolute(&path)
            .map(Self)
            .while_doing(|| format!("make the path {} absolute", path.display()))
    }

    /// All containers, in the order of their ids, each opened when its turn comes: there may be more of them than a
    /// process may have descriptors. One that goes away meanwhile is left out.
    pub(crate) fn list(&self) -> Result<impl Iterator<Item = Container>> {
        let open = |id: ContainerId| match self.open(&id) {
            Ok(container) => Some(container),
            Err(error) if error.kind() == Kind::NotFound => None,
            Err(error) => {
                // One container's trouble is no other's.
                crate::log::warn(&error.to_string());
                None
            }
        };
        Ok(self.ids()?.into_iter().filter_map(open))
    }

    fn ids(&self) -> Result<Vec<ContainerId>> {
        let entries = match std::fs::read_dir(&self.0) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.while_doing(|| format!("read {}", self.0.display()))?,
        };
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let mut ids: Vec<ContainerId> = names.filter_map(|name| name.parse().ok()).collect();
        ids.sort_unstable();
        Ok(ids)
    }

    fn dir(&self, id: &ContainerId) -> PathBuf {
        self.0.join(id.as_str())
    }

    /// Makes the directory of a new container and takes its lock.
    fn make(&self, id: &ContainerId) -> Result<Home> {
        let path = self.dir(id);
        let make = || rustix::fs::mkdir(&path, Mode::from_raw_mode(0o711));
        let made = match make() {
            Err(Errno::NOENT) => {
                std::fs::create_dir_all(&self.0).while_doing(|| format!("make {}", self.0.display()))?;
                make()
            }
            made => made,
        };
        match made {
            Err(Errno::EXIST) => {
                Err(Error::new(Kind::Exists, format!("container with given ID already exists: {id}")))
            }
            Err(errno) => Err(errno).while_doing(|| format!("make {}", path.display())),
            Ok(()) => {
                let home = Home::open(path)?;
                fd::lock(&home.fd)?;
                Ok(home)
            }
        }
    }

    /// Finds a container.
    pub(crate) fn open(&self, id: &ContainerId) -> Result<Container> {
        let home = Home::open(self.dir(id)).map_err(|error| match error.is_errno(Errno::NOENT) {
            true => not_there(id),
            false => error,
        })?;
        let record = Record::read(&home)?;
        Ok(Container { id: id.clone(), home, record })
    }
}

/// Whether the containers of this call are kept below a user's own directory: an ordinary user's, and those of
/// root of a user namespace, unless it calls itself root (as runc has it).
fn is_somebodys() -> bool {
    let user = std::env::var_os("USER");
    match rustix::process::geteuid().is_root() {
        false => true,
        true => user.is_none_or(|user| user != "root") && !crate::rootless::is_root_of_the_machine(),
    }
}

/// What managers look for in the text when an id is unknown: "does not exist".
fn not_there(id: &ContainerId) -> Error {
    Error::new(Kind::NotFound, format!("container {id} does not exist"))
}

/// A container's directory, open.
#[derive(Debug)]
pub(crate) struct Home {
    path: PathBuf,
    fd: OwnedFd,
}

impl Home {
    fn open(path: PathBuf) -> Result<Self> {
        let fd = crate::sys::path::open(&path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW)?;
        Ok(Self { path, fd })
    }
}

/// A container that has, or had, a process; or one that is just being made (no record yet).
#[derive(Debug)]
pub(crate) struct Container {
    id: ContainerId,
    home: Home,
    record: Option<Record>,
}

impl Container {
    /// Its name.
    pub(crate) fn id(&self) -> &ContainerId {
        &self.id
    }

    /// Waits until nobody else changes the container, then looks at it afresh.
    pub(crate) fn lock(&mut self) -> Result<()> {
        fd::lock(&self.home.fd)?;
        self.record = Record::read(&self.home)?;
        // Of a container that was deleted meanwhile the record went first.
        if self.record.is_none() && !self.home.path.try_exists().unwrap_or(true) {
            return Err(not_there(&self.id));
        }
        Ok(())
    }

    /// Lets others change the container: nobody waits for the end of a program that runs in the foreground.
    fn unlock(&self) -> Result<()> {
        fd::unlock(&self.home.fd)
    }

    /// The record; an error while the container is being made.
    pub(crate) fn record(&self) -> Result<&Record> {
        self.record.as_ref().ok_or_else(|| {
            Error::new(Kind::WrongState, format!("container {} is still being created", self.id))
        })
    }

    /// Asks the kernel.
    pub(crate) fn status(&self) -> Result<Status> {
        let Some(init) = self.init() else {
            return Ok(Status::Creating);
        };
        let alive = init.is_alive()?;
        let frozen = alive && self.record()?.cgroup.is_frozen();
        let waits = alive && !frozen && start::init_waits(&self.home);
        Ok(Seen { pid: true, alive, frozen, fifo: waits }.into())
    }

    /// The same without a look at whether it was started or is paused: `running` where it is one of these.
    pub(crate) fn rough_status(&self) -> Result<Status> {
        let Some(init) = self.init() else { return Ok(Status::Creating) };
        Ok(Seen { pid: true, alive: init.is_alive()?, frozen: false, fifo: false }.into())
    }

    fn init(&self) -> Option<Init> {
        self.record.as_ref().and_then(|record| record.init)
    }

    /// A handle on init, if it still is the process that the record means.
    fn open_init(&self) -> Result<Option<OwnedFd>> {
        let Some(init) = self.init() else { return Ok(None) };
        match signal::open_pid(init.pid) {
            Err(Errno::SRCH) => Ok(None),
            Err(errno) => Err(errno).while_doing(|| format!("open process {}", init.pid)),
            // Only after the handle is open does the start time prove whose it is.
            Ok(handle) => Ok(init.is_alive()?.then_some(handle)),
        }
    }

    /// Sends a signal to init.
    pub(crate) fn signal(&self, number: i32) -> Result<()> {
        let gone = || Error::new(Kind::WrongState, "container not running");
        let handle = self.open_init()?.ok_or_else(gone)?;
        match signal::send(handle.as_fd(), number) {
            Err(Errno::SRCH) => return Err(gone()),
            result => result.while_doing(|| format!("send signal {number} to container {}", self.id))?,
        }
        if number == libc::SIGKILL {
            self.record()?.cgroup.let_die();
        }
        Ok(())
    }

    /// Sends a signal to every process of the container; none left is fine.
    pub(crate) fn signal_all(&self, number: i32) -> Result<()> {
        let cgroup = &self.record()?.cgroup;
        if cgroup.dirs().is_empty() {
            // Of a user who has none: with init goes what shares its pid namespace.
            return match self.signal(number) {
                Err(error) if error.kind() == Kind::WrongState => Ok(()),
                result => result,
            };
        }
        let sent = if number == libc::SIGKILL { cgroup.kill_all() } else { cgroup.signal_each(number) };
        sent.while_doing(|| format!("signal all processes of container {}", self.id))
    }

    /// Stops every process of the container until `resume`.
    pub(crate) fn pause(&self) -> Result<()> {
        allow(Verb::Pause, self.status()?).while_doing(|| format!("pause container {}", self.id))?;
        self.record()?.cgroup.freeze(Freeze::Frozen).while_doing(|| format!("pause container {}", self.id))
    }

    /// Lets a paused container go on.
    pub(crate) fn resume(&self) -> Result<()> {
        allow(Verb::Resume, self.status()?).while_doing(|| format!("resume container {}", self.id))?;
        self.record()?.cgroup.freeze(Freeze::Thawed).while_doing(|| format!("resume container {}", self.id))
    }

    /// Changes the limits that `resources` names, and the lines of the container's class of service.
    pub(crate) fn update(&mut self, resources: Resources<'_>, class: &[String]) -> Result<()> {
        self.lock()?;
        let act = || format!("update container {}", self.id);
        allow(Verb::Update, self.status()?).while_doing(act)?;
        let record = self.record()?;
        if let (None, false) = (&record.rdt, class.is_empty()) {
            return Err(Error::unsupported(
                "updating a non-existent Intel RDT configuration is not supported",
            ))
            .while_doing(act);
        }
        record.cgroup.update(resources, cgroup::mode()).while_doing(act)?;
        match &record.rdt {
            Some(group) if !class.is_empty() => group.change(class).while_doing(act),
            _ => Ok(()),
        }
    }

    /// All processes of the container, as the runtime numbers them.
    pub(crate) fn processes(&self) -> Result<Vec<i32>> {
        self.record()?.cgroup.processes()
    }

    /// The id of the user whose container this is.
    pub(crate) fn owner(&self) -> Result<u32> {
        let act = || format!("stat {}", self.home.path.display());
        rustix::fs::fstat(&self.home.fd).map(|stat| stat.st_uid).while_doing(act)
    }

    /// The state document, as runtime.md "State" and runc print it.
    pub(crate) fn state(&self) -> Result<serde_json::Value> {
        let status = self.status()?;
        Ok(match &self.record {
            Some(record) => record.state(status),
            None => serde_json::json!({
                "ociVersion": crate::SPEC_VERSION,
                "id": self.id.as_str(),
                "status": Status::Creating.as_str(),
            }),
        })
    }
}
