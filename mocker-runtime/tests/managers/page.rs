//! The pages of docs/managers: their commands are run as they stand there.

use std::path::{Path, PathBuf};

use super::place::{Place, built};
use super::{common::Call, finish};

/// A page, and what this machine lacks that it counts on.
pub(crate) struct Page<'a> {
    place: &'a Place,
    text: String,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A file below docs/managers.
pub(crate) fn read(name: &str) -> String {
    let file = folder().join("docs/managers").join(name);
    std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

impl Place {
    pub(crate) fn page(&self, name: &str) -> Page<'_> {
        Page { place: self, text: read(name) }
    }
}

impl Page<'_> {
    /// Other words in the commands, which the page says itself.
    pub(crate) fn with(mut self, words: &str, other: &str) -> Self {
        assert!(self.text.contains(words), "{words}: {}", self.text);
        self.text = self.text.replace(words, other);
        self
    }

    /// The commands below a heading.
    pub(crate) fn commands(&self, heading: &str) -> String {
        let start = format!("## {heading}\n");
        let (_, section) = self.text.split_once(&start).unwrap_or_else(|| panic!("no {heading}"));
        let section = section.split("\n## ").next().unwrap();
        let blocks = section.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap());
        blocks.collect()
    }

    /// Runs them, where a clone of the project is; the daemon itself is started by the test.
    pub(crate) fn run(&self, heading: &str) -> Call {
        let script = format!("systemctl() {{ :; }}\ncd \"$0\"\n{}", self.commands(heading));
        let bin = built();
        let mut command = self.place.command("bash");
        command.args(["-eu", "-c", &script]).arg(folder()).env("BIN", bin.path());
        finish(&mut command)
    }
}
