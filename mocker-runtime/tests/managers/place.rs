//! A machine of a manager's own: what it writes below /etc, /run and /var/lib, its network and its mounts end with it.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use conformance::fixture;
use conformance::host::{self, wait_until};
use conformance::registry::Registry;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::common::{LIMIT, RUNTIME};
use super::{INSTALLED, finish};

/// Run in the place's folder, which is a tmpfs of its own then; managers get theirs, since layers cannot lie on overlays.
/// A socket cannot be reached through an overlay, so systemd's folders are the machine's.
const MACHINE: &str = r#"
mount -t tmpfs place . && cd "$PWD" && mkdir home run
mount --rbind /run run
for dir in etc run var/lib usr/local; do
    mkdir -p up/$dir work/$dir
    mount -t overlay -o lowerdir=/$dir,upperdir=$PWD/up/$dir,workdir=$PWD/work/$dir place /$dir
done
for dir in /dev/shm /var/lib/containerd /var/lib/docker /var/lib/containers /run/containerd /run/docker; do
    mkdir -p $dir
    mount -t tmpfs place $dir
done
mkdir -p /etc/containerd /etc/docker /etc/cni/net.d /etc/containers
for dir in systemd dbus user; do [ ! -d run/$dir ] || mount --rbind run/$dir /run/$dir; done
umount --recursive --lazy run
ip link set lo up
"#;

/// What a test of a manager has: a machine, a registry in it with the image, and a runtime.
pub(crate) struct Place {
    dir: PathBuf,
    /// Of its cgroups
    pub(crate) name: String,
    registry: Registry,
    /// Where the pages install it, or runc's path
    pub(crate) runtime: PathBuf,
    /// PATH in it
    pub(crate) search: String,
    /// Those of the machine when nothing ran
    mounts: BTreeSet<String>,
    checks: AtomicUsize,
}

/// The part in a place of its own, with nothing left of it; gives the number of assertions.
pub(crate) fn within(runtime: &Path, search: &str, part: &(impl Fn(&Place) + Sync)) -> usize {
    let dir = tempfile::tempdir().unwrap();
    let inside = || {
        let place = Place::enter(dir.path(), runtime, search);
        part(&place);
        place.assert_nothing_left();
        place.checks.load(Ordering::Relaxed)
    };
    let result = std::thread::scope(|scope| scope.spawn(inside).join());
    let host = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!host.contains(dir.path().to_str().unwrap()), "the machine sees its mounts: {host}");
    result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// How much was asked: a line in the file `assertions` beside the one that MOCKER_SKIPS names, else on standard error,
/// past the harness, which shows nothing of a test that passes.
pub(crate) fn tell(test: &str, ours: usize, theirs: usize) {
    let line = format!("{test}\t{ours}\t{theirs}\n");
    match std::env::var_os("MOCKER_SKIPS").map(|skips| Path::new(&skips).with_file_name("assertions")) {
        Some(file) => {
            let mut file = fs::File::options().append(true).create(true).open(file).unwrap();
            file.write_all(line.as_bytes()).unwrap();
        }
        None => std::io::stderr().write_all(line.as_bytes()).unwrap(),
    }
}

impl Place {
    /// The thread's mounts and its network are its own from here on.
    fn enter(dir: &Path, runtime: &Path, search: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        host::leave_mount_namespace().unwrap();
        host::leave_network().unwrap();
        finish(Command::new("sh").args(["-eu", "-c", MACHINE]).current_dir(dir)).ok();
        let registry = Registry::start().unwrap();
        registry.put("sample", "latest", &fixture::sample().unwrap());
        let name = format!("mockertest{}n{}e", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        Self {
            dir: dir.to_owned(),
            name,
            registry,
            runtime: runtime.to_owned(),
            search: search.to_owned(),
            mounts: mounts(),
            checks: AtomicUsize::new(0),
        }
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.dir.join(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn image(&self) -> String {
        self.registry.reference("sample", "latest")
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Whether the runtime under test is ours.
    pub(crate) fn is_ours(&self) -> bool {
        self.runtime == Path::new(INSTALLED)
    }

    /// A program of this machine.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.stdin(Stdio::null()).current_dir(&self.dir).env("HOME", self.path("home"));
        // ctr's, and so a cgroup's of this place
        command.env("PATH", &self.search).env("CONTAINERD_NAMESPACE", &self.name);
        command
    }

    /// A file of the machine; its folder is made.
    pub(crate) fn write(&self, file: &str, text: &str) {
        fs::create_dir_all(Path::new(file).parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    /// An assertion, counted.
    #[track_caller]
    pub(crate) fn is<A: PartialEq<B> + Debug, B: Debug>(&self, got: A, want: B) {
        self.checks.fetch_add(1, Ordering::Relaxed);
        assert_eq!(got, want, "with {}", self.runtime.display());
    }

    /// An assertion, counted.
    #[track_caller]
    pub(crate) fn holds(&self, holds: bool, seen: impl Debug) {
        self.checks.fetch_add(1, Ordering::Relaxed);
        assert!(holds, "with {}: {seen:?}", self.runtime.display());
    }

    /// An assertion, counted: it comes to hold.
    #[track_caller]
    pub(crate) fn comes(&self, what: &str, condition: impl FnMut() -> bool) {
        self.checks.fetch_add(1, Ordering::Relaxed);
        wait_until(LIMIT, what, condition)
            .unwrap_or_else(|error| panic!("with {}: {error}", self.runtime.display()));
    }

    /// No process, cgroup, mount or network device.
    fn assert_nothing_left(&self) {
        // Shims take a moment to go.
        wait_until(LIMIT, "their end", || members(&self.name).next().is_none()).ok();
        let words = |pid| fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        self.is(members(&self.name).map(words).collect::<Vec<_>>(), Vec::<String>::new());
        remove_cgroups(&self.name);
        self.is(cgroups(&self.name), Vec::<PathBuf>::new());
        let left: Vec<_> = mounts().difference(&self.mounts).cloned().collect();
        self.is(left, Vec::<String>::new());
        let devices = fs::read_to_string("/proc/thread-self/net/dev").unwrap();
        self.holds(!devices.contains("veth"), &devices);
    }
}

impl Drop for Place {
    /// After a failure too nothing runs on.
    fn drop(&mut self) {
        wait_until(LIMIT, "their end", || {
            members(&self.name).all(|pid| kill(Pid::from_raw(pid), Signal::SIGKILL).is_err())
        })
        .ok();
        remove_cgroups(&self.name);
    }
}

/// Mount points that are no part of a manager's standing furniture.
fn mounts() -> BTreeSet<String> {
    let own = ["/run/docker/netns/default", "/var/lib/docker", "/var/lib/containers/storage/overlay"];
    let list = fs::read_to_string("/proc/thread-self/mounts").unwrap();
    let points = list.lines().filter_map(|line| line.split(' ').nth(1));
    points.filter(|point| !own.contains(point)).map(str::to_owned).collect()
}

/// The processes of this thread's network, and those in cgroups of that name, that are not ourselves.
fn members(name: &str) -> impl Iterator<Item = i32> {
    let network = fs::read_link("/proc/thread-self/ns/net").unwrap();
    let name = name.to_owned();
    let pids = fs::read_dir("/proc").unwrap().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().into_string().ok()?.parse().ok());
    pids.filter(move |pid: &i32| {
        let cgroup = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        let here = fs::read_link(format!("/proc/{pid}/ns/net")).is_ok_and(|its| its == network);
        // a zombie is in neither
        here || (cgroup.contains(&name) && fs::read_link(format!("/proc/{pid}/exe")).is_ok())
    })
}

/// The cgroups with that in their names.
pub(crate) fn cgroups(name: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut look = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(dir) = look.pop() {
        let dirs = fs::read_dir(dir).into_iter().flatten().flatten();
        for entry in dirs.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
            match entry.file_name().to_string_lossy().contains(name) {
                true => found.push(entry.path()),
                false => look.push(entry.path()),
            }
        }
    }
    found
}

/// The cgroups above the containers' own are the managers', which leave them.
pub(crate) fn remove_cgroups(name: &str) {
    cgroups(name).iter().for_each(|dir| remove_empty(dir));
}

fn remove_empty(dir: &Path) {
    fs::read_dir(dir).into_iter().flatten().flatten().for_each(|entry| remove_empty(&entry.path()));
    // A file, or a cgroup that is in use.
    fs::remove_dir(dir).ok();
}

/// A folder with both programs, as a build leaves them; the one that this package does not build may be missing.
pub(crate) fn built() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let image = host::find_program("mocker-image").unwrap_or_else(|| RUNTIME.into());
    for (program, name) in [(Path::new(RUNTIME), "mocker-runtime"), (&image, "mocker-image")] {
        super::common::copy_program(program, &dir.path().join(name));
    }
    dir
}
