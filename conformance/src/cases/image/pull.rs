//! Pulling: what is asked of a registry, and what is done with its answers.

use anyhow::{Context, Result, ensure};

use super::{case, of, small};
use crate::case::{Case, expect_eq};
use crate::fixture::{Index, Layer, Platform};
use crate::image::{Ask, Desk};
use crate::registry::{Fault, Registry, Request};

const MANIFESTS: &str = "distribution-spec/spec.md#pulling-manifests";
const BLOBS: &str = "distribution-spec/spec.md#pulling-blobs";
const API: &str = "distribution-spec/spec.md#api";
const VERIFY_BLOB: &str = "Clients SHOULD verify that the response body matches the requested digest.";
const VERIFY_MANIFEST: &str = "If the <tag-or-digest> part of a manifest request is a digest, clients SHOULD verify the returned manifest matches this digest.";
const FOLLOW: &str = "Registries MAY respond to any request with a redirect per RFC 9110 (section 15.4); clients SHOULD follow such redirects, and MUST NOT forward Authorization headers across host boundaries unless explicitly configured to do so.";
const HTTP: &str = "Where this specification does not define specific behavior, implementations SHOULD follow the HTTP semantics defined in RFC 9110.";

fn first_manifest(desk: &Desk) -> Result<Request> {
    let asked = desk.registry().requests().into_iter().find(|request| request.path.contains("/manifests/"));
    asked.context("nobody asked for a manifest")
}

/// Unpacks while the registry does wrong at this part of its paths.
fn through(desk: &Desk, part: &str, fault: Fault) -> Result<()> {
    let image = small().build()?;
    desk.registry().fault(part, fault);
    expect_eq("a", desk.unpack(&image)?.text("a")?, "content of a\n")
}

fn refused(desk: &Desk, part: &str, fault: Fault, what: &str) -> Result<()> {
    let image = small().build()?;
    desk.registry().fault(part, fault);
    desk.refuses(&image, what)
}

pub(super) const CASES: &[Case<Desk>] = &[
    case(
        "pull.asks-for-the-tag",
        MANIFESTS,
        "<tag-or-digest> MUST be either (a) the digest of the manifest or (b) a tag.",
        |desk| {
            desk.unpack(&small().build()?)?;
            expect_eq("the path", first_manifest(desk)?.path, "/v2/case/manifests/latest")
        },
    ),
    case(
        "pull.asks-for-the-digest",
        MANIFESTS,
        "<tag-or-digest> MUST be either (a) the digest of the manifest or (b) a tag.",
        |desk| {
            let image = small().build()?;
            desk.registry().put("case", "latest", &image);
            desk.unpack_from(&desk.place_by_digest("case", image.digest.as_str()), &Ask::default())?;
            expect_eq("the path", first_manifest(desk)?.path, format!("/v2/case/manifests/{}", image.digest))
        },
    ),
    case(
        "pull.never-asks-for-what-is-no-tag",
        MANIFESTS,
        "The <tag-or-digest> MUST NOT be in any other format.",
        |desk| {
            desk.serve(&small().build()?);
            for tag in ["-latest", "a+b", &"t".repeat(129)] {
                desk.refuses_place(&desk.place("case", tag), &format!("the tag {tag}"))?;
            }
            expect_eq("the number of requests", desk.registry().count("GET", "/manifests/"), 0)
        },
    ),
    case(
        "pull.tag-of-128-characters",
        MANIFESTS,
        "Throughout this document, <tag-or-digest> as a tag MUST be at most 128 characters in length and MUST match the following regular expression: [a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}",
        |desk| {
            let tag = format!("_A.b-{}", "9".repeat(123));
            desk.registry().put("case", &tag, &small().build()?);
            desk.unpack_from(&desk.place("case", &tag), &Ask::default())?.text("a").map(drop)
        },
    ),
    case(
        "pull.name-of-several-parts",
        MANIFESTS,
        "Throughout this document, <name> MUST match the following regular expression: [a-z0-9]+((\\.|_|__|-+)[a-z0-9]+)*(\\/[a-z0-9]+((\\.|_|__|-+)[a-z0-9]+)*)*",
        |desk| {
            let name = "a/b.c/d__e/f--g/h_9";
            desk.registry().put(name, "latest", &small().build()?);
            desk.unpack_from(&desk.place(name, "latest"), &Ask::default())?.text("a").map(drop)
        },
    ),
    case(
        "pull.never-asks-for-what-is-no-name",
        MANIFESTS,
        "Throughout this document, <name> MUST match the following regular expression: [a-z0-9]+((\\.|_|__|-+)[a-z0-9]+)*(\\/[a-z0-9]+((\\.|_|__|-+)[a-z0-9]+)*)*",
        |desk| {
            for name in ["UPPER", "a//b", "a..b", "-a"] {
                desk.refuses_place(&desk.place(name, "latest"), &format!("the name {name}"))?;
            }
            expect_eq("the number of requests", desk.registry().count("GET", "/manifests/"), 0)
        },
    ),
    case(
        "pull.says-what-it-accepts",
        MANIFESTS,
        "The client SHOULD include an Accept header indicating which manifest content types it supports.",
        |desk| {
            desk.unpack(&small().build()?)?;
            let asked = first_manifest(desk)?;
            let accepts: Vec<&str> = asked
                .headers
                .iter()
                .filter(|(name, _)| name == "accept")
                .map(|(_, value)| value.as_str())
                .collect();
            let accepts = accepts.join(",");
            for kind in
                ["application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json"]
            {
                ensure!(accepts.contains(kind), "Accept is {accepts:?}, without {kind}");
            }
            Ok(())
        },
    ),
    case(
        "pull.parameters-of-the-content-type-do-not-count",
        MANIFESTS,
        "The client SHOULD ignore parameters on the Content-Type header.",
        |desk| {
            let kind = "application/vnd.oci.image.manifest.v1+json; charset=utf-8".to_owned();
            through(desk, "/manifests/", Fault::Header("Content-Type".to_owned(), kind))
        },
    ),
    case(
        "pull.other-media-type-than-the-manifests-own-is-refused",
        MANIFESTS,
        "If the manifest has a mediaType field, clients SHOULD reject unless the mediaType field's value matches the type specified by the Content-Type header.",
        |desk| {
            let kind = "application/vnd.oci.image.index.v1+json".to_owned();
            refused(
                desk,
                "/manifests/",
                Fault::Header("Content-Type".to_owned(), kind),
                "a manifest that is served as an index",
            )
        },
    ),
    case(
        "pull.missing-digest-header-is-no-error",
        MANIFESTS,
        "Client implementations MUST support registries that implement partial or older versions of the OCI Distribution Spec.",
        |desk| through(desk, "/v2/", Fault::Header("Docker-Content-Digest".to_owned(), String::new())),
    ),
    case("pull.by-digest-takes-only-that", MANIFESTS, VERIFY_MANIFEST, |desk| {
        let image = small().annotation("org.example.key", "somebody").build()?;
        desk.registry().put("case", "latest", &image);
        // within a word of the manifest: it stays JSON
        let at = String::from_utf8_lossy(&image.manifest).find("somebody").context("no annotation")?;
        desk.registry().fault("/manifests/", Fault::FlipByte(at as u64));
        desk.refuses_place(
            &desk.place_by_digest("case", image.digest.as_str()),
            "a manifest with a wrong byte",
        )
    }),
    case("pull.by-digest-takes-no-other-image", MANIFESTS, VERIFY_MANIFEST, |desk| {
        let mut other = small().author("another").build()?;
        let asked = small().build()?.digest;
        other.digest = asked.clone();
        desk.registry().put("case", "latest", &other);
        desk.refuses_place(
            &desk.place_by_digest("case", asked.as_str()),
            "another image than that of the digest",
        )
    }),
    case("pull.by-digest-of-an-index", MANIFESTS, VERIFY_MANIFEST, |desk| {
        let index = Index::new().member(Platform::host(), small().build()?).build();
        desk.registry().put("case", "latest", &index);
        let place = desk.place_by_digest("case", index.digest.as_str());
        desk.unpack_from(&place, &Ask::default())?.text("a").map(drop)
    }),
    case(
        "pull.missing-manifest-is-an-error",
        MANIFESTS,
        "If the manifest is not found in the repository, the response code MUST be 404 Not Found.",
        |desk| {
            desk.serve(&small().build()?);
            desk.refuses_place(&desk.place("case", "missing"), "a tag that is not there")
        },
    ),
    case(
        "pull.missing-repository-is-an-error",
        MANIFESTS,
        "If the manifest is not found in the repository, the response code MUST be 404 Not Found.",
        |desk| desk.refuses_place(&desk.place("nowhere", "latest"), "a repository that is not there"),
    ),
    case(
        "pull.missing-blob-is-an-error",
        BLOBS,
        "If the blob is not found in the repository, the response code MUST be 404 Not Found.",
        |desk| {
            let image = small().build()?;
            let source = desk.serve(&image);
            for (digest, _) in &image.blobs {
                desk.registry().remove_blob(digest);
            }
            desk.refuses_place(&source, "an image without its blobs")
        },
    ),
    case("pull.blob-that-ends-early-is-refused", BLOBS, VERIFY_BLOB, |desk| {
        let image = of([Layer::new().plain().file("a", vec![b'x'; 3000])]).build()?;
        desk.registry().fault(&image.layer_digests()[0], Fault::Truncate(0));
        desk.refuses(&image, "a layer whose connection ends early")
    }),
    case("pull.blob-that-says-it-is-shorter-is-refused", BLOBS, VERIFY_BLOB, |desk| {
        let image = of([Layer::new().file("a", "1")]).build()?;
        desk.registry().fault(&image.layer_digests()[0], Fault::Length(-7));
        desk.refuses(&image, "a layer that is cut by its Content-Length")
    }),
    case("pull.redirect-of-a-blob-is-followed", API, FOLLOW, |desk| {
        let image = small().build()?;
        let other = Registry::start()?;
        other.put("case", "latest", &image);
        desk.registry().fault("/blobs/", Fault::Redirect(format!("http://{}{{path}}", other.address())));
        desk.unpack(&image)?.text("a")?;
        ensure!(other.count("GET", "/blobs/") > 0, "nobody asked the other registry");
        Ok(())
    }),
    case("pull.redirect-of-a-manifest-is-followed", API, FOLLOW, |desk| {
        let image = small().build()?;
        let other = Registry::start()?;
        other.put("case", "latest", &image);
        desk.registry().fault("/manifests/", Fault::Redirect(format!("http://{}{{path}}", other.address())));
        desk.unpack(&image)?.text("a").map(drop)
    }),
    case("pull.redirects-in-a-circle-are-an-error", API, FOLLOW, |desk| {
        let here = format!("http://{}{{path}}", desk.registry().address());
        refused(desk, "/blobs/", Fault::Redirect(here), "a blob that redirects to itself")
    }),
    case("pull.waits-and-asks-again-when-there-are-too-many", API, HTTP, |desk| {
        let image = small().build()?;
        desk.registry().fault_times("/manifests/", 1, Fault::too_many_requests(1));
        desk.unpack(&image)?.text("a").map(drop)
    }),
    case("pull.error-of-the-registry-is-an-error", API, HTTP, |desk| {
        refused(desk, "/blobs/", Fault::status(403), "a blob that is forbidden")
    }),
    case("pull.answer-without-a-meaning-is-an-error", API, HTTP, |desk| {
        refused(desk, "/manifests/", Fault::status(418), "a manifest behind status 418")
    }),
    case(
        "pull.warnings-change-nothing",
        "distribution-spec/spec.md#warnings",
        "In accordance with RFC 7234, clients MUST NOT take any automated action based on the presence or contents of warnings, only report them to the user.",
        |desk| {
            through(
                desk,
                "/v2/",
                Fault::Header("Warning".to_owned(), "299 - \"this registry closes tomorrow\"".to_owned()),
            )
        },
    ),
    case(
        "pull.lists-all-tags",
        "distribution-spec/spec.md#listing-tags",
        "If the list is not empty, the tags MUST be in lexical (i.e. case-insensitive alphanumeric order) or \"ASCIIbetical\" (Go's sort.Strings) order.",
        |desk| {
            for tag in ["b", "a", "kept"] {
                desk.registry().put("case", tag, &small().build()?);
            }
            let mut tags = desk.tags("case")?;
            tags.sort();
            expect_eq("the tags", tags, vec!["a", "b", "kept"])
        },
    ),
    case(
        "pull.lists-the-tags-of-every-page",
        "distribution-spec/spec.md#listing-tags",
        "If included, the Link header MUST be set according to RFC 5988 with the Relation Type rel=\"next\".",
        |desk| {
            let want: Vec<String> = (0..9).map(|n| format!("t{n}")).collect();
            for tag in &want {
                desk.registry().put("case", tag, &small().build()?);
            }
            desk.registry().page_tags(2);
            let mut tags = desk.tags("case")?;
            tags.sort();
            expect_eq("the tags", tags, want)
        },
    ),
    case(
        "pull.tags-of-a-missing-repository-are-an-error",
        "distribution-spec/spec.md#listing-tags",
        "Assuming a repository is found, this request MUST return a 200 OK response code.",
        |desk| {
            ensure!(desk.tags("nowhere").is_err(), "tags of a repository that is not there were listed");
            Ok(())
        },
    ),
];
