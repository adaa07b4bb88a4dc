//! Network devices that move into a container.

#![allow(clippy::unwrap_used, reason = "a test ends where its set-up fails")]

mod common;

use std::process::Command;

use common::{Bundle, Call, RUNTIME};
use conformance::host::{Need, skip};
use serde_json::{Value, json};

/// Runs lines in a network namespace of the test's own; `rt` is the runtime.
fn in_own_network(bundle: &Bundle, lines: &str) -> Call {
    let runtime = format!("rt() {{ {RUNTIME} --root {} \"$@\"; }}", bundle.write().state_root().display());
    let mut command = Command::new("unshare");
    command.args(["--net", "sh", "-ec", &format!("{runtime}\n{lines}")]).current_dir(bundle.path());
    command.output().unwrap().into()
}

/// Two ends of a cable, of which `outside` has addresses.
const CABLE: &str = "ip link add outside type veth peer name peer
    ip addr add 10.9.8.7/24 dev outside
    ip addr add fd00::7/64 dev outside nodad
    ip link set outside up
    ip link set peer up";

fn bundle(line: &str, devices: Value) -> Bundle {
    Bundle::shell(line).set("/linux/netDevices", devices)
}

fn skips(test: &str) -> bool {
    skip(test, Need::Root) || skip(test, Need::Program("ip")) || skip(test, Need::NetworkDevice("veth"))
}

#[test]
fn a_device_moves_in_with_its_addresses_under_its_new_name() {
    if skips("a_device_moves_in_with_its_addresses_under_its_new_name") {
        return;
    }
    let look = "/bin/busybox ip addr";
    for (name, want) in
        [(json!({}), "outside"), (json!({ "name": "eth0" }), "eth0"), (json!({ "name": "net%d" }), "net0")]
    {
        let bundle = bundle(look, json!({ "outside": name }));
        let call = in_own_network(&bundle, &format!("{CABLE}\nrt run {}", bundle.id));
        let out = call.ok();
        assert!(out.contains(&format!(" {want}@")) || out.contains(&format!(" {want}:")), "{want}: {out}");
        assert!(out.contains("inet 10.9.8.7/24") && out.contains("inet6 fd00::7/64"), "{want}: {out}");
        assert!(out.contains(",UP,"), "{want}: {out}");
    }
}

#[test]
fn a_failure_brings_the_device_back_as_it_was() {
    if skips("a_failure_brings_the_device_back_as_it_was") {
        return;
    }
    let bundle =
        bundle("true", json!({ "outside": { "name": "eth0" } })).set("/process/args", json!(["/not/there"]));
    let lines = format!("{CABLE}\nrt run {} || ip addr show outside", bundle.id);
    let out = in_own_network(&bundle, &lines).ok();
    assert!(out.contains("inet 10.9.8.7/24") && out.contains("inet6 fd00::7/64"), "{out}");
    assert!(out.contains("state UP"), "{out}");
    bundle.assert_nothing_left();
}

#[test]
fn devices_that_cannot_move_are_named() {
    if skips("devices_that_cannot_move_are_named") {
        return;
    }
    for (devices, sentence) in [
        (json!({ "none0": {} }), "move the network device none0 into the container: there is no such device"),
        (
            json!({ "outside": { "name": "lo" } }),
            "move the network device outside into the container: the container has a device lo already",
        ),
    ] {
        let bundle = bundle("true", devices);
        let call = in_own_network(&bundle, &format!("{CABLE}\nrt run {}", bundle.id));
        call.fails(&format!("create container {}: {sentence}", bundle.id));
        bundle.assert_nothing_left();
    }
}
