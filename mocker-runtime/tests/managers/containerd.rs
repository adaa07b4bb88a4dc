//! containerd through `ctr`.

use std::process::{Child, Command};

use conformance::host::{Need, wait_until};

use super::common::{Call, LIMIT, find_dirs};
use super::{Place, finish, with_each_runtime};

struct Containerd<'a> {
    place: &'a Place,
    daemon: Child,
}

impl<'a> Containerd<'a> {
    fn start(place: &'a Place) -> Self {
        let path = |name: &str| place.path(name);
        let config = format!(
            "version = 2\nroot = {:?}\nstate = {:?}\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n\
             [grpc]\naddress = {:?}\n[ttrpc]\naddress = {:?}\n",
            path("root"),
            path("state"),
            path("socket"),
            path("ttrpc")
        );
        std::fs::write(path("config.toml"), config).unwrap();
        let log = std::fs::File::options().append(true).create(true).open(path("log")).unwrap();
        let mut command = place.command("containerd");
        command.args(["--config", &path("config.toml")]).stdout(log.try_clone().unwrap()).stderr(log);
        let containerd = Self { place, daemon: command.spawn().unwrap() };
        wait_until(LIMIT, "containerd", || containerd.ctr(&["version"]).code == 0).unwrap();
        containerd
    }

    fn ctr(&self, words: &[&str]) -> Call {
        let mut command = Command::new("ctr");
        command.args(["--address", &self.place.path("socket"), "--namespace", "mocker-test"]).args(words);
        finish(&mut command)
    }

    /// `ctr run` with the runtime; its state goes to the place's folder.
    fn run(&self, options: &[&str], id: &str, words: &[&str]) -> Call {
        let (image, root) = (self.place.image(), self.place.path("runtime"));
        let runtime = ["--runc-binary", self.place.runtime.to_str().unwrap(), "--runc-root", &root];
        let scope = format!("system.slice:mocker-test:{id}");
        let systemd: &[&str] = &["--runc-systemd-cgroup", "--cgroup", &scope];
        let driver = if Need::Systemd.is_met() { systemd } else { &[] };
        self.ctr(&[&["run"], options, driver, &runtime, &[&image, id], words].concat())
    }

    fn status(&self, id: &str) -> String {
        let list = self.ctr(&["task", "list"]).ok();
        let line = list.lines().find(|line| line.starts_with(&format!("{id} ")));
        line.and_then(|line| line.split_whitespace().last()).unwrap_or("GONE").to_owned()
    }

    /// The shims live on, as they do when a daemon is upgraded.
    fn kill(&mut self) {
        self.daemon.kill().unwrap();
        self.daemon.wait().unwrap();
    }
}

impl Drop for Containerd<'_> {
    fn drop(&mut self) {
        self.kill();
    }
}

#[test]
fn containerd_runs_execs_pauses_and_finds_its_containers_again() {
    let test = "containerd_runs_execs_pauses_and_finds_its_containers_again";
    with_each_runtime(test, &["containerd", "ctr"], |place| {
        let mut daemon = Containerd::start(place);
        daemon.ctr(&["image", "pull", "--plain-http", &place.image()]).ok();

        let once = daemon.run(&["--rm"], "once", &["sh", "-c", "echo out; echo err >&2; exit 7"]);
        assert_eq!((once.code, once.out.as_str(), once.err.as_str()), (7, "out\n", "err\n"), "{once:?}");
        let wrong = daemon.run(&["--rm"], "wrong", &["no-such"]);
        assert!(wrong.err.contains(r#"exec: "no-such": executable file not found in $PATH"#), "{wrong:?}");

        let limits = ["--detach", "--memory-limit", "67108864"];
        daemon.run(&limits, "service", &["sleep", "1000"]).ok();
        assert_eq!(daemon.status("service"), "RUNNING");
        let exec = ["task", "exec", "--exec-id", "one", "service", "sh", "-c", "echo in; exit 3"];
        let exec = daemon.ctr(&exec);
        assert_eq!((exec.code, exec.out.as_str()), (3, "in\n"), "{exec:?}");
        daemon.ctr(&["task", "pause", "service"]).ok();
        assert_eq!(daemon.status("service"), "PAUSED");
        daemon.ctr(&["task", "resume", "service"]).ok();
        let metrics = daemon.ctr(&["task", "metrics", "--format", "json", "service"]).ok();
        assert!(metrics.contains("67108864"), "{metrics}");

        daemon.kill();
        let daemon = Containerd::start(place);
        assert_eq!(daemon.status("service"), "RUNNING");
        daemon.ctr(&["task", "kill", "--signal", "SIGKILL", "service"]).ok();
        wait_until(LIMIT, "the end", || daemon.status("service") == "STOPPED").unwrap();
        let deleted = daemon.ctr(&["task", "delete", "service"]);
        assert!(deleted.err.contains("137"), "{deleted:?}");
        daemon.ctr(&["container", "delete", "service"]).ok();

        let state = std::fs::read_dir(place.path("runtime/mocker-test")).unwrap().flatten().count();
        assert_eq!(state, 0, "state is left");
        assert!(find_dirs("/sys/fs/cgroup".as_ref(), "service").is_empty(), "a cgroup is left");
    });
}

#[test]
fn many_containers_of_containerd_start_and_end_at_once() {
    let test = "many_containers_of_containerd_start_and_end_at_once";
    let count = if std::env::var_os("MOCKER_NIGHTLY").is_some() { 50 } else { 8 };
    with_each_runtime(test, &["containerd", "ctr"], |place| {
        let daemon = Containerd::start(place);
        daemon.ctr(&["image", "pull", "--plain-http", &place.image()]).ok();
        std::thread::scope(|scope| {
            for n in 0..count {
                let daemon = &daemon;
                scope.spawn(move || {
                    let call =
                        daemon.run(&["--rm"], &format!("many-{n}"), &["sh", "-c", &format!("exit {n}")]);
                    assert_eq!(call.code, n, "{call:?}");
                });
            }
        });
        assert_eq!(daemon.ctr(&["container", "list", "--quiet"]).ok(), "");
    });
}
