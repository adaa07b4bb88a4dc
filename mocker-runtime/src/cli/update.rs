//! `update`: new limits for a container that is there.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::container::Root;
use crate::container::id::ContainerId;
use crate::container::rdt;
use crate::error::{Error, Result, WhileDoing};

/// Change the limits of a container; what is not named stays as it is
#[derive(Debug, clap::Args)]
pub(super) struct Update {
    /// linux.resources as JSON, from a file or (-) from standard input; the other options are ignored then
    #[arg(short, long, value_name = "FILE")]
    resources: Option<PathBuf>,
    #[command(flatten)]
    limits: Limits,
    /// The container
    id: ContainerId,
}

/// The same document, one word at a time.
#[derive(Debug, clap::Args)]
struct Limits {
    /// Memory in bytes, or with a unit (64M); -1 lifts the limit
    #[arg(long, value_name = "BYTES", value_parser = bytes, allow_hyphen_values = true)]
    memory: Option<i64>,
    /// Memory that is left alone while others have more
    #[arg(long, value_name = "BYTES", value_parser = bytes, allow_hyphen_values = true)]
    memory_reservation: Option<i64>,
    /// Memory and swap together; -1 lifts the limit
    #[arg(long, value_name = "BYTES", value_parser = bytes, allow_hyphen_values = true)]
    memory_swap: Option<i64>,
    #[arg(long, value_name = "BYTES", value_parser = bytes, allow_hyphen_values = true, hide = true)]
    kernel_memory: Option<i64>,
    #[arg(long, value_name = "BYTES", value_parser = bytes, allow_hyphen_values = true, hide = true)]
    kernel_memory_tcp: Option<i64>,
    /// Processor time against that of other containers: 2 to 262144, usually 1024
    #[arg(long, value_name = "N")]
    cpu_share: Option<u64>,
    /// Processor time in a period, in microseconds; -1 lifts the limit
    #[arg(long, value_name = "US", allow_hyphen_values = true)]
    cpu_quota: Option<i64>,
    /// The period, in microseconds
    #[arg(long, value_name = "US")]
    cpu_period: Option<u64>,
    /// Time left over that may be used later, in microseconds
    #[arg(long, value_name = "US")]
    cpu_burst: Option<u64>,
    /// Real-time processor time in a period, in microseconds
    #[arg(long, value_name = "US", allow_hyphen_values = true)]
    cpu_rt_runtime: Option<i64>,
    /// The period of real-time processor time, in microseconds
    #[arg(long, value_name = "US")]
    cpu_rt_period: Option<u64>,
    /// 1: run only when nobody else wants to; 0: as usual
    #[arg(long, value_name = "0|1")]
    cpu_idle: Option<i64>,
    /// The processors: 0-2,7
    #[arg(long, value_name = "LIST")]
    cpuset_cpus: Option<String>,
    /// The memory nodes: 0-2,7
    #[arg(long, value_name = "LIST")]
    cpuset_mems: Option<String>,
    /// How many tasks there may be; -1 lifts the limit
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pids_limit: Option<i64>,
    /// Disk time against that of other containers: 10 to 1000
    #[arg(long, value_name = "N")]
    blkio_weight: Option<u16>,
    /// Parts of the last cache that the container may fill: L3:0=f
    #[arg(long, value_name = "SCHEMA")]
    l3_cache_schema: Option<String>,
    /// Percentages of memory bandwidth: MB:0=20
    #[arg(long, value_name = "SCHEMA")]
    mem_bw_schema: Option<String>,
}

impl Update {
    pub(super) fn run(self, root: &Root) -> Result<()> {
        let class = self.limits.class()?;
        let mut container = root.open(&self.id)?;
        let text = match &self.resources {
            Some(file) => read(file)?,
            None => self.limits.document(),
        };
        let name = || match &self.resources {
            Some(file) => format!("parse the resources in {}", file.display()),
            None => "parse the options".to_owned(),
        };
        let resources = serde_json::from_str(&text).while_doing(name)?;
        container.update(resources, &class)
    }
}

/// The whole file, or all of standard input.
fn read(file: &Path) -> Result<String> {
    match file.to_str() {
        Some("-") => std::io::read_to_string(std::io::stdin()).while_doing(|| "read standard input"),
        _ => std::fs::read_to_string(file).while_doing(|| format!("read {}", file.display())),
    }
}

impl Limits {
    /// Lines for the resctrl file system, where there is one; the words are runc's.
    fn class(&self) -> Result<Vec<String>> {
        let given = [
            ("L3", &self.l3_cache_schema, "Intel RDT/CAT: l3 cache schema is not enabled"),
            ("MB", &self.mem_bw_schema, "Intel RDT/MBA: memory bandwidth schema is not enabled"),
        ];
        let mut lines = Vec::new();
        for (resource, line, missing) in given {
            match line.as_deref() {
                None | Some("") => {}
                Some(_) if !rdt::shares(resource) => return Err(Error::unsupported(missing)),
                Some(line) => lines.push(line.to_owned()),
            }
        }
        Ok(lines)
    }

    fn document(&self) -> String {
        json!({
            "memory": {
                "limit": self.memory,
                "reservation": self.memory_reservation,
                "swap": self.memory_swap,
                "kernel": self.kernel_memory,
                "kernelTCP": self.kernel_memory_tcp,
            },
            "cpu": {
                "shares": self.cpu_share,
                "quota": self.cpu_quota,
                "period": self.cpu_period,
                "burst": self.cpu_burst,
                "realtimeRuntime": self.cpu_rt_runtime,
                "realtimePeriod": self.cpu_rt_period,
                "idle": self.cpu_idle,
                "cpus": self.cpuset_cpus,
                "mems": self.cpuset_mems,
            },
            "pids": { "limit": self.pids_limit },
            "blockIO": { "weight": self.blkio_weight },
        })
        .to_string()
    }
}

/// A number of bytes with a unit of powers of 1024: `64M`, `1.5g`, `512KiB`; or -1.
fn bytes(text: &str) -> std::result::Result<i64, String> {
    let bad = || format!("{text:?} is not a number of bytes, with b, k, m, g, t or p behind it");
    if text == "-1" {
        return Ok(-1);
    }
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end).ok_or_else(bad)?;
    let unit = unit.trim_start().to_ascii_lowercase();
    let letter = match unit.strip_suffix("ib").filter(|letter| !letter.is_empty()) {
        Some(letter) => letter,
        None => unit.strip_suffix('b').unwrap_or(&unit),
    };
    let power = ["", "k", "m", "g", "t", "p"].iter().position(|known| *known == letter).ok_or_else(bad)?;
    let scale = 1_i64 << (10 * power);
    match number.parse::<i64>() {
        Ok(number) => number.checked_mul(scale).ok_or_else(bad),
        Err(_) => {
            let number = number.parse::<f64>().ok().ok_or_else(bad)?;
            Ok((number * scale as f64) as i64)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_units_of_1024() {
        for (text, want) in [
            ("-1", Some(-1)),
            ("0", Some(0)),
            ("4096", Some(4096)),
            ("64m", Some(64 << 20)),
            ("64MB", Some(64 << 20)),
            ("2 KiB", Some(2048)),
            ("1.5g", Some(3 << 29)),
            ("7b", Some(7)),
            ("", None),
            ("-2", None),
            ("m", None),
            ("1x", None),
            ("1ib", None),
            ("1.2.3", None),
            ("99999999p", None),
        ] {
            assert_eq!(bytes(text).ok(), want, "{text:?}");
        }
    }
}
