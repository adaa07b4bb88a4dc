//! Checkpoint and restore: the work is criu's (<https://criu.org>), asked for through its RPC.
//!
//! ```text
//!   this program                       criu swrk FD      (over one SOCK_SEQPACKET pair)
//!   VERSION, FEATURE_CHECK  ->    <-   which it is, what this kernel gives it
//!   DUMP | PRE_DUMP | RESTORE ->
//!                                 <-   NOTIFY script, pid, perhaps a descriptor     (as often as it likes)
//!   NOTIFY success          ->
//!                                 <-   DUMP | PRE_DUMP | RESTORE success, or errno and message
//! ```
//!
//! criu knows nothing of containers. So it is told which mounts are not the container's own and come from
//! the host again (`external`), which namespaces are somebody else's, which of the standard streams lead out
//! ([`stdio`]), which cgroup stops everybody while it looks, and where the root file system is. The images are
//! those that runc makes and reads: the same names for everything external, the same `descriptors.json`.
//!
//! `container` decides what may be checkpointed and what a restored container is; nothing is printed here.

mod criu;
pub(crate) mod dump;
mod external;
pub(crate) mod restore;
mod rpc;
pub(crate) mod stdio;
mod wire;

use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::error::{Error, Result, WhileDoing};
use crate::plan::Plan;
use crate::sys::path;
use rpc::{Request, Response, field};

/// What both commands know.
#[derive(Debug)]
pub(crate) struct Options {
    /// Holds the images
    pub(crate) images: PathBuf,
    /// Gets criu's log; None: the images' directory
    pub(crate) work: Option<PathBuf>,
    pub(crate) cgroups: CgroupMode,
    /// Switches that criu has under the same name
    pub(crate) switches: Switches,
}

/// Switches of both commands; each is one of criu's own.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Switches {
    pub(crate) tcp_established: bool,
    pub(crate) ext_unix_sk: bool,
    pub(crate) shell_job: bool,
    pub(crate) file_locks: bool,
    pub(crate) auto_dedup: bool,
    pub(crate) lazy_pages: bool,
}

/// What becomes of the cgroups (criu(8) `--manage-cgroups`); numbers of rpc.proto.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum CgroupMode {
    /// Leave cgroups alone
    Ignore = 0,
    /// Restore what is missing, and the properties of that
    Soft = 3,
    /// Restore all cgroups and all properties
    Full = 4,
    /// Restore all; none may be there already
    Strict = 5,
    /// criu's own choice, which is soft
    #[default]
    #[value(skip)]
    Default = 6,
}

/// criu takes a container for what is in its mount namespace, and needs root's rights for that.
fn check(plan: &Plan) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Err(Error::unsupported("criu saves and restores containers for root only"));
    }
    match plan.namespaces.has(libc::CLONE_NEWNS) {
        true => Ok(()),
        false => Err(Error::unsupported("criu needs a mount namespace of the container's own")),
    }
}

/// The directories of one call, open: criu has them under the same numbers.
struct Places {
    images: OwnedFd,
    work: Option<OwnedFd>,
    /// Where the log will be
    log: PathBuf,
}

impl Places {
    fn open(options: &Options, log: &str) -> Result<Self> {
        let work = options.work.as_deref().map(|work| make_dir(work).and_then(|()| open_dir(work)));
        Ok(Self {
            images: open_dir(&options.images)?,
            work: work.transpose()?,
            log: options.work.as_ref().unwrap_or(&options.images).join(log),
        })
    }

    /// The same directories under the same numbers, by way of the mounts that this process sees now.
    fn open_again(&mut self, options: &Options) -> Result<()> {
        let act = || "open criu's directories again";
        rustix::io::dup2(open_dir(&options.images)?, &mut self.images).while_doing(act)?;
        match (&mut self.work, &options.work) {
            (Some(fd), Some(work)) => rustix::io::dup2(open_dir(work)?, fd).while_doing(act),
            _ => Ok(()),
        }
    }

    fn into_descriptors(self) -> Vec<OwnedFd> {
        self.work.into_iter().chain([self.images]).collect()
    }
}

fn open_dir(dir: &Path) -> Result<OwnedFd> {
    path::open(dir, OFlags::RDONLY | OFlags::DIRECTORY)
}

/// A checkpoint may be made again and again in one directory.
fn make_dir(dir: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(0o700).create(dir).while_doing(|| format!("make {}", dir.display()))
}

impl Options {
    /// The part of a request that dump and restore share.
    fn request(&self, places: &Places, log: &str, annotations: &BTreeMap<String, String>) -> Request {
        let Switches { tcp_established, ext_unix_sk, shell_job, file_locks, auto_dedup, lazy_pages } =
            self.switches;
        let mut request = Request::default();
        request.int(field::IMAGES_DIR_FD, places.images.as_raw_fd());
        if let Some(work) = &places.work {
            request.int(field::WORK_DIR_FD, work.as_raw_fd());
        }
        // 4 is all but what a developer of criu wants to know.
        request.int(field::LOG_LEVEL, 4);
        request.text(field::LOG_FILE, log);
        for (number, switch) in [
            (field::TCP_ESTABLISHED, tcp_established),
            (field::EXT_UNIX_SK, ext_unix_sk),
            (field::SHELL_JOB, shell_job),
            (field::FILE_LOCKS, file_locks),
            (field::AUTO_DEDUP, auto_dedup),
            (field::LAZY_PAGES, lazy_pages),
            (field::MANAGE_CGROUPS, true),
            (field::NOTIFY_SCRIPTS, true),
            (field::ORPHAN_PTS_MASTER, true),
        ] {
            request.flag(number, switch);
        }
        request.int(field::MANAGE_CGROUPS_MODE, self.cgroups as i32);
        // Network devices are the business of whoever made them: hooks, or the owner of the namespace.
        request.int(field::EMPTY_NS, libc::CLONE_NEWNET);
        if let Some(file) = config_file(annotations) {
            request.text(field::CONFIG_FILE, file);
        }
        request
    }
}

/// criu's settings that are stronger than ours: the container's own file, none if the annotation is empty, else
/// the one that runc takes. A file that is not there is no error.
fn config_file(annotations: &BTreeMap<String, String>) -> Option<&str> {
    match annotations.get("org.criu.config").map(String::as_str) {
        None => Some("/etc/criu/runc.conf"),
        Some("") => None,
        Some(file) => Some(file),
    }
}

/// criu's refusal: the words that managers look for and the first reason that its log, or else its answer, gives.
fn failed(response: &Response, log: &Path) -> Error {
    let Response { kind, errno, message, .. } = response;
    let reason = first_error(log).or_else(|| message.clone()).map(|reason| format!(": {reason}"));
    let reason = reason.unwrap_or_default();
    Error::new(
        crate::error::Kind::Os(errno.unwrap_or(Errno::IO.raw_os_error())),
        format!("criu failed: type {} errno {}{reason}", kind.name(), errno.unwrap_or_default()),
    )
    .with_hint(format!("criu's log is {}", log.display()))
}

/// The same for one that ended without an answer; its log is all that it has left.
fn explain(error: Error, log: &Path) -> Error {
    match first_error(log) {
        Some(reason) if error == criu::ended() => Error::new(error.kind(), format!("{error}: {reason}"))
            .with_hint(format!("criu's log is {}", log.display())),
        _ => error,
    }
}

/// What criu complains of but does without: a higher limit of open files, which takes CAP_SYS_RESOURCE, and a look
/// at the device for tunnels, which the container's rules keep from it.
const HARMLESS: [&str; 2] = ["Can't setup RLIMIT_NOFILE for self", "tun: Unable to create tun"];

/// The first line of the log that tells of an error, without its time.
fn first_error(log: &Path) -> Option<String> {
    let bytes = std::fs::read(log).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let mut errors = text.lines().filter_map(|line| line.split_once("Error ")).map(|(_, words)| words.trim());
    errors.find(|words| !HARMLESS.iter().any(|known| words.contains(known))).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_annotation_names_the_file_or_wants_none() {
        let of = |value: &str| BTreeMap::from([("org.criu.config".to_owned(), value.to_owned())]);
        assert_eq!(config_file(&BTreeMap::new()), Some("/etc/criu/runc.conf"));
        assert_eq!(config_file(&of("")), None);
        assert_eq!(config_file(&of("/x")), Some("/x"));
    }

    #[test]
    fn the_first_error_of_the_log_is_the_reason() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let log = dir.path().join("dump.log");
        std::fs::write(&log, "(00.1) Error (a): Can't setup RLIMIT_NOFILE for self: x\n(00.2) Error (criu/tty.c:1): tty: no\n(00.3) Error (x): later\n")
            .expect("writes");
        assert_eq!(first_error(&log).as_deref(), Some("(criu/tty.c:1): tty: no"));
        assert_eq!(first_error(Path::new("/no/such")), None);
    }
}
