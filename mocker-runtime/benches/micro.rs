//! The runtime's parts that decide: `scripts/bench micro`. What attaching a filter costs is `scripts/bench seccomp`.
#![allow(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]

#[path = "../../scripts/lib/bench/micro.rs"]
mod micro;

use micro::part;
use mocker_runtime::fuzz;

const PLAIN: &str = include_str!("../../scripts/lib/bench/plain.json");
const DOCKER: &str = include_str!("../../scripts/lib/bench/docker.json");
const PROFILE: &str = include_str!("../tests/profiles/docker.json");

fn main() {
    let docker = DOCKER.replacen("\"linux\": {", &format!("\"linux\": {{ \"seccomp\": {PROFILE},"), 1);
    for (name, config) in [("plain", PLAIN), ("docker", &docker)] {
        assert!(fuzz::config(config.as_bytes()), "{name} is refused");
        let name = format!("config.json to three plans, {name}");
        part(&name, config.len(), || fuzz::config(config.as_bytes()));
    }
    fuzz::seccomp(PROFILE.as_bytes()).unwrap();
    part("seccomp profile to program, docker", PROFILE.len(), || fuzz::seccomp(PROFILE.as_bytes()));
}
