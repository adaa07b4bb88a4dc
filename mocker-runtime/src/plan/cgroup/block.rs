//! Limits of disks: blkio of version 1, io of version 2.

use super::Writes;
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
    out.add_some("blkio", "blkio.weight", io.weight.filter(|weight| *weight != 0));
    out.add_some("blkio", "blkio.leaf_weight", io.leaf_weight.filter(|weight| *weight != 0));
    for device in &io.weight_device {
        let line = |weight: u16| format!("{}:{} {weight}", device.major, device.minor);
        out.add_some("blkio", "blkio.weight_device", device.weight.map(line));
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
    out.add_some("io", "io.weight", io.weight.filter(|weight| *weight != 0).map(weight));
    for device in &io.weight_device {
        let line = device.weight.map(|w| format!("{}:{} {}", device.major, device.minor, weight(w)));
        out.add_some("io", "io.weight", line);
    }
    for (list, _, key) in throttles(io) {
        for device in list {
            out.add("io", "io.max", format!("{}:{} {key}={}", device.major, device.minor, device.rate));
        }
    }
    Ok(())
}

/// 10 to 1000 of version 1 to 1 to 10000 of version 2, linearly, as the kernel's documentation has it.
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
