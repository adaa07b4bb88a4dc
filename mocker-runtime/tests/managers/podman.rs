//! podman with conmon, set up by the page of docs/managers; root's, and an ordinary user's.

use std::process::{Child, Command};

use conformance::host::{Need, skip, wait_until};

use super::common::{Call, LIMIT, USER, give};
use super::{Place, TICKS, attach, finish, many, wants_time, with_each_runtime};

const PROGRAMS: [&str; 2] = ["podman", "conmon"];

/// The machine's own settings, beside the drop-in: podman wants more open files for a container than a machine without
/// CAP_SYS_RESOURCE gives, and a network of programs that may be missing.
fn settings() -> String {
    let driver = if Need::Systemd.is_met() { "systemd" } else { "cgroupfs" };
    format!(
        "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1000:1000\"]\nnetns = \"none\"\n\
         [engine]\nevents_logger = \"file\"\ncgroup_manager = \"{driver}\"\n"
    )
}

/// podman as somebody's.
struct Podman<'a> {
    place: &'a Place,
    /// Words before its name, for an ordinary user
    by: Vec<String>,
}

impl<'a> Podman<'a> {
    fn new(place: &'a Place) -> Self {
        place.write("/etc/containers/containers.conf", &settings());
        let storage = "[storage]\ndriver = \"vfs\"\nrunroot = \"/run/containers/storage\"\n";
        let storage = format!("{storage}graphroot = \"/var/lib/containers/storage\"\n");
        place.write("/etc/containers/storage.conf", &storage);
        let registry = place.registry().address();
        let insecure = format!("[[registry]]\nlocation = {registry:?}\ninsecure = true\n");
        place.write("/etc/containers/registries.conf.d/test.conf", &insecure);
        if place.is_ours() {
            let info = place.page("podman.md").run("Install").ok();
            assert!(info.ends_with(&format!("mocker {}\n", super::INSTALLED)), "{info}");
        }
        Self { place, by: Vec::new() }
    }

    fn command(&self) -> Command {
        let mut command = self.place.command(self.by.first().map_or("podman", String::as_str));
        command.args(self.by.get(1..).unwrap_or_default());
        if !self.by.is_empty() {
            command.arg("podman");
        }
        if !self.place.is_ours() {
            command.arg("--runtime").arg(&self.place.runtime);
        }
        command
    }

    fn call(&self, words: &[&str]) -> Call {
        finish(self.command().args(words))
    }

    fn pull(&self) {
        self.call(&["pull", "--quiet", &self.place.image()]).ok();
    }

    /// A cgroup of the place's; systemd's has a slice, and an ordinary user none.
    fn parent(&self) -> String {
        let none = Need::Systemd.is_met() || !self.by.is_empty();
        if none { "--cgroups=enabled".to_owned() } else { format!("--cgroup-parent=/{}", self.place.name) }
    }

    fn run(&self, options: &[&str], words: &[&str]) -> Call {
        self.call(&[&["run", self.parent().as_str()], options, &[&self.place.image()], words].concat())
    }

    fn exec(&self, options: &[&str], name: &str, line: &str) -> Call {
        self.call(&[&["exec"], options, &[name, "sh", "-c", line]].concat())
    }

    fn inspect(&self, name: &str, form: &str) -> String {
        self.call(&["inspect", "--format", form, name]).ok().trim().to_owned()
    }

    fn has_none(&self) {
        self.place.is(self.call(&["ps", "--all", "--quiet"]).ok(), "");
    }
}

const SERVICE: &str = "echo started; trap 'exit 9' TERM; while :; do sleep 0.1; done";

/// What root and an ordinary user can do alike.
fn runs(podman: &Podman) {
    let place = podman.place;
    let once = podman.run(&["--rm"], &["sh", "-c", "echo out; echo err >&2; exit 7"]);
    place.is((once.code, once.out.as_str(), once.err.as_str()), (7, "out\n", "err\n"));
    place.is(podman.run(&["--rm"], &["no-such"]).code, 127);
    place.is(podman.run(&["--rm"], &["/etc"]).code, 126);
    let tty = podman.run(&["--rm", "--tty"], &["sh", "-c", "ls -l /proc/self/fd/0; exit 5"]);
    place.holds(tty.code == 5 && tty.out.contains("-> /dev/pts/0"), &tty);
    let health = ["--health-cmd", "true", "--health-interval", "disable"];
    podman.run(&[&["--detach", "--name", "service"], &health[..]].concat(), &["sh", "-c", SERVICE]).ok();
    place.comes("the log", || podman.call(&["logs", "service"]).out == "started\n");
    let exec = podman.exec(&[], "service", "echo in; exit 3");
    place.holds(exec.code == 3 && exec.out == "in\n", &exec);
    let exec = podman.exec(&["--tty"], "service", "ls -l /proc/self/fd/0; exit 4");
    place.holds(exec.code == 4 && exec.out.contains("-> /dev/pts/"), &exec);
    place.is(podman.call(&["exec", "service", "no-such"]).code, 127);
    podman.call(&["healthcheck", "run", "service"]).ok();
    place.holds(podman.call(&["top", "service"]).ok().contains("sleep"), "top");
}

/// The service's end by its own hand and by the kernel's, and what restarts by itself.
fn ends(podman: &Podman) {
    let place = podman.place;
    podman.call(&["stop", "--time", "50", "service"]).ok();
    place.is(podman.inspect("service", "{{.State.Status}} {{.State.ExitCode}}"), "exited 9");
    podman.call(&["start", "service"]).ok();
    podman.call(&["kill", "--signal", "KILL", "service"]).ok();
    place.is(podman.call(&["wait", "service"]).ok(), "137\n");
    podman.call(&["rm", "service"]).ok();
    podman.run(&["--detach", "--name", "again", "--restart", "on-failure:2"], &["sh", "-c", "exit 4"]).ok();
    let want = "exited 4 2";
    place.comes(want, || {
        podman.inspect("again", "{{.State.Status}} {{.State.ExitCode}} {{.RestartCount}}") == want
    });
    podman.call(&["rm", "again"]).ok();
}

#[test]
fn podman_runs_execs_updates_stops_and_restarts() {
    let test = "podman_runs_execs_updates_stops_and_restarts";
    with_each_runtime(test, &PROGRAMS, |place| {
        let podman = Podman::new(place);
        podman.pull();
        runs(&podman);
        podman.call(&["pause", "service"]).ok();
        place.is(podman.inspect("service", "{{.State.Status}}"), "paused");
        podman.call(&["unpause", "service"]).ok();
        let file = if Need::CgroupV2.is_met() { "memory.max" } else { "memory/memory.limit_in_bytes" };
        podman.call(&["update", "--memory", "32m", "service"]).ok();
        place.is(podman.exec(&[], "service", &format!("cat /sys/fs/cgroup/{file}")).out, "33554432\n");
        ends(&podman);

        podman.run(&["--detach", "--name", "attached"], &["sh", "-c", TICKS]).ok();
        let attached = attach(place, podman.command().args(["attach", "--no-stdin", "attached"]), || {
            podman.exec(&[], "attached", "touch /go").ok();
        });
        place.holds(attached.out.contains("tick\nafter\n"), &attached);
        place.holds(podman.call(&["logs", "attached"]).ok().ends_with("after\n"), "the log");
        place.is(podman.call(&["wait", "attached"]).ok(), "6\n");
        podman.call(&["rm", "attached"]).ok();

        podman.call(&["tag", &place.image(), "docker.io/library/busybox"]).ok();
        if place.is_ours() {
            assert_eq!(place.page("podman.md").run("See that it works").ok(), "works\n");
            // nobody else's here: every other container has a parent of its own
            super::place::remove_cgroups("libpod_parent");
            place.page("podman.md").run("Go back").ok();
            let name = podman.call(&["info", "--format", "{{.Host.OCIRuntime.Name}}"]).ok();
            assert!(!name.contains("mocker"), "{name}");
        }
        podman.has_none();
    });
}

/// podman's service, which clients reach at a socket.
fn serve(podman: &Podman, url: &str) -> Child {
    let mut command = podman.command();
    let service = command.args(["system", "service", "--time", "0", url]).spawn().unwrap();
    wait_until(LIMIT, "the service", || remote(podman, url, &["version"]).code == 0).unwrap();
    service
}

/// A client of it, which has no say in what the runtime is.
fn remote(podman: &Podman, url: &str, words: &[&str]) -> Call {
    finish(podman.place.command("podman").args(["--url", url]).args(words))
}

#[test]
fn a_container_lives_on_without_podmans_service_and_many_come_at_once() {
    let test = "a_container_lives_on_without_podmans_service_and_many_come_at_once";
    if wants_time(test) {
        return;
    }
    with_each_runtime(test, &PROGRAMS, |place| {
        let podman = Podman::new(place);
        podman.pull();
        let url = format!("unix://{}", place.path("podman.sock"));
        let mut service = serve(&podman, &url);
        let remote = |words: &[&str]| remote(&podman, &url, words);
        let image = place.image();
        let run = ["run", "--detach", "--name", "service", &podman.parent(), &image];
        remote(&[&run[..], &["sh", "-c", SERVICE]].concat()).ok();
        service.kill().unwrap();
        service.wait().unwrap();
        let mut service = serve(&podman, &url);
        place.is(remote(&["ps", "--format", "{{.Names}}"]).ok(), "service\n");
        remote(&["stop", "--time", "50", "service"]).ok();
        place.is(podman.inspect("service", "{{.State.Status}} {{.State.ExitCode}}"), "exited 9");
        remote(&["rm", "service"]).ok();
        service.kill().unwrap();
        service.wait().unwrap();

        std::thread::scope(|scope| {
            for n in 0..many() {
                let podman = &podman;
                scope.spawn(move || {
                    let call = podman.run(&["--rm"], &["sh", "-c", &format!("exit {n}")]);
                    place.is(usize::try_from(call.code), Ok(n));
                });
            }
        });
        podman.has_none();
    });
}

#[test]
fn podman_checkpoints_and_restores() {
    let test = "podman_checkpoints_and_restores";
    if skip(test, Need::Criu) {
        return;
    }
    with_each_runtime(test, &PROGRAMS, |place| {
        let podman = Podman::new(place);
        podman.pull();
        let count = "i=0; while :; do i=$((i+1)); echo $i >/count; sleep 0.05; done";
        podman.run(&["--detach", "--name", "counter"], &["sh", "-c", count]).ok();
        let read = || podman.exec(&[], "counter", "cat /count").out.trim().parse::<u64>().unwrap_or_default();
        place.comes("the count", || read() > 3);
        podman.call(&["container", "checkpoint", "counter"]).ok();
        place.is(podman.inspect("counter", "{{.State.Status}}"), "exited");
        podman.call(&["container", "restore", "counter"]).ok();
        place.comes("its going on", || read() > 4);
        podman.call(&["rm", "--force", "--time", "0", "counter"]).ok();
        podman.has_none();
    });
}

#[test]
fn an_ordinary_users_podman_runs_execs_and_stops() {
    let test = "an_ordinary_users_podman_runs_execs_and_stops";
    if skip(test, Need::UserNamespace) || skip(test, Need::Program("newuidmap")) || wants_time(test) {
        return;
    }
    with_each_runtime(test, &PROGRAMS, |place| {
        let mut podman = Podman::new(place);
        let home = place.path("user");
        std::fs::create_dir_all(format!("{home}/run")).unwrap();
        place.write(&format!("{home}/.config/containers/storage.conf"), "[storage]\ndriver = \"vfs\"\n");
        give(home.as_ref(), USER);
        let append = |file: &str, line: String| {
            place.write(file, &(std::fs::read_to_string(file).unwrap_or_default() + &line));
        };
        append("/etc/passwd", format!("trial:x:{USER}:{USER}::{home}:/bin/sh\n"));
        append("/etc/group", format!("trial:x:{USER}:\n"));
        for file in ["/etc/subuid", "/etc/subgid"] {
            append(file, "trial:700000:65536\n".to_owned());
        }
        place.write("/etc/containers/containers.conf", &settings().replace("\"systemd\"", "\"cgroupfs\""));
        let (uid, run) = (USER.to_string(), format!("XDG_RUNTIME_DIR={home}/run"));
        let by = ["setpriv", "--reuid", &uid, "--regid", &uid, "--clear-groups", "env", "USER=trial"];
        podman.by = by.iter().map(|&word| word.to_owned()).chain([run, format!("HOME={home}")]).collect();
        podman.pull();
        runs(&podman);
        ends(&podman);
        podman.has_none();
        podman.call(&["system", "migrate"]).ok();
    });
}
