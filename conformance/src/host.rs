//! What this machine can do, and how a test leaves, waits and finds programs.
//!
//! A test that cannot run here says so with `skip`, nowhere else: each skip is a line in the file that
//! `MOCKER_SKIPS` names, and the scripts count those lines.

mod user;

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::mount::MsFlags;
use nix::sched::CloneFlags;

pub use user::become_user;

/// A feature of the machine that a test needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Effective user id 0.
    Root,
    /// Not root: what happens to an ordinary user.
    NotRoot,
    /// A container can be made: by root, or by a user in a user namespace that maps this one user.
    Container,
    /// Containers have users beside the caller. Root can map or take any; the bundles of an ordinary user map one.
    Users,
    /// Cgroups can be made below the root of a hierarchy: root's right.
    OwnCgroup,
    /// Controllers in cgroup v1 hierarchies (pure or hybrid).
    CgroupV1,
    /// One pure cgroup v2 hierarchy at /sys/fs/cgroup.
    CgroupV2,
    /// This cgroup controller is there: in v1, or at the root of v2.
    Controller(&'static str),
    /// This controller is there in a hierarchy of v1.
    V1Controller(&'static str),
    /// This controller is there in the hierarchy of v2.
    V2Controller(&'static str),
    /// This capability, by number and name, is among those of the test.
    Capability(u32, &'static str),
    /// systemd is pid 1.
    Systemd,
    /// A user namespace can be made.
    UserNamespace,
    /// The kernel has overlayfs.
    Overlay,
    /// The kernel can make network devices of this kind.
    NetworkDevice(&'static str),
    /// A criu that works on this kernel is there, or can be made.
    Criu,
    /// This program is in PATH.
    Program(&'static str),
    /// This path is there (a device, a file of /proc or /sys).
    Path(&'static str),
    /// This path is there below the root file system of newer peers (`peers`).
    Peer(&'static str),
}

impl Need {
    /// Whether this machine has it.
    pub fn is_met(self) -> bool {
        match self {
            Self::Root | Self::Users | Self::OwnCgroup => is_root(),
            Self::NotRoot => !is_root(),
            Self::Container => is_root() || user_namespaces(),
            Self::CgroupV1 => cgroup() != Cgroup::V2 && cgroup() != Cgroup::None,
            Self::CgroupV2 => cgroup() == Cgroup::V2,
            Self::Controller(name) => has_controller(name),
            Self::V2Controller(name) => Self::CgroupV2.is_met() && has_controller(name),
            Self::V1Controller(name) => Self::CgroupV1.is_met() && has_controller(name),
            Self::Capability(number, _) => has_capability(number),
            Self::Systemd => Path::new("/run/systemd/system").is_dir(),
            Self::UserNamespace => user_namespaces(),
            Self::Overlay => {
                std::fs::read_to_string("/proc/filesystems").is_ok_and(|list| list.contains("\toverlay\n"))
            }
            Self::NetworkDevice(kind) => network_device(kind),
            Self::Criu => crate::criu::folder().is_some(),
            Self::Program(name) => on_path(name).is_some(),
            Self::Path(path) => Path::new(path).symlink_metadata().is_ok(),
            Self::Peer(path) => peers().is_some_and(|root| root.join(path).symlink_metadata().is_ok()),
        }
    }

    /// One word for the report of skips.
    pub fn name(self) -> String {
        match self {
            Self::NetworkDevice(kind) => format!("network-device:{kind}"),
            Self::Program(name) => format!("program:{name}"),
            Self::Path(path) => format!("path:{path}"),
            Self::Peer(path) => format!("peer:{}", path.rsplit('/').next().unwrap_or(path)),
            Self::Controller(name) => format!("controller:{name}"),
            Self::V1Controller(name) => format!("v1-controller:{name}"),
            Self::V2Controller(name) => format!("v2-controller:{name}"),
            Self::Capability(_, name) => name.to_owned(),
            Self::NotRoot => "not-root".to_owned(),
            Self::Users => "further-users".to_owned(),
            Self::OwnCgroup => "cgroup-of-its-own".to_owned(),
            Self::CgroupV1 => "cgroup-v1".to_owned(),
            Self::CgroupV2 => "cgroup-v2".to_owned(),
            Self::UserNamespace => "user-namespace".to_owned(),
            plain => format!("{plain:?}").to_lowercase(),
        }
    }
}

/// How the machine mounts cgroups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cgroup {
    /// Only v1 hierarchies.
    V1,
    /// v1 hierarchies with the controllers, beside a v2 one without.
    Hybrid,
    /// One v2 hierarchy at /sys/fs/cgroup.
    V2,
    /// Nothing is mounted.
    None,
}

/// How this process's mount namespace shows cgroups.
pub fn cgroup() -> Cgroup {
    let mounts = std::fs::read_to_string("/proc/thread-self/mounts").unwrap_or_default();
    let has = |kind: &str| mounts.lines().any(|line| line.split(' ').nth(2) == Some(kind));
    let pure = mounts.lines().any(|line| {
        let words: Vec<&str> = line.split(' ').collect();
        words.get(1..3) == Some(&["/sys/fs/cgroup", "cgroup2"])
    });
    match (has("cgroup"), has("cgroup2")) {
        _ if pure => Cgroup::V2,
        (true, true) => Cgroup::Hybrid,
        (true, false) => Cgroup::V1,
        _ => Cgroup::None,
    }
}

fn has_controller(name: &str) -> bool {
    let words = |text: String| text.split([' ', ',', '\n']).any(|word| word == name);
    match cgroup() {
        Cgroup::V2 => std::fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").is_ok_and(words),
        _ => std::fs::read_to_string("/proc/thread-self/mounts").is_ok_and(words),
    }
}

/// Whether the effective user is root.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn user_namespaces() -> bool {
    on_path("unshare").is_some_and(|unshare| {
        Command::new(unshare).args(["--user", "true"]).status().is_ok_and(|s| s.success())
    })
}

fn has_capability(number: u32) -> bool {
    capabilities("CapEff").is_ok_and(|bits| bits & 1 << number != 0)
}

/// One of this thread's sets of capabilities: CapEff, CapBnd ...
pub fn capabilities(set: &str) -> Result<u64> {
    let status = std::fs::read_to_string("/proc/thread-self/status")?;
    let mask = status.lines().find_map(|line| line.strip_prefix(set)?.strip_prefix(':'));
    let mask = mask.with_context(|| format!("no {set} in /proc/thread-self/status"))?;
    Ok(u64::from_str_radix(mask.trim(), 16)?)
}

/// Tried in a network namespace that ends with the trial.
fn network_device(kind: &str) -> bool {
    on_path("unshare").is_some_and(|unshare| {
        let words = ["--net", "ip", "link", "add", "trial", "type", kind];
        Command::new(unshare).args(words).output().is_ok_and(|output| output.status.success())
    })
}

/// An executable file of this name in PATH or one of the usual folders for root.
pub fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual =
        ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(usual).map(|dir| dir.join(name)).find(|file| {
        file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    })
}

/// A root file system with managers newer than this machine's: `root` in the folder that MOCKER_PEERS names.
pub fn peers() -> Option<PathBuf> {
    std::env::var_os("MOCKER_PEERS").map(|peers| Path::new(&peers).join("root"))
}

/// Whether the test has to end here because this machine lacks what it needs; the skip is counted.
///
/// ```no_run
/// use conformance::host::{Need, skip};
/// if skip("limits_reach_the_v2_files", Need::CgroupV2) {
///     return;
/// }
/// ```
#[must_use = "a test that lacks something has to return"]
pub fn skip(test: &str, need: Need) -> bool {
    if need.is_met() {
        return false;
    }
    count_skip(test, &need.name());
    true
}

/// Counts a skip that was decided elsewhere (the suite's own cases).
///
/// A skip that nobody can count is worse than a failure, so an unwritable file panics.
#[expect(clippy::print_stderr, clippy::panic, reason = "the reader of a test's output must see it")]
pub fn count_skip(test: &str, feature: &str) {
    eprintln!("skipped: {test}: this host has no {feature}");
    let Some(path) = std::env::var_os("MOCKER_SKIPS") else {
        return;
    };
    let line = format!("{test}\t{feature}\n");
    let written = OpenOptions::new()
        .append(true)
        .create(true)
        .open(&path)
        .and_then(|mut f| f.write_all(line.as_bytes()));
    if let Err(error) = written {
        panic!("write a line to MOCKER_SKIPS={}: {error}", path.display());
    }
}

/// Polls until the condition holds; an error that names `what` when it does not within `limit`.
pub fn wait_until(limit: Duration, what: &str, mut condition: impl FnMut() -> bool) -> Result<()> {
    let end = Instant::now() + limit;
    let mut pause = Duration::from_millis(1);
    while !condition() {
        if Instant::now() >= end {
            bail!("waited {} s in vain for {what}", limit.as_secs_f32());
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
    Ok(())
}

/// A program of this workspace: in `MOCKER_BIN_DIR`, or beside the running test's own executable.
///
/// # Panics
/// When it was not built: no test of it can go on.
#[expect(clippy::panic, reason = "a missing program is a mistake of the person who runs the tests")]
pub fn program(name: &str) -> PathBuf {
    match find_program(name) {
        Some(found) => found,
        None => panic!(
            "{name} is not built: run `cargo build --workspace` with the same profile and target directory, \
             or set MOCKER_BIN_DIR"
        ),
    }
}

/// The same, without a panic.
pub fn find_program(name: &str) -> Option<PathBuf> {
    if let Some(dir) = std::env::var_os("MOCKER_BIN_DIR") {
        return Some(Path::new(&dir).join(name)).filter(|path| path.is_file());
    }
    let own = std::env::current_exe().ok()?;
    own.ancestors().skip(1).take(4).map(|dir| dir.join(name)).find(|path| path.is_file())
}

/// The cargo target directory that the running program was built into.
pub fn target_dir() -> Option<PathBuf> {
    let own = std::env::current_exe().ok()?;
    // the folder of a triple has a tag of its own: the outermost one counts
    own.ancestors().filter(|dir| dir.join("CACHEDIR.TAG").is_file()).last().map(Path::to_owned)
}

/// A command in a mount namespace of its own: whatever it mounts, this machine does not see. Needs root.
pub fn in_mount_namespace(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "--"]).arg(program);
    command
}

/// Orphans of this process's descendants become its children, so that it can wait for containers.
pub fn become_reaper() -> Result<()> {
    Ok(rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?)
}

/// From here on this process's mounts are its own: a runtime's mistakes do not land on the machine.
pub fn leave_mount_namespace() -> Result<()> {
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    nix::sched::unshare(CloneFlags::CLONE_NEWNS).context("make a mount namespace")?;
    nix::mount::mount(None::<&str>, "/", None::<&str>, private, None::<&str>).context("make / private")
}

/// From here on this thread has a network of its own, with nothing in it but a loopback that is down.
pub fn leave_network() -> Result<()> {
    nix::sched::unshare(CloneFlags::CLONE_NEWNET).context("make a network namespace")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_in_vain_names_what_was_waited_for() {
        let error = wait_until(Duration::from_millis(5), "the moon", || false).unwrap_err().to_string();
        assert!(error.ends_with("in vain for the moon"), "{error}");
    }

    #[test]
    fn a_program_in_path_is_found_and_another_is_not() {
        assert!(Need::Program("sh").is_met());
        assert!(!Need::Program("no-such-program-here").is_met());
        assert!(!Need::Path("/no/such/path").is_met());
    }

    #[test]
    fn privileged_mounts_of_a_command_stay_its_own() {
        if skip("privileged_mounts_of_a_command_stay_its_own", Need::Root) {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let script = format!("mount -t tmpfs none {0} && echo inside > {0}/file", dir.path().display());
        assert!(in_mount_namespace("sh").args(["-c", &script]).status().unwrap().success());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
