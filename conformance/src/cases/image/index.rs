//! Indexes: which image is taken.

use anyhow::Result;
use serde_json::json;

use super::{case, of, small};
use crate::case::{Case, expect_eq};
use crate::fixture::{Artifact, Index, Layer, Platform};
use crate::image::{Ask, Desk, remade};

const AT: &str = "image-spec/image-index.md#image-index-property-descriptions";
const PLATFORM: &str = "This OPTIONAL property describes the minimum runtime requirements of the image.";
const FIRST: &str = "If multiple manifests match a client or runtime's requirements, the first matching entry SHOULD be used.";

/// An image that says which one it is.
fn told(name: &str, platform: &Platform) -> Result<Artifact> {
    Ok(of([Layer::new().file("which", name)]).platform(platform.clone()).build()?)
}

fn member(index: Index, platform: Platform, name: &str) -> Result<Index> {
    let image = told(name, &platform)?;
    Ok(index.member(platform, image))
}

fn taken(desk: &Desk, index: &Artifact, platform: Option<Platform>, want: &str) -> Result<()> {
    let ask = Ask { platform, ..Ask::default() };
    let bundle = desk.unpack_from(&desk.serve(index), &ask)?;
    expect_eq("the image that was taken", bundle.text("which")?, want)
}

pub(super) const CASES: &[Case<Desk>] = &[
    case(
        "index.is-understood",
        "image-spec/image-index.md#oci-image-index-specification",
        "While the use of an image index is OPTIONAL for image providers, image consumers SHOULD be prepared to process them.",
        |desk| taken(desk, &member(Index::new(), Platform::host(), "host")?.build(), None, "host"),
    ),
    case("index.image-of-this-machine-is-taken", AT, PLATFORM, |desk| {
        let index = member(Index::new(), Platform::linux("riscv64"), "other")?;
        let index = member(index, Platform::host(), "host")?;
        taken(desk, &member(index, Platform::linux("s390x"), "third")?.build(), None, "host")
    }),
    case("index.image-of-the-asked-architecture-is-taken", AT, PLATFORM, |desk| {
        let index = member(Index::new(), Platform::host(), "host")?;
        let index = member(index, Platform::linux("riscv64"), "other")?.build();
        taken(desk, &index, Some(Platform::linux("riscv64")), "other")
    }),
    case(
        "index.image-of-the-asked-variant-is-taken",
        AT,
        "Image indexes SHOULD use, and implementations SHOULD understand, variant values listed in the Platform Variants table.",
        |desk| {
            let arm = |variant| Platform::linux("arm").variant(variant);
            let index = member(Index::new(), arm("v5"), "v5")?;
            let index = member(member(index, arm("v7"), "v7")?, arm("v6"), "v6")?.build();
            taken(desk, &index, Some(arm("v6")), "v6")
        },
    ),
    case("index.image-of-another-system-is-not-taken", AT, PLATFORM, |desk| {
        let windows = Platform { os: "windows".to_owned(), ..Platform::host() };
        let index = member(Index::new(), windows, "windows")?;
        taken(desk, &member(index, Platform::host(), "host")?.build(), None, "host")
    }),
    case("index.without-a-fitting-image-is-an-error", AT, PLATFORM, |desk| {
        let index = member(Index::new(), Platform::linux("riscv64"), "other")?;
        desk.refuses(
            &member(index, Platform::linux("s390x"), "third")?.build(),
            "an index without a fitting image",
        )
    }),
    case("index.first-of-several-that-fit-is-taken", AT, FIRST, |desk| {
        let index = member(Index::new(), Platform::host(), "first")?;
        taken(desk, &member(index, Platform::host(), "second")?.build(), None, "first")
    }),
    case(
        "index.unknown-media-type-of-an-entry-is-no-error",
        AT,
        "An encountered mediaType that is unknown to the implementation MUST NOT generate an error.",
        |desk| {
            let index = member(Index::new(), Platform::host(), "host")?.build();
            let index = remade(&index, |index| {
                let image = index["manifests"][0].clone();
                index["manifests"] = json!([
                    { "mediaType": "application/vnd.example.unheard+json", "size": 2,
                      "digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a" },
                    image,
                ]);
            });
            taken(desk, &index, None, "host")
        },
    ),
    case(
        "index.may-be-nested",
        AT,
        "Also, implementations SHOULD support the following media types: application/vnd.oci.image.index.v1+json (nested index)",
        |desk| {
            let inner = member(Index::new(), Platform::host(), "inner")?.build();
            taken(desk, &Index::new().member(Platform::host(), inner).build(), None, "inner")
        },
    ),
    case(
        "index.docker-manifest-list-is-one",
        "image-spec/media-types.md#compatibility-matrix",
        "The OCI Image Specification strives to be backwards and forwards compatible when possible.",
        |desk| {
            let other = Platform::linux("riscv64");
            let index = member(Index::new().docker(), other, "other")?;
            taken(desk, &member(index, Platform::host(), "host")?.build(), None, "host")
        },
    ),
    case(
        "index.unknown-properties-are-no-error",
        "image-spec/considerations.md#extensibility",
        "Implementations processing content SHOULD NOT generate an error if they encounter an unknown property in a known media type.",
        |desk| {
            let index = member(Index::new(), Platform::host(), "host")?.build();
            let index = remade(&index, |index| {
                index["x-unknown"] = json!([1]);
                index["manifests"][0]["x-unknown"] = json!({ "a": null });
                index["manifests"][0]["platform"]["features"] = json!(["sse4"]);
            });
            taken(desk, &index, None, "host")
        },
    ),
    case(
        "index.entry-without-a-platform-is-no-error",
        AT,
        "This property SHOULD be present if its target is platform-specific.",
        |desk| {
            let index = member(Index::new(), Platform::linux("riscv64"), "other")?;
            let index = member(index, Platform::host(), "host")?.build();
            let index = remade(&index, |index| {
                index["manifests"][0].as_object_mut().map(|entry| entry.remove("platform"));
            });
            taken(desk, &index, Some(Platform::host()), "host")
        },
    ),
    case(
        "index.is-copied-with-all-its-images",
        "image-spec/considerations.md#extensibility",
        "Implementations storing or copying content MUST NOT modify or alter the content in a way that would change the digest of the content.",
        |desk| {
            let index = member(Index::new(), Platform::host(), "host")?;
            let index = member(index, Platform::linux("riscv64"), "other")?.build();
            let layout = desk.copy_to_layout(&index)?;
            expect_eq("the digest of the copy", layout.first()?, index.digest.as_str())?;
            for child in &index.children {
                expect_eq("a manifest", layout.blob(child.digest.as_str())?, child.manifest.clone())?;
                layout.blob(&child.layer_digests()[0])?;
            }
            Ok(())
        },
    ),
    case(
        "index.may-be-empty",
        AT,
        "While this property MUST be present, the size of the array MAY be zero.",
        |desk| {
            let layout = desk.copy_to_layout(&Index::new().build())?;
            expect_eq("the copy", layout.blob(&layout.first()?)?, Index::new().build().manifest)
        },
    ),
    case("index.platform-of-a-plain-image-is-its-own", AT, PLATFORM, |desk| {
        // no index at all: there is nothing to choose
        desk.unpack(&small().build()?)?.text("a").map(drop)
    }),
];
