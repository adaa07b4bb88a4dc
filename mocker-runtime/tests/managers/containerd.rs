//! containerd through `ctr`.

use std::process::{Child, Command};

use conformance::host::{Need, skip, wait_until};

use super::common::{Call, LIMIT};
use super::page::Page;
use super::{Place, TICKS, attach, finish, many, wants_time, with_each_runtime};

const CONFIG: &str = "/etc/containerd/config.toml";
const DROP_IN: &str = "/etc/containerd/conf.d/50-mocker.toml";

/// A daemon at the usual places of the place's machine.
pub(crate) struct Containerd<'a> {
    place: &'a Place,
    daemon: Child,
}

impl Place {
    /// The first number of its version.
    pub(crate) fn containerd_major(&self) -> u32 {
        let version = finish(self.command("containerd").arg("--version")).ok();
        version.split(' ').nth(2).unwrap().trim_start_matches('v').split('.').next().unwrap().parse().unwrap()
    }

    fn containerd_page(&self) -> Page<'_> {
        self.page(if self.containerd_major() == 1 { "containerd-1.md" } else { "containerd.md" })
    }
}

impl<'a> Containerd<'a> {
    /// What `config` says, beside the drop-in of the page where the runtime is ours.
    pub(crate) fn start(place: &'a Place, config: &str) -> Self {
        let major = place.containerd_major();
        place.write(CONFIG, &format!("version = {}\n{config}", major + 1));
        if place.is_ours() {
            place.containerd_page().run("Install").ok();
            if !Need::Systemd.is_met() {
                // as the page says
                let files = [CONFIG, DROP_IN].map(|file| (file, std::fs::read_to_string(file)));
                for (file, text) in files.iter().filter_map(|(file, text)| Some((file, text.as_ref().ok()?)))
                {
                    place.write(file, &text.replace("SystemdCgroup = true", "SystemdCgroup = false"));
                }
            }
        }
        Self::start_again(place)
    }

    /// With the configuration that is there.
    pub(crate) fn start_again(place: &'a Place) -> Self {
        let log = std::fs::File::options().append(true).create(true).open(place.path("log")).unwrap();
        let mut command = place.command("containerd");
        let daemon = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let containerd = Self { place, daemon };
        let up = wait_until(LIMIT, "containerd", || containerd.ctr(&["version"]).code == 0);
        up.unwrap_or_else(|error| panic!("{error}: {}", containerd.log()));
        containerd
    }

    /// What went wrong.
    pub(crate) fn log(&self) -> String {
        let log = std::fs::read_to_string(self.place.path("log")).unwrap();
        log.lines().filter(|line| line.contains("error") && !line.contains("skip plugin")).collect()
    }

    fn ctr_command(&self, words: &[&str]) -> Command {
        let mut command = self.place.command("ctr");
        command.args(["--namespace", &self.place.name]).args(words);
        command
    }

    pub(crate) fn ctr(&self, words: &[&str]) -> Call {
        finish(&mut self.ctr_command(words))
    }

    /// A call at a terminal of its own. ctr must be there before the program ends, or its output is lost: it has a second.
    fn at_terminal(&self, words: &[&str]) -> Call {
        let line = [&["ctr", "--namespace", &self.place.name], words].concat().join(" ");
        finish(self.place.command("script").args(["--quiet", "--return", "--command", &line, "/dev/null"]))
    }

    fn pull(&self) {
        self.ctr(&["image", "pull", "--plain-http", &self.place.image()]).ok();
    }

    /// `ctr run` with the runtime; its state goes to the place's folder.
    fn run(&self, options: &[&str], id: &str, words: &[&str]) -> Call {
        let (image, root) = (self.place.image(), self.place.path("runtime"));
        let runtime = ["--runc-binary", self.place.runtime.to_str().unwrap(), "--runc-root", &root];
        let scope = format!("system.slice:{}:{id}", self.place.name);
        let systemd: &[&str] = &["--runc-systemd-cgroup", "--cgroup", &scope];
        let driver = if Need::Systemd.is_met() { systemd } else { &[] };
        self.ctr(&[&["run"], options, driver, &runtime, &[&image, id], words].concat())
    }

    fn status(&self, id: &str) -> String {
        let list = self.ctr(&["task", "list"]).ok();
        let line = list.lines().find(|line| line.starts_with(&format!("{id} ")));
        line.and_then(|line| line.split_whitespace().last()).unwrap_or("GONE").to_owned()
    }

    fn end(&self, id: &str) -> Call {
        self.ctr(&["task", "kill", "--signal", "SIGKILL", id]).ok();
        self.place.comes("the end", || self.status(id) == "STOPPED");
        let deleted = self.ctr(&["task", "delete", id]);
        self.ctr(&["container", "delete", id]).ok();
        deleted
    }

    /// Nothing of its containers is in the runtime's state.
    fn has_no_state(&self) {
        let state = std::fs::read_dir(format!("{}/{}", self.place.path("runtime"), self.place.name));
        self.place.is(state.map_or(0, |dir| dir.flatten().count()), 0);
    }

    /// The shims live on, as they do when a daemon is upgraded.
    pub(crate) fn kill(&mut self) {
        self.daemon.kill().unwrap();
        self.daemon.wait().unwrap();
    }
}

impl Drop for Containerd<'_> {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The page's own trial, and the way back.
fn page_holds(place: &Place) {
    let image = "docker.io/library/busybox:latest";

    finish(place.command("ctr").args(["image", "tag", &place.image(), image])).ok();
    let page = place.containerd_page();
    let runtime = place.runtime.to_str().unwrap();
    let page = if place.is_ours() { page } else { page.with(super::INSTALLED, runtime) };
    let works = page.run("See that it works");
    place.is((works.code, works.out.as_str()), (0, "works\n"));
    if place.is_ours() {
        page.run("Go back").ok();
    }
    let config = std::fs::read_to_string(CONFIG).unwrap();
    place.holds(!std::fs::exists(DROP_IN).unwrap() && !config.contains("mocker-runtime"), &config);
    finish(place.command("ctr").args(["image", "remove", &place.image(), image])).ok();
}

#[test]
fn containerd_runs_execs_pauses_and_finds_its_containers_again() {
    let test = "containerd_runs_execs_pauses_and_finds_its_containers_again";
    with_each_runtime(test, &["containerd", "ctr", "script"], |place| {
        let mut daemon = Containerd::start(place, "");
        daemon.pull();

        let once = daemon.run(&["--rm"], "once", &["sh", "-c", "echo out; echo err >&2; exit 7"]);
        place.is((once.code, once.out.as_str(), once.err.as_str()), (7, "out\n", "err\n"));
        let wrong = daemon.run(&["--rm"], "wrong", &["no-such"]);
        place.holds(wrong.err.contains(r#"exec: "no-such": executable file not found in $PATH"#), &wrong);

        let limits = ["--detach", "--memory-limit", "67108864"];
        daemon.run(&limits, "service", &["sleep", "1000"]).ok();
        place.is(daemon.status("service"), "RUNNING");
        let exec = ["task", "exec", "--exec-id", "one", "service", "sh", "-c", "echo in; exit 3"];
        let exec = daemon.ctr(&exec);
        place.is((exec.code, exec.out.as_str()), (3, "in\n"));
        let exec = [
            "task",
            "exec",
            "--exec-id",
            "two",
            "--tty",
            "service",
            "sh",
            "-c",
            "'sleep 1; ls -l /proc/self/fd/0; exit 4'",
        ];
        let exec = daemon.at_terminal(&exec);
        place.holds(exec.code == 4 && exec.out.contains("-> /dev/pts/0"), &exec);
        daemon.ctr(&["task", "pause", "service"]).ok();
        place.is(daemon.status("service"), "PAUSED");
        daemon.ctr(&["task", "resume", "service"]).ok();
        let metrics = daemon.ctr(&["task", "metrics", "--format", "json", "service"]).ok();
        place.holds(metrics.contains("67108864"), &metrics);
        gives_terminals_and_attaches(place, &daemon);

        daemon.kill();
        drop(daemon);
        let daemon = Containerd::start_again(place);
        place.is(daemon.status("service"), "RUNNING");
        let deleted = daemon.end("service");
        place.holds(deleted.err.contains("137"), &deleted);
        page_holds(place);
        daemon.has_no_state();
    });
}

/// `run` at a terminal, and `attach`.
fn gives_terminals_and_attaches(place: &Place, daemon: &Containerd) {
    let (runtime, image) = (place.runtime.to_str().unwrap(), place.image());
    let words = ["run", "--rm", "--tty", "--runc-binary", runtime, &image, "tty", "sh", "-c"];
    let tty =
        daemon.at_terminal(&[&words[..], &["'sleep 1; ls -l /proc/self/fd/0; echo end; exit 5'"]].concat());
    place.holds(tty.code == 5 && tty.out.contains("-> /dev/pts/0") && tty.out.contains("end"), &tty);

    daemon.run(&["--detach"], "attached", &["sh", "-c", TICKS]).ok();
    let attached = attach(place, &mut daemon.ctr_command(&["task", "attach", "attached"]), || {
        daemon.ctr(&["task", "exec", "--exec-id", "go", "attached", "touch", "/go"]).ok();
    });
    place.holds(attached.code == 6 && attached.out.ends_with("after\n"), &attached);
    daemon.ctr(&["container", "delete", "attached"]).ok();
}

#[test]
fn containerd_checkpoints_and_restores() {
    let test = "containerd_checkpoints_and_restores";
    if skip(test, Need::Criu) {
        return;
    }
    with_each_runtime(test, &["containerd", "ctr"], |place| {
        let daemon = Containerd::start(place, "");
        daemon.pull();
        let count = "i=0; while :; do i=$((i+1)); echo $i >/count; sleep 0.05; done";
        daemon.run(&["--detach"], "counter", &["sh", "-c", count]).ok();
        let read = |id: &str, exec: &str| {
            let call = daemon.ctr(&["task", "exec", "--exec-id", exec, id, "cat", "/count"]);
            call.out.trim().parse::<u64>().unwrap_or_default()
        };
        place.comes("the count", || read("counter", "first") > 3);
        let image = "checkpoint.example/counter:one";
        daemon.ctr(&["container", "checkpoint", "--rw", "--task", "--image", "counter", image]).ok();
        let before = read("counter", "second");
        daemon.end("counter");
        daemon.ctr(&["container", "restore", "--rw", "--live", "counter", image]).ok();
        place.comes("its going on", || read("counter", "third") > before);
        daemon.end("counter");
        daemon.has_no_state();
    });
}

#[test]
fn many_containers_of_containerd_start_and_end_at_once() {
    let test = "many_containers_of_containerd_start_and_end_at_once";
    if wants_time(test) {
        return;
    }
    with_each_runtime(test, &["containerd", "ctr"], |place| {
        let daemon = Containerd::start(place, "");
        daemon.pull();
        std::thread::scope(|scope| {
            for n in 0..many() {
                let daemon = &daemon;
                scope.spawn(move || {
                    let line = format!("exit {n}");
                    let call = daemon.run(&["--rm"], &format!("many-{n}"), &["sh", "-c", &line]);
                    place.is(usize::try_from(call.code), Ok(n));
                });
            }
        });
        place.is(daemon.ctr(&["container", "list", "--quiet"]).ok(), "");
        daemon.has_no_state();
    });
}
