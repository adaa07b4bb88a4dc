//! docker: dockerd with a containerd of its own, set up by the drop-in of docs/managers.

use std::path::Path;
use std::process::Child;

use conformance::host::{become_reaper, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use super::common::{Call, LIMIT};
use super::{INSTALLED, Place, finish, with_each_runtime};

struct Docker<'a> {
    place: &'a Place,
    daemon: Child,
}

impl<'a> Docker<'a> {
    /// The daemon lets containers live on without it, and leaves the machine's network alone.
    fn start(place: &'a Place) -> Self {
        become_reaper().unwrap();
        let log = std::fs::File::options().append(true).create(true).open(place.path("log")).unwrap();
        let mut command = place.command("dockerd");
        if place.runtime == Path::new(INSTALLED) {
            std::fs::write(place.path("daemon.json"), place.drop_in("docker.json")).unwrap();
        } else {
            std::fs::write(place.path("daemon.json"), "{}").unwrap();
        }
        for (option, name) in [
            ("--config-file", "daemon.json"),
            ("--data-root", "root"),
            ("--exec-root", "exec"),
            ("--pidfile", "pid"),
        ] {
            command.args([option, &place.path(name)]);
        }
        command
            .args(["--host", &format!("unix://{}", place.path("socket")), "--storage-driver", "vfs"])
            .args(["--live-restore", "--bridge=none", "--iptables=false", "--ip6tables=false"]);
        let daemon = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let docker = Self { place, daemon };
        let answers = wait_until(LIMIT, "dockerd", || docker.call(&["version"]).code == 0);
        answers.unwrap_or_else(|error| {
            panic!("{error}: {}", std::fs::read_to_string(place.path("log")).unwrap())
        });
        docker
    }

    fn call(&self, words: &[&str]) -> Call {
        let mut command = self.place.command("docker");
        finish(command.args(["--host", &format!("unix://{}", self.place.path("socket"))]).args(words))
    }

    fn run(&self, options: &[&str], words: &[&str]) -> Call {
        self.call(&[&["run", "--network", "none"], options, &[&self.place.image()], words].concat())
    }

    fn inspect(&self, name: &str, form: &str) -> String {
        self.call(&["inspect", "--format", form, name]).ok().trim().to_owned()
    }

    fn wait_for(&self, name: &str, form: &str, want: &str) {
        wait_until(LIMIT, want, || self.inspect(name, form) == want).unwrap();
    }
}

impl Docker<'_> {
    /// With its containerd, which dies with it and falls to this process: where nobody reaped it, the next daemon
    /// would take it for one that lives.
    fn kill(&mut self) {
        let pid = std::fs::read_to_string(self.place.path("exec/containerd/containerd.pid")).unwrap();
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

#[test]
fn docker_runs_execs_checks_health_updates_and_restarts() {
    let test = "docker_runs_execs_checks_health_updates_and_restarts";
    with_each_runtime(test, &["dockerd", "docker"], |place| {
        let mut docker = Docker::start(place);
        docker.call(&["pull", "--quiet", &place.image()]).ok();
        let default = if place.runtime == Path::new(INSTALLED) { "mocker\n" } else { "runc\n" };
        assert_eq!(docker.call(&["info", "--format", "{{.DefaultRuntime}}"]).ok(), default);
        let once = docker.run(&["--rm"], &["sh", "-c", "echo out; echo err >&2; exit 7"]);
        assert_eq!((once.code, once.out.as_str(), once.err.as_str()), (7, "out\n", "err\n"), "{once:?}");
        assert_eq!(docker.run(&["--rm"], &["no-such"]).code, 127);

        let line = "echo started; trap 'exit 9' TERM; while :; do sleep 0.1; done";
        let health = ["--health-cmd", "true", "--health-interval", "1s"];
        let options = ["--detach", "--name", "service", "--memory", "64m", "--memory-swap", "64m"];
        docker.run(&[&options[..], &health].concat(), &["sh", "-c", line]).ok();
        docker.wait_for("service", "{{.State.Health.Status}}", "healthy");
        let exec = docker.call(&["exec", "service", "sh", "-c", "echo in; exit 3"]);
        assert_eq!((exec.code, exec.out.as_str()), (3, "in\n"), "{exec:?}");
        docker.call(&["pause", "service"]).ok();
        assert_eq!(docker.inspect("service", "{{.State.Status}}"), "paused");
        docker.call(&["unpause", "service"]).ok();
        docker.call(&["update", "--memory", "32m", "--memory-swap", "32m", "service"]).ok();
        let stats = docker.call(&["stats", "--no-stream", "--format", "{{.MemUsage}}", "service"]).ok();
        assert!(stats.contains("/ 32MiB"), "{stats}");

        docker.kill();
        drop(docker);
        let docker = Docker::start(place);
        assert_eq!(docker.inspect("service", "{{.State.Status}}"), "running");
        assert_eq!(docker.call(&["logs", "service"]).ok(), "started\n");
        docker.call(&["stop", "--time", "50", "service"]).ok();
        assert_eq!(docker.inspect("service", "{{.State.Status}} {{.State.ExitCode}}"), "exited 9");
        docker.call(&["rm", "service"]).ok();

        docker
            .run(&["--detach", "--name", "again", "--restart", "on-failure:2"], &["sh", "-c", "exit 4"])
            .ok();
        let form = "{{.State.Status}} {{.State.ExitCode}} {{.RestartCount}}";
        docker.wait_for("again", form, "exited 4 2");
        docker.call(&["rm", "again"]).ok();
        assert_eq!(docker.call(&["ps", "--all", "--quiet"]).ok(), "");
    });
}
