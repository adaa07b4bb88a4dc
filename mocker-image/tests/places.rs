//! Where images are asked for: mirrors, blocked registries, proxies, catalogues, referrers; `sync`; what shells want.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;

use common::sample::serving;
use common::{Outcome, Place};
use conformance::blob::Digest;
use conformance::fixture::{Artifact, Image, Layer};
use conformance::registry::{Fault, Registry};
use serde_json::{Value, json};

fn image(text: &str) -> Artifact {
    Image::new().layer(&Layer::new().file("a", text)).build().unwrap()
}

/// Runs with a registries.conf.
fn with(place: &Place, conf: &str, words: &[&str]) -> Outcome {
    let file = place.path("registries.conf");
    std::fs::write(&file, conf).unwrap();
    place.command(words).env("CONTAINERS_REGISTRIES_CONF", file).output().unwrap().into()
}

#[test]
fn a_mirror_is_asked_first_and_the_registry_itself_when_it_fails() {
    let (own, mirror) = (serving(&image("own")), serving(&image("mirror")));
    let conf = format!(
        "[[registry]]\nprefix = \"q.example/app\"\nlocation = \"{}/app\"\n\
         [[registry.mirror]]\nlocation = \"127.0.0.1:1/app\"\n[[registry.mirror]]\nlocation = \"{}/app\"\n",
        own.address(),
        mirror.address()
    );
    let place = Place::new();
    let digest = with(&place, &conf, &["pull", "q.example/app:v1"]).ok();
    assert_eq!(digest.trim(), image("mirror").digest.as_str());
    assert_eq!(own.requests().len(), 0);
    mirror.fault("/manifests/", Fault::status(404));
    let digest = with(&place, &conf, &["pull", "q.example/app:v1"]).ok();
    assert_eq!(digest.trim(), image("own").digest.as_str());
    // What is pushed goes to the registry itself.
    with(&place, &conf, &["push", "q.example/app:v1", "docker://q.example/app:v2"]).ok();
    assert!(own.manifest("app", "v2").is_some() && mirror.manifest("app", "v2").is_none());
}

#[test]
fn a_blocked_registry_is_told_with_the_file_that_blocks_it() {
    let place = Place::new();
    let conf = "[[registry]]\nlocation = \"q.example\"\nblocked = true\n";
    let error = with(&place, conf, &["pull", "q.example/app:v1"]).error();
    let file = place.path("registries.conf");
    assert_eq!(error, format!("pull q.example/app:v1: q.example is blocked by {}", file.display()));
    let error = with(&place, "[[registry]\n", &["pull", "q.example/app:v1"]).error();
    assert!(error.contains(&format!("read {}: ", file.display())), "{error}");
}

/// A proxy that takes every host for one registry; gives its address.
fn proxy(registry: &Registry) -> String {
    let (listener, to) = (TcpListener::bind("127.0.0.1:0").unwrap(), registry.address());
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut client = BufReader::new(stream.unwrap());
            let mut head = String::new();
            while client.read_line(&mut head).unwrap() > 2 {}
            if head.is_empty() {
                continue;
            }
            let path = head.split(' ').nth(1).unwrap().trim_start_matches("http://registry.invalid");
            let mut server =
                TcpStream::connect_timeout(&to.parse().unwrap(), std::time::Duration::from_secs(9)).unwrap();
            let rest =
                head.lines().skip(1).filter(|l| !l.is_empty() && !l.to_lowercase().starts_with("connection"));
            let rest: String = rest.map(|line| format!("{line}\r\n")).collect();
            write!(server, "GET {path} HTTP/1.1\r\n{rest}Connection: close\r\n\r\n").unwrap();
            server.shutdown(std::net::Shutdown::Write).unwrap();
            let mut answer = Vec::new();
            server.read_to_end(&mut answer).unwrap();
            client.get_mut().write_all(&answer).unwrap();
        }
    });
    address
}

#[test]
fn a_proxy_of_the_environment_is_asked_for_all_but_this_machine() {
    let artifact = image("x");
    let registry = serving(&artifact);
    let address = proxy(&registry);
    let place = Place::new();
    let words = ["pull", "--insecure-registry", "registry.invalid", "registry.invalid/app:v1"];
    let pull = |variable: &str, none: &str| -> Outcome {
        let mut command = place.command(&words);
        command.env(variable, format!("http://{address}")).env("HTTPS_PROXY", "http://127.0.0.1:1");
        command.env("NO_PROXY", none).output().unwrap().into()
    };
    assert_eq!(pull("HTTP_PROXY", "").code, pull("http_proxy", "").code);
    let digest = pull("http_proxy", "").ok();
    assert_eq!(digest.trim(), artifact.digest.as_str());
    assert!(pull("http_proxy", "registry.invalid").error().contains("resolve registry.invalid"));
}

/// One connection through a proxy for any protocol (RFC 1928), which takes every name for one registry and refuses
/// what is not for port 80.
fn socks(listener: &TcpListener, to: &str) -> std::io::Result<()> {
    let (mut client, _) = listener.accept()?;
    let mut methods = [0; 2];
    client.read_exact(&mut methods)?;
    client.read_exact(&mut vec![0; usize::from(methods[1])])?;
    client.write_all(&[5, 0])?;
    let mut head = [0; 5];
    client.read_exact(&mut head)?;
    assert_eq!(head[..4], [5, 1, 0, 3], "a connection to a name");
    let mut name = vec![0; usize::from(head[4]) + 2];
    client.read_exact(&mut name)?;
    let answer = if name == b"registry.invalid\0\x50" { 0 } else { 5 };
    client.write_all(&[5, answer, 0, 1, 0, 0, 0, 0, 0, 0])?;
    if answer == 0 {
        let to = to.parse().map_err(std::io::Error::other)?;
        let server = TcpStream::connect_timeout(&to, std::time::Duration::from_secs(9))?;
        let (mut up, mut down) = (server.try_clone()?, client.try_clone()?);
        std::thread::spawn(move || std::io::copy(&mut client, &mut up));
        std::thread::spawn(move || std::io::copy(&mut { server }, &mut down));
    }
    Ok(())
}

#[test]
fn a_socks_proxy_is_told_the_name_and_a_tunnel_is_asked_for_where_there_is_tls() {
    let artifact = image("x");
    let registry = serving(&artifact);
    let place = Place::new();
    let pull = |variable: &str, proxy: &str, words: &[&str]| -> Outcome {
        let words = [&["pull", "registry.invalid/app:v1"], words].concat();
        place.command(&words).env(variable, proxy).output().unwrap().into()
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (proxy, to) = (format!("socks5h://{}", listener.local_addr().unwrap()), registry.address());
    std::thread::spawn(move || while socks(&listener, &to).is_ok() {});
    let pulled = pull("ALL_PROXY", &proxy, &["--insecure-registry", "registry.invalid"]);
    assert_eq!(pulled.ok().trim(), artifact.digest.as_str());

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = format!("http://{}", listener.local_addr().unwrap());
    let asked = std::thread::spawn(move || {
        let mut client = BufReader::new(listener.accept().unwrap().0);
        let mut head = String::new();
        while client.read_line(&mut head).unwrap() > 2 {}
        client.get_mut().write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n").unwrap();
        head
    });
    let error = pull("HTTPS_PROXY", &proxy, &["--retry-times", "0"]).error();
    let head = asked.join().unwrap();
    assert!(head.starts_with("CONNECT registry.invalid:443 HTTP/1.1\r\n"), "{head}");
    assert!(error.contains("ask registry.invalid: "), "{error}");
}

#[test]
fn the_catalogue_is_searched() {
    let registry = serving(&image("x"));
    registry.put("lib/other", "v1", &image("y"));
    let place = Place::new();
    let address = registry.address();
    assert_eq!(place.run(&["search", &address]).ok(), format!("{address}/app\n{address}/lib/other\n"));
    assert_eq!(place.run(&["search", &format!("{address}/oth")]).ok(), format!("{address}/lib/other\n"));
    let json: Value =
        serde_json::from_str(&place.run(&["search", "--json", &format!("{address}/app")]).ok()).unwrap();
    assert_eq!(json, json!([{ "name": "app", "description": "" }]));
}

#[test]
fn what_refers_to_an_image_is_found_by_its_stand_in_tag() {
    let artifact = image("x");
    let registry = serving(&artifact);
    let (place, at) = (Place::new(), registry.reference("app", "v1"));
    let empty: Value = serde_json::from_str(&place.run(&["inspect", "--referrers", &at]).ok()).unwrap();
    assert_eq!(empty["manifests"], json!([]));
    let list = json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [
        { "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": artifact.digest.as_str(), "size": 1 }] });
    let tag = artifact.digest.as_str().replace(':', "-");
    registry.put("app", &tag, &Artifact::raw("application/vnd.oci.image.index.v1+json", list.to_string()));
    let found: Value = serde_json::from_str(&place.run(&["inspect", "--referrers", &at]).ok()).unwrap();
    assert_eq!(found, list);
}

#[test]
fn what_is_pushed_is_found_by_what_it_refers_to_with_and_without_the_registrys_list() {
    let artifact = image("x");
    for listed in [true, false] {
        let (registry, place) = (serving(&artifact), Place::new());
        if listed {
            registry.list_referrers();
        }
        let at = registry.reference("app", "v1");
        let subject = json!({ "mediaType": artifact.media_type, "digest": artifact.digest.as_str(),
            "size": artifact.manifest.len() });
        let mut digests = Vec::new();
        for name in ["one", "two"] {
            let mut about = image(name);
            let mut manifest = about.json();
            manifest["subject"] = subject.clone();
            about.manifest = manifest.to_string().into_bytes();
            about.digest = Digest::of(&about.manifest);
            registry.put("elsewhere", name, &about);
            let to = registry.reference("app", name);
            // Said twice, listed once.
            place.run(&["copy", &registry.reference("elsewhere", name), &to]).ok();
            place.run(&["copy", &registry.reference("elsewhere", name), &to]).ok();
            digests.push(about.digest.to_string());
        }
        let found: Value = serde_json::from_str(&place.run(&["inspect", "--referrers", &at]).ok()).unwrap();
        let list = found["manifests"].as_array().unwrap();
        let mut got: Vec<_> = list.iter().map(|m| m["digest"].as_str().unwrap().to_owned()).collect();
        got.sort();
        digests.sort();
        assert_eq!(got, digests, "listed: {listed}");
        let stand_in = artifact.digest.as_str().replace(':', "-");
        assert_eq!(registry.manifest("app", &stand_in).is_none(), listed);
    }
}

#[test]
fn sha512_is_as_good_as_sha256_wherever_a_digest_stands() {
    let old = Image::new().layer(&Layer::new().file("a", "a").plain()).build().unwrap();
    let mut manifest = old.json();
    let (mut config, mut blobs) = (Value::Null, Vec::new());
    for (digest, blob) in &old.blobs {
        let mut bytes = Vec::new();
        blob.open().unwrap().read_to_end(&mut bytes).unwrap();
        match digest.as_str() == old.config_digest() {
            true => config = serde_json::from_slice(&bytes).unwrap(),
            false => {
                let digest = Digest::sha512_of(&bytes);
                manifest["layers"][0]["digest"] = json!(digest.as_str());
                blobs.push((digest, bytes.into()));
            }
        }
    }
    config["rootfs"]["diff_ids"] = json!([manifest["layers"][0]["digest"]]);
    let config = config.to_string().into_bytes();
    manifest["config"]["digest"] = json!(Digest::sha512_of(&config).as_str());
    manifest["config"]["size"] = json!(config.len());
    blobs.push((Digest::sha512_of(&config), config.into()));
    let manifest = manifest.to_string().into_bytes();
    let digest = Digest::sha512_of(&manifest);
    let media_type = old.media_type.clone();
    let new = Artifact { media_type, manifest, digest: digest.clone(), blobs, children: Vec::new() };
    let (registry, place) = (serving(&new), Place::new());
    let by_digest = format!("{}/app@{digest}", registry.address());
    for from in [registry.reference("app", "v1"), by_digest.clone()] {
        place.pull(&from).ok();
        std::fs::create_dir_all(place.path("b")).unwrap();
        std::fs::remove_dir_all(place.path("b")).unwrap();
        place.run(&["unpack", "--copy", &from, place.path("b").to_str().unwrap()]).ok();
        assert_eq!(std::fs::read(place.path("b/rootfs/a")).unwrap(), b"a");
        place.run(&["verify", &from]).ok();
    }
    assert!(place.run(&["verify"]).ok().starts_with("all "));
    registry.forget_requests();
    place.run(&["list"]).ok();
    place
        .run(&[
            "config",
            "--image",
            &format!("store:{}", registry.reference("app", "v1")),
            "--config.env",
            "A=b",
            "--tag",
            "q.io/changed:v1",
        ])
        .ok();
    assert_eq!(registry.requests().len(), 0, "all of it is in the store");
    let layout = format!("oci:{}:v1", place.path("layout").display());
    place.run(&["copy", &registry.reference("app", "v1"), &layout]).ok();
    place.run(&["copy", &layout, &format!("docker://{}", registry.reference("back", "v1"))]).ok();
    place.run(&["verify", &registry.reference("back", "v1")]).ok();
    let wrong = by_digest.replace(&digest.as_str()[7..20], "0000000000000");
    assert!(place.pull(&wrong).error().contains("has no manifest sha512:0000000000000"));
}

#[test]
fn all_tags_are_synchronised_there_and_back() {
    let from = serving(&image("x"));
    from.put("app", "v2", &image("y"));
    let to = Registry::start().unwrap();
    let place = Place::new();
    let (source, folder) = (format!("{}/app", from.address()), place.path("all"));
    let folder = folder.to_str().unwrap();
    let plan = place.run(&["sync", "--src", "docker", "--dest", "dir", "--dry-run", &source, folder]).ok();
    assert!(plan.ends_with(&format!("{source}:v2 -> dir:{folder}/app:v2\n")), "{plan}");
    place.run(&["sync", "--src", "docker", "--dest", "dir", &source, folder]).ok();
    let prefix = format!("{}/copies", to.address());
    place.run(&["sync", "--src", "dir", "--dest", "docker", folder, &prefix]).ok();
    for (tag, text) in [("v1", "x"), ("v2", "y")] {
        assert_eq!(to.manifest("copies/app", tag).unwrap().1, image(text).manifest);
    }
    from.fault("app/manifests/v1", Fault::status(404));
    let words = ["sync", "--src", "docker", "--dest", "docker", "--keep-going", &source, &prefix];
    let outcome = place.run(&words);
    assert!(outcome.error().ends_with("1 of 2 images were not copied"));
}

#[test]
fn shells_get_completions_and_readers_a_manual() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = place.run(&["completion", shell]).ok();
        assert!(script.contains("unpack") && script.contains("commit"), "{shell}");
    }
    let dir = place.path("man");
    place.run(&["man", dir.to_str().unwrap()]).ok();
    let page = std::fs::read_to_string(dir.join("mocker-image-unpack.1")).unwrap();
    assert!(
        page.contains(".SH OPTIONS") && page.contains("read\\-only") && page.contains(".SH EXIT STATUS"),
        "{page}"
    );
    if let Ok(man) =
        Command::new("man").args(["--warnings", "-l", "-P", "cat"]).arg(dir.join("mocker-image.1")).output()
    {
        assert!(man.stderr.is_empty(), "{}", String::from_utf8_lossy(&man.stderr));
    }
}

#[test]
fn a_policy_refuses_what_it_rejects_and_what_nobody_can_prove_here() {
    let registry = serving(&image("x"));
    let (place, at) = (Place::new(), registry.reference("app", "v1"));
    let file = place.path("policy.json");
    let host = registry.address();
    let dir = format!("dir:{}", place.path("dir").display());
    for (scope, kind, why) in [
        ("", "reject", Some("rejects the image")),
        ("HOST", "insecureAcceptAnything", None),
        ("HOST/app", "signedBy", Some("wants signedBy, which cannot be proved here")),
        ("HOST/app:v1", "sigstoreSigned", Some("has a sigstoreSigned without a key")),
        ("HOST/other", "reject", None),
    ] {
        let scope = scope.replace("HOST", &host);
        let accept = json!([{ "type": "insecureAcceptAnything" }]);
        let policy = json!({ "default": accept, "transports": { "docker": { scope: [{ "type": kind }] } } });
        std::fs::write(&file, policy.to_string()).unwrap();
        let bundle = place.path(&format!("b-{kind}-{}", why.is_some()));
        for words in [
            vec!["pull", &at],
            vec!["copy", &at, &dir],
            vec!["unpack", "--copy", &at, bundle.to_str().unwrap()],
        ] {
            let outcome = place.run(&[&["--policy", file.to_str().unwrap()], &words[..]].concat());
            match why {
                Some(why) => assert!(outcome.error().contains(why), "{words:?}"),
                None => drop(outcome.ok()),
            }
        }
        place.run(&["--insecure-policy", "pull", &at]).ok();
    }
}
