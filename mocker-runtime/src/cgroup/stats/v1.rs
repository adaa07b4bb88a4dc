//! Version 1: a hierarchy for each controller.

use super::{Amount, Blkio, Cgroup, Cpu, Cpuset, Hugetlb, Memory, Stats, Throttling, Transfer, Usage};

/// A clock tick in nanoseconds: USER_HZ is 100 on every architecture.
const TICK: u64 = 10_000_000;

impl Cgroup {
    pub(super) fn stats_v1(&self) -> Stats {
        Stats {
            cpu: self.cpu_v1(),
            cpuset: self.cpuset_v1(),
            memory: self.memory_v1(),
            pids: self.pids(),
            blkio: self.blkio_v1(),
            hugetlb: super::page_sizes().into_iter().filter_map(|size| self.hugetlb_v1(size)).collect(),
            rdma: self.rdma(),
            ..Stats::default()
        }
    }

    fn cpu_v1(&self) -> Cpu {
        let stat = self.table("cpu", "cpu.stat");
        let ticks = self.table("cpuacct", "cpuacct.stat");
        let of = |name: &str| stat.get(name).copied().unwrap_or(0);
        let time = |name: &str| ticks.get(name).copied().unwrap_or(0).saturating_mul(TICK);
        let percpu = self.read("cpuacct", "cpuacct.usage_percpu").unwrap_or_default();
        // cpu user system
        let all = self.read("cpuacct", "cpuacct.usage_all").unwrap_or_default();
        let column = |at: usize| {
            let lines = all.lines().skip(1);
            lines.filter_map(|line| line.split_whitespace().nth(at)?.parse().ok()).collect()
        };
        Cpu {
            usage: Usage {
                total: self.count("cpuacct", "cpuacct.usage"),
                percpu: percpu.split_whitespace().filter_map(|word| word.parse().ok()).collect(),
                percpu_kernel: column(2),
                percpu_user: column(1),
                kernel: time("system"),
                user: time("user"),
            },
            throttling: Throttling {
                periods: of("nr_periods"),
                throttled_periods: of("nr_throttled"),
                throttled_time: of("throttled_time"),
            },
            psi: None,
        }
    }

    fn cpuset_v1(&self) -> Cpuset {
        let list = |file: &str| ids(&self.read("cpuset", file).unwrap_or_default());
        let count = |file: &str| self.count("cpuset", file);
        let level = self.read("cpuset", "cpuset.sched_relax_domain_level");
        Cpuset {
            cpus: list("cpuset.cpus"),
            cpu_exclusive: count("cpuset.cpu_exclusive"),
            mems: list("cpuset.mems"),
            mem_hardwall: count("cpuset.mem_hardwall"),
            mem_exclusive: count("cpuset.mem_exclusive"),
            memory_migrate: count("cpuset.memory_migrate"),
            memory_spread_page: count("cpuset.memory_spread_page"),
            memory_spread_slab: count("cpuset.memory_spread_slab"),
            memory_pressure: count("cpuset.memory_pressure"),
            sched_load_balance: count("cpuset.sched_load_balance"),
            sched_relax_domain_level: level.and_then(|text| text.parse().ok()).unwrap_or(0),
        }
    }

    fn memory_v1(&self) -> Memory {
        let raw = self.table("memory", "memory.stat");
        let amount = |prefix: &str| {
            let count = |end: &str| self.count("memory", &format!("{prefix}.{end}"));
            Amount {
                limit: count("limit_in_bytes"),
                usage: count("usage_in_bytes"),
                max: count("max_usage_in_bytes"),
                failcnt: count("failcnt"),
            }
        };
        Memory {
            cache: raw.get("cache").copied().unwrap_or(0),
            usage: amount("memory"),
            swap: amount("memory.memsw"),
            kernel: amount("memory.kmem"),
            kernel_tcp: amount("memory.kmem.tcp"),
            raw,
            psi: None,
        }
    }

    /// The files of the scheduler bfq where it is in use, else those of the throttles.
    fn blkio_v1(&self) -> Blkio {
        let read = |file: &str| self.read("blkio", file).map(|text| transfers(&text));
        let bfq = |name: &str| read(&format!("blkio.bfq.{name}_recursive")).unwrap_or_default();
        let common = |name: &str| {
            [format!("blkio.bfq.{name}_recursive"), format!("blkio.throttle.{name}_recursive")]
                .iter()
                .filter_map(|file| read(file))
                .find(|list| !list.is_empty())
                .unwrap_or_default()
        };
        Blkio {
            io_service_bytes_recursive: common("io_service_bytes"),
            io_serviced_recursive: common("io_serviced"),
            io_queue_recursive: bfq("io_queued"),
            io_service_time_recursive: bfq("io_service_time"),
            io_wait_time_recursive: bfq("io_wait_time"),
            io_merged_recursive: bfq("io_merged"),
            io_time_recursive: bfq("time"),
            sectors_recursive: bfq("sectors"),
            psi: None,
        }
    }

    fn hugetlb_v1(&self, size: String) -> Option<(String, Hugetlb)> {
        let files =
            |prefix: String| self.read("hugetlb", &format!("{prefix}.usage_in_bytes")).map(|_| prefix);
        let prefix = files(format!("hugetlb.{size}.rsvd")).or_else(|| files(format!("hugetlb.{size}")))?;
        let count = |end: &str| self.count("hugetlb", &format!("{prefix}.{end}"));
        let (usage, max) = (count("usage_in_bytes"), count("max_usage_in_bytes"));
        Some((size, Hugetlb { usage, max, failcnt: count("failcnt") }))
    }
}

/// `0-2,7` to its numbers.
fn ids(list: &str) -> Vec<u16> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse::<u16>().ok()?..=last.parse().ok()?)
    };
    list.split(',').filter_map(range).flatten().collect()
}

/// Lines `8:0 Read 512` or `8:0 512`; the line of the total is none.
fn transfers(text: &str) -> Vec<Transfer> {
    let parse = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (device, op, value) = match words[..] {
            [device, op, value] => (device, op, value),
            [device, value] => (device, "", value),
            _ => return None,
        };
        let (major, minor) = device.split_once(':')?;
        Some(Transfer {
            major: major.parse().ok()?,
            minor: minor.parse().ok()?,
            op: op.to_owned(),
            value: value.parse().ok()?,
        })
    };
    text.lines().filter_map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_lines_are_read_as_the_kernel_writes_them() {
        assert_eq!(ids("0-2,7"), [0, 1, 2, 7]);
        assert!(ids("").is_empty());
        let read = transfers("8:0 Read 512\n8:16 7\nTotal 519\n");
        let want = |minor, op: &str, value| Transfer { major: 8, minor, op: op.to_owned(), value };
        assert_eq!(read, [want(0, "Read", 512), want(16, "", 7)]);
    }
}
