//! `inspect` and `tags`: what is told of an image and of its repository, without pulling it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod common;

use common::Place;
use common::sample::serving;
use conformance::fixture::{Image, Index, Layer, Platform};
use conformance::host::{Need, skip};
use conformance::registry::{Auth, DockerRegistry, Fault, Registry};
use serde_json::{Value, json};

fn image() -> Image {
    Image::new()
        .layer(&Layer::new().file("a", "a"))
        .layer(&Layer::new().file("b", "b").zstd())
        .created("2024-01-01T00:00:00Z")
        .env("A=b")
        .label("key", "value")
        .top("docker_version", "20.10.5".into())
}

fn inspect(place: &Place, reference: &str) -> Value {
    serde_json::from_str(&place.run(&["inspect", reference]).ok()).unwrap()
}

#[test]
fn an_image_is_told_from_its_registry_without_being_pulled_and_from_the_store_without_asking() {
    let artifact = image().build().unwrap();
    let registry = serving(&artifact);
    registry.put("app", "v2", &artifact);
    let (place, reference) = (Place::new(), registry.reference("app", "v1"));
    let view = inspect(&place, &reference);
    let layers = artifact.layer_digests();
    for (key, want) in [
        ("Name", json!(format!("{}/app", registry.address()))),
        ("Tag", json!("v1")),
        ("Digest", json!(artifact.digest.as_str())),
        ("RepoTags", json!(["v1", "v2"])),
        ("Created", json!("2024-01-01T00:00:00Z")),
        ("DockerVersion", json!("20.10.5")),
        ("Labels", json!({ "key": "value" })),
        ("Os", json!("linux")),
        ("Layers", json!(layers)),
    ] {
        assert_eq!(view[key], want, "{key}");
    }
    let own = artifact.json()["layers"][1].clone();
    let data = json!({
        "MIMEType": own["mediaType"], "Digest": layers[1], "Size": own["size"], "Annotations": null
    });
    assert_eq!(view["LayersData"][1], data);
    assert!(view["Env"].as_array().unwrap().contains(&json!("A=b")));
    place.assert_nothing_left();
    assert!(layers.iter().all(|layer| registry.count("GET", layer) == 0));
    place.pull(&reference).ok();
    registry.forget_requests();
    let stored = inspect(&place, &reference);
    assert_eq!(stored["RepoTags"], json!(["v1"]));
    assert_eq!(stored["LayersData"], view["LayersData"]);
    assert_eq!(registry.requests().len(), 0);
}

#[test]
fn raw_and_config_are_the_documents_byte_by_byte() {
    let other = if cfg!(target_arch = "s390x") { "amd64" } else { "s390x" };
    let there = Image::new().platform(Platform::linux(other)).layer(&Layer::new().file("there", "x"));
    let there = there.build().unwrap();
    let index = Index::new().member(Platform::linux(other), there.clone()).build();
    let registry = serving(&index);
    let (place, reference) = (Place::new(), registry.reference("app", "v1"));
    // The index itself, though it has nothing for this machine.
    assert_eq!(place.run(&["inspect", "--raw", &reference]).ok().as_bytes(), index.manifest);
    let error = place.run(&["inspect", "--config", &reference]).error();
    assert!(error.starts_with(&format!("inspect {reference}: the image is not there for ")), "{error}");
    let platform = format!("linux/{other}");
    let config = place.run(&["inspect", "--config", "--platform", &platform, &reference]).ok();
    assert_eq!(conformance::blob::Digest::of(config.as_bytes()).as_str(), there.config_digest());
    place.assert_nothing_left();
}

#[test]
fn an_image_that_is_not_there_is_named() {
    let registry = serving(&image().build().unwrap());
    let (address, reference) = (registry.address(), registry.reference("app", "v9"));
    let error = Place::new().run(&["inspect", &reference]).error();
    assert_eq!(
        error,
        format!("inspect {reference}: the registry {address} has no tag \"v9\" in app (404 Not Found)")
    );
    let error = Place::new().run(&["tags", &format!("{address}/none")]).error();
    assert_eq!(
        error,
        format!(
            "list the tags of {address}/none: the registry {address} has no repository none (404 Not Found)"
        )
    );
}

#[test]
fn inspect_tells_what_skopeo_tells() {
    let test = "inspect_tells_what_skopeo_tells";
    if ["docker-registry", "skopeo"].into_iter().any(|name| skip(test, Need::Program(name))) {
        return;
    }
    let registry = DockerRegistry::start().unwrap();
    let docker = Image::new().docker().layer(&Layer::new().file("a", "a")).created("2024-01-01T00:00:00.5Z");
    for artifact in [image().build().unwrap(), docker.build().unwrap()] {
        registry.put("lib/app", "v1", &artifact).unwrap();
        let reference = registry.reference("lib/app", "v1");
        let mut skopeo = std::process::Command::new("skopeo");
        skopeo.args(["inspect", "--tls-verify=false", &format!("docker://{reference}")]);
        let output = skopeo.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let theirs: Value = serde_json::from_slice(&output.stdout).unwrap();
        let ours = inspect(&Place::new(), &reference);
        for (key, want) in theirs.as_object().unwrap() {
            assert_eq!(&ours[key], want, "{key}");
        }
    }
}

#[test]
fn all_pages_of_tags_are_told_in_the_registrys_order() {
    let artifact = image().build().unwrap();
    let registry = Registry::start().unwrap();
    let want: Vec<String> = (0..2500).map(|n| format!("v{n:04}")).collect();
    want.iter().for_each(|tag| registry.put("app", tag, &artifact));
    registry.require(Auth::Basic("user".to_owned(), "secret".to_owned()));
    let (place, name) = (Place::new(), format!("{}/app", registry.address()));
    let tags = |words: &[&str]| place.run(&[&["tags", "--creds", "user:secret", &name], words].concat());
    assert_eq!(tags(&[]).ok().lines().collect::<Vec<_>>(), want);
    assert_eq!(registry.requests().iter().filter(|request| request.status == 200).count(), 3);
    let list: Vec<String> = serde_json::from_str(&tags(&["--json"]).ok()).unwrap();
    assert_eq!(list, want);
    assert!(place.store().symlink_metadata().is_err());
}

#[test]
fn pages_lead_neither_elsewhere_nor_in_a_circle() {
    let (registry, other) = (serving(&image().build().unwrap()), Registry::start().unwrap());
    let name = format!("{}/app", registry.address());
    let link = |url: &str| Fault::Header("Link".to_owned(), format!("<{url}>; rel=\"next\""));
    let elsewhere = format!("http://{}/v2/app/tags/list", other.address());
    registry.fault("/tags/list", link(&elsewhere));
    let error = Place::new().run(&["tags", &name]).error();
    assert!(error.ends_with(&format!("the next page would be at another host, {elsewhere}")), "{error}");
    assert_eq!(other.requests().len(), 0);
    registry.fault("/tags/list", link("/v2/app/tags/list?n=1000"));
    let error = Place::new().run(&["tags", &name]).error();
    assert_eq!(error, format!("list the tags of {name}: the registry's pages lead in a circle"));
}
