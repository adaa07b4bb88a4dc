//! config-linux.md "Control groups".

use std::collections::BTreeMap;

use serde::Deserialize;

use super::text::Text;
use super::{list, map};

tables! {
    /// config-linux.md "Control groups".
    Resources {
        #[serde(borrow, deserialize_with = "map")]
        unified: BTreeMap<Text<'a>, Text<'a>>,
        #[serde(deserialize_with = "list")]
        devices: Vec<DeviceRule<'a>>,
        pids: Option<Pids>,
        #[serde(rename = "blockIO")]
        block_io: Option<BlockIo<'a>>,
        cpu: Option<Cpu<'a>>,
        #[serde(deserialize_with = "list")]
        hugepage_limits: Vec<HugepageLimit<'a>>,
        memory: Option<Memory>,
        network: Option<Network<'a>>,
        #[serde(deserialize_with = "map")]
        rdma: BTreeMap<Text<'a>, Rdma>,
    }

    /// A rule of the device controller; no number means all.
    DeviceRule {
        allow: bool,
        #[serde(borrow, rename = "type")]
        kind: Option<Text<'a>>,
        major: Option<i64>,
        minor: Option<i64>,
        access: Option<Text<'a>>,
    }

    /// Weights (10 to 1000) and throttles (a second).
    BlockIo {
        weight: Option<u16>,
        leaf_weight: Option<u16>,
        #[serde(deserialize_with = "list")]
        weight_device: Vec<WeightDevice>,
        #[serde(deserialize_with = "list")]
        throttle_read_bps_device: Vec<ThrottleDevice>,
        #[serde(deserialize_with = "list")]
        throttle_write_bps_device: Vec<ThrottleDevice>,
        #[serde(rename = "throttleReadIOPSDevice", deserialize_with = "list")]
        throttle_read_iops_device: Vec<ThrottleDevice>,
        #[serde(rename = "throttleWriteIOPSDevice", deserialize_with = "list")]
        throttle_write_iops_device: Vec<ThrottleDevice>,
    }

    /// Shares, bandwidth (microseconds) and the processors.
    Cpu {
        shares: Option<u64>,
        quota: Option<i64>,
        burst: Option<u64>,
        period: Option<u64>,
        realtime_runtime: Option<i64>,
        realtime_period: Option<u64>,
        #[serde(borrow)]
        cpus: Option<Text<'a>>,
        mems: Option<Text<'a>>,
        idle: Option<i64>,
    }

    /// A page size ("2MB") and its limit in bytes.
    HugepageLimit {
        #[serde(borrow)]
        page_size: Text<'a>,
        limit: u64,
    }

    /// The class of outgoing packets and priorities of interfaces.
    Network {
        #[serde(rename = "classID")]
        class_id: Option<u32>,
        #[serde(borrow, deserialize_with = "list")]
        priorities: Vec<InterfacePriority<'a>>,
    }

    /// An interface of the runtime's network namespace and the priority of packets through it.
    InterfacePriority {
        #[serde(borrow)]
        name: Text<'a>,
        priority: u32,
    }
}

/// The number of tasks; -1 means no limit, and 0 is a limit like any.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Pids {
    pub(crate) limit: Option<i64>,
}

/// A block device and its weights.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct WeightDevice {
    pub(crate) major: i64,
    pub(crate) minor: i64,
    pub(crate) weight: Option<u16>,
    pub(crate) leaf_weight: Option<u16>,
}

/// A block device and its rate a second, in bytes or operations.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ThrottleDevice {
    pub(crate) major: i64,
    pub(crate) minor: i64,
    pub(crate) rate: u64,
}

/// Bytes, where -1 means no limit; swappiness 0 to 100.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Memory {
    pub(crate) limit: Option<i64>,
    pub(crate) reservation: Option<i64>,
    pub(crate) swap: Option<i64>,
    pub(crate) kernel: Option<i64>,
    #[serde(rename = "kernelTCP")]
    pub(crate) kernel_tcp: Option<i64>,
    pub(crate) swappiness: Option<u64>,
    #[serde(rename = "disableOOMKiller")]
    pub(crate) disable_oom_killer: Option<bool>,
    pub(crate) use_hierarchy: Option<bool>,
    pub(crate) check_before_update: Option<bool>,
}

/// Handles and objects of an RDMA device.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Rdma {
    pub(crate) hca_handles: Option<u32>,
    pub(crate) hca_objects: Option<u32>,
}
