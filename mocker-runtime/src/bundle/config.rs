//! `config.json` as the specification defines it for Linux, borrowed from the file's bytes.
//!
//! Read once on the hot path of every create, so it is lenient (what no schema knows is ignored, as
//! config.md "Extensibility" demands) and copies no string that has no escape in it. It holds every
//! property of runtime-spec 1.3, so that none can be dropped unseen: `check` and `plan` must each
//! decide what becomes of it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// A string of the file: borrowed unless it holds an escape. (`Cow` alone borrows only at the top level.)
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Text<'a>(pub(crate) Cow<'a, str>);

impl Deref for Text<'_> {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

/// A list that may be absent or `null`, both of which mean empty.
fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::<Vec<T>>::deserialize(deserializer)?.unwrap_or_default())
}

/// A map that may be absent or `null`, both of which mean empty.
fn map<'de, D, K, V>(deserializer: D) -> Result<BTreeMap<K, V>, D::Error>
where
    D: Deserializer<'de>,
    K: Deserialize<'de> + Ord,
    V: Deserialize<'de>,
{
    Ok(Option::<BTreeMap<K, V>>::deserialize(deserializer)?.unwrap_or_default())
}

/// Defines structs whose every field has a default, with the file's camelCase names.
macro_rules! tables {
    ($($(#[$doc:meta])* $name:ident { $($(#[$attr:meta])* $field:ident: $type:ty,)* })*) => { $(
        $(#[$doc])*
        #[derive(Debug, Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        pub(crate) struct $name<'a> {
            $($(#[$attr])* pub(crate) $field: $type,)*
            #[serde(skip)]
            _file: std::marker::PhantomData<&'a ()>,
        }
    )* };
}

tables! {
    /// The whole file.
    Config {
        oci_version: Text<'a>,
        #[serde(borrow)]
        root: Option<Root<'a>>,
        process: Option<Process<'a>>,
        hostname: Option<Text<'a>>,
        domainname: Option<Text<'a>>,
        #[serde(deserialize_with = "list")]
        mounts: Vec<Mount<'a>>,
        hooks: Option<Hooks>,
        #[serde(deserialize_with = "map")]
        annotations: BTreeMap<Text<'a>, Text<'a>>,
        linux: Option<Linux<'a>>,
        vm: Option<&'a RawValue>,
    }

    /// config.md "Root".
    Root {
        #[serde(borrow)]
        path: Text<'a>,
        readonly: bool,
    }

    /// config.md "Process".
    Process {
        terminal: bool,
        console_size: Option<ConsoleSize<'a>>,
        #[serde(borrow)]
        user: User<'a>,
        #[serde(deserialize_with = "list")]
        args: Vec<Text<'a>>,
        #[serde(deserialize_with = "list")]
        env: Vec<Text<'a>>,
        cwd: Text<'a>,
        #[serde(deserialize_with = "list")]
        rlimits: Vec<Rlimit<'a>>,
        capabilities: Option<Capabilities<'a>>,
        no_new_privileges: bool,
        apparmor_profile: Option<Text<'a>>,
        oom_score_adj: Option<i32>,
        scheduler: Option<Scheduler<'a>>,
        selinux_label: Option<Text<'a>>,
        io_priority: Option<IoPriority<'a>>,
        #[serde(rename = "execCPUAffinity")]
        exec_cpu_affinity: Option<&'a RawValue>,
    }

    /// The terminal's size, in characters.
    ConsoleSize {
        height: u16,
        width: u16,
    }

    /// config.md "POSIX-platform User".
    User {
        uid: u32,
        gid: u32,
        umask: Option<u32>,
        #[serde(deserialize_with = "list")]
        additional_gids: Vec<u32>,
    }

    /// getrlimit(2): name and both limits.
    Rlimit {
        #[serde(borrow, rename = "type")]
        kind: Text<'a>,
        soft: u64,
        hard: u64,
    }

    /// capabilities(7): the five sets.
    Capabilities {
        #[serde(borrow, deserialize_with = "list")]
        bounding: Vec<Text<'a>>,
        #[serde(deserialize_with = "list")]
        effective: Vec<Text<'a>>,
        #[serde(deserialize_with = "list")]
        inheritable: Vec<Text<'a>>,
        #[serde(deserialize_with = "list")]
        permitted: Vec<Text<'a>>,
        #[serde(deserialize_with = "list")]
        ambient: Vec<Text<'a>>,
    }

    /// sched_setattr(2); times in nanoseconds.
    Scheduler {
        #[serde(borrow)]
        policy: Text<'a>,
        nice: i32,
        priority: i32,
        #[serde(deserialize_with = "list")]
        flags: Vec<Text<'a>>,
        runtime: u64,
        deadline: u64,
        period: u64,
    }

    /// ioprio_set(2).
    IoPriority {
        #[serde(borrow)]
        class: Text<'a>,
        priority: i32,
    }

    /// config.md "Mounts".
    Mount {
        #[serde(borrow)]
        destination: Text<'a>,
        #[serde(rename = "type")]
        kind: Option<Text<'a>>,
        source: Option<Text<'a>>,
        #[serde(deserialize_with = "list")]
        options: Vec<Text<'a>>,
        #[serde(deserialize_with = "list")]
        uid_mappings: Vec<IdMapping>,
        #[serde(deserialize_with = "list")]
        gid_mappings: Vec<IdMapping>,
    }

    /// config-linux.md.
    Linux {
        #[serde(borrow, deserialize_with = "list")]
        namespaces: Vec<Namespace<'a>>,
        #[serde(deserialize_with = "list")]
        uid_mappings: Vec<IdMapping>,
        #[serde(deserialize_with = "list")]
        gid_mappings: Vec<IdMapping>,
        #[serde(deserialize_with = "map")]
        time_offsets: BTreeMap<Text<'a>, TimeOffset>,
        #[serde(deserialize_with = "list")]
        devices: Vec<Device<'a>>,
        #[serde(deserialize_with = "map")]
        net_devices: BTreeMap<Text<'a>, &'a RawValue>,
        cgroups_path: Option<Text<'a>>,
        resources: Option<Resources<'a>>,
        intel_rdt: Option<&'a RawValue>,
        memory_policy: Option<&'a RawValue>,
        #[serde(deserialize_with = "map")]
        sysctl: BTreeMap<Text<'a>, Text<'a>>,
        seccomp: Option<Seccomp<'a>>,
        rootfs_propagation: Option<Text<'a>>,
        #[serde(deserialize_with = "list")]
        masked_paths: Vec<Text<'a>>,
        #[serde(deserialize_with = "list")]
        readonly_paths: Vec<Text<'a>>,
        mount_label: Option<Text<'a>>,
        personality: Option<Personality<'a>>,
    }

    /// namespaces(7): a new one, or that of a path.
    Namespace {
        #[serde(borrow, rename = "type")]
        kind: Text<'a>,
        path: Option<Text<'a>>,
    }

    /// config-linux.md "Seccomp".
    Seccomp {
        #[serde(borrow)]
        default_action: Text<'a>,
        default_errno_ret: Option<u32>,
        #[serde(deserialize_with = "list")]
        architectures: Vec<Text<'a>>,
        flags: Option<Vec<Text<'a>>>,
        listener_path: Option<Text<'a>>,
        listener_metadata: Option<Text<'a>>,
        #[serde(deserialize_with = "list")]
        syscalls: Vec<SeccompRule<'a>>,
    }

    /// What happens to some system calls.
    SeccompRule {
        #[serde(borrow, deserialize_with = "list")]
        names: Vec<Text<'a>>,
        action: Text<'a>,
        errno_ret: Option<u32>,
        #[serde(deserialize_with = "list")]
        args: Vec<SeccompArg<'a>>,
    }

    /// A condition on an argument, 0 to 5; `value_two` is for the masked operator.
    SeccompArg {
        index: u32,
        value: u64,
        value_two: u64,
        #[serde(borrow)]
        op: Text<'a>,
    }

    /// A node to make below /dev.
    Device {
        #[serde(borrow)]
        path: Text<'a>,
        #[serde(rename = "type")]
        kind: Text<'a>,
        major: Option<i64>,
        minor: Option<i64>,
        file_mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
    }

    /// personality(2).
    Personality {
        #[serde(borrow)]
        domain: Text<'a>,
        #[serde(deserialize_with = "list")]
        flags: Vec<Text<'a>>,
    }

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

/// A range of ids: inside, outside, how many.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct IdMapping {
    #[serde(rename = "containerID")]
    pub(crate) container_id: u32,
    #[serde(rename = "hostID")]
    pub(crate) host_id: u32,
    pub(crate) size: u32,
}

/// What a clock of a time namespace is ahead by.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub(crate) struct TimeOffset {
    pub(crate) secs: i64,
    pub(crate) nanosecs: u32,
}

/// The number of tasks; zero and less mean no limit in config.json (runc's reading of the spec).
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

/// config.md "POSIX-platform Hooks". Owned: the record keeps the later ones.
#[derive(Debug, Clone, Default, Deserialize, serde::Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Hooks {
    #[serde(deserialize_with = "list")]
    pub(crate) prestart: Vec<Hook>,
    #[serde(deserialize_with = "list")]
    pub(crate) create_runtime: Vec<Hook>,
    #[serde(deserialize_with = "list")]
    pub(crate) create_container: Vec<Hook>,
    #[serde(deserialize_with = "list")]
    pub(crate) start_container: Vec<Hook>,
    #[serde(deserialize_with = "list")]
    pub(crate) poststart: Vec<Hook>,
    #[serde(deserialize_with = "list")]
    pub(crate) poststop: Vec<Hook>,
}

/// One program to run; its timeout in seconds.
#[derive(Debug, Clone, Default, Deserialize, serde::Serialize)]
#[serde(default)]
pub(crate) struct Hook {
    pub(crate) path: String,
    #[serde(deserialize_with = "list")]
    pub(crate) args: Vec<String>,
    #[serde(deserialize_with = "list")]
    pub(crate) env: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) timeout: Option<i64>,
}

impl Hooks {
    /// The six lists with their names, in the order of the life cycle.
    pub(crate) fn phases(&self) -> [(&'static str, &[Hook]); 6] {
        [
            ("prestart", &self.prestart),
            ("createRuntime", &self.create_runtime),
            ("createContainer", &self.create_container),
            ("startContainer", &self.start_container),
            ("poststart", &self.poststart),
            ("poststop", &self.poststop),
        ]
    }
}
