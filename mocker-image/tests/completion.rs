//! What the shells themselves make of the scripts that `completion` writes.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod common;

use std::process::Command;

use common::{PROGRAM, Place};
use conformance::host::{Need, skip};

/// A store with two images, the program as the shells find it, and its scripts.
fn place() -> Place {
    let place = Place::new();
    for name in ["q.io/app:v2", "r.io/other:v1"] {
        place.run(&["new", name]).ok();
    }
    for (shell, file) in [("bash", "script.bash"), ("zsh", "_mocker-image"), ("fish", "script.fish")] {
        std::fs::write(place.path(file), place.run(&["completion", shell]).ok()).unwrap();
    }
    let program = place.path("mocker-image");
    let script = format!("#!/bin/sh\nexec '{PROGRAM}' --root '{}' \"$@\"\n", place.store().display());
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    place
}

/// What a shell prints that works in the place.
fn shell(place: &Place, shell: &str, words: &[&str]) -> String {
    let path = format!("{}:{}", place.path("").display(), std::env::var("PATH").unwrap());
    let mut command = Command::new("timeout");
    command.args(["30", shell]).args(words).env("PATH", path).env("HOME", place.path(""));
    let output = command.current_dir(place.path("")).output().unwrap();
    assert!(output.status.success(), "{shell}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn bash_completes_commands_and_the_names_of_images() {
    if skip("bash_completes_commands_and_the_names_of_images", Need::Program("bash")) {
        return;
    }
    let place = place();
    assert_eq!(place.run(&["completion", "--names"]).ok(), "q.io/app:v2\nr.io/other:v1\n");
    let complete = |line: &str, words: &str, at: usize| {
        let script = format!(
            "source script.bash; COMP_LINE='{line}'; COMP_POINT=${{#COMP_LINE}}; COMP_WORDS=({words}); COMP_CWORD={at}
             _mocker_image_names mocker-image \"${{COMP_WORDS[{at}]}}\" \"${{COMP_WORDS[{at} - 1]}}\"
             printf '%s\n' \"${{COMPREPLY[@]}}\""
        );
        shell(&place, "bash", &["-c", &script])
    };
    assert!(complete("mocker-image unpack q", "mocker-image unpack q", 2).contains("q.io/app:v2\n"));
    // bash breaks words at colons: what stands before the last one is not said again.
    let rest = complete("mocker-image unpack q.io/app:v", "mocker-image unpack q.io/app : v", 4);
    assert!(rest.lines().any(|name| name == "v2"), "{rest}");
    let commands = complete("mocker-image unp", "mocker-image unp", 1);
    assert!(commands.contains("unpack") && !commands.contains("q.io"), "{commands}");
}

/// Lines with a cursor at their end, and what the tabulator key makes of them.
const LINES: [(&str, &str); 6] = [
    ("mocker-image unpack q", "mocker-image unpack q.io/app:v2 "),
    ("mocker-image remove r", "mocker-image remove r.io/other:v1 "),
    ("mocker-image remove q.io/app:v2 r", "mocker-image remove q.io/app:v2 r.io/other:v1 "),
    ("mocker-image copy --dest-compress-format z", "mocker-image copy --dest-compress-format zstd "),
    ("mocker-image unp", "mocker-image unpack "),
    ("mocker-image inspect --refer", "mocker-image inspect --referrers "),
];

#[test]
fn zsh_completes_commands_options_and_the_names_of_images() {
    if skip("zsh_completes_commands_options_and_the_names_of_images", Need::Program("zsh")) {
        return;
    }
    let place = place();
    let keys: String = LINES.iter().map(|(line, _)| format!("zpty -w -n z '{line}'$'\\t\\C-T'\n")).collect();
    let script = format!(
        "zmodload zsh/zpty; zpty z 'PS1=ready: zsh -f -i'
         zpty -w z 'fpath=($HOME $fpath); autoload -U compinit; compinit -u -D'
         zpty -w z 'told() {{ print -r -- $BUFFER >>~/told; BUFFER= }}; zle -N told; bindkey ^T told'
         {keys}zpty -w z \"echo 'EN'D\"; zpty -r z out '*END*'"
    );
    shell(&place, "zsh", &["-f", "-c", &script]);
    let told = std::fs::read_to_string(place.path("told")).unwrap();
    assert_eq!(told.lines().collect::<Vec<_>>(), LINES.map(|(_, whole)| whole));
}

#[test]
fn fish_completes_commands_options_and_the_names_of_images() {
    if skip("fish_completes_commands_options_and_the_names_of_images", Need::Program("fish")) {
        return;
    }
    let place = place();
    for (line, whole) in LINES {
        let told = shell(
            &place,
            "fish",
            &["--no-config", "-c", &format!("source script.fish; complete -C '{line}'")],
        );
        let words: Vec<&str> = told.lines().filter_map(|line| line.split('\t').next()).collect();
        assert_eq!(words, [whole.trim_end().rsplit(' ').next().unwrap()], "{line}");
    }
}
