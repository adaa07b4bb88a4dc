//! `copy` and `push`: every place there and back, and what the peers read of it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod common;

use std::path::Path;
use std::process::Command;

use common::sample::{large as image, serving};
use common::{Place, tree};
use conformance::fixture::{Image, Index, Layer, Platform};
use conformance::host::{Need, skip};
use conformance::registry::{Auth, DockerRegistry, Fault, Registry};
use serde_json::Value;

fn copy(place: &Place, from: &str, to: &str) -> String {
    place.run(&["copy", from, to]).ok().trim().to_owned()
}

fn run(program: &str, words: &[&str], dir: &Path) -> String {
    let output = Command::new(program).args(words).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "{program} {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn an_image_goes_through_every_place_and_comes_out_the_same() {
    let artifact = image().build().unwrap();
    let registry = serving(&artifact);
    let place = Place::new();
    let at = |name: &str| place.path(name).display().to_string();
    let start = registry.reference("app", "v1");
    let want = tree::unpacked(&place, &start, "b0");
    let mut from = start;
    let stops = [
        "oci:LAYOUT:v1",
        "dir:FOLDER",
        "store:stop.example/app:v1",
        "oci-archive:OCI.TAR:v1",
        "docker-archive:NEW.TAR:stop.example/app:v1",
        "oci:LAYOUT:v2",
        "docker://REGISTRY/back:v1",
    ];
    for (n, stop) in stops.iter().enumerate() {
        let (transport, rest) = stop.split_once(':').unwrap();
        let to = match transport {
            "docker" => stop.replace("REGISTRY", &registry.address()),
            "store" => (*stop).to_owned(),
            _ => format!("{transport}:{}", at(rest)),
        };
        let digest = copy(&place, &from, &to);
        assert!(place.run(&["digest", &to]).ok().starts_with("sha256:"), "{to}");
        if transport != "docker-archive" {
            assert_eq!(place.run(&["digest", &to]).ok().trim(), digest, "{to}");
        }
        let got = tree::unpacked(&place, &to, &format!("b{}", n + 1));
        let differences = tree::differences(&got, &want);
        assert!(differences.is_empty(), "{to}: {differences:?}");
        from = to;
    }
    let old = format!("docker-archive:{}:stop.example/app:old", at("OLD.TAR"));
    place.run(&["copy", "--archive-form", "old", &from, &old]).ok();
    assert!(tree::differences(&tree::unpacked(&place, &old, "old"), &want).is_empty());
    let names = run("tar", &["-tf", &at("OLD.TAR")], Path::new("/"));
    assert!(
        names.contains("/layer.tar\n")
            && names.contains("manifest.json\n")
            && names.contains("repositories\n")
    );
}

#[test]
fn bytes_that_nothing_has_to_change_keep_their_digest() {
    let artifact = image().build().unwrap();
    let registry = serving(&artifact);
    let place = Place::new();
    let from = registry.reference("app", "v1");
    for to in ["oci:LAYOUT:v1", "dir:FOLDER", "oci-archive:A.TAR", "docker://REGISTRY/other:v1"] {
        let to = to.replace("REGISTRY", &registry.address());
        let to = match to.split_once(':').unwrap() {
            ("docker", _) => to,
            (transport, name) => format!("{transport}:{}", place.path(name).display()),
        };
        let digest = place.run(&["copy", "--preserve-digests", &from, &to]).ok();
        assert_eq!(digest.trim(), artifact.digest.as_str(), "{to}");
        assert_eq!(place.run(&["inspect", "--raw", &to]).ok().as_bytes(), artifact.manifest, "{to}");
    }
    let to = format!("docker-archive:{}", place.path("D.TAR").display());
    let error = place.run(&["copy", "--preserve-digests", &from, &to]).error();
    assert!(error.ends_with("and --preserve-digests forbids it"), "{error}");
    assert!(place.path("D.TAR").symlink_metadata().is_err());
}

#[test]
fn layers_are_packed_as_is_wished_and_the_tree_stays() {
    let registry = serving(&image().build().unwrap());
    let (place, from) = (Place::new(), registry.reference("app", "v1"));
    let want = tree::unpacked(&place, &from, "b");
    for (n, (words, kind)) in [
        (&["--dest-compress-format", "zstd", "--dest-compress-level", "9"][..], "+zstd"),
        (&["--dest-compress"], "+gzip"),
        (&["--dest-decompress"], ".tar"),
        (&["--format", "v2s2", "--dest-compress-format", "gzip"], ".tar.gzip"),
    ]
    .into_iter()
    .enumerate()
    {
        let to = format!("dir:{}", place.path(&format!("d{n}")).display());
        place.run(&[&["copy", &from, &to], words].concat()).ok();
        let manifest: Value = serde_json::from_str(&place.run(&["manifest", &to]).ok()).unwrap();
        for layer in manifest["layers"].as_array().unwrap() {
            assert!(layer["mediaType"].as_str().unwrap().ends_with(kind), "{words:?}: {layer}");
        }
        assert!(tree::differences(&tree::unpacked(&place, &to, &format!("b{n}")), &want).is_empty());
        // The same in gives the same out.
        let again = format!("dir:{}", place.path(&format!("again{n}")).display());
        place.run(&[&["copy", &from, &again], words].concat()).ok();
        assert_eq!(place.run(&["digest", &to]).ok(), place.run(&["digest", &again]).ok());
    }
}

#[test]
fn a_level_that_a_format_does_not_have_is_refused() {
    let (place, to) = (Place::new(), format!("dir:{}", Place::new().path("d").display()));
    for (words, why) in [
        (
            &["--compress-format", "gzip", "--compress-level", "10"][..],
            "gzip packs at the levels 0 to 9, not at 10",
        ),
        (
            &["--compress-format", "zstd", "--compress-level", "0"],
            "zstd packs at the levels 1 to 22, not at 0",
        ),
        (&["--compress-level", "3"], "a level says how hard to pack, but nothing is packed anew"),
    ] {
        let error = place.run(&[&["copy", "dir:nowhere", &to], words].concat()).error();
        assert!(error.ends_with(why), "{error}");
    }
}

#[test]
fn an_index_is_copied_whole_or_one_of_it() {
    let arm = Image::new().layer(&Layer::new().file("arm", "arm")).platform(Platform::linux("arm64"));
    let arm = arm.build().unwrap();
    let own = image().build().unwrap();
    let index = Index::new()
        .member(Platform::host(), own.clone())
        .member(Platform::linux("s390x"), arm.clone())
        .build();
    let registry = serving(&index);
    let (place, from) = (Place::new(), registry.reference("app", "v1"));
    let layout = format!("oci:{}:v1", place.path("layout").display());
    assert_eq!(copy(&place, &from, &layout), own.digest.as_str());
    for (n, words) in [&["--all"][..], &["--multi-arch", "all"]].into_iter().enumerate() {
        let to = format!("oci-archive:{}", place.path(&format!("{n}.tar")).display());
        let digest = place.run(&[&["copy", &from, &to], words].concat()).ok();
        assert_eq!(digest.trim(), index.digest.as_str());
        let back = format!("{}/back:v{n}", registry.address());
        let digest = place.run(&["copy", "--all", "--preserve-digests", &to, &back]).ok();
        assert_eq!(digest.trim(), index.digest.as_str());
        assert!(registry.manifest("back", arm.digest.as_str()).is_some());
    }
    place.run(&["copy", "--all", &from, "store:all.example/x:1"]).ok();
    place.run(&["gc"]).ok();
    let to = format!("dir:{}", place.path("dir").display());
    let digest = place.run(&["copy", "--all", "store:all.example/x:1", &to]).ok();
    assert_eq!(digest.trim(), index.digest.as_str());
    let one = place.run(&["copy", "--platform", "linux/s390x", &to, &layout]).ok();
    assert_eq!(one.trim(), arm.digest.as_str());
    let error = place
        .run(&["copy", "--all", &from, &format!("docker-archive:{}", place.path("x").display())])
        .error();
    assert!(error.contains("takes one image, not an index"), "{error}");
}

#[test]
fn a_push_sends_only_what_is_missing_and_mounts_what_is_beside() {
    let artifact = image().build().unwrap();
    let registry = serving(&artifact);
    let (place, from) = (Place::new(), registry.reference("app", "v1"));
    place.pull(&from).ok();
    registry.forget_requests();
    place.run(&["tag", &from, &registry.reference("app", "v2")]).ok();
    place.run(&["push", &registry.reference("app", "v2")]).ok();
    assert_eq!(registry.count("POST", "/blobs/uploads/"), 0);
    assert_eq!(registry.manifest("app", "v2").unwrap().1, artifact.manifest);
    // In this registry blobs belong to all repositories, so that one is made to look empty.
    for digest in artifact.layer_digests() {
        registry.fault(format!("new/blobs/{digest}"), Fault::status(404));
    }
    let outcome = place.run(&["push", &from, &registry.reference("new", "v1")]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert_eq!(outcome.stderr.matches("mounted ").count(), 3, "{}", outcome.stderr);
    assert_eq!(registry.count("PATCH", ""), 0);
    let other = Registry::start().unwrap();
    let file = place.path("digest");
    let to = other.reference("x/y", "v1");
    let words = ["push", "--additional-tag", "v2", "--digestfile", file.to_str().unwrap(), &from, &to];
    place.run(&words).ok();
    assert_eq!(other.manifest("x/y", "v1").unwrap().1, artifact.manifest);
    assert_eq!(other.manifest("x/y", "v2").unwrap().1, artifact.manifest);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), artifact.digest.as_str());
    assert!(artifact.layer_digests().iter().all(|digest| other.has_blob(digest)));
}

#[test]
fn an_upload_that_breaks_goes_on_where_it_stopped() {
    let artifact = image().build().unwrap();
    let from = serving(&artifact);
    for (chunk, faults) in [("1000000", 2), ("100000000", 1)] {
        let to = Registry::start().unwrap();
        to.require(Auth::Token);
        // The third and fourth request of an upload: a lost answer, then a status that passes by.
        to.fault_times("/blobs/uploads/2", faults, Fault::HangUp);
        let place = Place::new();
        place
            .run(&["copy", "--chunk-size", chunk, &from.reference("app", "v1"), &to.reference("a", "b")])
            .ok();
        assert_eq!(to.manifest("a", "b").unwrap().1, artifact.manifest);
    }
    let to = Registry::start().unwrap();
    to.fault("/blobs/uploads/", Fault::status(503));
    let error = Place::new().run(&["copy", &from.reference("app", "v1"), &to.reference("a", "b")]).error();
    assert!(error.contains("answers 503"), "{error}");
}

#[test]
fn the_peers_read_what_is_written_and_write_what_is_read() {
    let test = "the_peers_read_what_is_written_and_write_what_is_read";
    if skip(test, Need::Root)
        || ["docker-registry", "skopeo", "umoci"].map(Need::Program).into_iter().any(|p| skip(test, p))
    {
        return;
    }
    let registry = DockerRegistry::start().unwrap();
    let artifact = image().build().unwrap();
    let source = serving(&artifact);
    let (place, from) = (Place::new(), source.reference("app", "v1"));
    let want = tree::unpacked(&place, &from, "want");
    let dir = place.path("peers");
    std::fs::create_dir(&dir).unwrap();
    let to = registry.reference("lib/app", "v1");
    copy(&place, &from, &to);
    let peers = ["oci:p1:v1", "dir:p2", "oci-archive:p3.tar:v1", "docker-archive:p4.tar:peer.example/a:v1"];
    let ours = ["oci:o1:v1", "dir:o2", "oci-archive:o3.tar:v1", "docker-archive:o4.tar:peer.example/a:v1"];
    for (n, (peer, our)) in peers.iter().zip(&ours).enumerate() {
        run("skopeo", &["copy", "--src-tls-verify=false", &format!("docker://{to}"), peer], &dir);
        let here = |name: &str| name.replacen(':', &format!(":{}/", dir.display()), 1);
        assert!(
            tree::differences(&tree::unpacked(&place, &here(peer), &format!("p{n}")), &want).is_empty(),
            "{peer}"
        );
        copy(&place, &to, &here(our));
        run("skopeo", &["copy", our, &format!("oci:back{n}:v1")], &dir);
        run("umoci", &["unpack", "--image", &format!("back{n}:v1"), &format!("u{n}")], &dir);
        let got = tree::read(&dir.join(format!("u{n}/rootfs")));
        assert!(tree::differences(&got, &want).is_empty(), "{our}");
        let digest = run("skopeo", &["inspect", "--format", "{{.Digest}}", our], &dir);
        let own = place.run(&["digest", &here(our)]).ok();
        assert!(n == 3 || digest == own, "{our}: {digest} {own}");
    }
    let old = format!("docker-archive:{}:peer.example/old:v1", dir.join("old.tar").display());
    place.run(&["copy", "--archive-form", "old", &to, &old]).ok();
    run("skopeo", &["copy", &old, "oci:backold:v1"], &dir);
    run("umoci", &["unpack", "--image", "backold:v1", "uold"], &dir);
    assert!(tree::differences(&tree::read(&dir.join("uold/rootfs")), &want).is_empty());
}

#[test]
fn an_image_gets_more_names_where_it_is_and_they_are_listed() {
    let registry = serving(&image().build().unwrap());
    let (place, from) = (Place::new(), format!("docker://{}", registry.reference("app", "v1")));
    let at = |transport: &str, name: &str| format!("{transport}:{}", place.path(name).display());
    let layout = at("oci", "layout");
    copy(&place, &from, &format!("{layout}:v1"));
    place.run(&["tag", &format!("{layout}:v1"), "v2"]).ok();
    place.run(&["tag", &from, "v2"]).ok();
    copy(&place, &format!("{layout}:v2"), &format!("{}:v3", at("oci-archive", "o.tar")));
    copy(&place, &from, &format!("{}:q.io/a:b", at("docker-archive", "d.tar")));
    for (where_to, names) in [
        (layout.clone(), "v1\nv2\n"),
        (registry.reference("app", "v1"), "v1\nv2\n"),
        (at("oci-archive", "o.tar"), "v3\n"),
        (at("docker-archive", "d.tar"), "q.io/a:b\n"),
    ] {
        assert_eq!(place.run(&["tags", &where_to]).ok(), names, "{where_to}");
    }
    let digest = |from: &str| place.run(&["digest", from]).ok();
    assert_eq!(digest(&format!("{layout}:v2")), digest(&from));
    assert_eq!(digest(&from.replace(":v1", ":v2")), digest(&from));
    // From any place it is pushed, and to a registry it is asked where.
    let to = registry.reference("pushed", "v1");
    place.run(&["push", &format!("{layout}:v1"), &to]).ok();
    assert_eq!(digest(&format!("docker://{to}")), digest(&from));
    let error = place.run(&["push", &format!("{layout}:v1")]).error();
    assert!(error.ends_with("layout:v1: say where to"), "{error}");
    let outcome = place.run(&["pull", &format!("{layout}:v1")]);
    let said = "registries are pulled from; `mocker-image copy oci:";
    assert!(outcome.code == Some(2) && outcome.stderr.contains(said), "{}", outcome.stderr);
    let error = place.run(&["tag", &at("dir", "d"), "v2"]).error();
    assert!(error.ends_with("an image has no more names there"), "{error}");
    // A bare name is a registry's for a copy; where the store has it, that is said.
    copy(&place, &from, "store:q.invalid/a:b");
    let outcome = place.run(&["copy", "q.invalid/a:b", &at("dir", "d")]);
    let hint = "hint: the store has an image of this name: store:q.invalid/a:b";
    assert!(outcome.code == Some(1) && outcome.stderr.contains(hint), "{}", outcome.stderr);
}

#[test]
fn what_stands_at_a_registry_is_deleted_there() {
    let test = "what_stands_at_a_registry_is_deleted_there";
    if skip(test, Need::Program("docker-registry")) {
        return;
    }
    let registry = DockerRegistry::start().unwrap();
    registry.put("app", "v1", &image().build().unwrap()).unwrap();
    let (place, at) = (Place::new(), format!("docker://{}", registry.reference("app", "v1")));
    place.run(&["remove", &at]).ok();
    assert!(place.run(&["digest", &at]).error().contains("has no tag \"v1\""));
    assert!(place.run(&["remove", &at]).error().contains("has no tag \"v1\""));
}

/// A docker daemon of two requests: it takes one archive and gives it back.
fn daemon(socket: &Path) -> std::thread::JoinHandle<()> {
    use std::io::{BufRead, BufReader, Read, Write};
    let listener = std::os::unix::net::UnixListener::bind(socket).unwrap();
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for stream in listener.incoming().take(2) {
            let mut reader = BufReader::new(stream.unwrap());
            let (mut lines, mut length) = (Vec::new(), 0);
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                if let Some(n) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
                    length = n.trim().parse().unwrap();
                }
                match line.trim() {
                    "" => break,
                    line => lines.push(line.to_owned()),
                }
            }
            let body = match lines[0].as_str() {
                "POST /images/load?quiet=1 HTTP/1.1" => {
                    held = vec![0; length];
                    reader.read_exact(&mut held).unwrap();
                    b"{\"stream\":\"Loaded\"}".to_vec()
                }
                "GET /images/docker.io/library/a:b/get HTTP/1.1" => held.clone(),
                other => panic!("{other}"),
            };
            let head =
                format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
            reader.get_mut().write_all(&[head.as_bytes(), &body].concat()).unwrap();
        }
    })
}

#[test]
fn a_docker_daemon_takes_and_gives_images() {
    let registry = serving(&image().build().unwrap());
    let (place, from) = (Place::new(), registry.reference("app", "v1"));
    let (want, socket) = (tree::unpacked(&place, &from, "want"), place.path("docker.sock"));
    let host = format!("unix://{}", socket.display());
    let to = format!("dir:{}", place.path("back").display());
    let error = place.run(&["copy", "--src-daemon-host", &host, "docker-daemon:a:b", &to]).error();
    assert!(
        error.contains(&format!("ask the docker daemon at {}: No such file", socket.display())),
        "{error}"
    );
    let daemon = daemon(&socket);
    place.run(&["copy", "--dest-daemon-host", &host, &from, "docker-daemon:a:b"]).ok();
    place.run(&["copy", "--src-daemon-host", &host, "docker-daemon:a:b", &to]).ok();
    daemon.join().unwrap();
    assert!(tree::differences(&tree::unpacked(&place, &to, "got"), &want).is_empty());
}
