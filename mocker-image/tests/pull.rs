//! `pull`: what it brings, what it refuses, and what it leaves when it is stopped.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod common;

use std::time::Duration;

use common::sample::{noise, serving, small as image};
use common::{PROGRAM, Place, files, quoted};
use conformance::fixture::{Artifact, Image, Index, Layer, Lie, Platform};
use conformance::host::{Need, in_mount_namespace, skip, wait_until};
use conformance::registry::{Auth, DockerRegistry, Fault, Registry};

const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn an_image_of_docker_registry_is_pulled_once_and_listed() {
    if skip("an_image_of_docker_registry_is_pulled_once_and_listed", Need::Program("docker-registry")) {
        return;
    }
    for (artifact, place) in [(image().build().unwrap(), Place::new()), (docker_image(), Place::new())] {
        let registry = DockerRegistry::start().unwrap();
        registry.put("lib/app", "v1", &artifact).unwrap();
        let reference = registry.reference("lib/app", "v1");
        assert_eq!(place.pull(&reference).ok(), format!("{}\n", artifact.digest.as_str()));
        let layers = registry.log().unwrap().matches("GET /v2/lib/app/blobs/").count();
        place.pull(&reference).ok();
        assert_eq!(registry.log().unwrap().matches("GET /v2/lib/app/blobs/").count(), layers);
        let json: serde_json::Value = serde_json::from_str(&place.run(&["list", "--json"]).ok()).unwrap();
        assert_eq!(json[0]["name"], format!("{}/lib/app", registry.address()));
        assert_eq!(json[0]["tag"], "v1");
        assert_eq!(json[0]["digest"], artifact.digest.as_str());
        let table = place.run(&["images"]).ok();
        let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[0], ["NAME", "TAG", "DIGEST", "SIZE", "AGE"]);
        assert_eq!(lines[1][1], "v1");
        assert_eq!(lines[1][2], &artifact.digest.as_str()[..19]);
    }
}

fn docker_image() -> Artifact {
    Image::new().docker().layer(&Layer::new().file("a", "a")).created("2024-01-01T00:00:00Z").build().unwrap()
}

#[test]
fn an_empty_or_missing_store_lists_nothing() {
    let place = Place::new();
    assert_eq!(place.run(&["list"]).ok().lines().count(), 1);
    assert_eq!(place.run(&["list", "--json"]).ok(), "[]\n");
    assert!(place.store().symlink_metadata().is_err());
}

#[test]
fn a_pull_by_digest_checks_the_digest() {
    let artifact = image().build().unwrap();
    let registry = serving(&artifact);
    let digest = artifact.digest.as_str();
    let place = Place::new();
    let by_digest = format!("{}/app@{digest}", registry.address());
    assert_eq!(place.pull(&by_digest).ok(), format!("{digest}\n"));
    assert!(place.run(&["list"]).ok().contains("<none>"));
    let both = format!("{}/app:nonsense@{digest}", registry.address());
    assert_eq!(place.pull(&both).ok(), format!("{digest}\n"));
    registry.fault("/manifests/sha256:", Fault::FlipByte(1));
    let error = Place::new().pull(&by_digest).error();
    assert!(error.contains(&format!("manifest {digest}")) && error.contains("hashes to sha256:"), "{error}");
}

#[test]
fn unknown_images_tags_and_hosts_are_named() {
    let registry = serving(&image().build().unwrap());
    let address = registry.address();
    let place = Place::new();
    let error = place.pull(&format!("{address}/nothing:v1")).error();
    assert_eq!(
        error,
        format!(
            "pull {address}/nothing:v1: the registry {address} has no repository nothing (404 Not Found)"
        )
    );
    let outcome = place.pull(&format!("{address}/app:v9"));
    let hint = format!("hint: list its tags with `mocker-image tags {address}/app`\n");
    assert!(outcome.stderr.ends_with(&hint), "{}", outcome.stderr);
    let error = outcome.error();
    assert_eq!(
        error,
        format!("pull {address}/app:v9: the registry {address} has no tag \"v9\" in app (404 Not Found)")
    );
    let error = place.pull("127.0.0.1:1/app").error();
    assert_eq!(error, "pull 127.0.0.1:1/app:latest: ask 127.0.0.1:1: Connection refused");
    let error = place.pull("no-such-host.invalid/app").error();
    assert!(
        error.starts_with(
            "pull no-such-host.invalid/app:latest: ask no-such-host.invalid: resolve no-such-host.invalid: "
        ),
        "{error}"
    );
    place.assert_nothing_left();
}

#[test]
fn wrong_names_are_refused_before_anything_is_done() {
    let place = Place::new();
    let outcome = place.pull("UPPER/case//x");
    assert_eq!(outcome.code, Some(2));
    assert!(outcome.stderr.contains("image name \"UPPER/case//x\""), "{}", outcome.stderr);
    assert!(place.store().symlink_metadata().is_err());
}

#[test]
fn refused_credentials_are_told_and_right_ones_work() {
    let registry = serving(&image().build().unwrap());
    let (address, reference) = (registry.address(), registry.reference("app", "v1"));
    let own = || ("user".to_owned(), "secret".to_owned());
    let locks = [Auth::Basic(own().0, own().1), Auth::TokenFor(own().0, own().1)];
    for lock in locks {
        registry.require(lock.clone());
        let place = Place::new();
        let error = place.pull(&reference).error();
        assert!(
            error.ends_with(&format!("the registry {address} wants credentials for app (401 Unauthorized)")),
            "{lock:?}: {error}"
        );
        let error = place.run(&["pull", "--creds", "user:wrong", &reference]).error();
        assert!(
            error.ends_with(&format!(
                "the registry {address} refuses the credentials of \"user\" (401 Unauthorized)"
            )),
            "{error}"
        );
        place.assert_nothing_left();
        place.run(&["pull", "--creds", "user:secret", &reference]).ok();
    }
    registry.require(Auth::Token);
    Place::new().pull(&reference).ok();
}

#[test]
fn a_broken_connection_is_taken_up_where_it_broke() {
    let artifact = image().build().unwrap();
    let registry = serving(&artifact);
    let layer = artifact.layer_digests()[0].clone();
    registry.fault_times(format!("blobs/{layer}"), 1, Fault::Truncate(1000));
    Place::new().pull(&registry.reference("app", "v1")).ok();
    let ranges: Vec<_> =
        registry.requests().iter().filter_map(|r| r.header("range").map(str::to_owned)).collect();
    assert_eq!(ranges, ["bytes=1000-"]);
}

#[test]
fn a_registry_without_range_gives_the_whole_again() {
    let artifact = image().build().unwrap();
    let registry = serving(&artifact);
    let part = format!("blobs/{}", artifact.layer_digests()[0]);
    registry.fault(&part, Fault::NoRange);
    registry.fault_times(&part, 1, Fault::Truncate(1000));
    Place::new().pull(&registry.reference("app", "v1")).ok();
}

#[test]
fn the_platform_is_chosen_from_an_index() {
    let other = if cfg!(target_arch = "s390x") { "amd64" } else { "s390x" };
    let there = Image::new().platform(Platform::linux(other)).layer(&Layer::new().file("there", "x"));
    for docker in [false, true] {
        let index = Index::new()
            .member(Platform::host(), image().build().unwrap())
            .member(Platform::linux(other), there.build().unwrap());
        let index = if docker { index.docker().build() } else { index.build() };
        let registry = serving(&index);
        let reference = registry.reference("app", "v1");
        let place = Place::new();
        assert_eq!(place.pull(&reference).ok(), format!("{}\n", index.digest.as_str()));
        let platform = format!("linux/{other}");
        place
            .run(&["unpack", "--copy", "--platform", &platform, &reference, place.bundle().to_str().unwrap()])
            .ok();
        assert_eq!(std::fs::read_dir(place.rootfs()).unwrap().count(), 1);
        let error = place.run(&["pull", "--platform", "linux/mips", &reference]).error();
        assert!(error.contains("the image is not there for linux/mips; it is for: linux/"), "{error}");
    }
}

#[test]
fn what_a_killed_pull_left_is_taken_up_by_the_next() {
    let artifact = image().build().unwrap();
    let registry = serving(&artifact);
    let layer = artifact.layer_digests()[0].clone();
    registry.fault_times(format!("blobs/{layer}"), 1, Fault::Stall(100_000));
    let place = Place::new();
    let reference = registry.reference("app", "v1");
    let mut child = place.command(&["pull", &reference]).stderr(std::process::Stdio::null()).spawn().unwrap();
    let arrived = || {
        let partial = files(&place.store().join("partial"));
        partial.iter().any(|file| file.metadata().is_ok_and(|m| m.len() == 100_000))
    };
    wait_until(LIMIT, "100,000 bytes of the layer", arrived).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(place.run(&["list", "--json"]).ok() == "[]\n");
    registry.forget_requests();
    place.pull(&reference).ok();
    let ranges: Vec<_> =
        registry.requests().iter().filter_map(|r| r.header("range").map(str::to_owned)).collect();
    assert_eq!(ranges, ["bytes=100000-"]);
    assert_eq!(files(&place.store().join("partial")), Vec::<std::path::PathBuf>::new());
    place.unpack(&reference).ok();
    assert_eq!(std::fs::read(place.rootfs().join("noise")).unwrap(), noise(300_000));
}

#[test]
fn three_layers_arrive_at_once_and_no_more() {
    let image = (0..6).fold(Image::new(), |image, n| image.layer(&Layer::new().file("f", noise(50_000 + n))));
    let image = image.build().unwrap();
    let (registry, place) = (serving(&image), Place::new());
    image
        .layer_digests()
        .iter()
        .for_each(|digest| registry.fault(format!("blobs/{digest}"), Fault::Stall(1000)));
    let mut pull = place.command(&["pull", &registry.reference("app", "v1")]);
    let mut pull = pull.stderr(std::process::Stdio::null()).spawn().unwrap();
    let asked =
        || image.layer_digests().iter().filter(|d| registry.count("GET", &format!("blobs/{d}")) > 0).count();
    wait_until(LIMIT, "three layers", || asked() == 3).unwrap();
    assert!(wait_until(Duration::from_millis(300), "a fourth", || asked() > 3).is_err());
    pull.kill().unwrap();
    pull.wait().unwrap();
}

#[test]
fn a_signal_stops_a_pull_and_nothing_is_left() {
    let artifact = image().build().unwrap();
    let registry = serving(&artifact);
    let layer = artifact.layer_digests()[0].clone();
    registry.fault(format!("blobs/{layer}"), Fault::Stall(100_000));
    for (command, signal, code) in [("pull", "INT", 130), ("unpack", "TERM", 143)] {
        let place = Place::new();
        let reference = registry.reference("app", "v1");
        let mut words = vec![command, reference.as_str()];
        let bundle = place.bundle();
        if command == "unpack" {
            words.push(bundle.to_str().unwrap());
        }
        let child = place.command(&words).stderr(std::process::Stdio::piped()).spawn().unwrap();
        let arrived = || {
            let partial = files(&place.store().join("partial"));
            partial.iter().any(|file| file.metadata().is_ok_and(|m| m.len() == 100_000))
        };
        wait_until(LIMIT, "100,000 bytes of the layer", arrived).unwrap();
        let kill = ["-s", signal, &child.id().to_string()].map(str::to_owned);
        assert!(std::process::Command::new("kill").args(kill).status().unwrap().success());
        let outcome: common::Outcome = child.wait_with_output().unwrap().into();
        assert_eq!(outcome.code, Some(code));
        assert!(outcome.stderr.ends_with(&format!(": stopped by SIG{signal}\n")), "{}", outcome.stderr);
        place.assert_nothing_left();
    }
}

#[test]
fn two_pulls_at_once_share_the_work_and_both_succeed() {
    let artifact = image().build().unwrap();
    let registry = serving(&artifact);
    let place = Place::new();
    let reference = registry.reference("app", "v1");
    let spawn = || {
        place.command(&["--quiet", "pull", &reference]).stdout(std::process::Stdio::null()).spawn().unwrap()
    };
    let children: Vec<_> = (0..4).map(|_| spawn()).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    for layer in artifact.layer_digests() {
        assert_eq!(registry.count("GET", &format!("blobs/{layer}")), 1, "{layer}");
    }
}

#[test]
fn a_failed_pull_does_not_take_away_what_another_image_needs() {
    let shared = Layer::new().file("shared", noise(1000));
    let registry = Registry::start().unwrap();
    let good = Image::new().layer(&shared).build().unwrap();
    registry.put("app", "good", &good);
    let bad = Image::new().layer(&shared).layer(&Layer::new().file("b", "b"));
    let bad = bad.lie(Lie::LayerMissing(1)).build().unwrap();
    registry.put("app", "bad", &bad);
    let place = Place::new();
    place.pull(&registry.reference("app", "bad")).error();
    place.assert_nothing_left();
    place.pull(&registry.reference("app", "good")).ok();
    let files = place.left();
    place.pull(&registry.reference("app", "bad")).error();
    assert_eq!(place.left(), files);
    registry.forget_requests();
    place.unpack(&registry.reference("app", "good")).ok();
    assert_eq!(registry.requests().len(), 0);
}

#[test]
fn a_full_disk_is_told_in_one_sentence_and_nothing_is_left() {
    if skip("a_full_disk_is_told_in_one_sentence_and_nothing_is_left", Need::Root) {
        return;
    }
    let artifact = image().build().unwrap();
    let registry = serving(&artifact);
    let place = Place::new();
    std::fs::create_dir(place.store()).unwrap();
    let (store, reference) = (quoted(&place.store()), registry.reference("app", "v1"));
    let script = format!(
        "mount -t tmpfs -o size=64k none {store} && {PROGRAM} --root {store} pull {reference}; code=$?; \
         find {store} -type f ! -name lock; exit $code"
    );
    let outcome: common::Outcome = in_mount_namespace("sh").args(["-c", &script]).output().unwrap().into();
    assert_eq!(outcome.stdout, "");
    let error = outcome.error();
    let layer = &artifact.layer_digests()[0];
    assert!(error.starts_with(&format!("pull {reference}: layer {layer}: write ")), "{error}");
    assert!(error.ends_with(": No space left on device"), "{error}");
}

#[test]
fn a_blob_that_went_bad_in_the_store_is_fetched_again() {
    let artifact = image().build().unwrap();
    let registry = serving(&artifact);
    let place = Place::new();
    let reference = registry.reference("app", "v1");
    place.pull(&reference).ok();
    let blob = place.store().join("blobs").join(artifact.layer_digests()[0].replace(':', "/"));
    let length = blob.metadata().unwrap().len();
    std::fs::OpenOptions::new().write(true).open(&blob).unwrap().set_len(length / 2).unwrap();
    place.unpack(&reference).ok();
    assert_eq!(blob.metadata().unwrap().len(), length);
    std::fs::remove_dir_all(place.bundle()).unwrap();
    let mut bytes = std::fs::read(&blob).unwrap();
    bytes[1000] ^= 1;
    std::fs::write(&blob, bytes).unwrap();
    let error = place.unpack(&reference).error();
    assert!(
        error.contains("stream is damaged") || error.contains("in the store: has other content"),
        "{error}"
    );
    assert!(place.bundle().symlink_metadata().is_err());
    place.unpack(&reference).ok();
}
