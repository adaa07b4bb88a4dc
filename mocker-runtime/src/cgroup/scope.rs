//! A container's cgroup in the hands of systemd: its scope, and the directories that it is.

use std::path::{Path, PathBuf};

use super::detect::Hierarchy;
use super::systemd::{Placeholder, Scope};
use super::{Cgroup, Dir, tree};
use crate::error::{Error, Kind, Result, WhileDoing};
use crate::log;
use crate::plan::CgroupMode;
use crate::plan::cgroup::systemd::{Owner, Property, Unit, devices, properties};
use crate::plan::cgroup::{self as plan, Driver, Value};
use crate::sys::proc;

/// What every container is counted by, in version 2 and in version 1 (runc's list).
const ACCOUNTING: [&str; 4] = ["CPUAccounting", "MemoryAccounting", "TasksAccounting", "IOAccounting"];
const ACCOUNTING_V1: [&str; 4] =
    ["CPUAccounting", "MemoryAccounting", "TasksAccounting", "BlockIOAccounting"];

/// Who makes the cgroup if nobody says it: this program, but for an ordinary user whose limits need a cgroup that
/// only their manager can make.
pub(crate) fn choose(driver: Driver, plan: &plan::Cgroup) -> Result<Driver> {
    let open = driver == Driver::Any && plan.mode == CgroupMode::V2 && plan.path.as_os_str().is_empty();
    if !open || plan.writes.is_empty() || super::owner() == Owner::System {
        return Ok(driver);
    }
    let located = Cgroup::locate(plan, "any")?;
    let above = located.unified_dir().and_then(|dir| dir.path.parent());
    let delegated = above.is_some_and(|dir| rustix::fs::access(dir, rustix::fs::Access::WRITE_OK).is_ok());
    match delegated || !super::systemd::listens(Owner::User) {
        true => Ok(driver),
        false => Ok(Driver::Systemd(Owner::User)),
    }
}

impl Cgroup {
    /// Where the directories will be if the manager's own slices begin at the mount: a user's do not, which
    /// is seen when the scope is there.
    pub(super) fn locate_scope(unit: &Unit, hierarchies: Vec<Hierarchy>, id: &str) -> Result<Self> {
        let below = unit.directory(id)?;
        let dirs = hierarchies.into_iter().map(|Hierarchy { controllers, mount, .. }| {
            let path = below_scope(unit, mount.join(&below));
            Dir { controllers, mount, path, made: 0 }
        });
        let scope = Scope::new(unit.scope(id), unit.subgroup.clone());
        Ok(Self { dirs: dirs.collect(), scope: Some(scope) })
    }

    pub(super) fn make_scope(&mut self, plan: &plan::Cgroup, unit: &Unit, id: &str) -> Result<Placeholder> {
        let mut placeholder = Placeholder::spawn()?;
        // One task is not enough for two; init must not have a limit of its own making in the way.
        let (late, now) =
            plan.writes.iter().cloned().partition(|write| write.file == "pids.max" && write.value == "1");
        placeholder.late = late;
        let writes: Vec<plan::Write> = now;

        let accounting = if plan.mode == CgroupMode::V1 { ACCOUNTING_V1 } else { ACCOUNTING };
        let mut asked = unit.constant(id, &accounting);
        let pid = Value::U32(placeholder.pid() as u32);
        asked.push(Property::new("PIDs", Value::Array("u".to_owned(), vec![pid])));
        asked.extend(unit.asked.iter().cloned());
        let mut limits = properties(&writes);
        limits.extend(oom_policy(&writes));
        if rustix::process::geteuid().is_root() {
            limits.extend(devices(&plan.devices));
        }
        let scope = self.scope.as_mut().ok_or_else(|| Error::new(Kind::Internal, "there is no unit"))?;
        scope.start(super::owner(), &asked, limits)?;
        self.find_scope(unit, placeholder.pid(), plan.mode)?;
        if let (CgroupMode::V2, Some(_), [dir]) = (plan.mode, &unit.subgroup, &self.dirs[..]) {
            // A scope with processes of its own cannot hand controllers down.
            std::fs::create_dir_all(&dir.path)
                .while_doing(|| format!("make cgroup {}", dir.path.display()))?;
            super::write_file(&dir.path, "cgroup.procs", &placeholder.pid().to_string())
                .while_doing(|| format!("move a process to cgroup {}", dir.path.display()))?;
        }
        for dir in &mut self.dirs {
            tree::complete(dir)?;
        }
        self.limit(&writes)?;
        Ok(placeholder)
    }

    /// In version 2 the placeholder is where systemd has put it; version 1's controllers are ours to join.
    fn find_scope(&mut self, unit: &Unit, placeholder: i32, mode: CgroupMode) -> Result<()> {
        let (CgroupMode::V2, [dir], Some(scope)) = (mode, &mut self.dirs[..], &self.scope) else {
            return Ok(());
        };
        let own = unified_path(placeholder)?;
        if own.file_name().is_none_or(|name| name != scope.name.as_str()) {
            let own = own.display();
            return Err(Error::new(
                Kind::Internal,
                format!("systemd has started the unit {}, but its process is in /{own}", scope.name),
            ));
        }
        dir.path = below_scope(unit, dir.mount.join(own));
        Ok(())
    }

    /// Lets the placeholder go, once init is there, and sets what had to wait for that.
    pub(crate) fn relieve(&self, mut placeholder: Placeholder) -> Result<()> {
        let late = std::mem::take(&mut placeholder.late);
        drop(placeholder);
        late.iter().try_for_each(|write| self.write(write))?;
        self.tell_systemd(properties(&late))
    }

    /// Where a process could not be born in its scope, systemd moves it.
    pub(super) fn attach_to_scope(&self, pid: i32) -> Result<()> {
        let (Some(scope), Some(dir)) = (&self.scope, self.unified_dir()) else { return Ok(()) };
        match dir.mount.join(unified_path(pid)?).starts_with(&dir.path) {
            true => Ok(()),
            false => scope.attach(pid),
        }
    }

    /// Whether an error of a birth in the cgroup can be healed by [`Self::add`].
    pub(crate) fn can_be_joined_later(&self, error: &Error) -> bool {
        self.scope.is_some() && super::refused(error)
    }

    /// What systemd does not know of, it would undo.
    pub(super) fn tell_systemd(&self, properties: Vec<Property>) -> Result<()> {
        match &self.scope {
            Some(scope) if !properties.is_empty() => scope.set(properties),
            _ => Ok(()),
        }
    }

    /// systemd removes the scope when its last process is gone, so this is for what is left of it.
    pub(super) fn stop_scope(&self) {
        if let Some(Err(error)) = self.scope.as_ref().map(Scope::stop) {
            // Without it the directories can be removed as well, and a scope without processes ends by itself.
            log::warn(&error.to_string());
        }
    }
}

/// The path of a process in version 2's tree, below the mount.
fn unified_path(pid: i32) -> Result<PathBuf> {
    let file = format!("/proc/{pid}/cgroup");
    let text = rustix::fs::open(&*file, rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty())
        .and_then(proc::read_all)
        .while_doing(|| format!("read {file}"))?;
    Ok(PathBuf::from(text.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default()))
}

fn below_scope(unit: &Unit, scope: PathBuf) -> PathBuf {
    unit.subgroup.as_ref().map_or(scope.clone(), |name| scope.join(Path::new(name)))
}

/// Which of the container's processes die together can be told at the start only.
fn oom_policy(writes: &[plan::Write]) -> Option<Property> {
    let write = writes.iter().rev().find(|write| write.file == "memory.oom.group")?;
    let policy = match write.value.trim() {
        "0" => "continue",
        "1" => "kill",
        _ => return None,
    };
    Some(Property::new("OOMPolicy", Value::Str(policy.to_owned())))
}
