//! Resources to lines for the kernel's files (config-linux.md "Control groups").
//!
//! One table for each version; nothing is written here. A property that the version in use cannot
//! express is an error, never dropped.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::CgroupMode;
use super::mounts::READONLY;
use crate::bundle::config::{Cpu, Linux, Resources};
use crate::error::{Error, Result};

mod block;
mod devices;
mod memory;
pub(crate) mod systemd;
mod value;

#[cfg(test)]
pub(crate) use devices::Access;
pub(crate) use devices::Rule;
pub(crate) use value::Value;

/// Who makes the container's cgroup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Driver {
    /// Whoever can: it is looked for
    #[default]
    Any,
    /// This program
    Cgroupfs,
    /// systemd, as a scope
    Systemd(systemd::Owner),
    /// Nobody: the container stays in the caller's
    Disabled,
}

/// Where the container's cgroup is and what is written into it.
#[derive(Debug, Default)]
pub(crate) struct Cgroup {
    /// The hierarchy that all is planned for
    pub(crate) mode: CgroupMode,
    /// As given: absolute (below the mount), relative (below the runtime's own cgroup), or empty (the id)
    pub(crate) path: PathBuf,
    /// In the order of writing
    pub(crate) writes: Vec<Write>,
    /// In the order of the file, the defaults last; the last rule that fits decides
    pub(crate) devices: Vec<Rule>,
    /// The scope, where systemd makes the cgroup
    pub(crate) unit: Option<systemd::Unit>,
    /// A directory below the container's that init moves to, and that is the container's to rule
    pub(crate) delegated: Option<String>,
}

/// crun's word for a directory that the container rules.
const DELEGATED: &str = "run.oci.delegate-cgroup";

/// The directory below a cgroup that an annotation names.
fn directory(annotations: &BTreeMap<String, String>, name: &str) -> Result<Option<String>> {
    match annotations.get(name).filter(|path| !path.is_empty()) {
        Some(path) if path.split('/').any(|part| matches!(part, "" | "." | "..")) => Err(Error::invalid(
            format!("annotation {name}: {path:?} is no directory below the container's cgroup"),
        )),
        path => Ok(path.cloned()),
    }
}

impl Cgroup {
    /// Leaves the making of the cgroup to somebody.
    pub(crate) fn drive(&mut self, driver: Driver, annotations: &BTreeMap<String, String>) -> Result<()> {
        self.delegated = directory(annotations, DELEGATED)?;
        if self.delegated.is_some() && (self.mode != CgroupMode::V2 || driver == Driver::Disabled) {
            return Err(Error::unsupported(format!(
                "annotation {DELEGATED}: only cgroup version 2 can be delegated"
            )));
        }
        match driver {
            Driver::Any | Driver::Cgroupfs => {}
            Driver::Disabled => {
                if let Some(line) = self.writes.iter().find(|line| line.value != "max") {
                    return Err(Error::invalid(format!(
                        "{} cannot be set to {}: cgroups are disabled",
                        line.file, line.value
                    )));
                }
                *self = Self { mode: CgroupMode::None, ..Self::default() };
            }
            Driver::Systemd(owner) => {
                let path = self.path.to_string_lossy();
                self.unit = Some(systemd::Unit::plan(&path, annotations, owner)?);
                systemd::round_bandwidth(&mut self.writes);
            }
        }
        Ok(())
    }
}

impl super::Plan {
    /// The user of the host to whom the container's cgroup belongs: its root, where it can write there and sees
    /// nothing else (runc's rule).
    pub(crate) fn cgroup_owner(&self) -> Option<u32> {
        let writable = |mount: &super::mounts::Mount| {
            mount.what == super::mounts::What::Cgroup && mount.attr.set & READONLY.set == 0
        };
        let own = self.namespaces.makes(libc::CLONE_NEWCGROUP) && self.mounts.iter().any(writable)
            || self.cgroup.delegated.is_some();
        self.ids.as_ref().filter(|_| own)?.uids.on_host(0)
    }
}

/// One line for one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Write {
    /// `memory`, `cpu`, ...
    pub(crate) controller: &'static str,
    /// `memory.max`, ...
    pub(crate) file: String,
    pub(crate) value: String,
    /// Where the kernel has no such file
    pub(crate) otherwise: Otherwise,
}

/// What to do where the kernel has no such file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Otherwise {
    /// The limit cannot be had: an error
    Fail,
    /// Another file says the same: its name and the value for it
    Write(String, String),
    /// It only says more exactly what another line says
    Skip,
}

impl Write {
    pub(crate) fn new(controller: &'static str, file: impl Into<String>, value: impl ToString) -> Self {
        Self { controller, file: file.into(), value: value.to_string(), otherwise: Otherwise::Fail }
    }
}

/// The list of lines while it grows.
#[derive(Debug, Default)]
struct Writes(Vec<Write>);

impl Writes {
    fn add(&mut self, controller: &'static str, file: impl Into<String>, value: impl ToString) {
        self.0.push(Write::new(controller, file, value));
    }

    /// A line for a file that only some kernels have.
    fn add_or(&mut self, line: Write, otherwise: Otherwise) {
        self.0.push(Write { otherwise, ..line });
    }

    fn add_some(&mut self, controller: &'static str, file: &str, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.add(controller, file, value);
        }
    }
}

/// Plans the cgroup for the hierarchy that the host has.
pub(crate) fn plan(linux: &Linux<'_>, mode: CgroupMode) -> Result<Cgroup> {
    let default = Resources::default();
    let resources = linux.resources.as_ref().unwrap_or(&default);
    let writes = match mode {
        CgroupMode::V1 => version_1(resources)?,
        CgroupMode::V2 => version_2(resources)?,
        CgroupMode::None => {
            check_none(resources)?;
            Writes::default()
        }
    };
    let devices = devices::plan(&resources.devices)?;
    if mode == CgroupMode::V1 {
        devices::check_version_1(&devices)?;
    }
    let path = PathBuf::from(linux.cgroups_path.as_deref().unwrap_or_default());
    Ok(Cgroup { mode, path, writes: writes.0, devices, unit: None, delegated: None })
}

/// Without cgroups there are no limits; rules about devices alone are in every bundle.
fn check_none(resources: &Resources<'_>) -> Result<()> {
    let mut limits = resources.clone();
    limits.devices.clear();
    let mut lines = version_2(&limits).map_or_else(|_| Vec::new(), |lines| lines.0);
    lines.extend(version_1(&limits).map_or_else(|_| Vec::new(), |lines| lines.0));
    lines.retain(|line| line.value != "max");
    match lines.first() {
        Some(line) => Err(Error::unsupported(format!(
            "{} cannot be set to {}: this host has no cgroups",
            line.file, line.value
        ))),
        None => Ok(()),
    }
}

fn version_1(resources: &Resources<'_>) -> Result<Writes> {
    let mut out = Writes::default();
    if !resources.unified.is_empty() {
        return Err(Error::invalid("unified is set, but this host has cgroup version 1"));
    }
    if let Some(cpu) = &resources.cpu {
        cpu_version_1(cpu, &mut out);
    }
    if let Some(memory) = &resources.memory {
        memory::version_1(memory, &mut out)?;
    }
    pids(resources, &mut out);
    block::version_1(resources, &mut out);
    huge_pages(resources, "limit_in_bytes", &mut out);
    if let Some(network) = &resources.network {
        out.add_some("net_cls", "net_cls.classid", network.class_id);
        for priority in &network.priorities {
            out.add("net_prio", "net_prio.ifpriomap", format!("{} {}", &*priority.name, priority.priority));
        }
    }
    rdma(resources, &mut out);
    Ok(out)
}

fn version_2(resources: &Resources<'_>) -> Result<Writes> {
    let mut out = Writes::default();
    if let Some(cpu) = &resources.cpu {
        cpu_version_2(cpu, &mut out)?;
    }
    if let Some(memory) = &resources.memory {
        memory::version_2(memory, &mut out)?;
    }
    pids(resources, &mut out);
    block::version_2(resources, &mut out)?;
    huge_pages(resources, "max", &mut out);
    if resources.network.as_ref().is_some_and(|n| n.class_id.is_some() || !n.priorities.is_empty()) {
        return Err(Error::unsupported("network: cgroup version 2 has no network classes and priorities"));
    }
    rdma(resources, &mut out);
    // Last, so that a key given twice ends with what was asked for literally.
    for (key, value) in &resources.unified {
        let controller = controller_of(key)?;
        for line in value.lines() {
            out.add(controller, &**key, line);
        }
    }
    Ok(out)
}

/// The controller that a file of version 2 belongs to; `cgroup.*` belongs to none.
fn controller_of(key: &str) -> Result<&'static str> {
    const KNOWN: [&str; 9] = ["cgroup", "cpu", "cpuset", "hugetlb", "io", "memory", "misc", "pids", "rdma"];
    let prefix = key.split('.').next().unwrap_or_default();
    let bad = || Error::invalid(format!("unified has the key {key:?}, which is not a file of a controller"));
    if key.contains('/') || !key.contains('.') {
        return Err(bad());
    }
    KNOWN.into_iter().find(|known| *known == prefix).ok_or_else(bad)
}

/// What is used is limited, and what is reserved (Linux 5.7), lest a mapping that cannot be filled be allowed.
fn huge_pages(resources: &Resources<'_>, file: &str, out: &mut Writes) {
    for limit in &resources.hugepage_limits {
        let size = &*limit.page_size;
        out.add("hugetlb", format!("hugetlb.{size}.{file}"), limit.limit);
        let reserved = Write::new("hugetlb", format!("hugetlb.{size}.rsvd.{file}"), limit.limit);
        out.add_or(reserved, Otherwise::Skip);
    }
}

/// 0 is a limit (config-linux.md "PIDs"): no task but the one that is there, which 1 says as well. runc writes
/// 1, since systemd takes no 0.
fn pids(resources: &Resources<'_>, out: &mut Writes) {
    match resources.pids.and_then(|pids| pids.limit) {
        None => {}
        Some(..0) => out.add("pids", "pids.max", "max"),
        Some(limit) => out.add("pids", "pids.max", limit.max(1)),
    }
}

fn rdma(resources: &Resources<'_>, out: &mut Writes) {
    for (device, limit) in &resources.rdma {
        let mut line = device.to_string();
        for (name, value) in [("hca_handle", limit.hca_handles), ("hca_object", limit.hca_objects)] {
            if let Some(value) = value {
                line.push_str(&format!(" {name}={value}"));
            }
        }
        out.add("rdma", "rdma.max", line);
    }
}

fn cpu_version_1(cpu: &Cpu<'_>, out: &mut Writes) {
    let nonzero = |value: Option<u64>| value.filter(|value| *value != 0);
    out.add_some("cpu", "cpu.shares", nonzero(cpu.shares));
    out.add_some("cpu", "cpu.cfs_period_us", nonzero(cpu.period));
    out.add_some("cpu", "cpu.cfs_quota_us", cpu.quota.filter(|quota| *quota != 0));
    out.add_some("cpu", "cpu.cfs_burst_us", cpu.burst);
    out.add_some("cpu", "cpu.rt_period_us", nonzero(cpu.realtime_period));
    out.add_some("cpu", "cpu.rt_runtime_us", cpu.realtime_runtime.filter(|runtime| *runtime != 0));
    out.add_some("cpu", "cpu.idle", cpu.idle);
    cpuset(cpu, out);
}

fn cpu_version_2(cpu: &Cpu<'_>, out: &mut Writes) -> Result<()> {
    if cpu.realtime_runtime.is_some_and(|v| v != 0) || cpu.realtime_period.is_some_and(|v| v != 0) {
        return Err(Error::unsupported("cpu.realtimeRuntime: cgroup version 2 has no real-time bandwidth"));
    }
    out.add_some("cpu", "cpu.idle", cpu.idle);
    // A weight cannot be written while the group is idle.
    if cpu.idle != Some(1) {
        out.add_some("cpu", "cpu.weight", cpu.shares.filter(|shares| *shares != 0).map(weight_of_shares));
    }
    let quota = cpu.quota.filter(|quota| *quota != 0);
    let period = cpu.period.filter(|period| *period != 0);
    if quota.is_some() || period.is_some() {
        let quota =
            quota.filter(|quota| *quota > 0).map_or_else(|| "max".to_owned(), |quota| quota.to_string());
        out.add("cpu", "cpu.max", format!("{quota} {}", period.unwrap_or(100_000)));
    }
    out.add_some("cpu", "cpu.max.burst", cpu.burst);
    cpuset(cpu, out);
    Ok(())
}

fn cpuset(cpu: &Cpu<'_>, out: &mut Writes) {
    let given = |text: Option<&crate::bundle::config::Text<'_>>| {
        text.map(|text| text.to_string()).filter(|text| !text.is_empty())
    };
    out.add_some("cpuset", "cpuset.cpus", given(cpu.cpus.as_ref()));
    out.add_some("cpuset", "cpuset.mems", given(cpu.mems.as_ref()));
}

/// Shares (2 to 262144, default 1024) to weight (1 to 10000, default 100) by a curve through 2 -> 1, 1024 -> 100
/// and 262144 -> 10000: the one that runc and crun use, so that managers see the same number everywhere.
fn weight_of_shares(shares: u64) -> u64 {
    match shares {
        0..=2 => 1,
        262_144.. => 10_000,
        shares => {
            let l = (shares as f64).log2();
            let exponent = (l * l + 125.0 * l) / 612.0 - 7.0 / 34.0;
            10_f64.powf(exponent).ceil() as u64
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(json: &str, mode: CgroupMode) -> Result<Vec<String>> {
        let text = format!(r#"{{"resources":{json}}}"#);
        let linux: Linux<'_> = serde_json::from_str(&text).expect("parses");
        Ok(plan(&linux, mode)?.writes.iter().map(|w| format!("{}={}", w.file, w.value)).collect())
    }

    #[test]
    fn each_limit_becomes_the_file_of_its_version() {
        let (v1, v2) = (CgroupMode::V1, CgroupMode::V2);
        for (json, mode, want) in [
            (r#"{"memory":{"limit":100}}"#, v1, vec!["memory.limit_in_bytes=100"]),
            (r#"{"memory":{"limit":100}}"#, v2, vec!["memory.max=100"]),
            (r#"{"memory":{"limit":100,"swap":150}}"#, v2, vec!["memory.swap.max=50", "memory.max=100"]),
            (r#"{"memory":{"limit":-1}}"#, v2, vec!["memory.swap.max=max", "memory.max=max"]),
            (r#"{"pids":{"limit":7}}"#, v1, vec!["pids.max=7"]),
            (r#"{"pids":{"limit":-1}}"#, v2, vec!["pids.max=max"]),
            (r#"{"pids":{"limit":0}}"#, v2, vec!["pids.max=1"]),
            (r#"{"cpu":{"shares":1024}}"#, v2, vec!["cpu.weight=100"]),
            (r#"{"cpu":{"quota":5000,"period":10000}}"#, v2, vec!["cpu.max=5000 10000"]),
            (r#"{"cpu":{"quota":5000}}"#, v2, vec!["cpu.max=5000 100000"]),
            (r#"{"cpu":{"quota":-1}}"#, v2, vec!["cpu.max=max 100000"]),
            (r#"{"cpu":{"cpus":"0-1"}}"#, v1, vec!["cpuset.cpus=0-1"]),
            (r#"{"unified":{"memory.high":"9"}}"#, v2, vec!["memory.high=9"]),
            (
                r#"{"hugepageLimits":[{"pageSize":"2MB","limit":4}]}"#,
                v2,
                vec!["hugetlb.2MB.max=4", "hugetlb.2MB.rsvd.max=4"],
            ),
            (r#"{"network":{"classID":5}}"#, v1, vec!["net_cls.classid=5"]),
            (r#"{"rdma":{"mlx":{"hcaHandles":3}}}"#, v2, vec!["rdma.max=mlx hca_handle=3"]),
        ] {
            assert_eq!(lines(json, mode).expect("plans"), want, "{json} {mode:?}");
        }
    }

    #[test]
    fn what_a_version_cannot_express_is_an_error() {
        let (v1, v2) = (CgroupMode::V1, CgroupMode::V2);
        for (json, mode, word) in [
            (r#"{"unified":{"memory.high":"9"}}"#, v1, "version 1"),
            (r#"{"unified":{"../x.y":"9"}}"#, v2, "../x.y"),
            (r#"{"network":{"classID":5}}"#, v2, "network"),
            (r#"{"cpu":{"realtimeRuntime":5}}"#, v2, "real-time"),
            (r#"{"memory":{"limit":100,"swap":50}}"#, v2, "less than"),
            (r#"{"memory":{"swappiness":101}}"#, v2, "101"),
            (r#"{"memory":{"swappiness":10}}"#, v2, "memory.swappiness"),
            (r#"{"memory":{"disableOOMKiller":true}}"#, v2, "memory.disableOOMKiller"),
            (r#"{"memory":{"kernelTCP":5}}"#, v2, "memory.kernelTCP"),
        ] {
            assert!(lines(json, mode).expect_err("must fail").to_string().contains(word), "{json}");
        }
    }

    #[test]
    fn shares_map_to_weights_through_the_three_fixed_points() {
        for (shares, weight) in [(2, 1), (1024, 100), (262_144, 10_000)] {
            assert_eq!(weight_of_shares(shares), weight);
        }
    }
}
