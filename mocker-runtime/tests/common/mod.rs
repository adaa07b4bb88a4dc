//! What the tests through the binary share: a bundle with busybox in it, calls, and a look at what is left.

#![allow(dead_code, reason = "each test executable uses its own part of this")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where its set-up fails")]

mod caller;

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use conformance::host;
use serde_json::{Value, json};

#[allow(unused_imports, reason = "each test executable uses its own part of this")]
pub(crate) use caller::{Caller, USER};

/// The program under test.
pub(crate) const RUNTIME: &str = env!("CARGO_BIN_EXE_mocker-runtime");
/// How long anything may take on the slowest machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// Names that busybox answers to.
const APPLETS: [&str; 22] = [
    "sh", "cat", "echo", "env", "false", "head", "hostname", "id", "ls", "mkdir", "mknod", "mount", "ps",
    "pwd", "readlink", "sleep", "stat", "stty", "test", "touch", "true", "tty",
];

/// A bundle of its own, and a state directory of its own.
pub(crate) struct Bundle {
    dir: tempfile::TempDir,
    pub(crate) id: String,
    pub(crate) config: Value,
    /// Whether an ordinary user calls the runtime
    user: bool,
    /// Cgroups that the user may use
    pub(crate) tree: Option<caller::Tree>,
}

/// What a call came to.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Call {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or_else(|| 128 + output.status.signal().unwrap()),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Call {
    /// The call must succeed; gives what it printed.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.out
    }

    /// The call must fail with 1 and exactly this sentence.
    #[track_caller]
    pub(crate) fn fails(self, sentence: &str) {
        let first = self.err.lines().next().unwrap_or_default();
        assert_eq!((self.code, first), (1, format!("mocker-runtime: {sentence}").as_str()), "{self:?}");
    }
}

impl Bundle {
    /// A bundle whose program is these words.
    pub(crate) fn new(args: &[&str]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let dir = tempfile::tempdir().unwrap();
        // Whoever a container's root is must be able to reach it.
        fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let bin = dir.path().join("rootfs/bin");
        fs::create_dir_all(&bin).unwrap();
        let busybox = host::on_path("busybox").expect("package busybox-static is installed");
        copy_program(&busybox, &bin.join("busybox"));
        for applet in APPLETS {
            symlink("busybox", bin.join(applet)).unwrap();
        }
        let id = format!("test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let args: Vec<String> = args.iter().map(|word| (*word).to_owned()).collect();
        let config = conformance::bundle::usual_config(&args);
        Self { dir, id, config, user: false, tree: None }
    }

    /// A bundle whose program is a line for the shell.
    pub(crate) fn shell(line: &str) -> Self {
        Self::new(&["sh", "-c", line])
    }

    /// Changes config.json.
    pub(crate) fn set(mut self, pointer: &str, value: Value) -> Self {
        conformance::bundle::set(&mut self.config, pointer, value).unwrap();
        self
    }

    /// Adds a mount at the end of the list.
    pub(crate) fn mount(mut self, mount: Value) -> Self {
        self.config["mounts"].as_array_mut().unwrap().push(mount);
        self
    }

    /// Gives the container a user namespace whose root is the host's user 100000, who gets the root file system.
    pub(crate) fn with_users(self) -> Self {
        give(&self.path().join("rootfs"), 100_000);
        let map = json!([{ "containerID": 0, "hostID": 100_000, "size": 65_536 }]);
        self.set("/linux/namespaces/-", json!({ "type": "user" }))
            .set("/linux/uidMappings", map.clone())
            .set("/linux/gidMappings", map)
    }

    /// The bundle's directory.
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A path below the root file system, on the host.
    pub(crate) fn rootfs(&self, path: &str) -> PathBuf {
        self.path().join("rootfs").join(path)
    }

    /// Where containers' state goes.
    pub(crate) fn state_root(&self) -> PathBuf {
        self.path().join("state")
    }

    /// Writes config.json.
    pub(crate) fn write(&self) -> &Self {
        fs::write(self.path().join("config.json"), self.config.to_string()).unwrap();
        if self.user {
            give(self.path(), USER);
        }
        self
    }

    /// A call of the runtime, not made yet.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = if self.user { self.program_of_user() } else { Command::new(RUNTIME) };
        command
            .arg("--root")
            .arg(self.state_root())
            .args(words)
            .current_dir(self.path())
            .stdin(Stdio::null());
        command
    }

    /// A call of the runtime.
    pub(crate) fn call(&self, words: &[&str]) -> Call {
        self.command(words).output().unwrap().into()
    }

    /// A call that leaves a process behind: it must not hold this test's pipes.
    pub(crate) fn call_detached(&self, words: &[&str]) -> Call {
        let open = |name: &str| fs::File::create(self.path().join(name)).unwrap();
        let status = self.command(words).stdout(open("out")).stderr(open("err")).status().unwrap();
        let read = |name: &str| fs::read_to_string(self.path().join(name)).unwrap();
        Call { code: status.code().unwrap(), out: read("out"), err: read("err") }
    }

    /// `run` in runc's form.
    pub(crate) fn run(&self) -> Call {
        self.write().call(&["run", &self.id])
    }

    /// `create`; the program's output goes to the files `out` and `err` beside the bundle.
    pub(crate) fn create(&self) -> Call {
        self.write().call_detached(&["create", &self.id])
    }

    /// `create` and `start`.
    pub(crate) fn start(&self) -> &Self {
        self.create().ok();
        self.call(&["start", &self.id]).ok();
        self
    }

    /// What the program has written.
    pub(crate) fn output(&self) -> String {
        fs::read_to_string(self.path().join("out")).unwrap()
    }

    /// The state document.
    pub(crate) fn state(&self) -> Value {
        serde_json::from_str(&self.call(&["state", &self.id]).ok()).unwrap()
    }

    /// The word of the state document.
    pub(crate) fn status(&self) -> String {
        self.state()["status"].as_str().unwrap().to_owned()
    }

    /// Waits until the container has that status.
    pub(crate) fn wait_for(&self, status: &str) -> &Self {
        host::wait_until(LIMIT, status, || self.status() == status).unwrap();
        self
    }

    /// Nothing of the container may be left: no state, no cgroup, no mount, no process.
    #[track_caller]
    pub(crate) fn assert_nothing_left(&self) {
        let state: Vec<_> =
            fs::read_dir(self.state_root()).map(|dir| dir.flatten().collect()).unwrap_or_default();
        assert!(state.is_empty(), "state is left: {state:?}");
        let cgroups = find_dirs(Path::new("/sys/fs/cgroup"), &self.id);
        assert!(cgroups.is_empty(), "cgroups are left: {cgroups:?}");
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let below = self.path().to_string_lossy().into_owned();
        assert!(!mounts.contains(&below), "mounts are left below {below}");
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        self.call(&["delete", "--force", &self.id]);
    }
}

/// Hands a whole tree to a user.
pub(crate) fn give(path: &Path, user: u32) {
    std::os::unix::fs::lchown(path, Some(user), Some(user)).unwrap();
    if fs::symlink_metadata(path).unwrap().is_dir() {
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        fs::read_dir(path).unwrap().for_each(|entry| give(&entry.unwrap().path(), user));
    }
}

/// Puts a copy of the runtime where anybody can run it.
pub(crate) fn copy_runtime(to: &Path) {
    if !fs::exists(to).unwrap() {
        copy_program(Path::new(RUNTIME), to);
    }
}

/// By a process of its own: what this one has open for writing, a child of another test's could inherit, and the
/// program be busy.
pub(crate) fn copy_program(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg(from).arg(to).status().unwrap().success());
}

/// Directories of that name.
pub(crate) fn find_dirs(below: &Path, name: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(below).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            if entry.file_name() == name {
                found.push(entry.path());
            }
            found.extend(find_dirs(&entry.path(), name));
        }
    }
    found
}

/// A mount for `Bundle::mount`.
pub(crate) fn mount(kind: &str, source: &str, destination: &str, options: &[&str]) -> Value {
    json!({ "destination": destination, "type": kind, "source": source, "options": options })
}

/// A disk of this machine, as `major:minor`.
pub(crate) fn disk() -> (u64, u64) {
    let device = fs::read_dir("/sys/block").unwrap().flatten().find_map(|entry| {
        let name = entry.file_name().into_string().unwrap();
        let size: u64 = fs::read_to_string(entry.path().join("size")).ok()?.trim().parse().ok()?;
        let real = size > 0 && !["loop", "ram", "zram"].iter().any(|kind| name.starts_with(kind));
        real.then(|| fs::read_to_string(entry.path().join("dev")).unwrap())
    });
    let text = device.unwrap();
    let (major, minor) = text.trim().split_once(':').unwrap();
    (major.parse().unwrap(), minor.parse().unwrap())
}
