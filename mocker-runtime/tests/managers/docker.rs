//! docker: dockerd with a containerd and a network of its own, set up by the page of docs/managers.

use std::process::{Child, Command};

use conformance::host::{Need, peers, skip, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use super::common::{Call, LIMIT};
use super::{Place, TICKS, attach, finish, many, page, with_each_runtime};

const PROGRAMS: [&str; 2] = ["dockerd", "docker"];

struct Docker<'a> {
    place: &'a Place,
    daemon: Child,
    options: Vec<String>,
}

impl<'a> Docker<'a> {
    /// By the page's file; runc is what dockerd takes by itself.
    fn start(place: &'a Place, options: &[&str]) -> Self {
        if place.is_ours() {
            place.page("docker.md").run("Install").ok();
        }
        Self::start_again(place, options.iter().map(|&option| option.to_owned()).collect())
    }

    /// By the page's line for the daemon, without a file.
    fn start_by_options(place: &'a Place) -> Self {
        let page = page::read("docker.md");
        let (_, line) = page.split_once("`dockerd ").unwrap();
        let options = line.split('`').next().unwrap().split(' ').map(str::to_owned);
        let programs = super::place::built();
        finish(place.command("cp").arg(programs.path().join("mocker-runtime")).arg(super::INSTALLED)).ok();
        let all = if place.is_ours() { options.collect() } else { Vec::new() };
        Self::start_again(place, all)
    }

    /// By the page's file, with this program as `runc` for its BuildKit.
    fn start_with(place: &'a Place, script: &str) -> Self {
        if place.is_ours() {
            place.page("docker.md").run("Install").ok();
        }
        let runc = place.path("bin/runc");
        place.write(&runc, script);
        finish(place.command("chmod").args(["755", &runc])).ok();
        let mut command = place.command("dockerd");
        let path = format!("{}:{}", place.path("bin"), place.search);
        command.env("PATH", path).env("DOCKER_BUILDKIT_RUNC_COMMAND", &runc);
        Self::spawn(place, command, Vec::new())
    }

    fn start_again(place: &'a Place, options: Vec<String>) -> Self {
        Self::spawn(place, place.command("dockerd"), options)
    }

    fn spawn(place: &'a Place, mut command: Command, options: Vec<String>) -> Self {
        let log = std::fs::File::options().append(true).create(true).open(place.path("log")).unwrap();
        command
            .args(["--host", &socket(place), "--pidfile", &place.path("pid")])
            .args(["--cgroup-parent", &format!("/{}", place.name)])
            .args(&options);
        let daemon = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let docker = Self { place, daemon, options };
        let answers = wait_until(LIMIT, "dockerd", || docker.call(&["version"]).code == 0);
        answers.unwrap_or_else(|error| panic!("{error}: {}", docker.log()));
        docker
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.place.path("log")).unwrap()
    }

    /// A program that asks this daemon.
    fn command(&self, program: &str) -> Command {
        let mut command = self.place.command(program);
        command.env("DOCKER_HOST", socket(self.place));
        command
    }

    fn call(&self, words: &[&str]) -> Call {
        finish(self.command("docker").args(words))
    }

    fn pull(&self) {
        self.call(&["pull", "--quiet", &self.place.image()]).ok();
    }

    fn run(&self, options: &[&str], words: &[&str]) -> Call {
        self.call(&[&["run"], options, &[&self.place.image()], words].concat())
    }

    fn exec(&self, options: &[&str], name: &str, line: &str) -> Call {
        self.call(&[&["exec"], options, &[name, "sh", "-c", line]].concat())
    }

    fn inspect(&self, name: &str, form: &str) -> String {
        self.call(&["inspect", "--format", form, name]).ok().trim().to_owned()
    }

    fn wait_for(&self, name: &str, form: &str, want: &str) {
        self.place.comes(want, || self.inspect(name, form) == want);
    }

    /// With its containerd, which dies with it and falls to this process: where nobody reaped it, the next daemon
    /// would take it for one that lives.
    fn kill(&mut self) {
        let pid = std::fs::read_to_string("/run/docker/containerd/containerd.pid").unwrap();
        self.daemon.kill().unwrap();
        self.daemon.wait().unwrap();
        waitpid(Pid::from_raw(pid.trim().parse().unwrap()), None).ok();
    }
}

impl Drop for Docker<'_> {
    /// As it is asked to end: it takes its containerd with it.
    fn drop(&mut self) {
        kill(Pid::from_raw(self.daemon.id().cast_signed()), Signal::SIGTERM).ok();
        self.daemon.wait().ok();
    }
}

fn socket(place: &Place) -> String {
    format!("unix://{}", place.path("socket"))
}

#[test]
fn docker_runs_execs_checks_health_updates_and_restarts() {
    let test = "docker_runs_execs_checks_health_updates_and_restarts";
    with_each_runtime(test, &PROGRAMS, |place| {
        let mut docker = Docker::start(place, &["--live-restore"]);
        docker.pull();
        ends(&docker);

        let line = "echo started; echo aside >&2; trap 'exit 9' TERM; while :; do sleep 0.1; done";
        let health = ["--health-cmd", "test ! -e /ill", "--health-interval", "1s", "--health-retries", "1"];
        let limits = ["--memory", "64m", "--memory-swap", "64m", "--pids-limit", "50", "--cpus", "0.5"];
        let options = ["--detach", "--name", "service"];
        docker.run(&[&options[..], &limits, &health].concat(), &["sh", "-c", line]).ok();
        uses(&docker);

        docker.kill();
        let options = std::mem::take(&mut docker.options);
        drop(docker);
        let docker = Docker::start_again(place, options);
        place.is(docker.inspect("service", "{{.State.Status}}"), "running");
        let logs = docker.call(&["logs", "service"]);
        place.is((logs.out.as_str(), logs.err.as_str()), ("started\n", "aside\n"));
        docker.call(&["stop", "--time", "50", "service"]).ok();
        place.is(docker.inspect("service", "{{.State.Status}} {{.State.ExitCode}}"), "exited 9");
        docker.call(&["rm", "service"]).ok();

        let again = ["--detach", "--name", "again", "--restart", "on-failure:2"];
        docker.run(&again, &["sh", "-c", "exit 4"]).ok();
        let form = "{{.State.Status}} {{.State.ExitCode}} {{.RestartCount}}";
        docker.wait_for("again", form, "exited 4 2");
        docker.call(&["rm", "again"]).ok();
        place.is(docker.call(&["ps", "--all", "--quiet"]).ok(), "");
    });
}

/// Exit statuses, the page's trial, a terminal, attaching, kill.
fn ends(docker: &Docker) {
    let place = docker.place;
    let once = docker.run(&["--rm"], &["sh", "-c", "echo out; echo err >&2; exit 7"]);
    place.is((once.code, once.out.as_str(), once.err.as_str()), (7, "out\n", "err\n"));
    place.is(docker.run(&["--rm"], &["no-such"]).code, 127);
    place.is(docker.run(&["--rm"], &["/etc"]).code, 126);
    docker.call(&["tag", &place.image(), "busybox"]).ok();
    let trial = place.page("docker.md").commands("See that it works");
    let works = finish(docker.command("bash").args(["-c", &trial])).ok();
    place.is(works, format!("works\n{}\n", if place.is_ours() { "mocker" } else { "runc" }));
    let tty = docker.run(&["--rm", "--tty"], &["sh", "-c", "ls -l /proc/self/fd/0; exit 5"]);
    place.holds(tty.code == 5 && tty.out.contains("-> /dev/pts/0"), &tty);

    docker.run(&["--detach", "--name", "attached"], &["sh", "-c", TICKS]).ok();
    let attached = attach(place, docker.command("docker").args(["attach", "--no-stdin", "attached"]), || {
        docker.exec(&[], "attached", "touch /go").ok();
    });
    place.holds(attached.code == 6 && attached.out.ends_with("after\n"), &attached);
    place.holds(docker.call(&["logs", "attached"]).ok().ends_with("after\n"), "the log");
    docker.call(&["rm", "attached"]).ok();
    docker.run(&["--detach", "--name", "victim"], &["sleep", "1000"]).ok();
    docker.call(&["kill", "victim"]).ok();
    docker.wait_for("victim", "{{.State.Status}} {{.State.ExitCode}}", "exited 137");
    docker.call(&["rm", "victim"]).ok();
}

/// A service is healthy and ill, exec'd into, limited, paused, updated.
fn uses(docker: &Docker) {
    let place = docker.place;
    let exec = docker.exec(&[], "service", "echo in; exit 3");
    place.is((exec.code, exec.out.as_str()), (3, "in\n"));
    let exec = docker.exec(&["--tty"], "service", "ls -l /proc/self/fd/0; exit 4");
    place.holds(exec.code == 4 && exec.out.contains("-> /dev/pts/"), &exec);
    // 126 with docker 20.10, 127 later
    let wrong = docker.call(&["exec", "service", "no-such"]);
    let said = wrong.out.clone() + &wrong.err;
    place.holds(wrong.code >= 126 && said.contains("executable file not found in $PATH"), &wrong);
    docker.wait_for("service", "{{.State.Health.Status}}", "healthy");
    docker.exec(&[], "service", "touch /ill").ok();
    docker.wait_for("service", "{{.State.Health.Status}}", "unhealthy");
    docker.exec(&[], "service", "rm /ill").ok();
    docker.call(&["pause", "service"]).ok();
    place.is(docker.inspect("service", "{{.State.Status}}"), "paused");
    docker.call(&["unpause", "service"]).ok();
    let files =
        if Need::CgroupV2.is_met() { "pids.max cpu.max" } else { "pids/pids.max cpu/cpu.cfs_quota_us" };
    let limits = docker.exec(&[], "service", &format!("cd /sys/fs/cgroup && cat {files}")).ok();
    place.holds(limits.starts_with("50\n50000"), &limits);
    docker.call(&["update", "--memory", "32m", "--memory-swap", "32m", "service"]).ok();
    let stats = docker.call(&["stats", "--no-stream", "--format", "{{.MemUsage}}", "service"]).ok();
    place.holds(stats.contains("/ 32MiB"), &stats);
    let top = docker.call(&["top", "service"]).ok();
    place.holds(top.contains("sleep 0.1"), &top);
}

#[test]
fn docker_checkpoints_and_starts_from_there() {
    let test = "docker_checkpoints_and_starts_from_there";
    if skip(test, Need::Criu) {
        return;
    }
    with_each_runtime(test, &PROGRAMS, |place| {
        let docker = Docker::start(place, &["--experimental"]);
        docker.pull();
        let count = "i=0; while :; do i=$((i+1)); echo $i >/count; sleep 0.05; done";
        let options =
            ["--detach", "--name", "counter", "--network", "none", "--security-opt", "seccomp=unconfined"];
        docker.run(&options, &["sh", "-c", count]).ok();
        let read = || docker.exec(&[], "counter", "cat /count").out.trim().parse::<u64>().unwrap_or_default();
        place.comes("the count", || read() > 3);
        docker.call(&["checkpoint", "create", "counter", "one"]).ok();
        docker.wait_for("counter", "{{.State.Status}}", "exited");
        // docker 20.10 stumbles over its own copy of the checkpoint until its containerd has collected that
        let start = ["start", "--checkpoint", "one", "counter"];
        place.comes("a start from there", || docker.call(&start).code == 0);
        place.comes("its going on", || read() > 4);
        docker.call(&["rm", "--force", "counter"]).ok();
    });
}

#[test]
fn many_containers_of_docker_start_and_end_at_once() {
    let test = "many_containers_of_docker_start_and_end_at_once";
    with_each_runtime(test, &PROGRAMS, |place| {
        let docker = Docker::start_by_options(place);
        docker.pull();
        std::thread::scope(|scope| {
            for n in 0..many() {
                let docker = &docker;
                scope.spawn(move || {
                    let call = docker.run(&["--rm"], &["sh", "-c", &format!("exit {n}")]);
                    place.is(usize::try_from(call.code), Ok(n));
                });
            }
        });
        place.is(docker.call(&["ps", "--all", "--quiet"]).ok(), "");
    });
}

#[test]
fn a_swarm_of_one_node_heals_its_three_replicas() {
    let test = "a_swarm_of_one_node_heals_its_three_replicas";
    with_each_runtime(test, &PROGRAMS, |place| {
        let docker = Docker::start(place, &[]);
        docker.pull();
        let here = ["--advertise-addr", "127.0.0.1", "--listen-addr", "127.0.0.1"];
        docker.call(&[&["swarm", "init"], &here[..]].concat()).ok();
        let image = place.image();
        let options = [
            "--detach",
            "--name",
            "three",
            "--replicas",
            "3",
            "--restart-delay",
            "0s",
            "--stop-grace-period",
            "0s",
        ];
        let create = [&["service", "create", "--no-resolve-image"], &options[..], &[&image, "sleep", "1000"]];
        docker.call(&create.concat()).ok();
        let running = || {
            let list = docker.call(&["ps", "--quiet", "--filter", "status=running"]).ok();
            list.lines().map(str::to_owned).collect::<Vec<_>>()
        };
        place.comes("three replicas", || running().len() == 3);
        let before = running();
        let runtime = docker.inspect(&before[0], "{{.HostConfig.Runtime}}");
        place.is(runtime, if place.is_ours() { "mocker" } else { "runc" });
        docker.call(&["kill", &before[0]]).ok();
        place.comes("another one", || running().len() == 3 && !running().contains(&before[0]));
        place.comes("what the swarm says", || {
            docker.call(&["service", "ls", "--format", "{{.Replicas}}"]).out == "3/3\n"
        });
        docker.call(&["service", "rm", "three"]).ok();
        place.comes("their end", || running().is_empty());
        docker.call(&["swarm", "leave", "--force"]).ok();
    });
}

/// The BuildKit in dockerd takes the variable since docker 25, and before that whatever is called runc in PATH: here
/// that is a script which notes how it was called.
#[test]
fn the_buildkit_in_docker_runs_the_lines_of_a_dockerfile() {
    let test = "the_buildkit_in_docker_runs_the_lines_of_a_dockerfile";
    with_each_runtime(test, &PROGRAMS, |place| {
        let calls = place.path("calls");
        let script = format!("#!/bin/sh\necho \"$@\" >>{calls}\nexec {} \"$@\"\n", place.runtime.display());
        let docker = Docker::start_with(place, &script);
        docker.pull();
        let file = format!("FROM {}\nRUN echo built >/made && id -u\n", place.image());
        std::fs::write(place.path("home/Dockerfile"), file).unwrap();
        // Debian's client has a BuildKit client of its own; newer ones want a plugin.
        let mut build = docker.command("/usr/bin/docker");
        let built =
            finish(build.env("DOCKER_BUILDKIT", "1").args(["build", "--tag", "good", &place.path("home")]));
        place.holds(built.code == 0, &built);
        place.is(docker.call(&["run", "--rm", "good", "cat", "/made"]).ok(), "built\n");
        let calls = std::fs::read_to_string(&calls).unwrap_or_default();
        place.holds(calls.contains(" run --bundle "), &calls);
    });
}

const COMPOSE: &str = "
services:
  base:
    image: IMAGE
    command: sh -c 'echo base up; exec sleep 1000'
    stop_grace_period: 0s
    healthcheck: { test: 'true', interval: 1s }
  web:
    image: IMAGE
    command: sh -c 'ping -c 1 base && exec sleep 1000'
    stop_grace_period: 0s
    depends_on: { base: { condition: service_healthy } }
    deploy: { replicas: 2 }
";

#[test]
fn docker_compose_brings_services_up_and_down() {
    let test = "docker_compose_brings_services_up_and_down";
    if skip(test, Need::Peer("usr/libexec/docker/cli-plugins/docker-compose")) {
        return;
    }
    with_each_runtime(test, &PROGRAMS, |place| {
        let docker = Docker::start(place, &[]);
        docker.pull();
        std::fs::write(place.path("compose.yaml"), COMPOSE.replace("IMAGE", &place.image())).unwrap();
        let root = peers().unwrap();
        let bind = r#"mount --bind "$1" "$0/mnt" && for d in proc dev; do mount --rbind /$d "$0/$d"; done"#;
        finish(place.command("sh").args(["-c", bind]).arg(&root).arg(place.path(""))).ok();
        let compose = |words: &[&str]| {
            let mut command = place.command("chroot");
            command.arg(&root).arg("/usr/libexec/docker/cli-plugins/docker-compose");
            command.args(["--file", "/mnt/compose.yaml", "--project-name", "trial"]).args(words);
            finish(command.env("DOCKER_HOST", "unix:///mnt/socket").env("HOME", "/tmp"))
        };
        compose(&["up", "--detach", "--wait"]).ok();
        let names = docker.call(&["ps", "--format", "{{.Names}}"]).ok();
        place.is(names.matches("trial-").count(), 3);
        let exec = compose(&["exec", "--no-TTY", "base", "sh", "-c", "echo in; exit 3"]);
        place.is((exec.code, exec.out.as_str()), (3, "in\n"));
        let logs = compose(&["logs", "--no-log-prefix", "web"]).ok();
        place.is(logs.matches("1 packets received").count(), 2);
        compose(&["restart", "base"]).ok();
        compose(&["down"]).ok();
        place.is(docker.call(&["ps", "--all", "--quiet"]).ok(), "");
        finish(
            place
                .command("umount")
                .args(["--recursive", "--lazy"])
                .args(["mnt", "proc", "dev"].map(|dir| root.join(dir))),
        )
        .ok();
    });
}
