//! `login` and `logout`: what they keep, where, and how they ask.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use conformance::host::{Need, skip};
use conformance::registry::Auth;
use serde_json::json;

use super::common::{Outcome, quoted};
use super::{Scene, read};

#[test]
fn a_login_is_kept_for_us_alone_beside_all_other_entries_until_the_logout() {
    let scene = Scene::new();
    let address = scene.registry.address();
    let file = scene.session();
    scene.write(&file, json!({ "auths": { "q.io": { "auth": "eDp5" } }, "psFormat": "x" }));
    let error = scene.login("wrong", &[]).error();
    let want = format!(
        "log in to {address}: the registry {address} refuses the credentials of \"user\" (401 Unauthorized)"
    );
    assert_eq!(error, want);
    assert_eq!(read(&file)["auths"].as_object().unwrap().len(), 1);
    let outcome = scene.login("secret", &[]);
    let want = format!("logged in to {address} as user; {} keeps the password\n", file.display());
    assert_eq!((outcome.code, outcome.stderr), (Some(0), want));
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o7777, 0o600);
    let auth = STANDARD.encode("user:secret");
    let auths = json!({ "q.io": { "auth": "eDp5" }, &address: { "auth": auth } });
    assert_eq!(read(&file), json!({ "auths": auths, "psFormat": "x" }));
    scene.pull().ok();
    scene.run(&["logout", &address]).ok();
    assert_eq!(read(&file), json!({ "auths": { "q.io": { "auth": "eDp5" } }, "psFormat": "x" }));
    assert!(scene.pull().error().ends_with(&scene.wants()));
    let error = scene.run(&["logout", &address]).error();
    assert_eq!(error, format!("log out of {address}: {} knows nobody at {address}", file.display()));
    scene.run(&["login", "-u", "user", "-p", "secret", &address]).ok();
    scene.pull().ok();
    scene.run(&["logout", "--all"]).ok();
    assert_eq!(read(&file), json!({ "auths": {}, "psFormat": "x" }));
    assert_eq!(std::fs::read_dir(file.parent().unwrap()).unwrap().count(), 1);
}

#[test]
fn a_login_makes_its_file_and_follows_a_link_to_it() {
    let scene = Scene::new();
    let (named, link) = (scene.place.path("dots/auth.json"), scene.place.path("link.json"));
    scene.login("secret", &["--authfile", named.to_str().unwrap()]).ok();
    assert!(read(&named)["auths"][scene.registry.address()].is_object());
    std::fs::write(&named, "").unwrap();
    std::os::unix::fs::symlink("dots/auth.json", &link).unwrap();
    scene.login("secret", &["--authfile", link.to_str().unwrap()]).ok();
    assert!(link.symlink_metadata().unwrap().is_symlink());
    assert!(read(&named)["auths"][scene.registry.address()].is_object());
}

#[test]
fn a_login_by_token_service_is_tried_there() {
    let scene = Scene::new();
    scene.registry.require(Auth::TokenFor("user".to_owned(), "secret".to_owned()));
    assert!(scene.login("wrong", &[]).error().contains("refuses the credentials of \"user\""));
    scene.login("secret", &[]).ok();
    scene.pull().ok();
}

#[test]
fn a_helper_keeps_the_password_where_the_file_names_one() {
    let scene = Scene::new();
    let address = scene.registry.address();
    let path = scene.helper("ring", "");
    scene.write(&scene.session(), json!({ "credHelpers": { &address: "ring" } }));
    let words = ["login", "--username", "user", "--password-stdin", &address];
    let mut login = scene.command(&words);
    let mut child = login.env("PATH", &path).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"secret").unwrap();
    assert!(child.wait().unwrap().success());
    let outcome: Outcome = scene.command(&["logout", &address]).env("PATH", &path).output().unwrap().into();
    outcome.ok();
    let document = json!({ "Secret": "secret", "ServerURL": &address, "Username": "user" });
    assert_eq!(scene.asked(), format!("store {document}\nerase {address}\n"));
    assert_eq!(read(&scene.session()), json!({ "credHelpers": { &address: "ring" } }));
}

#[test]
fn a_password_is_asked_for_at_a_terminal_and_not_shown() {
    if skip("a_password_is_asked_for_at_a_terminal_and_not_shown", Need::Program("script")) {
        return;
    }
    let scene = Scene::new();
    let address = scene.registry.address();
    let error = scene.command(&["login", &address]).stdin(Stdio::null()).output().unwrap();
    let error = Outcome::from(error).error();
    assert_eq!(error, format!("log in to {address}: there is no terminal to ask for the password"));
    let login = scene.command(&["login", &address]);
    let words: Vec<String> = std::iter::once(login.get_program())
        .chain(login.get_args())
        .map(|word| quoted(Path::new(word)))
        .collect();
    let mut script = Command::new("script");
    script.args(["-qec", &words.join(" "), "/dev/null"]).env_remove("REGISTRY_AUTH_FILE");
    script.env("HOME", scene.home()).env("XDG_RUNTIME_DIR", scene.place.path("session"));
    let mut child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut shown = String::new();
    let mut until = |prompt: &str| {
        let mut byte = [0];
        while !shown.ends_with(prompt) && stdout.read(&mut byte).unwrap() == 1 {
            shown.push(char::from(byte[0]));
        }
    };
    until("User: ");
    stdin.write_all(b"user\n").unwrap();
    until("Password: ");
    stdin.write_all(b"secret\n").unwrap();
    until("password\r\n");
    assert!(child.wait().unwrap().success(), "{shown}");
    assert!(shown.contains("User: user") && !shown.contains("secret"), "{shown}");
    scene.pull().ok();
}
