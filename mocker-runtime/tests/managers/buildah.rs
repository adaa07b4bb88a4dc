//! buildah with `--isolation oci`: the runtime runs each RUN line.

use std::process::Command;

use super::{INSTALLED, Place, finish, with_each_runtime};

/// A line in a shell that has what the page exports.
fn shell(place: &Place, line: &str, words: &[&str]) -> super::Call {
    let exports = place.page("buildah.md").commands("Install").replace("scripts/install\n", "");
    let script = format!("{}{line}", exports.replace(INSTALLED, place.runtime.to_str().unwrap()));
    let mut command: Command = place.command("bash");
    command.current_dir(place.path("home")).env("STORAGE_DRIVER", "vfs");
    finish(command.args(["-eu", "-c", &script, "buildah"]).args(words))
}

fn buildah(place: &Place, words: &[&str]) -> super::Call {
    shell(place, "exec buildah \"$@\"", words)
}

/// The page's own trial, and the way back.
fn page_holds(place: &Place) {
    buildah(place, &["tag", &place.image(), "docker.io/library/busybox"]).ok();
    let page = place.page("buildah.md");
    let lines = ["See that it works", "Go back"].map(|heading| page.commands(heading)).concat();
    let trial = shell(place, &format!("{lines}env | grep -c BUILDAH_ || true"), &[]);
    place.holds(trial.code == 0 && trial.out.contains("\nworks\n"), &trial);
    place.holds(trial.out.ends_with("\n0\n"), &trial);
}

#[test]
fn buildah_runs_the_lines_of_a_containerfile() {
    let test = "buildah_runs_the_lines_of_a_containerfile";
    with_each_runtime(test, &["buildah"], |place| {
        place.page("buildah.md").run("Install").ok();
        let settings =
            "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1000:1000\"]\nnetns = \"none\"\n";
        place.write("/etc/containers/containers.conf", settings);
        let file = |line: &str| {
            std::fs::write(place.path("Containerfile"), format!("FROM {}\nRUN {line}\n", place.image()))
                .unwrap();
        };
        let build = |tag: &str| {
            let context = place.path("home");
            let options = ["build", "--tls-verify=false", "--network", "none", "--tag", tag];
            buildah(place, &[&options[..], &["--file", &place.path("Containerfile"), &context]].concat())
        };
        file("echo built >/made && id -u");
        let good = build("good").ok();
        place.holds(good.contains("\n0\n"), &good);
        let from = buildah(place, &["from", "--pull-never", "localhost/good"]).ok();
        let made = buildah(place, &["run", "--network", "none", from.trim(), "cat", "/made"]);
        place.is(made.ok(), "built\n");
        page_holds(place);
        file("exit 5");
        let failed = build("bad");
        place.holds(failed.code != 0 && failed.err.contains("exit status 5"), &failed);
        buildah(place, &["rm", "--all"]).ok();
    });
}
