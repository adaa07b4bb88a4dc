//! The registries that other tests lean on: what they hold, the faults, and a push to both.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use conformance::debian;
use conformance::fixture::{Artifact, Image, Index, Layer, Platform};
use conformance::host::{Need, skip};
use conformance::registry::{Auth, DockerRegistry, Fault, Registry, push};

/// The whole answer to a request on a connection of its own, and whether it ended in time.
fn ask(address: &str, request: &str) -> (Vec<u8>, bool) {
    let address: SocketAddr = address.parse().unwrap();
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5)).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    stream.write_all(format!("{request}Host: {address}\r\n\r\n").as_bytes()).unwrap();
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return (answer, true),
            Ok(n) => answer.extend_from_slice(&buffer[..n]),
            Err(_) => return (answer, false),
        }
    }
}

fn text(address: &str, request: &str) -> String {
    String::from_utf8_lossy(&ask(address, request).0).into_owned()
}

fn body(answer: &[u8]) -> &[u8] {
    let head = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    &answer[head + 4..]
}

fn two_layers() -> Artifact {
    let upper = Layer::new().whiteout("a").file("b", b"two").zstd();
    Image::new().layer(&Layer::new().file("a", b"one")).layer(&upper).cmd(["/a"]).build().unwrap()
}

fn index() -> Artifact {
    Index::new()
        .member(Platform::linux("amd64"), two_layers())
        .member(Platform::linux("arm").variant("v7"), Image::new().layer(&Layer::new()).build().unwrap())
        .build()
}

#[test]
fn an_artifact_is_served_under_its_tag_and_its_digest() {
    let registry = Registry::start().unwrap();
    let image = two_layers();
    registry.put("a/b", "1", &image);
    for reference in ["1", image.digest.as_str()] {
        let (answer, _) =
            ask(&registry.address(), &format!("GET /v2/a/b/manifests/{reference} HTTP/1.1\r\n"));
        assert_eq!(body(&answer), image.manifest);
    }
    assert!(text(&registry.address(), "GET /v2/a/b/manifests/2 HTTP/1.1\r\n").contains("MANIFEST_UNKNOWN"));
    assert!(text(&registry.address(), "GET /v2/c/manifests/1 HTTP/1.1\r\n").contains("NAME_UNKNOWN"));
    assert_eq!(registry.count("GET", "/manifests/"), 4);
}

#[test]
fn a_range_is_answered_with_its_part() {
    let registry = Registry::start().unwrap();
    let image = two_layers();
    registry.put("a", "1", &image);
    let config = &image.blobs[0];
    let mut whole = Vec::new();
    config.1.open().unwrap().read_to_end(&mut whole).unwrap();
    let request = format!("GET /v2/a/blobs/{} HTTP/1.1\r\nRange: bytes=5-\r\n", config.0);
    let (answer, _) = ask(&registry.address(), &request);
    assert!(answer.starts_with(b"HTTP/1.1 206"));
    assert_eq!(body(&answer), &whole[5..]);
}

#[test]
fn faults_spoil_only_what_they_name() {
    let registry = Registry::start().unwrap();
    let image = two_layers();
    registry.put("a", "1", &image);
    let blob = format!("GET /v2/a/blobs/{} HTTP/1.1\r\n", image.blobs[0].0);
    let (good, _) = ask(&registry.address(), &blob);
    registry.fault_times("/blobs/", 1, Fault::FlipByte(3));
    let (flipped, _) = ask(&registry.address(), &blob);
    let differing = body(&good).iter().zip(body(&flipped)).filter(|(a, b)| a != b).count();
    assert_eq!((differing, body(&good).len()), (1, body(&flipped).len()));

    registry.fault_times("/blobs/", 1, Fault::Truncate(7));
    let (short, ended) = ask(&registry.address(), &blob);
    assert_eq!((body(&short), ended), (&body(&good)[..7], true));

    registry.fault_times("/blobs/", 1, Fault::Stall(7));
    let (stalled, ended) = ask(&registry.address(), &blob);
    assert_eq!((body(&stalled), ended), (&body(&good)[..7], false));

    registry.fault_times("/blobs/", 1, Fault::too_many_requests(2));
    let refused = text(&registry.address(), &blob);
    assert!(refused.starts_with("HTTP/1.1 429") && refused.contains("Retry-After: 2"), "{refused}");

    assert_eq!(ask(&registry.address(), &blob).0, good);
}

#[test]
fn a_token_opens_one_repository() {
    let registry = Registry::start().unwrap();
    registry.put("a", "1", &two_layers());
    registry.put("b", "1", &two_layers());
    registry.require(Auth::Token);
    let refused = text(&registry.address(), "GET /v2/a/manifests/1 HTTP/1.1\r\n");
    assert!(refused.starts_with("HTTP/1.1 401"), "{refused}");
    assert!(refused.contains("scope=\"repository:a:pull\""), "{refused}");
    let (answer, _) = ask(&registry.address(), "GET /token?scope=repository:a:pull HTTP/1.1\r\n");
    let token: serde_json::Value = serde_json::from_slice(body(&answer)).unwrap();
    let header = format!("Authorization: Bearer {}\r\n", token["token"].as_str().unwrap());
    let with =
        |name: &str| text(&registry.address(), &format!("GET /v2/{name}/manifests/1 HTTP/1.1\r\n{header}"));
    assert!(with("a").starts_with("HTTP/1.1 200"));
    assert!(with("b").starts_with("HTTP/1.1 401"));
}

#[test]
fn a_push_arrives_whole() {
    let registry = Registry::start().unwrap();
    let index = index();
    push(&index, &registry.address(), "x/y", "multi").unwrap();
    assert_eq!(
        registry.manifest("x/y", "multi").unwrap(),
        (index.media_type.clone(), index.manifest.clone())
    );
    for child in &index.children {
        assert!(registry.manifest("x/y", child.digest.as_str()).is_some());
        assert!(child.blobs.iter().all(|(digest, _)| registry.has_blob(digest.as_str())));
    }
}

#[test]
fn debians_registry_takes_our_images_and_refuses_a_lie() {
    let test = "debians_registry_takes_our_images_and_refuses_a_lie";
    if skip(test, Need::Program("docker-registry")) {
        return;
    }
    let registry = DockerRegistry::start().unwrap();
    registry.put("x/y", "multi", &index()).unwrap();
    let tags = text(&registry.address(), "GET /v2/x/y/tags/list HTTP/1.1\r\n");
    assert!(tags.contains(r#"["multi"]"#), "{tags}");
    let lying =
        Image::new().layer(&Layer::new()).lie(conformance::fixture::Lie::LayerDigest(0)).build().unwrap();
    let error = format!("{:#}", registry.put("x/z", "1", &lying).unwrap_err());
    assert!(error.contains("DIGEST_INVALID"), "{error}");
}

#[test]
fn skopeo_reads_and_writes_the_registry() {
    if skip("skopeo_reads_and_writes_the_registry", Need::Program("skopeo")) {
        return;
    }
    let registry = Registry::start().unwrap();
    registry.put("a", "1", &index());
    let status = std::process::Command::new("skopeo")
        .args(["copy", "--quiet", "--all", "--src-tls-verify=false", "--dest-tls-verify=false"])
        .args([
            format!("docker://{}", registry.reference("a", "1")),
            format!("docker://{}", registry.reference("b", "2")),
        ])
        .status()
        .unwrap();
    assert!(status.success());
    // The index itself may come back with annotations of skopeo's own; what it lists may not change.
    let (_, index) = registry.manifest("b", "2").unwrap();
    let index: serde_json::Value = serde_json::from_slice(&index).unwrap();
    let digests: Vec<&str> =
        index["manifests"].as_array().unwrap().iter().map(|m| m["digest"].as_str().unwrap()).collect();
    assert_eq!(digests.len(), 2);
    for digest in digests {
        assert!(registry.manifest("a", digest).is_some());
        assert_eq!(registry.manifest("a", digest), registry.manifest("b", digest));
    }
}

#[test]
fn the_debian_index_has_two_platforms_and_a_zstd_image() {
    if !debian::is_available()
        && skip("the_debian_index_has_two_platforms_and_a_zstd_image", Need::Program("mmdebstrap"))
    {
        return;
    }
    let index = debian::index().unwrap();
    assert_eq!(index.children.len(), 2);
    let zstd = debian::zstd().unwrap().build().unwrap();
    assert_eq!(zstd.json()["layers"][0]["mediaType"], "application/vnd.oci.image.layer.v1.tar+zstd");
    assert_eq!(debian::many().unwrap().build().unwrap().layer_digests().len(), 3);
}
