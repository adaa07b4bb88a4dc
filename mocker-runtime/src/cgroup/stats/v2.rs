//! Version 2: one directory, whose numbers are put where version 1 has them.

use super::{
    Amount, Blkio, Cgroup, Cpu, Hugetlb, Memory, Pressure, Stall, Stats, Throttling, Transfer, Usage,
};

impl Cgroup {
    pub(super) fn stats_v2(&self) -> Stats {
        Stats {
            cpu: self.cpu_v2(),
            memory: self.memory_v2(),
            pids: self.pids(),
            blkio: self.blkio_v2(),
            hugetlb: super::page_sizes().into_iter().filter_map(|size| self.hugetlb_v2(size)).collect(),
            rdma: self.rdma(),
            ..Stats::default()
        }
    }

    fn cpu_v2(&self) -> Cpu {
        let stat = self.table("cpu", "cpu.stat");
        let of = |name: &str| stat.get(name).copied().unwrap_or(0);
        let time = |name: &str| of(name).saturating_mul(1000);
        Cpu {
            usage: Usage {
                total: time("usage_usec"),
                kernel: time("system_usec"),
                user: time("user_usec"),
                ..Usage::default()
            },
            throttling: Throttling {
                periods: of("nr_periods"),
                throttled_periods: of("nr_throttled"),
                throttled_time: time("throttled_usec"),
            },
            psi: self.pressure("cpu"),
        }
    }

    fn memory_v2(&self) -> Memory {
        let raw = self.table("memory", "memory.stat");
        let amount = |prefix: &str| Amount {
            limit: self.count("memory", &format!("{prefix}.max")),
            usage: self.count("memory", &format!("{prefix}.current")),
            max: self.count("memory", &format!("{prefix}.peak")),
            failcnt: 0,
        };
        let (usage, swap) = (amount("memory"), amount("memory.swap"));
        // Version 1 tells of memory and swap together, and the peak of a sum is not the sum of the peaks.
        let swap = Amount {
            limit: swap.limit.saturating_add(usage.limit),
            usage: swap.usage.saturating_add(usage.usage),
            max: 0,
            failcnt: 0,
        };
        Memory {
            cache: raw.get("file").copied().unwrap_or(0),
            usage,
            swap,
            raw,
            psi: self.pressure("memory"),
            ..Memory::default()
        }
    }

    fn blkio_v2(&self) -> Blkio {
        let text = self.read("io", "io.stat").unwrap_or_default();
        let [read_bytes, written_bytes, reads, writes] =
            [("rbytes", "Read"), ("wbytes", "Write"), ("rios", "Read"), ("wios", "Write")]
                .map(|(key, op)| transfers(&text, key, op));
        Blkio {
            io_service_bytes_recursive: read_bytes.into_iter().chain(written_bytes).collect(),
            io_serviced_recursive: reads.into_iter().chain(writes).collect(),
            psi: self.pressure("io"),
            ..Blkio::default()
        }
    }

    fn hugetlb_v2(&self, size: String) -> Option<(String, Hugetlb)> {
        let current = |middle: &str| self.read("hugetlb", &format!("hugetlb.{size}{middle}.current"));
        let usage = super::parse_count(&current(".rsvd").or_else(|| current(""))?);
        let events = self.table("hugetlb", &format!("hugetlb.{size}.events"));
        let failcnt = events.get("max").copied().unwrap_or(0);
        Some((size, Hugetlb { usage, max: 0, failcnt }))
    }

    /// None where the kernel does not count it.
    fn pressure(&self, controller: &str) -> Option<Pressure> {
        self.read(controller, &format!("{controller}.pressure")).map(|text| pressure(&text))
    }
}

/// Lines `8:0 rbytes=1 wbytes=2 ...`: what one key says of each device.
fn transfers(text: &str, key: &str, op: &str) -> Vec<Transfer> {
    let parse = |line: &str| {
        let (device, rest) = line.split_once(' ')?;
        let (major, minor) = device.split_once(':')?;
        let value = rest.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('='))?;
        Some(Transfer {
            major: major.parse().ok()?,
            minor: minor.parse().ok()?,
            op: op.to_owned(),
            value: value.parse().ok()?,
        })
    };
    text.lines().filter_map(parse).collect()
}

/// Lines `some avg10=0.00 avg60=0.00 avg300=0.00 total=0` and the same of `full`.
fn pressure(text: &str) -> Pressure {
    let stall = |word: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(word)).unwrap_or_default();
        let of =
            |key: &str| line.split_whitespace().find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='));
        let average = |key: &str| of(key).and_then(|value| value.parse().ok()).unwrap_or(0.0);
        Stall {
            avg10: average("avg10"),
            avg60: average("avg60"),
            avg300: average("avg300"),
            total: of("total").and_then(|value| value.parse().ok()).unwrap_or(0),
        }
    };
    Pressure { some: stall("some"), full: stall("full") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_the_kernel_writes_them() {
        let text = "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0\n7:1 \n9:0 wbytes=5\n";
        let values: Vec<(u64, u64)> =
            transfers(text, "wbytes", "Write").iter().map(|t| (t.major, t.value)).collect();
        assert_eq!(values, [(8, 2), (9, 5)]);
        let read = pressure(
            "some avg10=1.50 avg60=0.25 avg300=0.00 total=9\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=4\n",
        );
        assert_eq!(read.some, Stall { avg10: 1.5, avg60: 0.25, avg300: 0.0, total: 9 });
        assert_eq!(read.full.total, 4);
    }
}
