//! `config.json` as the specification defines it for Linux, borrowed from the file's bytes.
//!
//! Read once on the hot path of every create, so it is lenient (what no schema knows is ignored, as
//! config.md "Extensibility" demands) and copies no string that has no escape in it. It holds every
//! property of runtime-spec 1.3, so that none can be dropped unseen: `check` and `plan` must each
//! decide what becomes of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

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
        #[derive(Debug, Default, Clone, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        pub(crate) struct $name<'a> {
            $($(#[$attr])* pub(crate) $field: $type,)*
            #[serde(skip)]
            _file: std::marker::PhantomData<&'a ()>,
        }
    )* };
}

mod resources;
mod text;

pub(crate) use resources::{BlockIo, Cpu, DeviceRule, Memory, Resources, ThrottleDevice};
pub(crate) use text::Text;

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
        windows: Option<&'a RawValue>,
        solaris: Option<&'a RawValue>,
        zos: Option<&'a RawValue>,
        freebsd: Option<&'a RawValue>,
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
        command_line: Option<Text<'a>>,
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
        exec_cpu_affinity: Option<CpuAffinity<'a>>,
    }

    /// Lists of processors such as `0-3,7`: before and after a process of `exec` enters the container's cgroup.
    CpuAffinity {
        #[serde(borrow)]
        initial: Option<Text<'a>>,
        #[serde(rename = "final")]
        last: Option<Text<'a>>,
    }

    /// The terminal's size, in characters.
    ConsoleSize {
        height: u16,
        width: u16,
    }

    /// config.md "POSIX-platform User".
    User {
        #[serde(borrow)]
        username: Option<Text<'a>>,
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
        net_devices: BTreeMap<Text<'a>, Option<NetDevice<'a>>>,
        cgroups_path: Option<Text<'a>>,
        resources: Option<Resources<'a>>,
        intel_rdt: Option<IntelRdt<'a>>,
        memory_policy: Option<MemoryPolicy<'a>>,
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

    /// A network device of the runtime's that moves into the container, under another name if one is given.
    NetDevice {
        #[serde(borrow)]
        name: Option<Text<'a>>,
    }

    /// config-linux.md "IntelRdt".
    IntelRdt {
        #[serde(borrow, rename = "closID")]
        clos_id: Option<Text<'a>>,
        #[serde(deserialize_with = "list")]
        schemata: Vec<Text<'a>>,
        l3_cache_schema: Option<Text<'a>>,
        mem_bw_schema: Option<Text<'a>>,
        enable_monitoring: bool,
    }

    /// set_mempolicy(2).
    MemoryPolicy {
        #[serde(borrow)]
        mode: Text<'a>,
        nodes: Option<Text<'a>>,
        #[serde(deserialize_with = "list")]
        flags: Vec<Text<'a>>,
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
}

/// A range of ids: inside, outside, how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
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

impl Config<'_> {
    /// Where the profile names no supervisor of its own, crun's annotation from before there was a property for it.
    pub(super) fn find_receiver(&mut self) {
        let found = self.annotations.iter().find(|(name, _)| name.0 == "run.oci.seccomp.receiver");
        let seccomp = self.linux.as_mut().and_then(|linux| linux.seccomp.as_mut());
        if let (Some((_, path)), Some(seccomp)) = (found, seccomp)
            && seccomp.listener_path.as_ref().is_none_or(|path| path.is_empty())
        {
            seccomp.listener_path = Some(path.clone());
        }
    }
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
