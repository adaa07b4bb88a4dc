//! The bundles: busybox under a plain configuration, and under one as docker makes it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Result;

const PLAIN: &str = include_str!("plain.json");
/// All namespaces, ten mounts, masked paths, device rules; the profile goes in below.
const DOCKER: &str = include_str!("docker.json");
const PROFILES: &str = "mocker-runtime/tests/profiles";

/// What a container is asked to be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Config {
    Plain,
    Docker,
}

impl Config {
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Docker => "docker",
        }
    }

    fn text(self) -> Result<String> {
        match self {
            Self::Plain => Ok(PLAIN.to_owned()),
            Self::Docker => with_profile("docker"),
        }
    }
}

/// The names of the seccomp profiles at hand.
pub fn profiles() -> Result<Vec<String>> {
    let names = fs::read_dir(PROFILES)?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<_> = names.filter_map(|name| name.strip_suffix(".json").map(str::to_owned)).collect();
    names.sort();
    Ok(names)
}

fn with_profile(profile: &str) -> Result<String> {
    let profile = fs::read_to_string(format!("{PROFILES}/{profile}.json"))?;
    Ok(DOCKER.replacen("\"linux\": {", &format!("\"linux\": {{ \"seccomp\": {profile},"), 1))
}

/// A bundle whose program ends at once, and one whose program stays.
pub fn make(dir: &Path, config: Config) -> Result<(PathBuf, PathBuf)> {
    let (quick, slow) = (dir.join(config.name()), dir.join(format!("{}-stays", config.name())));
    write(&quick, &config.text()?)?;
    write(&slow, &staying(&config.text()?))?;
    Ok((quick, slow))
}

/// A bundle under another seccomp profile, whose program stays.
pub fn profiled(dir: &Path, profile: &str) -> Result<()> {
    write(dir, &staying(&with_profile(profile)?))
}

fn staying(config: &str) -> String {
    config.replacen("\"/bin/busybox\", \"true\"", "\"/bin/busybox\", \"sleep\", \"10000\"", 1)
}

fn write(bundle: &Path, config: &str) -> Result<()> {
    let root = bundle.join("rootfs");
    for dir in ["bin", "etc", "proc", "sys", "dev"] {
        fs::create_dir_all(root.join(dir))?;
    }
    fs::copy("/bin/busybox", root.join("bin/busybox"))?;
    Ok(fs::write(bundle.join("config.json"), config)?)
}
