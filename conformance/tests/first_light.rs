//! The whole path, through both programs: a Debian image in Debian's own docker-registry on loopback,
//! pulled, unpacked, run; and a `scratch` image. Every test also proves that it left nothing behind.

use anyhow::{Context, Result};
use conformance::fixture::{Image, Layer};
use conformance::host::{self, Need, skip};
use serde_json::json;

#[path = "first_light/bundle.rs"]
mod bundle;
#[path = "first_light/path.rs"]
mod path;
#[path = "first_light/terminal.rs"]
mod terminal;
#[path = "first_light/traces.rs"]
mod traces;

use bundle::Bundle;
use terminal::Terminal;
use traces::Traces;

/// What the tests of the Debian image need; each is a word in the report when it is missing.
const NEEDS: &[Need] = &[Need::Root, Need::Program("docker-registry")];

fn skipped(test: &str) -> bool {
    NEEDS.iter().any(|need| skip(test, *need))
}

#[test]
fn a_container_of_the_debian_image_is_debian() -> Result<()> {
    if skipped("a_container_of_the_debian_image_is_debian") {
        return Ok(());
    }
    let traces = Traces::now()?;
    let bundle = Bundle::of_debian()?;

    let release = bundle.run(&["cat", "/etc/os-release"])?;
    assert!(release.stdout.contains("PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\""), "{release:?}");
    let packages = bundle.run(&["dpkg", "-l"])?;
    assert!(packages.stdout.lines().any(|line| line.starts_with("ii  base-files")), "{packages:?}");
    let id = bundle.run(&["id"])?;
    assert_eq!(id.stdout, "uid=0(root) gid=0(root) groups=0(root)\n", "{id:?}");

    drop(bundle);
    traces.are_gone()
}

#[test]
fn a_write_to_the_root_file_system_lands_in_the_bundle() -> Result<()> {
    if skipped("a_write_to_the_root_file_system_lands_in_the_bundle") {
        return Ok(());
    }
    let traces = Traces::now()?;
    let bundle = Bundle::of_debian()?;

    let file = format!("/root/written-by-{}", bundle.id());
    let wrote = bundle.run(&["sh", "-c", &format!("echo words >{file}")])?;
    assert_eq!(wrote.code(), Some(0), "{wrote:?}");
    let read = bundle.run(&["sh", "-c", &format!("cat {file} && stat -c %u:%g:%s {file}")])?;
    assert_eq!(read.stdout, "words\n0:0:6\n", "{read:?}");
    assert_eq!(std::fs::read_to_string(bundle.rootfs()?.join(&file[1..]))?, "words\n");

    drop(bundle);
    traces.are_gone()
}

#[test]
fn the_exit_status_of_run_is_the_containers() -> Result<()> {
    if skipped("the_exit_status_of_run_is_the_containers") {
        return Ok(());
    }
    let traces = Traces::now()?;
    let bundle = Bundle::of_debian()?;
    for status in [0, 1, 42, 255] {
        let run = bundle.run(&["sh", "-c", &format!("exit {status}")])?;
        assert_eq!(run.code(), Some(status), "{run:?}");
    }
    drop(bundle);
    traces.are_gone()
}

#[test]
fn death_by_sigterm_is_143_and_by_sigkill_137() -> Result<()> {
    if skipped("death_by_sigterm_is_143_and_by_sigkill_137") {
        return Ok(());
    }
    let traces = Traces::now()?;
    let mut bundle = Bundle::of_debian()?;
    // the first process of a PID namespace has no default action for SIGTERM: so none here
    bundle.edit(|config| without_namespace(config, "pid"));
    for (signal, status) in [("TERM", 143), ("KILL", 137)] {
        let container = bundle.start(&["sh", "-c", "echo ready; exec sleep 1000"])?;
        container.kill(signal)?;
        let run = container.end()?;
        assert_eq!(run.code(), Some(status), "{run:?}");
    }
    drop(bundle);
    traces.are_gone()
}

#[test]
fn a_signal_to_run_reaches_the_container() -> Result<()> {
    if skipped("a_signal_to_run_reaches_the_container") {
        return Ok(());
    }
    let traces = Traces::now()?;
    let bundle = Bundle::of_debian()?;
    let script = "trap 'echo terminated; exit 7' TERM; echo ready; while :; do sleep 0.01; done";
    let container = bundle.start(&["sh", "-c", script])?;
    container.signal("TERM")?;
    let run = container.end()?;
    assert_eq!((run.code(), run.stdout.as_str()), (Some(7), "ready\nterminated\n"), "{run:?}");
    drop(bundle);
    traces.are_gone()
}

#[test]
fn without_a_terminal_the_three_streams_are_plain_pipes() -> Result<()> {
    if skipped("without_a_terminal_the_three_streams_are_plain_pipes") {
        return Ok(());
    }
    let traces = Traces::now()?;
    let bundle = Bundle::of_debian()?;
    let script = "for fd in 0 1 2; do test -t $fd && exit 1; done; cat; echo complaint >&2";
    let input = "one\r\ntwo\n\0three\u{4}";
    let run = bundle.run_with_input(&["sh", "-c", script], input)?;
    assert_eq!((run.stdout.as_str(), run.stderr.as_str()), (input, "complaint\n"), "{run:?}");
    drop(bundle);
    traces.are_gone()
}

#[test]
fn at_a_terminal_the_shell_prompts_and_controls_jobs() -> Result<()> {
    const NAME: &str = "at_a_terminal_the_shell_prompts_and_controls_jobs";
    if skipped(NAME) || skip(NAME, Need::Program("script")) {
        return Ok(());
    }
    let traces = Traces::now()?;
    let mut bundle = Bundle::of_debian()?;
    bundle.edit(|config| {
        config["process"]["terminal"] = json!(true);
        config["hostname"] = json!("light");
    });
    let mut shell = Terminal::open(bundle.command(&["bash", "--norc", "--noediting"])?)?;
    shell.expect("# ")?;
    shell.send("tty; test -t 0 && test -t 1 && test -t 2 && echo three\n")?;
    shell.expect("/dev/pts/0")?;
    shell.expect("\nthree")?;
    shell.expect("# ")?;

    shell.send("sleep 4321\n")?;
    shell.wait_for_foreground("sleep 4321")?;
    shell.send("\u{1a}")?; // ^Z
    shell.expect("Stopped")?;
    shell.expect("# ")?;
    shell.send("bg; jobs\n")?;
    shell.expect("Running")?;
    shell.expect("# ")?;
    shell.send("fg\n")?;
    shell.expect("\nsleep 4321")?;
    shell.wait_for_foreground("sleep 4321")?;
    shell.send("\u{3}")?; // ^C
    shell.send("echo status $?\n")?;
    shell.expect("status 130")?;
    shell.send("exit 5\n")?;
    assert_eq!(shell.end()?.code(), Some(5));

    drop(bundle);
    traces.are_gone()
}

#[test]
fn the_containers_terminal_has_the_callers_size_and_follows_it() -> Result<()> {
    const NAME: &str = "the_containers_terminal_has_the_callers_size_and_follows_it";
    if skipped(NAME) || skip(NAME, Need::Program("script")) {
        return Ok(());
    }
    let traces = Traces::now()?;
    let mut bundle = Bundle::of_debian()?;
    bundle.edit(|config| config["process"]["terminal"] = json!(true));
    let script = "stty size; trap 'stty size; exit 0' WINCH; echo ready; while :; do sleep 0.01; done";
    let mut shell = Terminal::open(bundle.command(&["bash", "-c", script])?)?;
    shell.expect(terminal::SIZE)?;
    shell.expect("ready")?;
    shell.resize(51, 123)?;
    shell.expect("51 123")?;
    assert_eq!(shell.end()?.code(), Some(0));
    drop(bundle);
    traces.are_gone()
}

#[test]
fn the_second_layer_of_the_image_is_seen_in_the_container() -> Result<()> {
    if skipped("the_second_layer_of_the_image_is_seen_in_the_container") {
        return Ok(());
    }
    let traces = Traces::now()?;
    let path = path::Path::new()?;
    path.registry.put("debian", "changed", &conformance::debian::changed()?.build()?)?;
    let bundle = Bundle::of(&path.unpack("debian", "changed")?, path)?;
    let run = bundle.run(&[
        "sh",
        "-c",
        "cat /etc/debian_version; stat -c %u:%g:%a /etc/changed-by; ls /etc/issue",
    ])?;
    assert_eq!(run.stdout, "mocker\n12:34:640\n", "{run:?}");
    assert_eq!(run.code(), Some(2), "{run:?}");
    drop(bundle);
    traces.are_gone()
}

#[test]
fn a_scratch_image_with_one_static_program_says_hello() -> Result<()> {
    const NAME: &str = "a_scratch_image_with_one_static_program_says_hello";
    if skipped(NAME) || skip(NAME, Need::Program("busybox")) {
        return Ok(());
    }
    let traces = Traces::now()?;
    let busybox = std::fs::read(host::on_path("busybox").context("busybox")?)?;
    let image = Image::new()
        .layer(&Layer::new().file("busybox", busybox).mode(0o755))
        .entrypoint(["/busybox", "echo"])
        .cmd(["hello"]);
    let path = path::Path::new()?;
    path.registry.put("scratch", "latest", &image.build()?)?;
    let dir = path.unpack("scratch", "latest")?;
    let bundle = Bundle::of(&dir, path)?;
    // the image's own entrypoint and command; only the terminal is not for us
    let run = bundle.run_as_it_is()?;
    assert_eq!((run.code(), run.stdout.as_str()), (Some(0), "hello\n"), "{run:?}");
    drop(bundle);
    traces.are_gone()
}

#[test]
fn a_pull_of_an_unknown_tag_names_it_and_leaves_no_bundle() -> Result<()> {
    if skipped("a_pull_of_an_unknown_tag_names_it_and_leaves_no_bundle") {
        return Ok(());
    }
    let path = path::Path::new()?;
    let error = path.unpack("debian", "no-such-tag").unwrap_err().to_string();
    assert!(error.contains("no-such-tag"), "{error}");
    assert!(!path.dir().join("no-such-tag").try_exists()?);
    Ok(())
}

fn without_namespace(config: &mut serde_json::Value, kind: &str) {
    if let Some(all) = config["linux"]["namespaces"].as_array_mut() {
        all.retain(|namespace| namespace["type"] != kind);
    }
}
