//! Real managers with the runtime below them, and with runc, so that what is asked for is true: each with a root, a
//! state and a socket of its own, in a mount namespace of its own.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where its set-up fails")]

#[path = "managers/buildah.rs"]
mod buildah;
mod common;
#[path = "managers/containerd.rs"]
mod containerd;
#[path = "managers/docker.rs"]
mod docker;
#[path = "managers/podman.rs"]
mod podman;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::{Call, RUNTIME, find_dirs};
use conformance::fixture;
use conformance::host::{self, Need, skip};
use conformance::registry::Registry;

/// Where the drop-ins of docs/managers look for the program.
const INSTALLED: &str = "/usr/local/bin/mocker-runtime";

/// What a test of a manager has: a folder, a registry with the image, and a runtime.
struct Place {
    dir: tempfile::TempDir,
    registry: Registry,
    /// The name below /usr/local/bin in the place's mount namespace, or runc's path
    runtime: PathBuf,
}

impl Place {
    fn new(runtime: &Path) -> Self {
        let registry = Registry::start().unwrap();
        registry.put("sample", "latest", &fixture::sample().unwrap());
        Self { dir: tempfile::tempdir().unwrap(), registry, runtime: runtime.to_owned() }
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    fn image(&self) -> String {
        self.registry.reference("sample", "latest")
    }

    /// A program in a mount namespace that has the runtime installed and that ends with it.
    fn command(&self, program: &str) -> Command {
        let mut command = host::in_mount_namespace("sh");
        let install =
            r#"mount -t tmpfs bin /usr/local/bin && cp "$0" /usr/local/bin/mocker-runtime && exec "$@""#;
        command.args(["-c", install, RUNTIME, program]).stdin(Stdio::null()).current_dir(&self.dir);
        command
    }

    /// What is written below docs/managers, as it stands there.
    fn drop_in(&self, name: &str) -> String {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/managers").join(name);
        std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
    }
}

impl Drop for Place {
    /// The cgroups above the containers' own are the managers', which leave them.
    fn drop(&mut self) {
        for name in ["mocker-test", "libpod_parent"] {
            find_dirs("/sys/fs/cgroup".as_ref(), name).iter().for_each(|dir| remove_empty(dir));
        }
    }
}

fn remove_empty(dir: &Path) {
    std::fs::read_dir(dir).into_iter().flatten().flatten().for_each(|entry| remove_empty(&entry.path()));
    // A file, or a cgroup of somebody else's.
    std::fs::remove_dir(dir).ok();
}

/// A call whose output goes to files: what it starts outlives it.
fn finish(command: &mut Command) -> Call {
    let (out, err) = (tempfile::NamedTempFile::new().unwrap(), tempfile::NamedTempFile::new().unwrap());
    let status = command.stdout(out.reopen().unwrap()).stderr(err.reopen().unwrap()).status().unwrap();
    let read = |file: &tempfile::NamedTempFile| std::fs::read_to_string(file.path()).unwrap();
    Call { code: status.code().unwrap(), out: read(&out), err: read(&err) }
}

/// The part of a manager with ours, and with runc where there is one.
fn with_each_runtime(test: &str, programs: &[&'static str], part: impl Fn(&Place)) {
    if skip(test, Need::Root) || programs.iter().any(|program| skip(test, Need::Program(program))) {
        return;
    }
    let runtimes = [Some(PathBuf::from(INSTALLED)), host::on_path("runc")];
    runtimes.into_iter().flatten().for_each(|runtime| part(&Place::new(&runtime)));
}
