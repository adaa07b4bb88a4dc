//! What managers do with a low-level runtime, replayed in their own words: the calls, the order, the spellings and the
//! texts that they look for. Each replay runs on runc too, where there is one, so that what it asks for is true.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where its set-up fails")]

mod common;
#[path = "contract/manager.rs"]
mod manager;

use std::fs;
use std::io::Write;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::{Bundle, LIMIT, RUNTIME};
use conformance::host::{self, Need, skip, wait_until};
use manager::Manager;
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use serde_json::{Value, json};

/// Replays a manager's part with a bundle of the line, on ours and on runc.
fn replay(test: &str, global: &'static str, bundle: impl Fn() -> Bundle, part: impl Fn(&Manager)) {
    if skip(test, Need::Root) {
        return;
    }
    host::become_reaper().unwrap();
    for program in [Some(PathBuf::from(RUNTIME)), host::on_path("runc")].into_iter().flatten() {
        let manager = Manager { program, bundle: bundle(), global };
        manager.bundle.write();
        part(&manager);
    }
}

const LOGGING: &str = "--log BUNDLE/log.json --log-format json";
/// Says that it is ready, and ends with 3 when it is asked to.
const SERVICE: &str = "trap 'exit 3' TERM; echo ready; while :; do sleep 0.05; done";

fn wait_for_service(manager: &Manager) {
    wait_until(LIMIT, "the service", || {
        fs::read_to_string(manager.file("create.out")).unwrap().contains("ready")
    })
    .unwrap();
}

#[test]
fn containerds_shim_makes_uses_and_ends_a_container() {
    let test = "containerds_shim_makes_uses_and_ends_a_container";
    replay(
        test,
        LOGGING,
        || Bundle::shell(SERVICE),
        |shim| {
            shim.ok("create --bundle BUNDLE --pid-file BUNDLE/init.pid --no-pivot=false --no-new-keyring ID");
            assert_eq!(shim.status(), "created");
            shim.ok("start ID");
            wait_for_service(shim);
            let pid = shim.pid("init.pid");
            let state: Value = serde_json::from_str(&shim.ok("state ID")).unwrap();
            assert_eq!(state["pid"], pid);
            let pids: Vec<i32> = serde_json::from_str(&shim.ok("ps --format json ID")).unwrap();
            assert!(pids.contains(&pid), "{pids:?}");

            let mut limits = tempfile::tempfile().unwrap();
            write!(limits, "{}", json!({ "memory": { "limit": 67_108_864 } })).unwrap();
            std::io::Seek::rewind(&mut limits).unwrap();
            shim.call_with("update --resources=- ID", limits).ok();
            let event: Value = serde_json::from_str(&shim.ok("events --stats ID")).unwrap();
            assert_eq!(event["data"]["memory"]["usage"]["limit"], 67_108_864, "{event}");
            shim.ok("pause ID");
            assert_eq!(shim.status(), "paused");
            shim.ok("resume ID");

            shim.process("exec.json", &["sh", "-c", "exit 7"]);
            shim.ok("exec --process BUNDLE/exec.json --detach --pid-file BUNDLE/exec.pid ID");
            assert_eq!(shim.exit_status("exec.pid"), 7);
            shim.process("exec.json", &["no-such"]);
            let words = "exec --process BUNDLE/exec.json --detach --pid-file BUNDLE/exec.pid ID";
            shim.fails(words, 255, &[r#"exec: "no-such": executable file not found in $PATH"#]);

            shim.ok("kill ID 15");
            assert_eq!(shim.exit_status("init.pid"), 3);
            assert_eq!(shim.status(), "stopped");
            shim.fails("kill ID 9", 1, &["container not running", "os: process already finished"]);
            shim.ok("kill --all ID 9");
            shim.ok("delete ID");
            shim.fails("delete ID", 1, &["does not exist"]);
            shim.fails("kill ID 9", 1, &["does not exist"]);
            shim.is_done();
        },
    );
}

#[test]
fn a_container_without_a_pid_namespace_is_killed_with_all_that_it_started() {
    let test = "a_container_without_a_pid_namespace_is_killed_with_all_that_it_started";
    let bundle = || {
        let mut bundle = Bundle::shell("sleep 1000 & echo ready; wait");
        let namespaces = bundle.config["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|namespace| namespace["type"] != "pid");
        bundle
    };
    replay(test, LOGGING, bundle, |cri| {
        cri.ok("create --bundle BUNDLE --pid-file BUNDLE/init.pid ID");
        cri.ok("start ID");
        wait_for_service(cri);
        let pids: Vec<i32> = serde_json::from_str(&cri.ok("ps --format json ID")).unwrap();
        assert_eq!(pids.len(), 2);
        cri.ok("kill --all ID 9");
        assert_eq!(cri.exit_status("init.pid"), 137);
        for pid in pids {
            wait_until(LIMIT, "its end", || {
                waitpid(Pid::from_raw(pid), None).ok();
                !fs::exists(format!("/proc/{pid}")).unwrap()
            })
            .unwrap();
        }
        cri.ok("delete --force ID");
        cri.is_done();
    });
}

#[test]
fn conmon_holds_the_terminal_and_podman_does_the_rest() {
    let test = "conmon_holds_the_terminal_and_podman_does_the_rest";
    let global = "--log-format=json --log BUNDLE/log.json";
    let bundle = || {
        Bundle::shell("tty; stty size; exec sleep 1000")
            .set("/process/terminal", json!(true))
            .set("/process/consoleSize", json!({ "height": 24, "width": 80 }))
    };
    replay(test, global, bundle, |podman| {
        let listener = UnixListener::bind(podman.file("console")).unwrap();
        podman.ok("create --bundle BUNDLE --pid-file BUNDLE/pidfile --console-socket BUNDLE/console ID");
        let (connection, _) = listener.accept().unwrap();
        let (_, master) = conformance::socket::receive(connection).unwrap();
        let mut master = fs::File::from(master.unwrap());
        podman.ok("start ID");
        let mut seen = String::new();
        while seen.lines().count() < 2 || !seen.ends_with('\n') {
            let mut bytes = [0; 100];
            let n = std::io::Read::read(&mut master, &mut bytes).unwrap();
            seen.push_str(&String::from_utf8_lossy(&bytes[..n]));
        }
        assert_eq!(seen.replace('\r', ""), "/dev/pts/0\n24 80\n");
        // Ours comes without the carriage return that terminals add, which runc leaves to whoever holds it.
        assert!(podman.program != Path::new(RUNTIME) || !seen.contains('\r'), "{seen:?}");

        podman.process("exec.json", &["sh", "-c", "tty; exit 9"]);
        let words = "exec --pid-file BUNDLE/exec.pid --process BUNDLE/exec.json --detach --console-socket BUNDLE/console ID";
        podman.ok(words);
        let (_connection, _) = listener.accept().unwrap();
        assert_eq!(podman.exit_status("exec.pid"), 9);
        podman.ok("kill ID 9");
        assert_eq!(podman.exit_status("pidfile"), 137);
        podman.ok("delete --force ID");
        podman.is_done();
    });
}

#[test]
fn podman_reads_the_log_of_a_failure_as_one_object() {
    let test = "podman_reads_the_log_of_a_failure_as_one_object";
    let global = "--log-format=json --log BUNDLE/log.json";
    for (program, texts) in [
        ("no-such", &[r#"exec: "no-such": executable file not found in $PATH"#][..]),
        // An older runc names the call too.
        (
            "/bin/no-such",
            &[
                r#"exec: "/bin/no-such": no such file or directory"#,
                r#"exec: "/bin/no-such": stat /bin/no-such: no such file or directory"#,
            ],
        ),
        ("/etc/plain", &[r#"exec: "/etc/plain": permission denied"#]),
    ] {
        let bundle = || {
            let bundle = Bundle::new(&[program]);
            fs::create_dir(bundle.rootfs("etc")).unwrap();
            fs::write(bundle.rootfs("etc/plain"), "").unwrap();
            bundle
        };
        replay(test, global, bundle, |podman| {
            podman.fails("create --bundle BUNDLE --pid-file BUNDLE/pid ID", 1, texts);
            let log = fs::read_to_string(podman.file("log.json")).unwrap();
            let whole: Value = serde_json::from_str(&log).unwrap_or_else(|_| panic!("not one object: {log}"));
            assert_eq!(whole["level"], "error");
            fs::remove_file(podman.file("log.json")).unwrap();
            podman.is_done();
        });
    }
}

#[test]
fn buildahs_calls_have_no_options_but_the_bundle_and_the_pid_file() {
    let test = "buildahs_calls_have_no_options_but_the_bundle_and_the_pid_file";
    replay(
        test,
        "",
        || Bundle::shell(SERVICE),
        |buildah| {
            buildah.ok("create --bundle BUNDLE --pid-file BUNDLE/pid ID");
            buildah.fails("create --bundle BUNDLE ID", 1, &["container with given ID already exists"]);
            buildah.ok("start ID");
            wait_for_service(buildah);
            assert_eq!(buildah.status(), "running");
            buildah.ok("kill ID SIGKILL");
            assert_eq!(buildah.exit_status("pid"), 137);
            buildah.ok("delete ID");
            buildah.is_done();
        },
    );
}

#[test]
fn buildkit_runs_in_the_foreground_and_deletes_itself() {
    let test = "buildkit_runs_in_the_foreground_and_deletes_itself";
    replay(
        test,
        LOGGING,
        || Bundle::shell("echo built; exit 5"),
        |buildkit| {
            let call = buildkit.call("run --bundle BUNDLE --keep ID");
            assert_eq!((call.code, call.out.as_str()), (5, "built\n"), "{call:?}");
            assert_eq!(buildkit.status(), "stopped");
            buildkit.ok("delete ID");
            assert_eq!(buildkit.call("run --bundle BUNDLE ID").code, 5);
            buildkit.is_done();
        },
    );
}

#[test]
fn cri_os_calls_name_signals_and_exec_in_the_foreground() {
    let test = "cri_os_calls_name_signals_and_exec_in_the_foreground";
    replay(
        test,
        "",
        || Bundle::shell(SERVICE),
        |crio| {
            crio.ok("create --bundle BUNDLE --pid-file BUNDLE/pid ID");
            crio.ok("start ID");
            wait_for_service(crio);
            crio.process("exec.json", &["sh", "-c", "echo healthy; exit 4"]);
            let call = crio.call("exec --process BUNDLE/exec.json ID");
            assert_eq!((call.code, call.out.as_str()), (4, "healthy\n"), "{call:?}");
            crio.ok("kill ID TERM");
            assert_eq!(crio.exit_status("pid"), 3);
            crio.ok("delete ID");
            crio.is_done();
        },
    );
}

#[test]
fn options_of_one_dash_with_values_and_after_the_command_are_taken() {
    let test = "options_of_one_dash_with_values_and_after_the_command_are_taken";
    replay(
        test,
        "-log-format=json -debug=false",
        || Bundle::new(&["true"]),
        |other| {
            other.ok(
                "run -bundle=BUNDLE -pid-file=BUNDLE/pid -no-pivot=false -keep=true -no-subreaper=false ID",
            );
            assert_eq!(other.status(), "stopped");
            assert!(other.pid("pid") > 1);
            let list: Value = serde_json::from_str(&other.ok("list -format=json")).unwrap();
            assert_eq!(list[0]["id"], other.bundle.id.as_str());
            other.ok("delete -force=true ID");
            other.is_done();
        },
    );
}

#[test]
fn relative_paths_belong_to_the_callers_directory_and_so_does_the_program() {
    let test = "relative_paths_belong_to_the_callers_directory_and_so_does_the_program";
    replay(
        test,
        "",
        || Bundle::new(&["sleep", "1000"]),
        |caller| {
            let elsewhere = tempfile::tempdir().unwrap();
            std::os::unix::fs::symlink(&caller.program, elsewhere.path().join("runtime")).unwrap();
            let out = fs::File::create(caller.file("out")).unwrap();
            let mut create = Command::new("./runtime");
            create
                .current_dir(&elsewhere)
                .stdin(Stdio::null())
                .stdout(out.try_clone().unwrap())
                .stderr(out)
                .args(["--log", "log.txt", "--root"])
                .arg(caller.bundle.state_root())
                .args(["create", "--bundle"])
                .arg(caller.bundle.path())
                .args(["--pid-file", "pid", &caller.bundle.id]);
            assert!(create.status().unwrap().success(), "{}", caller.bundle.output());
            let pid: i32 = fs::read_to_string(elsewhere.path().join("pid")).unwrap().parse().unwrap();
            assert!(pid > 1 && fs::exists(elsewhere.path().join("log.txt")).unwrap());
            caller.ok("delete --force ID");
            waitpid(Pid::from_raw(pid), None).unwrap();
            caller.is_done();
        },
    );
}

#[test]
fn docker_reads_three_lines_of_the_version_and_asks_for_the_features() {
    let test = "docker_reads_three_lines_of_the_version_and_asks_for_the_features";
    replay(
        test,
        "",
        || Bundle::new(&["true"]),
        |docker| {
            let text = docker.ok("--version");
            for word in ["version ", "commit: ", "spec: "] {
                assert!(text.lines().any(|line| line.contains(word)), "{word}: {text}");
            }
            let features: Value = serde_json::from_str(&docker.ok("features")).unwrap();
            assert!(features["mountOptions"].as_array().unwrap().contains(&json!("rro")), "{features}");
        },
    );
}

#[test]
fn one_bound_file_on_a_read_only_file_system_is_program_enough_with_an_environment_of_two_words() {
    let test = "one_bound_file_on_a_read_only_file_system_is_program_enough_with_an_environment_of_two_words";
    let script = r#"
        mkdir place && mount -t tmpfs none place
        if [ "$2" = ours ]; then
            touch place/rt && mount --bind "$0" place/rt && mount -o remount,bind,ro place/rt
        else
            cp "$0" place/rt # runc 1.3 looks for itself below the mount
        fi
        mount -o remount,ro place && mount -t tmpfs none /run
        rt="env -i PATH=$PATH XDG_RUNTIME_DIR=/run/user/0 place/rt"
        $rt create --bundle . --pid-file pid "$1" && $rt start "$1"
        $rt exec "$1" echo inside
        ls -d /run/*/"$1" | wc -l
        $rt delete --force "$1"
        $rt delete --force "$1" && echo gone"#;
    replay(
        test,
        "",
        || Bundle::new(&["sleep", "1000"]),
        |podman| {
            let mut command = host::in_mount_namespace("sh");
            let whose = if podman.program == Path::new(RUNTIME) { "ours" } else { "theirs" };
            command.args(["-eu", "-c", script]).arg(&podman.program).args([&podman.bundle.id, whose]);
            let out = fs::File::create(podman.file("said")).unwrap();
            command.current_dir(podman.bundle.path()).stdin(Stdio::null());
            let status = command.stdout(out.try_clone().unwrap()).stderr(out).status().unwrap();
            let said = fs::read_to_string(podman.file("said")).unwrap();
            assert_eq!((status.code(), said.as_str()), (Some(0), "inside\n1\ngone\n"));
            waitpid(Pid::from_raw(podman.pid("pid")), None).unwrap();
            podman.bundle.assert_nothing_left();
        },
    );
}
