//! buildah with `--isolation oci`: the runtime runs each RUN line.

use std::process::Command;

use super::{INSTALLED, Place, finish, page, with_each_runtime};

/// As the page has it: by the environment that it exports.
fn buildah(place: &Place, words: &[&str]) -> super::Call {
    let exports = place.page("buildah.md").commands("Install").replace("scripts/install\n", "");
    let runtime = place.runtime.to_str().unwrap();
    let script = format!("{}exec buildah --storage-driver vfs \"$@\"", exports.replace(INSTALLED, runtime));
    let mut command: Command = place.command("bash");
    finish(command.args(["-eu", "-c", &script, "buildah"]).args(words))
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
        file("exit 5");
        let failed = build("bad");
        place.holds(failed.code != 0 && failed.err.contains("exit status 5"), &failed);
        buildah(place, &["rm", "--all"]).ok();
        let trial = page::read("buildah.md");
        place.holds(trial.contains("unset BUILDAH_RUNTIME BUILDAH_ISOLATION"), &trial);
    });
}
