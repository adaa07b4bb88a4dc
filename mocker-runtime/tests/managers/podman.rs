//! podman with conmon, set up by the drop-in of docs/managers.

use std::path::Path;

use conformance::host::{Need, wait_until};

use super::common::{Call, LIMIT};
use super::{INSTALLED, Place, finish, with_each_runtime};

/// podman wants more open files for a container than a machine without CAP_SYS_RESOURCE gives.
const ULIMITS: [&str; 4] = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000"];

impl Place {
    /// A call of podman with storage of its own. Each has a mount namespace of its own: what it mounts ends with it, and
    /// the containers keep what they have.
    fn podman(&self, words: &[&str]) -> Call {
        let mut command = self.command("podman");
        if self.runtime == Path::new(INSTALLED) {
            let file = self.path("containers.conf");
            std::fs::write(&file, self.drop_in("podman.conf")).unwrap();
            command.env("CONTAINERS_CONF", file);
        } else {
            command.arg("--runtime").arg(&self.runtime);
        }
        for (option, folder) in [("--root", "root"), ("--runroot", "run"), ("--tmpdir", "tmp")] {
            command.args([option, &self.path(folder)]);
        }
        let driver = if Need::Systemd.is_met() { "systemd" } else { "cgroupfs" };
        command.args(["--cgroup-manager", driver, "--events-backend", "file", "--storage-driver", "vfs"]);
        finish(command.args(words))
    }

    fn podman_run(&self, options: &[&str], words: &[&str]) -> Call {
        let image = self.image();
        self.podman(&[&["run", "--network", "none"], &ULIMITS[..], options, &[&image], words].concat())
    }

    fn inspect(&self, name: &str, form: &str) -> String {
        self.podman(&["inspect", "--format", form, name]).ok().trim().to_owned()
    }
}

#[test]
fn podman_runs_execs_updates_stops_and_restarts() {
    let test = "podman_runs_execs_updates_stops_and_restarts";
    with_each_runtime(test, &["podman", "conmon"], |place| {
        place.podman(&["pull", "--quiet", "--tls-verify=false", &place.image()]).ok();
        if place.runtime == Path::new(INSTALLED) {
            let info =
                place.podman(&["info", "--format", "{{.Host.OCIRuntime.Name}} {{.Host.OCIRuntime.Path}}"]);
            assert_eq!(info.ok(), format!("mocker {INSTALLED}\n"));
        }
        let once = place.podman_run(&["--rm"], &["sh", "-c", "echo out; echo err >&2; exit 7"]);
        assert_eq!((once.code, once.out.as_str(), once.err.as_str()), (7, "out\n", "err\n"), "{once:?}");
        assert_eq!(place.podman_run(&["--rm"], &["no-such"]).code, 127);
        assert_eq!(place.podman_run(&["--rm"], &["/etc"]).code, 126);

        let service = "echo started; trap 'exit 9' TERM; while :; do sleep 0.1; done";
        let options = ["--detach", "--name", "service", "--memory", "64m", "--health-cmd", "true"];
        place
            .podman_run(&[&options[..], &["--health-interval", "disable"]].concat(), &["sh", "-c", service])
            .ok();
        wait_until(LIMIT, "the log", || place.podman(&["logs", "service"]).out == "started\n").unwrap();
        let exec = place.podman(&["exec", "service", "sh", "-c", "echo in; exit 3"]);
        assert_eq!((exec.code, exec.out.as_str()), (3, "in\n"), "{exec:?}");
        assert_eq!(place.podman(&["exec", "service", "no-such"]).code, 127);
        place.podman(&["healthcheck", "run", "service"]).ok();
        place.podman(&["pause", "service"]).ok();
        assert_eq!(place.inspect("service", "{{.State.Status}}"), "paused");
        place.podman(&["unpause", "service"]).ok();
        assert!(place.podman(&["top", "service"]).ok().contains("sleep"));
        place.podman(&["update", "--memory", "32m", "service"]).ok();

        place.podman(&["stop", "--time", "50", "service"]).ok();
        assert_eq!(place.inspect("service", "{{.State.Status}} {{.State.ExitCode}}"), "exited 9");
        place.podman(&["start", "service"]).ok();
        place.podman(&["kill", "--signal", "KILL", "service"]).ok();
        assert_eq!(place.podman(&["wait", "service"]).ok(), "137\n");
        place.podman(&["rm", "service"]).ok();

        let again = ["--detach", "--name", "again", "--restart", "on-failure:2"];
        place.podman_run(&again, &["sh", "-c", "exit 4"]).ok();
        let want = "exited 4 2";
        wait_until(LIMIT, want, || {
            place.inspect("again", "{{.State.Status}} {{.State.ExitCode}} {{.RestartCount}}") == want
        })
        .unwrap();
        place.podman(&["rm", "again"]).ok();
        assert_eq!(place.podman(&["ps", "--all", "--quiet"]).ok(), "");
    });
}
