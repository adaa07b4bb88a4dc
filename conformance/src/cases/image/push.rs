//! Pushing: the order, the words, and what the registry has in the end.

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::{case, of, small, spaced};
use crate::case::{Case, expect_eq};
use crate::fixture::{Artifact, Index, Layer, Lie, Platform};
use crate::image::{Ask, Desk, remade};
use crate::registry::{Fault, Location, Request};

const PUSH: &str = "distribution-spec/spec.md#push";
const MANIFESTS: &str = "distribution-spec/spec.md#pushing-manifests";
const UPLOAD: &str = "distribution-spec/spec.md#post-then-put";
const ORDER: &str = "Pushing an object typically works in the opposite order as a pull: the blobs making up the object are uploaded first, and the manifest last.";
const LOCATION: &str = "Additionally, it SHOULD match exactly the <blob-push-location> obtained from the POST request. It SHOULD NOT be assembled manually by clients except where absolute/relative conversion is necessary.";
const EXACT: &str = "Implementations storing or copying content MUST NOT modify or alter the content in a way that would change the digest of the content.";

fn two() -> Result<Artifact> {
    Ok(of([Layer::new().file("a", "lower"), Layer::new().file("b", "upper")]).build()?)
}

fn requests(desk: &Desk, part: &str) -> Vec<(usize, Request)> {
    let all = desk.registry().requests().into_iter().enumerate();
    all.filter(|(_, request)| request.path.contains(part)).collect()
}

fn puts_of_manifests(desk: &Desk) -> Result<Vec<(usize, Request)>> {
    let mut found = requests(desk, "/manifests/");
    found.retain(|(_, request)| request.method == "PUT");
    ensure!(!found.is_empty(), "nobody put a manifest");
    Ok(found)
}

/// The registry has the image, byte by byte, and every blob of it.
fn arrived(desk: &Desk, image: &Artifact) -> Result<()> {
    let (kind, bytes) = desk.registry().manifest("pushed", "latest").context("no manifest was pushed")?;
    expect_eq("the media type", kind, image.media_type.clone())?;
    expect_eq("the manifest", String::from_utf8_lossy(&bytes), String::from_utf8_lossy(&image.manifest))?;
    for (digest, _) in &image.blobs {
        ensure!(desk.registry().has_blob(digest.as_str()), "{digest} was not pushed");
    }
    Ok(())
}

fn pushed(desk: &Desk, image: &Artifact) -> Result<()> {
    desk.push(image)?;
    arrived(desk, image)
}

fn fails(desk: &Desk, part: &str, what: &str) -> Result<()> {
    let (_, source) = desk.lay_out(&two()?)?;
    desk.registry().fault(part, Fault::status(400));
    desk.try_copy(&source, &desk.place("pushed", "latest"), &Ask::default())?.failure(what).map(drop)
}

pub(super) const CASES: &[Case<Desk>] = &[
    case("push.everything-arrives", PUSH, ORDER, |desk| pushed(desk, &two()?)),
    case("push.blobs-come-first", PUSH, ORDER, |desk| {
        desk.push(&two()?)?;
        let first = puts_of_manifests(desk)?[0].0;
        let uploads = requests(desk, "/blobs/uploads/");
        ensure!(!uploads.is_empty(), "nothing was uploaded");
        let late = uploads.iter().filter(|(at, _)| *at > first).count();
        expect_eq("the number of uploads behind the manifest", late, 0)
    }),
    case("push.images-come-before-their-index", PUSH, ORDER, |desk| {
        let other = Platform::linux("riscv64");
        let index = Index::new()
            .member(Platform::host(), two()?)
            .member(other.clone(), small().platform(other).build()?)
            .build();
        pushed(desk, &index)?;
        let puts = puts_of_manifests(desk)?;
        expect_eq("the number of manifests", puts.len(), 3)?;
        expect_eq("the last one", puts[2].1.path.clone(), "/v2/pushed/manifests/latest")?;
        for child in &index.children {
            ensure!(
                desk.registry().manifest("pushed", child.digest.as_str()).is_some(),
                "{} is missing",
                child.digest
            );
        }
        Ok(())
    }),
    case(
        "push.content-type-is-the-manifests-media-type",
        MANIFESTS,
        "If a manifest includes a mediaType field, clients MUST set the Content-Type header to the value specified by the mediaType field.",
        |desk| {
            desk.push(&two()?)?;
            let kind = puts_of_manifests(desk)?[0].1.header("content-type").unwrap_or_default().to_owned();
            ensure!(
                kind.starts_with("application/vnd.oci.image.manifest.v1+json"),
                "Content-Type is {kind:?}"
            );
            Ok(())
        },
    ),
    case(
        "push.content-type-of-dockers-family",
        MANIFESTS,
        "Clients SHOULD set the Content-Type header to the type of the manifest being pushed.",
        |desk| {
            let image = of([Layer::new().file("a", "docker's")]).docker().build()?;
            desk.copy(&desk.serve(&image), &desk.place("pushed", "latest"))?;
            let kind = puts_of_manifests(desk)?[0].1.header("content-type").unwrap_or_default().to_owned();
            expect_eq("Content-Type", kind, "application/vnd.docker.distribution.manifest.v2+json")
        },
    ),
    case(
        "push.content-type-has-no-parameters",
        MANIFESTS,
        "The client SHOULD NOT include parameters on the Content-Type header.",
        |desk| {
            desk.push(&two()?)?;
            let kind = puts_of_manifests(desk)?[0].1.header("content-type").unwrap_or_default().to_owned();
            ensure!(!kind.is_empty() && !kind.contains(';'), "Content-Type is {kind:?}");
            Ok(())
        },
    ),
    case(
        "push.uploads-say-their-digest",
        UPLOAD,
        "Here, <digest> is the digest of the blob being uploaded, and <length> is its size in bytes.",
        |desk| {
            let image = two()?;
            desk.push(&image)?;
            for (digest, _) in &image.blobs {
                let said = requests(desk, "/blobs/uploads/").into_iter().any(|(_, request)| {
                    let path = request.path.replace("%3A", ":");
                    path.contains(&format!("digest={digest}")) || path.contains(&format!("mount={digest}"))
                });
                ensure!(said, "no upload says the digest {digest}");
            }
            Ok(())
        },
    ),
    case(
        "push.location-with-a-query-is-kept",
        UPLOAD,
        "The <blob-push-location> MAY contain critical query parameters.",
        |desk| {
            desk.registry().locate_uploads(Location::WithQuery);
            pushed(desk, &two()?)?;
            for (_, request) in
                requests(desk, "/blobs/uploads/").iter().filter(|(_, request)| request.method != "POST")
            {
                ensure!(
                    request.path.contains("_state=kept%2Band%3D"),
                    "{} {} has lost its query",
                    request.method,
                    request.path
                );
            }
            Ok(())
        },
    ),
    case(
        "push.location-may-be-absolute",
        UPLOAD,
        "Optionally, the location MAY be absolute (containing the protocol and/or hostname), or it MAY be relative (containing just the URL path).",
        |desk| {
            desk.registry().locate_uploads(Location::Absolute);
            pushed(desk, &two()?)
        },
    ),
    case("push.location-is-followed", UPLOAD, LOCATION, |desk| {
        desk.push(&two()?)?;
        let ends =
            requests(desk, "/blobs/uploads/").into_iter().filter(|(_, request)| request.method == "PUT");
        for (_, request) in ends {
            expect_eq(&request.path, request.status, 201)?;
        }
        Ok(())
    }),
    case(
        "push.refused-upload-is-an-error",
        UPLOAD,
        "Upon successful completion of the request, the response MUST have code 201 Created",
        |desk| {
            fails(desk, "/blobs/uploads/", "push to a registry that refuses uploads")?;
            ensure!(
                desk.registry().manifest("pushed", "latest").is_none(),
                "a manifest without blobs was pushed"
            );
            Ok(())
        },
    ),
    case(
        "push.refused-manifest-is-an-error",
        MANIFESTS,
        "Upon a successful upload, the registry MUST return response code 201 Created",
        |desk| fails(desk, "/manifests/", "push to a registry that refuses manifests"),
    ),
    case("push.every-byte-of-the-manifest", "image-spec/considerations.md#extensibility", EXACT, |desk| {
        pushed(desk, &spaced(&two()?))
    }),
    case("push.unknown-properties-go-along", "image-spec/considerations.md#extensibility", EXACT, |desk| {
        pushed(desk, &remade(&two()?, |manifest| manifest["x-unknown"] = json!({ "b": 1, "a": [null] })))
    }),
    case(
        "push.between-repositories",
        "distribution-spec/spec.md#mounting-a-blob-from-another-repository",
        "Alternatively, if a registry does not support cross-repository mounting or is unable to mount the requested blob, it SHOULD return a 202.",
        |desk| {
            let image = two()?;
            desk.copy(&desk.serve(&image), &desk.place("pushed", "latest"))?;
            arrived(desk, &image)
        },
    ),
    case(
        "push.manifest-of-four-megabytes",
        MANIFESTS,
        "Client and registry implementations SHOULD expect to be able to support manifest pushes of at least 4 megabytes.",
        |desk| {
            let image = two()?;
            let room = 4_000_000 - image.manifest.len() - 64;
            let image = remade(&image, |manifest| {
                manifest["annotations"] = json!({ "org.example.long": "x".repeat(room) })
            });
            desk.push(&image)?;
            let held = desk.registry().manifest("pushed", "latest").map(|(_, bytes)| bytes.len());
            expect_eq("the manifest's size", held, image.manifest.len())
        },
    ),
    case(
        "push.non-distributable-layers-stay",
        "image-spec/layer.md#non-distributable-layers",
        "Implementations SHOULD NOT upload layers tagged with this media type; however, such a media type SHOULD NOT affect whether an implementation downloads the layer.",
        |desk| {
            let kind = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip".to_owned();
            let honest = of([Layer::new().file("a", "far")]).lie(Lie::LayerMediaType(0, kind)).build()?;
            let image = remade(&honest, |manifest| {
                manifest["layers"][0]["urls"] = json!(["http://127.0.0.1:1/layer"])
            });
            // from a layout: a registry's own copy would be there already
            drop(desk.push(&image));
            ensure!(!desk.registry().has_blob(&image.layer_digests()[0]), "the layer was uploaded");
            ensure!(desk.registry().manifest("pushed", "latest").is_some(), "the image was not pushed");
            Ok(())
        },
    ),
    case(
        "push.what-refers-to-an-image-is-listed-by-tag",
        "distribution-spec/spec.md#pushing-manifests-with-subject",
        "When pushing a manifest with the subject field and the OCI-Subject header was not set, the client MUST: Pull the current referrers list using the referrers tag schema.",
        |desk| {
            let subject = two()?;
            let descriptor = json!({ "mediaType": subject.media_type, "digest": subject.digest.as_str(), "size": subject.manifest.len() });
            let image = remade(&small().build()?, |manifest| manifest["subject"] = descriptor);
            desk.push(&image)?;
            let tag = subject.digest.as_str().replace(':', "-");
            let (_, list) =
                desk.registry().manifest("pushed", &tag).with_context(|| format!("no tag {tag}"))?;
            let list: serde_json::Value = serde_json::from_slice(&list)?;
            expect_eq("what refers to it", list["manifests"][0]["digest"].clone(), image.digest.as_str())
        },
    ),
    case(
        "push.what-refers-to-an-image-needs-no-tag-where-it-is-listed",
        "distribution-spec/spec.md#pushing-manifests-with-subject",
        "When processing a request for an image manifest with the subject field, a registry implementation that supports the referrers API MUST respond with the response header OCI-Subject",
        |desk| {
            let subject = two()?;
            let descriptor = json!({ "mediaType": subject.media_type, "digest": subject.digest.as_str(), "size": subject.manifest.len() });
            let image = remade(&small().build()?, |manifest| manifest["subject"] = descriptor);
            desk.registry().list_referrers();
            desk.push(&image)?;
            let tag = subject.digest.as_str().replace(':', "-");
            ensure!(desk.registry().manifest("pushed", &tag).is_none(), "a tag {tag} was pushed");
            arrived(desk, &image)
        },
    ),
];
