//! The device rules of a new container: what takes long is done before they come into force.

use std::os::fd::{AsFd, OwnedFd};

use super::{Cgroup, device, open_dir, refused, write_file};
use crate::error::{Error, Result, WhileDoing};
use crate::plan::{CgroupMode, cgroup as plan};
use crate::rootless;

/// Device rules on their way into a container's cgroup.
#[derive(Debug)]
pub(crate) enum DeviceRules<'a> {
    /// There is nobody to have them
    None,
    /// For the files of version 1
    Lists(&'a [plan::Rule]),
    /// A program that the kernel has proved, for version 2
    Program(OwnedFd),
}

impl Cgroup {
    /// Does all of the work on the device rules that can be done before they come into force.
    pub(crate) fn load_devices<'a>(&self, plan: &'a plan::Cgroup) -> Result<DeviceRules<'a>> {
        // Device rules take rights that no ordinary user has; neither can a user's container make a device.
        let is_root = || rustix::process::geteuid().is_root();
        match (plan.mode, self.unified_dir()) {
            (CgroupMode::V1, _) if is_root() => Ok(DeviceRules::Lists(&plan.devices)),
            (CgroupMode::V2, Some(_)) => {
                match crate::sys::bpf::load_device_program(&device::program(&plan.devices)) {
                    Err(_) if !is_root() => Ok(DeviceRules::None),
                    loaded => self.forgive(loaded.map(DeviceRules::Program), DeviceRules::None),
                }
            }
            _ => Ok(DeviceRules::None),
        }
    }

    /// From now on the device rules hold.
    pub(crate) fn put_devices(&self, rules: DeviceRules<'_>) -> Result<()> {
        let result = match rules {
            DeviceRules::None => return Ok(()),
            DeviceRules::Lists(rules) => self.write_device_lists(rules),
            DeviceRules::Program(program) => self.attach_device_program(&program),
        };
        self.forgive(result, ())
    }

    /// Root of a user namespace has no rights over devices either.
    fn forgive<T>(&self, result: Result<T>, otherwise: T) -> Result<T> {
        match result {
            Err(error) if (refused(&error) || self.dirs.is_empty()) && rootless::forgives() => Ok(otherwise),
            result => result,
        }
    }

    pub(super) fn write_device_lists(&self, rules: &[plan::Rule]) -> Result<()> {
        let Some(dir) = self.dir_of("devices") else {
            return Err(Error::unsupported("this host has no cgroup controller \"devices\""));
        };
        for (file, line) in device::lists(rules) {
            write_file(&dir.path, file, &line)
                .while_doing(|| format!("write {line:?} to {}", dir.path.join(file).display()))?;
        }
        Ok(())
    }

    fn attach_device_program(&self, program: &OwnedFd) -> Result<()> {
        let Some(dir) = self.unified_dir() else {
            return Ok(());
        };
        crate::sys::bpf::attach_device_program(open_dir(&dir.path)?.as_fd(), program.as_fd())
    }
}
