//! Where all of it happens: TMPDIR, which scripts/bench makes and removes; the programs; the views of cgroups.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::{env, io};

use crate::Result;
use crate::sys;

/// A program and the name that its rows bear.
#[derive(Clone)]
pub struct Program {
    pub name: String,
    pub path: PathBuf,
}

/// Everything that rows share.
pub struct Place {
    /// Gone when scripts/bench ends.
    pub tmp: PathBuf,
    /// Kept: the images.
    pub kept: PathBuf,
    /// Ours: one build, or the new one and the old one.
    pub runtimes: Vec<Program>,
    pub image_tools: Vec<Program>,
    /// Whether ours are compared with each other, so that no peer takes part.
    pub alone: bool,
}

/// How a row sees control groups.
#[derive(Clone)]
pub struct View {
    pub name: &'static str,
    inside: Option<Rc<File>>,
    /// The same without what crun refuses.
    for_crun: Option<Rc<File>>,
}

impl View {
    /// The namespace for a runtime.
    pub fn of(&self, runtime: &Program) -> Option<Rc<File>> {
        if runtime.name.starts_with("crun") { self.for_crun.clone() } else { self.inside.clone() }
    }
}

/// The machine's own hierarchy, and where that is not pure v2 a view that is.
pub fn views() -> Result<Vec<View>> {
    let root = Path::new("/sys/fs/cgroup");
    if root.join("cgroup.controllers").is_file() {
        return Ok(vec![View { name: "v2", inside: None, for_crun: None }]);
    }
    let unified = root.join("unified");
    let for_crun = match unified.is_dir() {
        true => Some(Rc::new(sys::altered(|| sys::unmount(&unified))?)),
        false => None,
    };
    let pure = sys::altered(|| sys::unmount(root).and_then(|()| sys::mount_cgroup2(root)))?;
    let pure = Some(Rc::new(pure));
    Ok(vec![
        View { name: "host", inside: None, for_crun },
        View { name: "v2", inside: pure.clone(), for_crun: pure },
    ])
}

/// A program on PATH, if it is there.
pub fn find(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|dir| dir.join(name)).find(|path| path.is_file())
}

/// A peer, with its version for a name: `crun 1.28`.
pub fn peer(name: &str) -> Option<Program> {
    let path = find(name)?;
    let said = Command::new(&path).arg("--version").output().ok()?;
    Some(Program { name: format!("{name} {}", version(&String::from_utf8_lossy(&said.stdout))), path })
}

/// The first word that begins with a digit, without what a packager added.
pub fn version(said: &str) -> String {
    let words = said.split_whitespace().map(|word| word.trim_start_matches('v'));
    let version =
        words.into_iter().find(|word| word.starts_with(|c: char| c.is_ascii_digit())).unwrap_or_default();
    version.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect()
}

impl Place {
    /// A new directory.
    pub fn dir(&self, name: &str) -> io::Result<PathBuf> {
        let dir = self.tmp.join(name);
        fs::create_dir_all(&dir)?;
        Ok(dir)
    }

    /// All who make containers, ours first.
    pub fn all_runtimes(&self) -> Vec<Program> {
        let peers = ["crun", "runc"].into_iter().filter(|_| !self.alone).filter_map(peer);
        self.runtimes.iter().cloned().chain(peers).collect()
    }
}
