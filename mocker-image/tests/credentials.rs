//! Who we are at a registry: files, helpers, identity tokens; and `login` and `logout`, which write them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod common;
#[path = "credentials/login.rs"]
mod login;

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::{Outcome, Place, quoted};
use conformance::fixture::{Image, Layer};
use conformance::host::{Need, skip};
use conformance::registry::{Auth, Registry};
use serde_json::{Value, json};

/// A registry that lets `user` with `secret` in, and a user without any file.
struct Scene {
    registry: Registry,
    place: Place,
}

impl Scene {
    fn new() -> Self {
        let registry = Registry::start().unwrap();
        registry.put("group/app", "v1", &Image::new().layer(&Layer::new().file("a", "a")).build().unwrap());
        registry.require(Auth::Basic("user".to_owned(), "secret".to_owned()));
        Self { registry, place: Place::new() }
    }

    fn home(&self) -> PathBuf {
        self.place.path("home")
    }

    fn session(&self) -> PathBuf {
        self.place.path("session/containers/auth.json")
    }

    /// A command of a user whose home is this place.
    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.place.command(words);
        for name in ["REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "XDG_CONFIG_HOME"] {
            command.env_remove(name);
        }
        command.env("HOME", self.home()).env("XDG_RUNTIME_DIR", self.place.path("session"));
        command
    }

    fn run(&self, words: &[&str]) -> Outcome {
        self.command(words).output().unwrap().into()
    }

    fn reference(&self) -> String {
        self.registry.reference("group/app", "v1")
    }

    fn pull(&self) -> Outcome {
        self.run(&["pull", &self.reference()])
    }

    fn login(&self, password: &str, more: &[&str]) -> Outcome {
        let address = self.registry.address();
        let words = ["login", "--username", "user", "--password-stdin", &address];
        let mut command = self.command(&words);
        command.args(more).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(format!("{password}\n").as_bytes()).unwrap();
        child.wait_with_output().unwrap().into()
    }

    /// The refusal of a registry that does not know who asks.
    fn wants(&self) -> String {
        format!("the registry {} wants credentials for group/app (401 Unauthorized)", self.registry.address())
    }

    fn write(&self, file: &Path, text: impl ToString) {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text.to_string()).unwrap();
    }

    /// A file with one entry.
    fn file(&self, path: &Path, key: &str, pair: &str) {
        self.write(path, json!({ "auths": { key: { "auth": STANDARD.encode(pair) } } }));
    }

    /// A helper of this name in a folder that is put on PATH; what it is asked is kept in `asked`.
    fn helper(&self, name: &str, script: &str) -> String {
        let path = self.place.path("bin").join(format!("docker-credential-{name}"));
        let asked = quoted(&self.place.path("asked"));
        self.write(&path, format!("#!/bin/sh\ninput=$(cat); echo \"$1 $input\" >> {asked}\n{script}\n"));
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        format!("{}:{}", self.place.path("bin").display(), std::env::var("PATH").unwrap())
    }

    fn asked(&self) -> String {
        std::fs::read_to_string(self.place.path("asked")).unwrap_or_default()
    }
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn every_usual_file_is_looked_into_and_the_first_that_knows_wins() {
    let scene = Scene::new();
    let address = scene.registry.address();
    let kept = scene.home().join(".config/containers/auth.json");
    let docker = scene.home().join(".docker/config.json");
    assert!(scene.pull().error().ends_with(&scene.wants()));
    // The last place first, so that each one has to win over those behind it.
    for path in [docker, kept, scene.session()] {
        scene.file(&path, &address, "user:secret");
        scene.pull().ok();
        scene.file(&path, &address, "other:wrong");
        let want = format!(
            "the registry {address} refuses the credentials of \"other\" in {} (401 Unauthorized)",
            path.display()
        );
        let error = scene.pull().error();
        assert!(error.ends_with(&want), "{error}");
    }
    scene.run(&["pull", "--creds", "user:secret", &scene.reference()]).ok();
}

#[test]
fn a_file_that_is_named_is_the_only_one() {
    let scene = Scene::new();
    let (address, reference) = (scene.registry.address(), scene.reference());
    scene.file(&scene.session(), &address, "user:secret");
    let (good, none) = (scene.place.path("good.json"), scene.place.path("none.json"));
    scene.file(&good, &address, "user:secret");
    scene.write(&none, "{}");
    let named = |name: &str, value: &Path, words: &[&str]| -> Outcome {
        scene.command(words).env(name, value).output().unwrap().into()
    };
    let by_option = ["pull", "--authfile", good.to_str().unwrap(), &reference];
    named("REGISTRY_AUTH_FILE", &none, &by_option).ok();
    assert!(named("REGISTRY_AUTH_FILE", &none, &["pull", &reference]).error().ends_with(&scene.wants()));
    named("REGISTRY_AUTH_FILE", &good, &["pull", &reference]).ok();
    let dir = scene.place.path("docker");
    std::fs::create_dir(&dir).unwrap();
    assert!(named("DOCKER_CONFIG", &dir, &["pull", &reference]).error().ends_with(&scene.wants()));
    std::fs::copy(&good, dir.join("config.json")).unwrap();
    named("DOCKER_CONFIG", &dir, &["pull", &reference]).ok();
    let error = scene.run(&["pull", "--authfile", "/nowhere", &reference]).error();
    assert!(error.ends_with("read the credentials in /nowhere: no such file"), "{error}");
    scene.write(&none, "{\n nonsense");
    let error = scene.run(&["pull", "--authfile", none.to_str().unwrap(), &reference]).error();
    let want = format!("read the credentials in {}: not the JSON that it should be: ", none.display());
    assert!(error.contains(&want) && error.ends_with("line 2 column 2"), "{error}");
}

#[test]
fn an_entry_for_a_repository_wins_over_that_of_its_host() {
    let scene = Scene::new();
    let address = scene.registry.address();
    let auth = |pair: &str| json!({ "auth": STANDARD.encode(pair) });
    let file = |repository: &str| {
        let key = format!("{address}/{repository}");
        let auths = json!({ "auths": { &address: auth("host:wrong"), key: auth("user:secret") } });
        scene.write(&scene.session(), auths);
    };
    for repository in ["group", "group/app"] {
        file(repository);
        scene.pull().ok();
    }
    file("group/ap");
    assert!(scene.pull().error().contains("refuses the credentials of \"host\""));
}

#[test]
fn credentials_go_to_a_token_service_and_a_public_registry_never_hears_of_them() {
    let scene = Scene::new();
    scene.file(&scene.session(), &scene.registry.address(), "user:secret");
    scene.registry.require(Auth::TokenFor("user".to_owned(), "secret".to_owned()));
    scene.pull().ok();
    scene.registry.require(Auth::Open);
    scene.registry.forget_requests();
    scene.pull().ok();
    assert!(scene.registry.requests().iter().all(|request| request.header("authorization").is_none()));
}

#[test]
fn helpers_are_asked_for_their_hosts() {
    let scene = Scene::new();
    let address = scene.registry.address();
    let answer = r#"echo '{"ServerURL":"x","Username":"user","Secret":"secret"}'"#;
    let pull = |path: &str| -> Outcome {
        scene.command(&["pull", &scene.reference()]).env("PATH", path).output().unwrap().into()
    };
    let path = scene.helper("good", answer);
    for file in [json!({ "credHelpers": { &address: "good" } }), json!({ "credsStore": "good" })] {
        scene.write(&scene.session(), file);
        pull(&path).ok();
        assert_eq!(scene.asked(), format!("get {address}\n"));
        std::fs::remove_file(scene.place.path("asked")).unwrap();
    }
    // A host's own helper knows better than its entry, and its entry better than the helper for all.
    let wrong = json!({ &address: { "auth": STANDARD.encode("entry:wrong") } });
    scene.write(&scene.session(), json!({ "auths": wrong, "credHelpers": { &address: "good" } }));
    pull(&path).ok();
    scene.write(&scene.session(), json!({ "auths": wrong, "credsStore": "good" }));
    assert!(pull(&path).error().contains("refuses the credentials of \"entry\""));
    // Not found is nobody; anything else is told.
    scene.write(&scene.session(), json!({ "credsStore": "bad" }));
    scene.helper("bad", "echo 'credentials not found in native keychain'; exit 1");
    assert!(pull(&path).error().ends_with(&scene.wants()));
    scene.helper("bad", "echo 'the key ring is locked'; exit 1");
    let error = pull(&path).error();
    let want = format!("ask docker-credential-bad about {address}: the key ring is locked");
    assert!(error.ends_with(&want), "{error}");
    scene.write(&scene.session(), json!({ "credsStore": "missing" }));
    let error = pull(&path).error();
    let want = format!("ask docker-credential-missing about {address}: No such file or directory");
    assert!(error.ends_with(&want), "{error}");
}

/// A token service that takes an identity token once; gives its URL and what it was sent.
fn token_service(token: &str) -> (String, mpsc::Receiver<String>) {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}/token", listener.local_addr().unwrap());
    let (tell, told) = mpsc::channel();
    let answer = json!({ "access_token": token }).to_string();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let (mut text, mut length) = (String::new(), 0);
        while !text.ends_with("\r\n\r\n") {
            let start = text.len();
            reader.read_line(&mut text).unwrap();
            if let Some(value) = text[start..].to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        tell.send(text + &String::from_utf8(body).unwrap()).unwrap();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", answer.len());
        stream.write_all((head + &answer).as_bytes()).unwrap();
    });
    (url, told)
}

#[test]
fn an_identity_token_is_exchanged_for_a_token_of_the_repository() {
    let scope = STANDARD.encode("repository:group/app:pull");
    let (url, told) = token_service(&format!("token-{}", scope.trim_end_matches('=')));
    let scene = Scene::new();
    scene.registry.require(Auth::TokenFrom(url));
    let entry = json!({ "auth": STANDARD.encode("user:"), "identitytoken": "ID&T" });
    scene.write(&scene.session(), json!({ "auths": { scene.registry.address(): entry } }));
    scene.pull().ok();
    let sent = told.recv().unwrap();
    assert!(sent.starts_with("POST /token HTTP/1.1\r\n"), "{sent}");
    assert!(!sent.to_lowercase().contains("authorization"), "{sent}");
    for part in ["grant_type=refresh_token", "refresh_token=ID%26T", "scope=repository%3Agroup%2Fapp%3Apull"]
    {
        assert!(sent.contains(part), "{part} in {sent}");
    }
}

#[test]
fn what_is_no_registry_is_refused_by_name() {
    for text in ["not a host", "q.io/UPPER", "", "q.io:0"] {
        let outcome = Place::new().run(&["logout", text]);
        let want = format!("registry {text:?} is not HOST[:PORT] or HOST[:PORT]/PATH");
        assert!(outcome.code == Some(2) && outcome.stderr.contains(&want), "{}", outcome.stderr);
    }
}

#[test]
fn what_we_keep_skopeo_reads_and_what_skopeo_keeps_we_read() {
    let test = "what_we_keep_skopeo_reads_and_what_skopeo_keeps_we_read";
    if skip(test, Need::Program("skopeo")) {
        return;
    }
    let scene = Scene::new();
    let (address, file) = (scene.registry.address(), scene.place.path("auth.json"));
    let file = file.to_str().unwrap();
    let skopeo = |words: &[&str]| {
        let output = Command::new("skopeo").args(words).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let reference = scene.reference();
    scene.login("secret", &["--authfile", file]).ok();
    skopeo(&["inspect", "--raw", "--tls-verify=false", "--authfile", file, &format!("docker://{reference}")]);
    skopeo(&["logout", "--authfile", file, &address]);
    scene.run(&["pull", "--authfile", file, &reference]).error();
    let login = ["login", "--tls-verify=false", "--authfile", file, "-u", "user", "-p", "secret", &address];
    skopeo(&login);
    scene.run(&["pull", "--authfile", file, &reference]).ok();
}
