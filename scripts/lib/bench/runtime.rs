//! The runtime's rows: each command of each runtime, under both configurations and both views of cgroups.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::bundle::{self, Config};
use crate::contender::{Contender, Step, Words, pid, until};
use crate::place::{Place, Program, View, views};
use crate::row::Row;
use crate::{Result, Wanted, sys, words};

const COMMANDS: [&str; 7] = ["run", "life", "exec", "state", "kill", "start", "pause"];
/// How many containers `list` is asked about.
const CROWDS: [usize; 3] = [1, 100, 1000];
/// How many containers a loop makes for each round asked for.
const LOOP: usize = 4;

/// Measures what is wanted; each row is told as it is done.
pub fn rows(place: &Place, wanted: &Wanted, tell: &mut dyn FnMut(Row)) -> Result<()> {
    let runtimes = place.all_runtimes();
    if let Some(row) = wanted.row(&words!["runtime", "version"]) {
        let bare = |runtime: &Program| {
            Contender::new(&runtime.name, vec![Step::Timed(words![runtime.path.display(), "--version"])])
        };
        tell(Row::measure(
            row,
            &runtimes.iter().map(bare).collect::<Vec<_>>(),
            wanted.rounds(25),
            Some(&place.tmp.join("calls")),
        ));
    }
    for view in views()? {
        for config in [Config::Docker, Config::Plain] {
            let bundles = bundle::make(&place.dir("bundles")?, config)?;
            let jobs: Vec<Job> = runtimes
                .iter()
                .enumerate()
                .map(|(at, runtime)| Job::new(place, &view, &bundles, (at, runtime)))
                .collect();
            let label = |name: &str| words!["runtime", name, config.name(), view.name];
            for command in COMMANDS {
                let Some(row) = wanted.row(&label(command)) else { continue };
                let contenders: Vec<Contender> = jobs.iter().map(|job| job.contender(command)).collect();
                jobs.iter().filter(|_| needs_one(command)).for_each(Job::settle);
                // strace cannot follow what stays
                let report = (command != "life").then(|| place.tmp.join("calls"));
                tell(Row::measure(row, &contenders, wanted.rounds(25), report.as_deref()));
                jobs.iter().for_each(Job::clear);
            }
            if let Some(row) = wanted.row(&label("loops")) {
                tell(loops(row, &jobs, LOOP * wanted.rounds(25)));
            }
            if let Some(row) = wanted.row(&label("memory")) {
                tell(memory(row, &jobs));
            }
            if config == Config::Docker {
                crowds(&jobs, &label, wanted, tell)?;
            }
        }
    }
    Ok(())
}

/// Whether a command is one to a container that is there.
fn needs_one(command: &str) -> bool {
    ["exec", "state", "kill", "pause"].contains(&command)
}

/// One runtime at one bundle in one view, with a state directory of its own.
struct Job {
    at: usize,
    contender: Contender,
    program: PathBuf,
    root: PathBuf,
    quick: PathBuf,
    stays: PathBuf,
    pid_file: PathBuf,
}

/// The container that stays while others come and go.
const STAYS: &str = "bench-stays";

impl Job {
    fn new(
        place: &Place,
        view: &View,
        (quick, stays): &(PathBuf, PathBuf),
        (at, runtime): (usize, &Program),
    ) -> Self {
        let contender = Contender { inside: view.of(runtime), ..Contender::new(&runtime.name, Vec::new()) };
        let (root, pid_file) = (place.tmp.join(format!("state-{at}")), place.tmp.join(format!("pid-{at}")));
        Self {
            at,
            contender,
            program: runtime.path.clone(),
            root,
            quick: quick.clone(),
            stays: stays.clone(),
            pid_file,
        }
    }

    /// A name of this runtime's own, since cgroups are shared, by which scripts/bench finds what is left.
    fn id(&self, name: &str) -> String {
        format!("{name}-{}-{}", self.at, std::env::var("BENCH_ID").unwrap_or_default())
    }

    fn words(&self, words: &[&str]) -> Words {
        let ours = words![self.program.display(), "--root", self.root.display()];
        ours.into_iter().chain(words.iter().map(|word| (*word).to_owned())).collect()
    }

    fn create(&self, bundle: &Path, id: &str) -> Words {
        let (bundle, pid_file) = (bundle.display().to_string(), self.pid_file.display().to_string());
        self.words(&["create", "--bundle", &bundle, "--pid-file", &pid_file, id])
    }

    fn contender(&self, command: &str) -> Contender {
        let id = &self.id("bench-{n}");
        let ended = || Step::Ended(self.pid_file.clone());
        let stays = &self.id(STAYS);
        let steps = match command {
            "run" => {
                vec![Step::Timed(self.words(&["run", "--bundle", &self.quick.display().to_string(), id]))]
            }
            "life" => vec![
                Step::Timed(self.create(&self.quick, id)),
                Step::Timed(self.words(&["start", id])),
                ended(),
                Step::Timed(self.words(&["delete", id])),
            ],
            "start" => vec![
                Step::Quiet(self.create(&self.quick, id)),
                Step::Timed(self.words(&["start", id])),
                ended(),
                Step::Quiet(self.words(&["delete", id])),
            ],
            "exec" => vec![Step::Timed(self.words(&["exec", stays, "/bin/busybox", "true"]))],
            "state" => vec![Step::Timed(self.words(&["state", stays]))],
            // the first process of a pid namespace does not heed it
            "kill" => vec![Step::Timed(self.words(&["kill", stays, "TERM"]))],
            "pause" => {
                vec![Step::Timed(self.words(&["pause", stays])), Step::Quiet(self.words(&["resume", stays]))]
            }
            "list" => vec![Step::Timed(self.words(&["list"]))],
            other => vec![Step::Timed(words!["unknown", other])],
        };
        Contender { steps, ..self.contender.clone() }
    }

    /// A running container that stays; whose cannot be made shows it in its row.
    fn settle(&self) {
        or_none(&self.contender.name, self.try_settle());
    }

    fn try_settle(&self) -> Result<()> {
        let id = &self.id(STAYS);
        self.contender.call(&self.create(&self.stays, id), 0)?;
        self.contender.call(&self.words(&["start", id]), 0)
    }

    /// All of this runtime's containers end, whatever state they are in.
    fn clear(&self) {
        let ids = std::fs::read_dir(&self.root).into_iter().flatten().flatten();
        for id in ids.filter_map(|entry| entry.file_name().into_string().ok()) {
            drop(self.contender.call(&self.words(&["delete", "--force", &id]), 0));
        }
        sys::reap();
        drop(std::fs::remove_dir_all(&self.root));
    }

    /// The container that stays once more under other names: `list` cannot tell, and they cost nothing to make.
    fn crowd(&self, size: usize) -> Result<()> {
        let script = "cd $0; for i in $(seq 2 $1); do [ -d $2-$i ] || { cp -a $2 $2-$i; find $2-$i -type f -exec sed -i s/$2/$2-$i/g {} +; }; done";
        self.contender.call(&words!["sh", "-c", script, self.root.display(), size, self.id(STAYS)], 0)
    }

    /// Private kB of a container's first process before it is started, and of a `run` that waits.
    fn memory(&self) -> Result<Vec<Option<f64>>> {
        let id = &self.id("bench-memory");
        self.contender.call(&self.create(&self.stays, id), 0)?;
        let created = sys::private_kb(pid(&self.pid_file)?)?;
        self.clear();
        std::fs::remove_file(&self.pid_file)?;
        let (bundle, pid_file) = (self.stays.display().to_string(), self.pid_file.display().to_string());
        let run =
            self.contender.start(&self.words(&["run", "--bundle", &bundle, "--pid-file", &pid_file, id]))?;
        let sleeps = |pid: i32| {
            std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm == "busybox\n")
        };
        until("the container", || pid(&self.pid_file).is_ok_and(sleeps))?;
        let waits = sys::private_kb(run)?;
        sys::signal(pid(&self.pid_file)?, sys::KILL)?;
        sys::wait(run)?;
        self.clear();
        Ok(vec![Some(created as f64), Some(waits as f64)])
    }

    /// Makes so many containers, so many at once: how many a second.
    fn throughput(&self, total: usize, at_once: usize) -> Result<f64> {
        let start = Instant::now();
        for n in 0..total + at_once {
            if n >= at_once {
                let (_, status, _) = sys::wait(-1)?;
                if status != 0 {
                    return Err(format!("wait status {status} of run").into());
                }
            }
            if n < total {
                let id = self.id(&format!("bench-loop-{n}"));
                self.contender.start(&self.words(&[
                    "run",
                    "--bundle",
                    &self.quick.display().to_string(),
                    &id,
                ]))?;
            }
        }
        Ok(total as f64 / start.elapsed().as_secs_f64())
    }
}

fn or_none<T>(name: &str, numbers: Result<T>) -> Option<T> {
    numbers.map_err(|error| eprintln!("bench: {name}: {error}")).ok()
}

fn memory(row: Words, jobs: &[Job]) -> Row {
    let figures = jobs.iter().map(|job| {
        let name = &job.contender.name;
        (name.clone(), or_none(name, job.memory()).unwrap_or_else(|| vec![None, None]))
    });
    Row::figures(row, &words!["created_kb", "run_waits_kb"], figures.collect())
}

/// Containers a second; the runtimes take turns in each kind of loop.
fn loops(row: Words, jobs: &[Job], total: usize) -> Row {
    let figures = jobs.iter().map(|job| {
        let name = &job.contender.name;
        (name.clone(), [1, 2].map(|at_once| or_none(name, job.throughput(total, at_once))).to_vec())
    });
    Row::figures(row, &words!["one_loop_per_s", "two_loops_per_s"], figures.collect())
}

/// `list`, and `state` of one among many.
fn crowds(
    jobs: &[Job],
    label: &dyn Fn(&str) -> Words,
    wanted: &Wanted,
    tell: &mut dyn FnMut(Row),
) -> Result<()> {
    let named = |command: &str, size: usize| match command {
        "list" => [label(command), words![size]].concat(),
        _ => [label(&format!("{command}-beside")), words![size]].concat(),
    };
    let all = || CROWDS.iter().flat_map(|size| ["list", "state", "run"].map(|command| (command, *size)));
    if all().all(|(command, size)| wanted.row(&named(command, size)).is_none()) {
        return Ok(());
    }
    jobs.iter().for_each(Job::settle);
    for (command, size) in all().filter(|(command, size)| *command == "list" || *size == 1000) {
        let Some(row) = wanted.row(&named(command, size)) else { continue };
        for job in jobs {
            or_none(&job.contender.name, job.crowd(size));
        }
        let contenders: Vec<Contender> = jobs.iter().map(|job| job.contender(command)).collect();
        tell(Row::measure(row, &contenders, wanted.rounds(25).min(10), None));
    }
    for job in jobs {
        // the copies are no containers of their own
        job.contender.call(
            &words!["sh", "-c", "rm -rf --one-file-system $0/$1-*", job.root.display(), job.id(STAYS)],
            0,
        )?;
        job.clear();
    }
    Ok(())
}

/// The filters that each runtime attaches for the profiles of docker, podman and containerd, as the kernel keeps them.
pub fn seccomp(place: &Place, wanted: &Wanted, tell: &mut dyn FnMut(Row)) -> Result<()> {
    let tool = place.tmp.join("seccomp-attach");
    let Some(view) = views()?.pop() else { return Ok(()) };
    for profile in bundle::profiles()? {
        let Some(row) = wanted.row(&words!["seccomp", profile]) else { continue };
        if !tool.is_file() {
            let source = "scripts/lib/bench/seccomp-attach.c";
            Command::new("gcc").args(["-O2", "-o"]).arg(&tool).arg(source).status()?;
        }
        let dir = place.dir("bundles")?.join(&profile);
        bundle::profiled(&dir, &profile)?;
        let mut names = Vec::new();
        for (at, runtime) in place.all_runtimes().iter().enumerate() {
            let job = Job::new(place, &view, &(dir.clone(), dir.clone()), (at, runtime));
            job.try_settle()?;
            let program = place.tmp.join(format!("filter-{at}"));
            job.contender.call(&words![tool.display(), "dump", pid(&job.pid_file)?, program.display()], 0)?;
            job.clear();
            names.push((runtime.name.clone(), program));
        }
        let mut time = Command::new(&tool);
        time.arg("time")
            .arg((wanted.rounds(25) * 40).to_string())
            .args(names.iter().map(|(_, program)| program));
        let said = String::from_utf8(time.output()?.stdout)?;
        let figures = names.into_iter().map(|(name, program)| {
            let line = said.lines().find_map(|line| line.strip_prefix(&program.display().to_string()));
            let numbers =
                line.unwrap_or_default().split_whitespace().filter_map(|word| word.parse().ok()).map(Some);
            (name, numbers.take(3).collect())
        });
        tell(Row::figures(row, &words!["instructions", "attach_us_min", "attach_us"], figures.collect()));
    }
    Ok(())
}
