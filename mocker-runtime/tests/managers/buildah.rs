//! buildah with `--isolation oci`: the runtime runs each RUN line.

use super::{Place, finish, with_each_runtime};

impl Place {
    /// As docs/managers/buildah.md has it: by the environment.
    fn buildah(&self, words: &[&str]) -> super::Call {
        let mut command = self.command("buildah");
        command.env("BUILDAH_ISOLATION", "oci").env("BUILDAH_RUNTIME", &self.runtime);
        for (option, folder) in [("--root", "root"), ("--runroot", "run")] {
            command.args([option, &self.path(folder)]);
        }
        finish(command.args(["--storage-driver", "vfs"]).args(words))
    }
}

#[test]
fn buildah_runs_the_lines_of_a_containerfile() {
    let test = "buildah_runs_the_lines_of_a_containerfile";
    with_each_runtime(test, &["buildah"], |place| {
        let ulimits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000"];
        let file = |line: &str| {
            std::fs::write(place.path("Containerfile"), format!("FROM {}\nRUN {line}\n", place.image()))
                .unwrap();
        };
        let build = |tag: &str| {
            let context = place.path("");
            let options = ["build", "--tls-verify=false", "--network", "none", "--tag", tag];
            place.buildah(
                &[&options[..], &ulimits, &["--file", &place.path("Containerfile"), &context]].concat(),
            )
        };
        file("echo built >/made && id -u");
        assert!(build("good").ok().contains("\n0\n"));
        let from = place.buildah(&["from", "--pull-never", "localhost/good"]).ok();
        let made = place.buildah(&["run", "--network", "none", from.trim(), "cat", "/made"]);
        assert_eq!(made.ok(), "built\n");
        file("exit 5");
        let failed = build("bad");
        assert!(failed.code != 0 && failed.err.contains("exit status 5"), "{failed:?}");
        place.buildah(&["rm", "--all"]).ok();
    });
}
