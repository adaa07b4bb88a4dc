//! The measuring program of scripts/bench, compiled by it with rustc alone.
//!
//! ```text
//! main -> runtime, manager  the runtime's rows      bundle   what they run
//!      -> pull              the image tool's rows   image    what they pull, and from where
//! row        all contenders of one job in turn, a table, a line of JSON
//! contender  its steps, measured by wait4(2)        place    programs, directories, views of cgroups
//! ```
//!
//! The first contender is ours, and the others are what it is compared with. The kernel counts a process's peak from
//! before its exec, so this program is small: what is below its own peak, about 1.5 MB, is shown as that.

mod bundle;
mod contender;
mod image;
mod manager;
mod place;
mod pull;
mod row;
mod runtime;
mod sys;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, fs};

use contender::Words;
use place::{Place, Program};
use row::Row;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const HELP: &str = "\
scripts/bench [--rounds N] [--json FILE] [--compare OLD NEW] [--list] [WORD...]
scripts/bench micro

The programs of this checkout against the peers of $MOCKER_PEERS/bin, then of PATH: all rows whose name has all words.
  --rounds N         instead of 25 for the runtime, 3 for images and 1 for large ones: all of it in about 20 minutes
  --json FILE        the numbers beside the tables
  --compare OLD NEW  two builds of ours instead: programs, or directories that hold them
  --list             the names of the rows alone
Times in milliseconds, medians but for wall_ms_min; faults are minor ones; calls are system calls, with all children.";

/// What is to be measured, and how often.
pub struct Wanted {
    words: Words,
    rounds: Option<usize>,
    list: bool,
}

impl Wanted {
    /// The row's name, if it has all words.
    pub fn row(&self, name: &[String]) -> Option<Words> {
        if !self.words.iter().all(|word| name.contains(word)) {
            return None;
        }
        if self.list {
            println!("{}", name.join(" "));
        }
        (!self.list).then(|| name.to_vec())
    }

    pub fn rounds(&self, usual: usize) -> usize {
        self.rounds.unwrap_or(usual)
    }
}

fn main() -> ExitCode {
    match bench() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn bench() -> Result<()> {
    let mut wanted = Wanted { words: Vec::new(), rounds: None, list: false };
    let (mut json, mut compare) = (None, None);
    let mut args = env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} needs a value"));
        match &*arg {
            "--rounds" => wanted.rounds = Some(value()?.parse::<usize>()?.max(1)),
            "--json" => json = Some(PathBuf::from(value()?)),
            "--compare" => compare = Some((PathBuf::from(value()?), PathBuf::from(value()?))),
            "--list" => wanted.list = true,
            "--help" | "-h" => return Ok(println!("{HELP}")),
            option if option.starts_with('-') => return Err(format!("{option}: unknown\n{HELP}").into()),
            _ => wanted.words.push(arg),
        }
    }
    sys::adopt_orphans()?;
    let place = place(compare.as_ref())?;
    let mut rows = Vec::new();
    let mut tell = |row: Row| {
        print!("{}", row.table());
        rows.push(row.json());
        // what is measured so far is kept, whatever happens next
        let written = json.as_deref().map(|file| fs::write(file, format!("[\n{}\n]\n", rows.join(",\n"))));
        written.transpose().map_err(|error| eprintln!("bench: {error}")).ok();
    };
    let mut failed = Vec::new();
    let groups: [fn(&Place, &Wanted, &mut dyn FnMut(Row)) -> Result<()>; 4] =
        [runtime::rows, runtime::seccomp, manager::rows, pull::rows];
    for (at, group) in groups.into_iter().enumerate() {
        let programs = if at < 3 { &place.runtimes } else { &place.image_tools };
        if !programs.is_empty() {
            failed.extend(group(&place, &wanted, &mut tell).err());
        }
    }
    // what went wrong in one group keeps no other from being measured
    failed.iter().for_each(|error| eprintln!("bench: {error}"));
    match failed.len() {
        0 => Ok(()),
        n => Err(format!("{n} of {} groups ended early", groups.len()).into()),
    }
}

/// TMPDIR, and the builds to be measured: that of BENCH_BIN, or the two to be compared.
fn place(compare: Option<&(PathBuf, PathBuf)>) -> Result<Place> {
    let of =
        |variable: &str| env::var_os(variable).map(PathBuf::from).ok_or(format!("{variable} is not set"));
    let builds = match compare {
        Some((old, new)) => vec![("new ", new.clone()), ("old ", old.clone())],
        None => vec![("", of("BENCH_BIN")?)],
    };
    let named = |name: &str| -> Vec<Program> {
        let found = builds.iter().filter_map(|(which, path)| {
            Some(Program { name: format!("{which}{name}"), path: program(path, name)? })
        });
        found.collect()
    };
    let (runtimes, image_tools) = (named("mocker-runtime"), named("mocker-image"));
    if runtimes.is_empty() && image_tools.is_empty() {
        return Err(format!("no program of ours in {builds:?}").into());
    }
    Ok(Place {
        tmp: env::temp_dir(),
        kept: of("BENCH_KEPT")?,
        runtimes,
        image_tools,
        alone: compare.is_some(),
    })
}

/// The program of this name: in a directory by its file name, as a file by what it calls itself.
fn program(path: &Path, name: &str) -> Option<PathBuf> {
    if path.is_dir() {
        return Some(path.join(name)).filter(|path| path.is_file());
    }
    let said = Command::new(path).arg("--version").output().ok()?;
    String::from_utf8_lossy(&said.stdout).starts_with(name).then(|| path.to_owned())
}
