//! The messages of criu's rpc.proto, as far as they are used.

use super::wire::{Message, Value, fields};
use crate::error::{Error, Kind, Result};

/// Numbers of `criu_opts`.
pub(super) mod field {
    pub(crate) const IMAGES_DIR_FD: u32 = 1;
    pub(crate) const PID: u32 = 2;
    pub(crate) const LEAVE_RUNNING: u32 = 3;
    pub(crate) const EXT_UNIX_SK: u32 = 4;
    pub(crate) const TCP_ESTABLISHED: u32 = 5;
    pub(crate) const EVASIVE_DEVICES: u32 = 6;
    pub(crate) const SHELL_JOB: u32 = 7;
    pub(crate) const FILE_LOCKS: u32 = 8;
    pub(crate) const LOG_LEVEL: u32 = 9;
    pub(crate) const LOG_FILE: u32 = 10;
    pub(crate) const PAGE_SERVER: u32 = 11;
    pub(crate) const NOTIFY_SCRIPTS: u32 = 12;
    pub(crate) const ROOT: u32 = 13;
    pub(crate) const PARENT_IMG: u32 = 14;
    pub(crate) const TRACK_MEM: u32 = 15;
    pub(crate) const AUTO_DEDUP: u32 = 16;
    pub(crate) const WORK_DIR_FD: u32 = 17;
    pub(crate) const LINK_REMAP: u32 = 18;
    pub(crate) const EXT_MNT: u32 = 23;
    pub(crate) const MANAGE_CGROUPS: u32 = 24;
    pub(crate) const CG_ROOT: u32 = 25;
    pub(crate) const RST_SIBLING: u32 = 26;
    pub(crate) const INHERIT_FD: u32 = 27;
    pub(crate) const MANAGE_CGROUPS_MODE: u32 = 34;
    pub(crate) const EXTERNAL: u32 = 37;
    pub(crate) const EMPTY_NS: u32 = 38;
    pub(crate) const JOIN_NS: u32 = 39;
    pub(crate) const FREEZE_CGROUP: u32 = 44;
    pub(crate) const TCP_SKIP_IN_FLIGHT: u32 = 46;
    pub(crate) const LAZY_PAGES: u32 = 48;
    pub(crate) const ORPHAN_PTS_MASTER: u32 = 50;
    pub(crate) const CONFIG_FILE: u32 = 51;
    pub(crate) const TCP_CLOSE: u32 = 52;
    pub(crate) const LSM_PROFILE: u32 = 53;
    pub(crate) const LSM_MOUNT_CONTEXT: u32 = 63;
    pub(crate) const NETWORK_LOCK: u32 = 64;
}

/// `criu_req_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Empty = 0,
    Dump = 1,
    Restore = 2,
    PreDump = 4,
    Notify = 6,
    FeatureCheck = 9,
    Version = 10,
}

/// The types that criu answers us with.
const TYPES: [(Type, &str); 7] = [
    (Type::Empty, "EMPTY"),
    (Type::Dump, "DUMP"),
    (Type::Restore, "RESTORE"),
    (Type::PreDump, "PRE_DUMP"),
    (Type::Notify, "NOTIFY"),
    (Type::FeatureCheck, "FEATURE_CHECK"),
    (Type::Version, "VERSION"),
];

impl Type {
    /// The word of rpc.proto, which runc's errors have too.
    pub(super) fn name(self) -> &'static str {
        TYPES.iter().find(|(kind, _)| *kind == self).map_or("EMPTY", |(_, name)| name)
    }

    fn read(number: i32) -> Result<Self> {
        let known = TYPES.iter().find(|(kind, _)| *kind as i32 == number);
        known.map(|(kind, _)| *kind).ok_or_else(|| {
            Error::new(Kind::Internal, format!("criu sent a message of the unknown type {number}"))
        })
    }
}

/// `criu_opts`, which grows field by field.
#[derive(Debug, Default, Clone)]
pub(super) struct Request(Message);

impl Request {
    pub(super) fn int(&mut self, number: u32, value: i32) {
        self.0.int(number, value.into());
    }

    pub(super) fn flag(&mut self, number: u32, value: bool) {
        self.0.int(number, value.into());
    }

    pub(super) fn text(&mut self, number: u32, value: &str) {
        self.0.bytes(number, value.as_bytes());
    }

    /// `ext_mount_map`, `join_namespace`, `cgroup_root`: two strings.
    pub(super) fn pair(&mut self, number: u32, first: &str, second: &str) {
        let mut pair = Message::default();
        pair.bytes(1, first.as_bytes());
        pair.bytes(2, second.as_bytes());
        self.0.bytes(number, pair.as_bytes());
    }

    /// `inherit_fd`, `criu_page_server_info`: a string and a number.
    pub(super) fn numbered(&mut self, number: u32, text: &str, value: i32) {
        let mut pair = Message::default();
        pair.bytes(1, text.as_bytes());
        pair.int(2, value.into());
        self.0.bytes(number, pair.as_bytes());
    }

    /// The whole `criu_req`.
    pub(super) fn message(&self, kind: Type) -> Message {
        let mut message = Message::default();
        message.int(1, kind as i64);
        message.bytes(2, self.0.as_bytes());
        message
    }
}

/// Asks for the version, and lets more be asked.
pub(super) fn version() -> Message {
    let mut message = Message::default();
    message.int(1, Type::Version as i64);
    message.int(4, 1);
    message
}

/// Asks whether this kernel gives criu a feature, and lets more be asked.
pub(super) fn feature(feature: Feature) -> Message {
    let mut features = Message::default();
    features.int(feature as u32, 1);
    let mut message = Message::default();
    message.int(1, Type::FeatureCheck as i64);
    message.int(4, 1);
    message.bytes(5, features.as_bytes());
    message
}

/// The answer to a notification: whether criu may go on.
pub(super) fn notified(success: bool) -> Message {
    let mut message = Message::default();
    message.int(1, Type::Notify as i64);
    message.int(3, success.into());
    message
}

/// Numbers of `criu_features`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Feature {
    MemTrack = 1,
    LazyPages = 2,
}

/// `criu_resp`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Response {
    pub(super) kind: Type,
    pub(super) success: bool,
    /// Of a restore: init as this process sees it
    pub(super) pid: Option<i32>,
    /// Of a notification: its name and, with some, init's pid
    pub(super) notify: Option<(String, Option<i32>)>,
    pub(super) errno: Option<i32>,
    /// criu's first error, from 3.14 on
    pub(super) message: Option<String>,
    /// Of a feature check: the numbers of those that are there
    pub(super) features: Vec<u32>,
    /// Of a version: major, minor, sublevel as one number, 31700 for 3.17
    pub(super) version: i32,
}

impl Response {
    pub(super) fn read(bytes: &[u8]) -> Result<Self> {
        let mut response = Self {
            kind: Type::Empty,
            success: false,
            pid: None,
            notify: None,
            errno: None,
            message: None,
            features: Vec::new(),
            version: 0,
        };
        for (number, value) in fields(bytes)? {
            match (number, value) {
                (1, value) => response.kind = Type::read(value.int().unwrap_or(-1))?,
                (2, value) => response.success = value.int() == Some(1),
                (4, Value::Bytes(inner)) => response.pid = inner_int(inner, 1)?,
                (5, Value::Bytes(inner)) => {
                    let script = fields(inner)?.into_iter().find(|(number, _)| *number == 1);
                    let script = script.and_then(|(_, value)| value.text()).unwrap_or_default();
                    response.notify = Some((script, inner_int(inner, 2)?));
                }
                (7, value) => response.errno = value.int(),
                (8, Value::Bytes(inner)) => {
                    let set = fields(inner)?.into_iter().filter(|(_, value)| *value == Value::Int(1));
                    response.features = set.map(|(number, _)| number).collect();
                }
                (9, value) => response.message = value.text().map(|text| text.trim().to_owned()),
                (10, Value::Bytes(inner)) => {
                    let part = |number| inner_int(inner, number).map(Option::unwrap_or_default);
                    response.version = part(1)? * 10_000 + part(2)? * 100 + part(4)?;
                }
                _ => {}
            }
        }
        response.message = response.message.filter(|message| !message.is_empty());
        Ok(response)
    }
}

fn inner_int(bytes: &[u8], number: u32) -> Result<Option<i32>> {
    let found = fields(bytes)?.into_iter().find(|(found, _)| *found == number);
    Ok(found.and_then(|(_, value)| value.int()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notification_has_its_name_and_perhaps_a_pid() {
        let mut notify = Message::default();
        notify.bytes(1, b"post-restore");
        notify.int(2, 77);
        let mut message = Message::default();
        message.int(1, 6);
        message.int(2, 1);
        message.bytes(5, notify.as_bytes());
        let response = Response::read(message.as_bytes()).expect("reads");
        assert_eq!((response.kind, response.success), (Type::Notify, true));
        assert_eq!(response.notify, Some(("post-restore".to_owned(), Some(77))));
    }

    #[test]
    fn a_version_is_one_number() {
        for (parts, want) in [([4, 2, 1], 40_201), ([3, 17, 0], 31_700)] {
            let mut version = Message::default();
            for (number, part) in [1, 2, 4].into_iter().zip(parts) {
                version.int(number, part);
            }
            let mut message = Message::default();
            message.int(1, 10);
            message.bytes(10, version.as_bytes());
            assert_eq!(Response::read(message.as_bytes()).expect("reads").version, want);
        }
    }

    #[test]
    fn a_type_that_nobody_knows_is_an_error() {
        let mut message = Message::default();
        message.int(1, 99);
        let error = Response::read(message.as_bytes()).expect_err("must fail");
        assert_eq!(error.to_string(), "criu sent a message of the unknown type 99");
    }
}
