//! Limits of disks: blkio of version 1, io of version 2.

use super::{Otherwise, Write, Writes};
use crate::bundle::config::{BlockIo, Resources, ThrottleDevice};
use crate::error::{Error, Result};

/// The four throttles: their list, the file of version 1, the key of version 2's io.max.
type Throttle<'a> = (&'a [ThrottleDevice], &'static str, &'static str);

fn throttles<'a>(io: &'a BlockIo<'_>) -> [Throttle<'a>; 4] {
    [
        (&io.throttle_read_bps_device, "blkio.throttle.read_bps_device", "rbps"),
        (&io.throttle_write_bps_device, "blkio.throttle.write_bps_device", "wbps"),
        (&io.throttle_read_iops_device, "blkio.throttle.read_iops_device", "riops"),
        (&io.throttle_write_iops_device, "blkio.throttle.write_iops_device", "wiops"),
    ]
}

pub(super) fn version_1(resources: &Resources<'_>, out: &mut Writes) {
    let Some(io) = &resources.block_io else { return };
    if let Some(weight) = io.weight.filter(|weight| *weight != 0) {
        // The scheduler that the first was of is gone since Linux 5.0.
        let other = Otherwise::Write("blkio.bfq.weight".to_owned(), weight.to_string());
        out.add_or(Write::new("blkio", "blkio.weight", weight), other);
    }
    out.add_some("blkio", "blkio.leaf_weight", io.leaf_weight.filter(|weight| *weight != 0));
    for device in &io.weight_device {
        let line = |weight: u16| format!("{}:{} {weight}", device.major, device.minor);
        if let Some(line) = device.weight.map(line) {
            let other = Otherwise::Write("blkio.bfq.weight_device".to_owned(), line.clone());
            out.add_or(Write::new("blkio", "blkio.weight_device", line), other);
        }
        out.add_some("blkio", "blkio.leaf_weight_device", device.leaf_weight.map(line));
    }
    for (list, file, _) in throttles(io) {
        for device in list {
            out.add("blkio", file, format!("{}:{} {}", device.major, device.minor, device.rate));
        }
    }
}

pub(super) fn version_2(resources: &Resources<'_>, out: &mut Writes) -> Result<()> {
    let Some(io) = &resources.block_io else {
        return Ok(());
    };
    if io.leaf_weight.is_some_and(|weight| weight != 0)
        || io.weight_device.iter().any(|device| device.leaf_weight.is_some_and(|weight| weight != 0))
    {
        return Err(Error::unsupported("blockIO.leafWeight: cgroup version 2 has no leaf weights"));
    }
    if let Some(given) = io.weight.filter(|weight| *weight != 0) {
        let other = Otherwise::Write("io.weight".to_owned(), weight(given).to_string());
        out.add_or(Write::new("io", "io.bfq.weight", given), other);
    }
    for device in &io.weight_device {
        let line = |weight: u64| format!("{}:{} {weight}", device.major, device.minor);
        if let Some(given) = device.weight {
            let other = Otherwise::Write("io.weight".to_owned(), line(weight(given)));
            out.add_or(Write::new("io", "io.bfq.weight", line(given.into())), other);
        }
    }
    for (list, _, key) in throttles(io) {
        for device in list {
            out.add("io", "io.max", format!("{}:{} {key}={}", device.major, device.minor, device.rate));
        }
    }
    Ok(())
}

/// The scale of the BFQ scheduler is version 1's. Where it is not there: 10 to 1000 of version 1 to 1 to 10000 of version 2, linearly, as the kernel's documentation has it.
fn weight(weight: u16) -> u64 {
    1 + (u64::from(weight).max(10) - 10) * 9999 / 990
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_the_weight_scales_meet() {
        for (v1, v2) in [(10, 1), (1000, 10_000), (0, 1)] {
            assert_eq!(weight(v1), v2);
        }
    }
}
