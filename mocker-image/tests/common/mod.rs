//! What every test of the program needs: a place of its own, and looks at what is left.
#![allow(dead_code, reason = "each test program uses a part of it")]

pub(crate) mod image;
pub(crate) mod sample;
pub(crate) mod tree;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_mocker-image");

/// What a run gave.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Outcome {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }
}

impl Outcome {
    /// The standard output of a run that must have gone well.
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        self.stdout
    }

    /// The last line of a run that must have failed, without a hint.
    pub(crate) fn error(self) -> String {
        assert_eq!(self.code, Some(1), "stdout {:?}, stderr {:?}", self.stdout, self.stderr);
        let line = self.stderr.lines().find_map(|line| line.strip_prefix("mocker-image: "));
        line.unwrap_or_else(|| panic!("no error line in {:?}", self.stderr)).to_owned()
    }
}

/// A store and a folder for bundles, gone at the end.
pub(crate) struct Place {
    dir: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.path("store")
    }

    pub(crate) fn bundle(&self) -> PathBuf {
        self.path("bundle")
    }

    pub(crate) fn rootfs(&self) -> PathBuf {
        self.bundle().join("rootfs")
    }

    /// A command with this place's store.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.arg("--root").arg(self.store()).args(words);
        command
    }

    pub(crate) fn run(&self, words: &[&str]) -> Outcome {
        self.command(words).output().unwrap().into()
    }

    pub(crate) fn pull(&self, reference: &str) -> Outcome {
        self.run(&["pull", reference])
    }

    pub(crate) fn unpack(&self, reference: &str) -> Outcome {
        self.command(&["unpack", "--copy", reference]).arg(self.bundle()).output().unwrap().into()
    }

    pub(crate) fn config(&self) -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(self.bundle().join("config.json")).unwrap()).unwrap()
    }

    /// Everything that is left here but the store's empty folders and its lock.
    pub(crate) fn left(&self) -> Vec<PathBuf> {
        let mut found = files(&self.store());
        found.retain(|file| !file.ends_with("lock"));
        if self.bundle().symlink_metadata().is_ok() {
            found.push(self.bundle());
        }
        found
    }

    /// Nothing but empty folders, the lock, and these files beside the store.
    pub(crate) fn assert_nothing_left_but(&self, names: &[&str]) {
        let mut found = files(self.dir.path());
        found.retain(|file| !file.ends_with("lock") && !names.iter().any(|name| file.ends_with(name)));
        assert_eq!(found, Vec::<PathBuf>::new());
    }

    /// Nothing but empty folders and the lock.
    pub(crate) fn assert_nothing_left(&self) {
        assert_eq!(self.left(), Vec::<PathBuf>::new());
    }
}

/// All files below a folder.
pub(crate) fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(files(&entry.path())),
            false => found.push(entry.path()),
        }
    }
    found
}

/// A shell's words for a path.
pub(crate) fn quoted(path: &Path) -> String {
    format!("'{}'", path.display())
}
