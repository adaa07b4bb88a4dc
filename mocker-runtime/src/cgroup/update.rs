//! Changing the limits of a cgroup that is in use.
//!
//! The kernel holds each value against others (memory against memory with swap, burst against quota), so
//! a line that it refuses may be fine once another one is written: it is tried again after them. If one
//! stays refused, those that were written get their old values back.

use std::os::fd::AsFd;

use rustix::io::Errno;

use super::{Cgroup, device, open_dir, read_at};
use crate::bundle::config::{Cpu, Linux, Memory, Resources};
use crate::error::{Error, Result};
use crate::log;
use crate::plan::CgroupMode;
use crate::plan::cgroup::{self as plan, Write, systemd};
use crate::sys::bpf;

impl Cgroup {
    /// Changes what `resources` names and leaves all else as it is.
    pub(crate) fn update(&self, mut resources: Resources<'_>, mode: CgroupMode) -> Result<()> {
        if let Some(memory) = &mut resources.memory {
            self.complete_memory(memory, mode)?;
        }
        if let Some(cpu) = resources.cpu.as_mut().filter(|_| mode == CgroupMode::V2) {
            self.complete_bandwidth(cpu);
        }
        let given_devices = !resources.devices.is_empty();
        let mut linux = Linux::default();
        linux.resources.replace(resources);
        let mut plan = plan::plan(&linux, mode)?;
        if self.scope.is_some() {
            systemd::round_bandwidth(&mut plan.writes);
        }
        let mut properties = systemd::properties(&plan.writes);
        if given_devices && rustix::process::geteuid().is_root() {
            properties.extend(systemd::devices(&plan.devices));
        }
        let old = self.change(self.resolve(&plan.writes))?;
        self.tell_systemd(properties).inspect_err(|_| self.put_back(old))?;
        match mode {
            CgroupMode::V2 if given_devices => self.replace_device_program(&plan.devices),
            CgroupMode::V1 if given_devices => self.replace_device_lists(&plan.devices),
            _ => Ok(()),
        }
    }

    /// Memory and swap together is what the words are about; what one of them leaves open is read.
    fn complete_memory(&self, memory: &mut Memory, mode: CgroupMode) -> Result<()> {
        if memory.kernel.take().is_some() | memory.kernel_tcp.take().is_some() {
            log::warn("ignore memory.kernel: Linux has no limit of kernel memory any more");
        }
        self.check_usage(memory, mode)?;
        let limit = memory.limit.filter(|limit| *limit != 0);
        let swap = memory.swap.filter(|swap| *swap != 0);
        match (mode, limit, swap) {
            // Without a limit of memory there is none of the sum, where the kernel has one.
            (CgroupMode::V1, Some(..0), None) => {
                memory.swap = self.read("memory", "memory.memsw.limit_in_bytes").map(|_| -1);
            }
            (CgroupMode::V2, None, Some(1..)) => memory.limit = self.number("memory", "memory.max"),
            (CgroupMode::V2, Some(1..), None) => {
                // The sum stays what it was; a container without swap stays without.
                let alone = self.number("memory", "memory.swap.max").filter(|swap| *swap > 0);
                let sum = alone.zip(self.number("memory", "memory.max"));
                memory.swap = sum.map(|(swap, limit)| swap.saturating_add(limit));
            }
            _ => {}
        }
        Ok(())
    }

    /// config-linux.md "Memory", checkBeforeUpdate; version 1 refuses by itself what it cannot reclaim.
    fn check_usage(&self, memory: &Memory, mode: CgroupMode) -> Result<()> {
        let wanted = memory.check_before_update == Some(true) && mode == CgroupMode::V2;
        let Some(limit) = memory.limit.filter(|limit| wanted && *limit > 0) else { return Ok(()) };
        match self.number("memory", "memory.current") {
            Some(used) if used > limit => Err(Error::invalid(format!(
                "memory.limit {limit} is less than the {used} bytes in use, and checkBeforeUpdate is set"
            ))),
            _ => Ok(()),
        }
    }

    /// Version 2 has quota and period in one file: the one that is not given stays.
    fn complete_bandwidth(&self, cpu: &mut Cpu<'_>) {
        let Some(now) = self.read("cpu", "cpu.max") else { return };
        let mut words = now.split_whitespace();
        let (quota, period) = (words.next(), words.next());
        match (cpu.quota.unwrap_or(0), cpu.period.unwrap_or(0)) {
            (0, 1..) => cpu.quota = quota.and_then(|word| word.parse().ok()),
            (quota, 0) if quota != 0 => cpu.period = period.and_then(|word| word.parse().ok()),
            _ => {}
        }
    }

    /// All lines, or none; gives those that put the old values back.
    fn change(&self, lines: Vec<Write>) -> Result<Vec<Write>> {
        let (old, result) = self.settle(lines);
        match result {
            Ok(()) => Ok(old),
            Err(error) => {
                self.put_back(old);
                Err(error)
            }
        }
    }

    fn put_back(&self, mut old: Vec<Write>) {
        old.reverse();
        if let (_, Err(error)) = self.settle(old) {
            log::warn(&format!("put the old limits back: {error}"));
        }
    }

    /// Writes the lines as long as one more is taken; gives what was in the files before.
    fn settle(&self, lines: Vec<Write>) -> (Vec<Write>, Result<()>) {
        let mut old = Vec::new();
        let mut left = lines;
        while !left.is_empty() {
            let mut first = None;
            let mut refused = Vec::new();
            let tried = left.len();
            for line in left {
                let before = self.before(&line);
                match self.write(&line) {
                    Ok(()) => old.extend(before),
                    Err(error) if error.is_errno(Errno::INVAL) => {
                        first.get_or_insert(error);
                        refused.push(line);
                    }
                    Err(error) => return (old, Err(error)),
                }
            }
            match first {
                Some(error) if refused.len() == tried => return (old, Err(error)),
                _ => left = refused,
            }
        }
        (old, Ok(()))
    }

    /// The line that puts a file's present value back; a file with a line for each device has none.
    fn before(&self, line: &Write) -> Option<Write> {
        let value = self.read(line.controller, &line.file)?;
        let value = if value.is_empty() { "\n".to_owned() } else { value };
        (!value.trim().contains('\n')).then(|| Write { value, ..line.clone() })
    }

    fn replace_device_program(&self, rules: &[plan::Rule]) -> Result<()> {
        let Some(dir) = self.unified_dir() else { return Ok(()) };
        let fd = open_dir(&dir.path)?;
        let program = bpf::load_device_program(&device::program(rules))?;
        match bpf::replace_device_program(fd.as_fd(), program.as_fd())? {
            true => Ok(()),
            false => Err(Error::unsupported(format!(
                "devices: cgroup {} does not have exactly one device program of this runtime's, so none can be replaced",
                dir.path.display()
            ))),
        }
    }

    /// Version 1 has no way to change the list in one step: what is new is allowed first, then what is
    /// gone is denied, so that no device that stays is ever refused.
    fn replace_device_lists(&self, rules: &[plan::Rule]) -> Result<()> {
        let lines = device::lists(rules);
        let now = self.read("devices", "devices.list").unwrap_or_default();
        let allow = |file: &str| file == "devices.allow";
        let plain = matches!(&lines[..], [(file, all), rest @ ..]
            if !allow(file) && all == "a" && rest.iter().all(|(file, _)| allow(file)));
        if !plain || now.starts_with('a') {
            return self.write_device_lists(rules);
        }
        let wanted: Vec<&str> = lines.iter().skip(1).map(|(_, line)| line.as_str()).collect();
        let write = |file: &str, value: String| self.write(&Write::new("devices", file, value));
        wanted.iter().try_for_each(|line| write("devices.allow", (*line).to_owned()))?;
        surplus(&now, &wanted).into_iter().try_for_each(|line| write("devices.deny", line))
    }

    /// A file without blanks around; None where it is not there.
    pub(super) fn read(&self, controller: &str, file: &str) -> Option<String> {
        let text = read_at(&self.dir_of(controller)?.path, file).ok()?;
        Some(text.trim().to_owned())
    }

    /// None for `max`, or where the file is not there.
    fn number(&self, controller: &str, file: &str) -> Option<i64> {
        self.read(controller, file)?.parse().ok()
    }
}

/// What the lines of devices.list allow beyond the wanted ones; a line is `c 1:3 rwm`.
fn surplus(now: &str, wanted: &[&str]) -> Vec<String> {
    let extra = |line: &str| {
        let (device, access) = line.rsplit_once(' ')?;
        let stays = |letter: &char| {
            wanted
                .iter()
                .filter_map(|line| line.rsplit_once(' '))
                .any(|(d, a)| d == device && a.contains(*letter))
        };
        let gone: String = access.chars().filter(|letter| !stays(letter)).collect();
        (!gone.is_empty()).then(|| format!("{device} {gone}"))
    };
    now.lines().filter_map(extra).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_not_wanted_any_more_is_taken_away() {
        let now = "c *:* m\nc 1:3 rwm\nc 1:11 r\nb 8:0 rw";
        let wanted = ["c *:* m", "c 1:3 rw", "c 1:3 m", "b 8:0 r", "c 5:0 rwm"];
        assert_eq!(surplus(now, &wanted), ["c 1:11 r", "b 8:0 w"]);
    }
}
