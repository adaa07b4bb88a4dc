//! What a container has used: the document of runc's `events`, from the files of either version.
//!
//! A file that the host does not have leaves its members out, as runc does: no controller, no number.

mod v1;
mod v2;

use std::collections::BTreeMap;

use serde::Serialize;

use super::Cgroup;

/// The member `data` of an event. Times in nanoseconds, sizes in bytes.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Stats {
    cpu: Cpu,
    cpuset: Cpuset,
    memory: Memory,
    pids: Pids,
    blkio: Blkio,
    hugetlb: BTreeMap<String, Hugetlb>,
    /// Devices with their handles and objects: runc keeps them to itself
    #[serde(skip_serializing_if = "is_default")]
    rdma: Rdma,
    /// Of a container with a class of service its own, which no cgroup knows
    intel_rdt: BTreeMap<String, ()>,
    /// Always null: the runtime makes no network interfaces
    network_interfaces: (),
}

#[derive(Debug, Default, Serialize)]
struct Cpu {
    #[serde(skip_serializing_if = "is_default")]
    usage: Usage,
    #[serde(skip_serializing_if = "is_default")]
    throttling: Throttling,
    #[serde(skip_serializing_if = "is_default")]
    psi: Option<Pressure>,
}

#[derive(Debug, Default, PartialEq, Serialize)]
struct Usage {
    #[serde(skip_serializing_if = "is_default")]
    total: u64,
    #[serde(skip_serializing_if = "is_default")]
    percpu: Vec<u64>,
    #[serde(skip_serializing_if = "is_default")]
    percpu_kernel: Vec<u64>,
    #[serde(skip_serializing_if = "is_default")]
    percpu_user: Vec<u64>,
    kernel: u64,
    user: u64,
}

#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Throttling {
    #[serde(skip_serializing_if = "is_default")]
    periods: u64,
    #[serde(skip_serializing_if = "is_default")]
    throttled_periods: u64,
    #[serde(skip_serializing_if = "is_default")]
    throttled_time: u64,
}

/// Version 1 only.
#[derive(Debug, Default, Serialize)]
struct Cpuset {
    #[serde(skip_serializing_if = "is_default")]
    cpus: Vec<u16>,
    cpu_exclusive: u64,
    #[serde(skip_serializing_if = "is_default")]
    mems: Vec<u16>,
    mem_hardwall: u64,
    mem_exclusive: u64,
    memory_migrate: u64,
    memory_spread_page: u64,
    memory_spread_slab: u64,
    memory_pressure: u64,
    sched_load_balance: u64,
    sched_relax_domain_level: i64,
}

#[derive(Debug, Default, Serialize)]
struct Memory {
    #[serde(skip_serializing_if = "is_default")]
    cache: u64,
    #[serde(skip_serializing_if = "is_default")]
    usage: Amount,
    /// Memory and swap together
    #[serde(skip_serializing_if = "is_default")]
    swap: Amount,
    #[serde(skip_serializing_if = "is_default")]
    kernel: Amount,
    #[serde(rename = "kernelTCP", skip_serializing_if = "is_default")]
    kernel_tcp: Amount,
    #[serde(skip_serializing_if = "is_default")]
    raw: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "is_default")]
    psi: Option<Pressure>,
}

#[derive(Debug, Default, PartialEq, Serialize)]
struct Amount {
    limit: u64,
    #[serde(skip_serializing_if = "is_default")]
    usage: u64,
    #[serde(skip_serializing_if = "is_default")]
    max: u64,
    failcnt: u64,
}

#[derive(Debug, Default, Serialize)]
struct Pids {
    #[serde(skip_serializing_if = "is_default")]
    current: u64,
    #[serde(skip_serializing_if = "is_default")]
    limit: u64,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Blkio {
    #[serde(skip_serializing_if = "is_default")]
    io_service_bytes_recursive: Vec<Transfer>,
    #[serde(skip_serializing_if = "is_default")]
    io_serviced_recursive: Vec<Transfer>,
    #[serde(skip_serializing_if = "is_default")]
    io_queue_recursive: Vec<Transfer>,
    #[serde(skip_serializing_if = "is_default")]
    io_service_time_recursive: Vec<Transfer>,
    #[serde(skip_serializing_if = "is_default")]
    io_wait_time_recursive: Vec<Transfer>,
    #[serde(skip_serializing_if = "is_default")]
    io_merged_recursive: Vec<Transfer>,
    #[serde(skip_serializing_if = "is_default")]
    io_time_recursive: Vec<Transfer>,
    #[serde(skip_serializing_if = "is_default")]
    sectors_recursive: Vec<Transfer>,
    #[serde(skip_serializing_if = "is_default")]
    psi: Option<Pressure>,
}

#[derive(Debug, Default, PartialEq, Serialize)]
struct Transfer {
    #[serde(skip_serializing_if = "is_default")]
    major: u64,
    #[serde(skip_serializing_if = "is_default")]
    minor: u64,
    #[serde(skip_serializing_if = "is_default")]
    op: String,
    #[serde(skip_serializing_if = "is_default")]
    value: u64,
}

#[derive(Debug, Default, Serialize)]
struct Hugetlb {
    #[serde(skip_serializing_if = "is_default")]
    usage: u64,
    #[serde(skip_serializing_if = "is_default")]
    max: u64,
    failcnt: u64,
}

#[derive(Debug, Default, PartialEq, Serialize)]
struct Rdma {
    limit: Vec<RdmaDevice>,
    current: Vec<RdmaDevice>,
}

#[derive(Debug, Default, PartialEq, Serialize)]
struct RdmaDevice {
    device: String,
    hca_handles: u32,
    hca_objects: u32,
}

/// Pressure stall information: time lost by some processes, and by all at once.
#[derive(Debug, Default, PartialEq, Serialize)]
struct Pressure {
    #[serde(skip_serializing_if = "is_default")]
    some: Stall,
    #[serde(skip_serializing_if = "is_default")]
    full: Stall,
}

#[derive(Debug, Default, PartialEq, Serialize)]
struct Stall {
    avg10: f64,
    avg60: f64,
    avg300: f64,
    /// Microseconds
    total: u64,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Cgroup {
    /// Reads all numbers that the host has.
    pub(crate) fn stats(&self) -> Stats {
        match self.has_v1_controllers() {
            true => self.stats_v1(),
            false => self.stats_v2(),
        }
    }

    /// The processor time so far in nanoseconds, where the host counts it; 0 is less than its clock's tick.
    pub(crate) fn cpu_nanoseconds(&self) -> Option<u64> {
        match self.has_v1_controllers() {
            true => self.read("cpuacct", "cpuacct.usage").map(|text| parse_count(&text)),
            false => self.table("cpu", "cpu.stat").get("usage_usec").map(|time| time.saturating_mul(1000)),
        }
    }

    /// The memory that is charged now in bytes, where the host counts it.
    pub(crate) fn memory_bytes(&self) -> Option<u64> {
        let file = if self.has_v1_controllers() { "memory.usage_in_bytes" } else { "memory.current" };
        self.read("memory", file).map(|text| parse_count(&text))
    }

    fn has_v1_controllers(&self) -> bool {
        self.dirs.iter().any(|dir| !dir.controllers.is_empty())
    }

    /// A number, 0 where the file is not there; `max` is the largest.
    fn count(&self, controller: &str, file: &str) -> u64 {
        self.read(controller, file).map_or(0, |text| parse_count(&text))
    }

    fn pids(&self) -> Pids {
        // Without a limit the member has always been 0.
        let limit = Some(self.count("pids", "pids.max")).filter(|limit| *limit != u64::MAX);
        Pids { current: self.count("pids", "pids.current"), limit: limit.unwrap_or(0) }
    }

    fn rdma(&self) -> Rdma {
        let read = |file| parse_rdma(&self.read("rdma", file).unwrap_or_default());
        Rdma { limit: read("rdma.max"), current: read("rdma.current") }
    }

    /// `key value` lines.
    fn table(&self, controller: &str, file: &str) -> BTreeMap<String, u64> {
        parse_table(&self.read(controller, file).unwrap_or_default())
    }
}

fn parse_count(text: &str) -> u64 {
    if text == "max" { u64::MAX } else { text.parse().unwrap_or(0) }
}

/// Lines such as `mlx4_0 hca_handle=2 hca_object=max`.
fn parse_rdma(text: &str) -> Vec<RdmaDevice> {
    let device = |line: &str| {
        let (device, rest) = line.split_once(' ')?;
        let value = |key: &str| {
            let word = rest.split(' ').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='))?;
            if word == "max" { Some(u32::MAX) } else { word.parse().ok() }
        };
        let (hca_handles, hca_objects) = (value("hca_handle")?, value("hca_object")?);
        Some(RdmaDevice { device: device.to_owned(), hca_handles, hca_objects })
    };
    text.lines().filter_map(device).collect()
}

fn parse_table(text: &str) -> BTreeMap<String, u64> {
    let pair = |line: &str| {
        let (key, value) = line.split_once(' ')?;
        Some((key.to_owned(), value.parse().ok()?))
    };
    text.lines().filter_map(pair).collect()
}

/// The sizes of huge pages as the files spell them (`2MB`), from names such as `hugepages-2048kB`.
fn page_sizes() -> Vec<String> {
    let size = |name: &str| {
        let kilobytes: u64 = name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
        Some(match kilobytes {
            1_048_576.. => format!("{}GB", kilobytes >> 20),
            1024.. => format!("{}MB", kilobytes >> 10),
            _ => format!("{kilobytes}KB"),
        })
    };
    let entries = std::fs::read_dir("/sys/kernel/mm/hugepages").into_iter().flatten().flatten();
    entries.filter_map(|entry| size(entry.file_name().to_str()?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::Dir;

    /// No kernel that is at hand has RDMA devices: a directory stands in for a cgroup of version 2.
    #[test]
    fn rdma_devices_are_told_of_as_their_files_have_them() {
        let dir = tempfile::tempdir().expect("a directory");
        for (file, text) in [
            ("rdma.max", "mlx4_0 hca_handle=2 hca_object=max\n"),
            ("rdma.current", "mlx4_0 hca_handle=1 hca_object=20\nbroken\n"),
        ] {
            std::fs::write(dir.path().join(file), text).expect("is written");
        }
        let (mount, path) = (dir.path().to_owned(), dir.path().to_owned());
        let dirs = vec![Dir { controllers: String::new(), mount, path, made: 0 }];
        let stats = serde_json::to_value(Cgroup { dirs, scope: None }.stats()).expect("is written");
        let device = |handles: u32, objects: u32| serde_json::json!({ "device": "mlx4_0", "hca_handles": handles, "hca_objects": objects });
        let want = serde_json::json!({ "limit": [device(2, u32::MAX)], "current": [device(1, 20)] });
        assert_eq!(stats["rdma"], want);
    }

    #[test]
    fn no_processor_time_yet_is_not_none() {
        let dir = tempfile::tempdir().expect("a directory");
        let (mount, path) = (dir.path().to_owned(), dir.path().to_owned());
        let dirs = vec![Dir { controllers: String::new(), mount, path, made: 0 }];
        let cgroup = Cgroup { dirs, scope: None };
        assert_eq!((cgroup.cpu_nanoseconds(), cgroup.memory_bytes()), (None, None));
        for (file, text) in [("cpu.stat", "usage_usec 0\nuser_usec 0\n"), ("memory.current", "0\n")] {
            std::fs::write(dir.path().join(file), text).expect("is written");
        }
        assert_eq!((cgroup.cpu_nanoseconds(), cgroup.memory_bytes()), (Some(0), Some(0)));
    }
}
