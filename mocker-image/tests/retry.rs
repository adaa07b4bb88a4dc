//! What a registry does wrong for a moment is outlived; where it leads elsewhere, nothing is told there.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod common;

use std::time::{Duration, Instant};

use common::Place;
use common::sample::serving;
use conformance::fixture::{Artifact, Image, Layer};
use conformance::registry::{Auth, Fault, Registry};

fn image() -> Artifact {
    Image::new().layer(&Layer::new().file("a", "a")).build().unwrap()
}

/// Every kind of request that a pull makes.
fn requests(artifact: &Artifact) -> [String; 5] {
    let blob = |digest: &str| format!("/blobs/{digest}");
    let (config, layer) = (artifact.config_digest(), artifact.layer_digests()[0].clone());
    ["/v2/ ".trim().to_owned(), "/token".to_owned(), "/manifests/".to_owned(), blob(&config), blob(&layer)]
}

#[test]
fn what_passes_by_is_outlived_by_every_kind_of_request() {
    let artifact = image();
    let faults = [Fault::status(500), Fault::status(502), Fault::status(503), Fault::HangUp];
    let faults = faults.into_iter().chain([Fault::status(504), Fault::too_many_requests(0)]);
    for (part, fault) in requests(&artifact).into_iter().zip(faults.cycle()) {
        let registry = serving(&artifact);
        registry.require(Auth::Token);
        registry.fault_times(&part, 2, fault);
        Place::new().pull(&registry.reference("app", "v1")).ok();
        assert!(registry.count("GET", &part) > 2, "{part}");
    }
}

#[test]
fn a_busy_registry_is_left_alone_for_as_long_as_it_says() {
    let artifact = image();
    let registry = serving(&artifact);
    registry.fault_times("/manifests/", 1, Fault::too_many_requests(2));
    let start = Instant::now();
    Place::new().pull(&registry.reference("app", "v1")).ok();
    assert!(start.elapsed() >= Duration::from_secs(2));
}

#[test]
fn a_registry_that_stays_busy_or_unwell_is_told_after_a_bounded_number_of_tries() {
    let artifact = image();
    let layer = artifact.layer_digests()[0].clone();
    for (part, fault, want) in [
        (
            "/manifests/".to_owned(),
            Fault::status(429),
            "takes no more requests for now (429 Too Many Requests)",
        ),
        (
            format!("/blobs/{layer}"),
            Fault::status(503),
            "answers 503 Service Unavailable: status 503 on purpose",
        ),
    ] {
        let registry = serving(&artifact);
        registry.fault(&part, fault);
        let place = Place::new();
        let error = place.pull(&registry.reference("app", "v1")).error();
        assert!(error.ends_with(&format!("the registry {} {want}", registry.address())), "{error}");
        assert_eq!(registry.count("GET", &part), 5, "{part}");
        registry.forget_requests();
        place.run(&["--retry-times", "1", "pull", &registry.reference("app", "v1")]).error();
        assert_eq!(registry.count("GET", &part), 2, "{part}");
        place.assert_nothing_left();
    }
}

#[test]
fn a_registry_that_wants_an_hour_is_not_waited_for() {
    let registry = serving(&image());
    registry.fault("/manifests/", Fault::too_many_requests(3600));
    let outcome = Place::new().pull(&registry.reference("app", "v1"));
    assert!(outcome.stderr.contains("hint: it says to come back in 3600 seconds"), "{}", outcome.stderr);
    let address = registry.address();
    assert!(outcome.error().ends_with(&format!(
        "the registry {address} takes no more requests for now (429 Too Many Requests)"
    )));
    assert_eq!(registry.count("GET", "/manifests/"), 1);
}

#[test]
fn what_does_not_pass_by_is_not_tried_again() {
    let registry = serving(&image());
    registry.fault("/manifests/", Fault::status(501));
    Place::new().pull(&registry.reference("app", "v1")).error();
    assert_eq!(registry.count("GET", "/manifests/"), 1);
}

#[test]
fn a_redirected_blob_comes_without_the_credentials_of_the_first_host() {
    let artifact = image();
    let (first, second) = (serving(&artifact), serving(&artifact));
    first.require(Auth::Basic("user".to_owned(), "secret".to_owned()));
    first.fault("/blobs/", Fault::Redirect(format!("http://{}{{path}}", second.address())));
    let reference = first.reference("app", "v1");
    Place::new().run(&["pull", "--creds", "user:secret", &reference]).ok();
    assert!(second.count("GET", "/blobs/") >= 2);
    assert!(second.requests().iter().all(|request| request.header("authorization").is_none()));
}

#[test]
fn the_host_behind_a_redirect_may_not_ask_for_credentials() {
    let artifact = image();
    let (first, second, thief) = (serving(&artifact), serving(&artifact), Registry::start().unwrap());
    first.require(Auth::Basic("user".to_owned(), "secret".to_owned()));
    first.fault("/blobs/", Fault::Redirect(format!("http://{}{{path}}", second.address())));
    second.require(Auth::TokenFrom(format!("http://{}/token", thief.address())));
    let reference = first.reference("app", "v1");
    let error = Place::new().run(&["pull", "--creds", "user:secret", &reference]).error();
    let (first, second) = (first.address(), second.address());
    let want = format!("the registry {first} redirects to {second}, which answers 401 Unauthorized");
    assert!(error.ends_with(&want), "{error}");
    assert_eq!(thief.requests().len(), 0);
}
