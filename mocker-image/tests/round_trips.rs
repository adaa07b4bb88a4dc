//! What the peers read of what is written here, and what is read here of what they write: podman, containerd, crane and
//! oras. skopeo and umoci are in copy.rs.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use common::sample::{large as image, serving};
use common::{Place, tree};
use conformance::host::{self, Need, skip, wait_until};
use conformance::registry::{DockerRegistry, Registry};

/// An image at a registry, its tree, and a folder where a peer works.
struct Trip {
    place: Place,
    from: String,
    want: BTreeMap<PathBuf, tree::Facts>,
    dir: PathBuf,
    _source: Registry,
    registry: DockerRegistry,
}

impl Trip {
    /// None where one of the programs is missing, which is counted.
    fn with(test: &str, programs: &[&'static str]) -> Option<Self> {
        let missing = |program: &&'static str| skip(test, Need::Program(program));
        if skip(test, Need::Root) || missing(&"docker-registry") || programs.iter().any(missing) {
            return None;
        }
        let source = serving(&image().build().unwrap());
        let (place, from) = (Place::new(), source.reference("app", "v1"));
        let dir = place.path("peer");
        std::fs::create_dir(&dir).unwrap();
        let registry = DockerRegistry::start().unwrap();
        let mut trip = Self { place, from, want: BTreeMap::new(), dir, _source: source, registry };
        trip.want = trip.tree_of(&trip.from);
        Some(trip)
    }

    fn tree_of(&self, from: &str) -> BTreeMap<PathBuf, tree::Facts> {
        let dir = tempfile::tempdir_in(&self.dir).unwrap();
        let bundle = dir.path().join("bundle");
        self.place.run(&["unpack", "--copy", from, bundle.to_str().unwrap()]).ok();
        tree::read(&bundle.join("rootfs"))
    }

    /// The image there has come through whole.
    #[track_caller]
    fn is_at(&self, from: &str) {
        let differences = tree::differences(&self.tree_of(from), &self.want);
        assert!(differences.is_empty(), "{from}: {}", differences.join("\n"));
    }

    fn copy(&self, from: &str, to: &str) {
        self.place.run(&["copy", from, to]).ok();
    }

    /// A file in the peer's folder, as a place of ours.
    fn file(&self, transport: &str, name: &str) -> String {
        format!("{transport}:{}/{name}", self.dir.display())
    }

    fn call(&self, program: &str, words: &[&str]) -> String {
        let output = Command::new(program).args(words).current_dir(&self.dir).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {words:?}: {errors}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

#[test]
fn podman_takes_and_gives_images() {
    let Some(trip) = Trip::with("podman_takes_and_gives_images", &["podman"]) else { return };
    let podman = |words: &[&str]| {
        // In a mount namespace of its own: what it mounts ends with it.
        let own = ["--root", "root", "--runroot", "run", "--tmpdir", "tmp", "--storage-driver", "vfs"];
        let unshare = ["--mount", "--propagation", "private", "podman"];
        trip.call("unshare", &[&unshare[..], &own, words].concat())
    };
    for (transport, name) in
        [("docker-archive", "ours.tar:peer.example/app:v1"), ("oci-archive", "oci.tar:v1")]
    {
        trip.copy(&trip.from, &trip.file(transport, name));
        let id = podman(&["pull", "--quiet", &format!("{transport}:{name}")]);
        let theirs = format!("theirs-{transport}.tar");
        podman(&["save", "--quiet", "--format", transport, "--output", &theirs, id.trim()]);
        trip.is_at(&trip.file(transport, &theirs));
    }
    let (there, back) = (trip.registry.reference("lib/app", "v1"), trip.registry.reference("lib/back", "v1"));
    trip.copy(&trip.from, &there);
    podman(&["pull", "--quiet", "--tls-verify=false", &there]);
    podman(&["push", "--quiet", "--tls-verify=false", &there, &back]);
    trip.is_at(&back);
}

/// A daemon of its own, gone at the end.
struct Containerd(Child);

impl Containerd {
    fn start(trip: &Trip) -> Self {
        let at = |name: &str| trip.dir.join(name).display().to_string();
        let config = format!(
            "version = 2\nroot = {:?}\nstate = {:?}\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n\
             [grpc]\naddress = {:?}\n[ttrpc]\naddress = {:?}\n",
            at("root"),
            at("state"),
            at("socket"),
            at("ttrpc")
        );
        std::fs::write(trip.dir.join("config.toml"), config).unwrap();
        let log = std::fs::File::create(trip.dir.join("log")).unwrap();
        let mut command = host::in_mount_namespace("containerd");
        command.args(["--config", &at("config.toml")]).stdout(log.try_clone().unwrap()).stderr(log);
        let daemon = Self(command.spawn().unwrap());
        let answers = || Command::new("ctr").args(["--address", &at("socket"), "version"]).output().unwrap();
        wait_until(Duration::from_secs(60), "containerd", || answers().status.success()).unwrap();
        daemon
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[test]
fn containerd_takes_and_gives_images() {
    let Some(trip) = Trip::with("containerd_takes_and_gives_images", &["containerd", "ctr"]) else { return };
    let _daemon = Containerd::start(&trip);
    let socket = trip.dir.join("socket").display().to_string();
    let ctr = |words: &[&str]| trip.call("ctr", &[&["--address", &socket, "image"], words].concat());
    for (transport, name) in [("docker-archive", "ours.tar"), ("oci-archive", "oci.tar")] {
        let reference = format!("peer.example/{transport}:v1");
        trip.copy(&trip.from, &trip.file(transport, &format!("{name}:{reference}")));
        ctr(&["import", "--all-platforms", name]);
        ctr(&["export", "theirs.tar", &reference]);
        trip.is_at(&trip.file("oci-archive", "theirs.tar"));
        std::fs::remove_file(trip.dir.join("theirs.tar")).unwrap();
    }
    let (there, back) = (trip.registry.reference("lib/app", "v1"), trip.registry.reference("lib/back", "v1"));
    trip.copy(&trip.from, &there);
    ctr(&["pull", "--plain-http", &there]);
    ctr(&["tag", &there, &back]);
    ctr(&["push", "--plain-http", &back]);
    trip.is_at(&back);
}

#[test]
fn crane_takes_and_gives_images() {
    let Some(trip) = Trip::with("crane_takes_and_gives_images", &["crane"]) else { return };
    let (there, back) = (trip.registry.reference("lib/app", "v1"), trip.registry.reference("lib/back", "v1"));
    // crane takes a layer for gzip whatever its media type says.
    trip.place.run(&["copy", "--dest-compress", &trip.from, &there]).ok();
    assert_eq!(trip.call("crane", &["digest", &there]), trip.place.run(&["digest", &there]).ok());
    trip.call("crane", &["validate", "--remote", &there]);
    for (form, transport) in [("oci", "oci"), ("tarball", "docker-archive")] {
        let name = format!("theirs-{form}");
        trip.call("crane", &["pull", "--format", form, &there, &name]);
        trip.is_at(&trip.file(transport, &name));
    }
    trip.copy(&there, &trip.file("oci", "ours"));
    trip.call("crane", &["push", "ours", &back]);
    trip.is_at(&back);
}

#[test]
fn oras_takes_and_gives_images_with_what_refers_to_them() {
    let test = "oras_takes_and_gives_images_with_what_refers_to_them";
    let Some(trip) = Trip::with(test, &["oras"]) else { return };
    let (there, back) = (trip.registry.reference("lib/app", "v1"), trip.registry.reference("lib/back", "v1"));
    trip.copy(&trip.from, &there);
    trip.call("oras", &["copy", "--from-plain-http", "--to-oci-layout", &there, "theirs:v1"]);
    trip.is_at(&trip.file("oci", "theirs:v1"));
    trip.copy(&trip.from, &trip.file("oci", "ours:v1"));
    trip.call("oras", &["copy", "--from-oci-layout", "--to-plain-http", "ours:v1", &back]);
    trip.is_at(&back);

    std::fs::write(trip.dir.join("note.txt"), "a note\n").unwrap();
    trip.call("oras", &["attach", "--plain-http", "--artifact-type", "text/x-note", &there, "note.txt"]);
    let referrers = trip.place.run(&["inspect", "--referrers", &there]).ok();
    assert!(referrers.contains("text/x-note"), "{referrers}");
}

/// Somewhere that an ordinary user reaches.
fn reachable(path: &Path) {
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
}

#[test]
fn an_ordinary_user_pulls_unpacks_changes_packs_and_pushes() {
    let test = "an_ordinary_user_pulls_unpacks_changes_packs_and_pushes";
    let Some(trip) = Trip::with(test, &["setpriv"]) else { return };
    let home = tempfile::tempdir().unwrap();
    reachable(home.path());
    let program = home.path().join("mocker-image");
    assert!(Command::new("cp").arg(common::PROGRAM).arg(&program).status().unwrap().success());
    let user = |words: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "4711", "--regid", "4711", "--clear-groups"]).arg(&program);
        command.args(words).env("HOME", home.path()).current_dir(&home).env_remove("XDG_DATA_HOME");
        common::Outcome::from(command.output().unwrap()).ok()
    };
    user(&["pull", &trip.from]);
    user(&["unpack", &trip.from, "bundle"]);
    std::fs::write(home.path().join("bundle/rootfs/etc/new"), "new\n").unwrap();
    std::os::unix::fs::chown(home.path().join("bundle/rootfs/etc/new"), Some(4711), Some(4711)).unwrap();
    user(&["repack", "bundle", "store:made.example/app:v2"]);
    let there = trip.registry.reference("made/app", "v2");
    user(&["push", "made.example/app:v2", &there]);
    let got = trip.tree_of(&there);
    assert_eq!(got[Path::new("etc/new")].owner, (0, 0));
    let rest: BTreeMap<_, _> = got.into_iter().filter(|(path, _)| path != Path::new("etc/new")).collect();
    let mut want = trip.want.clone();
    want.get_mut(Path::new("etc")).unwrap().mtime = rest[Path::new("etc")].mtime;
    assert!(tree::differences(&rest, &want).is_empty(), "{}", tree::differences(&rest, &want).join("\n"));
}
