//! Real managers with the runtime below them, and with runc, so that what is asked for is true: each in a machine of its
//! own (mounts, network, cgroups), set up by the commands of its page in docs/managers.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where its set-up fails")]

#[path = "managers/buildah.rs"]
mod buildah;
mod common;
#[path = "managers/containerd.rs"]
mod containerd;
#[path = "managers/cri.rs"]
mod cri;
#[path = "managers/docker.rs"]
mod docker;
#[path = "managers/drop_in.rs"]
mod drop_in;
#[path = "managers/grpc.rs"]
mod grpc;
#[path = "managers/page.rs"]
mod page;
#[path = "managers/place.rs"]
mod place;
#[path = "managers/podman.rs"]
mod podman;
#[path = "managers/stream.rs"]
mod stream;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::Call;
use conformance::criu;
use conformance::host::{self, Need, skip};
use place::Place;

/// Where the pages of docs/managers install the program.
const INSTALLED: &str = "/usr/local/bin/mocker-runtime";

/// A call whose output goes to files: what it starts outlives it.
fn finish(command: &mut Command) -> Call {
    finish_after(command, |_| ())
}

/// The same, with something to do while it runs; it is shown the file that the output goes to.
fn finish_after(command: &mut Command, act: impl FnOnce(&Path)) -> Call {
    let (out, err) = (tempfile::NamedTempFile::new().unwrap(), tempfile::NamedTempFile::new().unwrap());
    let mut child = command.stdout(out.reopen().unwrap()).stderr(err.reopen().unwrap()).spawn().unwrap();
    act(out.path());
    let status = child.wait().unwrap();
    let read = |file: &tempfile::NamedTempFile| {
        String::from_utf8_lossy(&fs::read(file.path()).unwrap()).into_owned()
    };
    Call { code: status.code().unwrap(), out: read(&out), err: read(&err) }
}

/// Says something all the time, until it is told to end with 6.
const TICKS: &str = "while ! [ -e /go ]; do echo tick; sleep 0.05; done; echo after; exit 6";

/// Attaches to a container that runs TICKS; `go` tells it to end.
fn attach(place: &Place, command: &mut Command, go: impl FnOnce()) -> Call {
    finish_after(command, |out| {
        let said = || fs::read_to_string(out).is_ok_and(|text| text.contains("tick\n"));
        place.comes("what it says", said);
        go();
    })
}

/// The part of a manager with ours, and with runc where there is one: as many assertions each. The manager is the one in
/// PATH; a second time the one in the folder of peers, where that has it.
fn with_each_runtime(test: &str, programs: &[&'static str], part: impl Fn(&Place) + Sync) {
    if skip(test, Need::Root) || programs.iter().any(|program| skip(test, Need::Program(program))) {
        return;
    }
    host::become_reaper().unwrap();
    let peers = std::env::var_os("MOCKER_PEERS").map(|peers| PathBuf::from(peers).join("bin"));
    let peers = peers.filter(|dir| fs::exists(dir.join(programs[0])).unwrap());
    for first in [None, peers.as_deref()].into_iter().take(1 + usize::from(peers.is_some())) {
        let criu = criu::folder();
        let path = std::env::var("PATH").unwrap_or_default();
        let folders = [criu, first].into_iter().flatten().map(|dir| format!("{}:", dir.display()));
        let search = format!("{}{path}:/usr/sbin:/sbin", folders.collect::<String>());
        let ours = place::within(INSTALLED.as_ref(), &search, &part);
        let runc = first.map(|dir| dir.join("runc")).filter(|runc| fs::exists(runc).unwrap());
        let Some(runc) = runc.or_else(|| host::on_path("runc")) else { continue };
        let theirs = place::within(&runc, &search, &part);
        place::tell(test, ours, theirs);
        assert_eq!(ours, theirs, "not the same was asked of both");
    }
}

/// How many containers at once: fifty in a nightly run, but for the slowest machine.
fn many() -> usize {
    let set = |name| std::env::var_os(name).is_some();
    if set("MOCKER_NIGHTLY") && !set("MOCKER_SLOW") { 50 } else { 8 }
}

/// Whether the machine is too slow for what another one shows as well, but for a nightly run.
fn wants_time(test: &str) -> bool {
    let wants = std::env::var_os("MOCKER_SLOW").is_some() && std::env::var_os("MOCKER_NIGHTLY").is_none();
    if wants {
        host::count_skip(test, "time");
    }
    wants
}
