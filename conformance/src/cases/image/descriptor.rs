//! Descriptors: nothing but the right bytes is taken.

use serde_json::json;

use super::{case, of, small};
use crate::blob::Digest;
use crate::case::{Case, expect_eq};
use crate::fixture::{Artifact, Image, Index, Layer, Lie, Platform};
use crate::image::{Desk, remade};
use crate::registry::Fault;

const AT: &str = "image-spec/descriptor.md#properties";
const DIGEST: &str =
    "Retrieved content SHOULD be verified against this digest when consumed via untrusted sources.";
const SIZE: &str = "If the length of the retrieved content does not match the specified length, the content SHOULD NOT be trusted.";
const VERIFY: &str = "Before consuming content targeted by a descriptor from untrusted sources, the byte content SHOULD be verified against the digest string.";

fn two() -> Image {
    of([Layer::new().file("a", "lower\n"), Layer::new().file("b", "upper\n")])
}

fn lying(desk: &Desk, lie: Lie, what: &str) -> anyhow::Result<()> {
    desk.refuses(&two().lie(lie).build()?, what)
}

fn index_of(image: Artifact) -> Index {
    Index::new().member(Platform::host(), image)
}

pub(super) const CASES: &[Case<Desk>] = &[
    case("descriptor.layer-with-another-digest-is-refused", AT, DIGEST, |desk| {
        lying(desk, Lie::LayerDigest(1), "a layer under a digest that is not its own")
    }),
    case("descriptor.configuration-with-another-digest-is-refused", AT, DIGEST, |desk| {
        lying(desk, Lie::ConfigDigest, "a configuration under a digest that is not its own")
    }),
    case("descriptor.manifest-with-another-digest-is-refused", AT, DIGEST, |desk| {
        let mut index = index_of(two().build()?).lie_about_digests().build();
        // served under the name that the index gives it
        index.children[0].digest = Digest::absent();
        desk.refuses(&index, "a manifest under a digest that is not its own")
    }),
    case(
        "descriptor.layer-with-a-flipped-byte-is-refused",
        "image-spec/descriptor.md#verification",
        VERIFY,
        |desk| {
            // the first byte of the file: it stays an archive
            let image = of([Layer::new().plain().file("a", "lower\n")]).build()?;
            desk.registry().fault(&image.layer_digests()[0], Fault::FlipByte(512));
            desk.refuses(&image, "a layer with a wrong byte")
        },
    ),
    case(
        "descriptor.configuration-with-a-flipped-byte-is-refused",
        "image-spec/descriptor.md#verification",
        VERIFY,
        |desk| {
            // within a word of the configuration: it stays JSON
            let image = two().author("somebody of note").build()?;
            let config = image.config_digest();
            desk.registry().fault(config, Fault::FlipByte(40));
            desk.refuses(&image, "a configuration with a wrong byte")
        },
    ),
    case("descriptor.longer-layer-than-it-says-is-refused", AT, SIZE, |desk| {
        lying(desk, Lie::LayerSize(1, -1), "a layer of one byte more than its size")
    }),
    case("descriptor.shorter-layer-than-it-says-is-refused", AT, SIZE, |desk| {
        lying(desk, Lie::LayerSize(0, 1), "a layer of one byte less than its size")
    }),
    case("descriptor.longer-configuration-than-it-says-is-refused", AT, SIZE, |desk| {
        lying(desk, Lie::ConfigSize(-1), "a configuration of one byte more than its size")
    }),
    case("descriptor.shorter-configuration-than-it-says-is-refused", AT, SIZE, |desk| {
        lying(desk, Lie::ConfigSize(1), "a configuration of one byte less than its size")
    }),
    case("descriptor.manifest-of-another-size-is-refused", AT, SIZE, |desk| {
        desk.refuses(&index_of(two().build()?).lie_about_sizes(1).build(), "a manifest of another size")
    }),
    case("descriptor.negative-size-is-refused", AT, "The size MUST NOT be negative.", |desk| {
        let image = remade(&two().build()?, |manifest| manifest["layers"][0]["size"] = json!(-5));
        desk.refuses(&image, "a layer of a negative size")
    }),
    case(
        "descriptor.missing-blob-is-an-error",
        AT,
        "This REQUIRED property is the digest of the targeted content, conforming to the requirements outlined in Digests.",
        |desk| lying(desk, Lie::LayerMissing(0), "an image without one of its layers"),
    ),
    case(
        "descriptor.upper-case-digest-is-refused",
        "image-spec/descriptor.md#sha-256",
        "When the algorithm identifier is sha256, the encoded portion MUST match /[a-f0-9]{64}/. Note that [A-F] MUST NOT be used here.",
        |desk| {
            let honest = two().build()?;
            let digest = honest.layer_digests()[0].replace("sha256:", "").to_uppercase();
            let wrong = format!("sha256:{digest}");
            let mut image = remade(&honest, |manifest| manifest["layers"][0]["digest"] = json!(wrong));
            let blob = honest.blobs[1].1.clone();
            image.blobs.push((serde_json::from_value(json!(wrong))?, blob));
            desk.refuses(&image, "a digest in upper case")
        },
    ),
    case(
        "descriptor.short-digest-is-refused",
        "image-spec/descriptor.md#digests",
        "A digest string MUST match the following grammar",
        |desk| {
            let honest = two().build()?;
            let mut image =
                remade(&honest, |manifest| manifest["layers"][0]["digest"] = json!("sha256:abcdef"));
            let blob = honest.blobs[1].1.clone();
            image.blobs.push((serde_json::from_value(json!("sha256:abcdef"))?, blob));
            desk.refuses(&image, "a digest of six digits")
        },
    ),
    case(
        "descriptor.embedded-data-takes-nobodys-place",
        "image-spec/descriptor.md#properties",
        "The decoded data MUST be identical to the referenced content and SHOULD be verified against the digest and size fields by content consumers.",
        |desk| {
            let image = small().build()?;
            // {"config":{"Cmd":["/evil"]}}
            let data = "eyJjb25maWciOnsiQ21kIjpbIi9ldmlsIl19fQ==";
            let image = remade(&image, |manifest| manifest["config"]["data"] = json!(data));
            let (outcome, bundle) = desk.try_unpack(&desk.serve(&image), &crate::image::Ask::default())?;
            if outcome.status.success() {
                expect_eq("process.args", bundle.config()?["process"]["args"].clone(), json!(["/a"]))?;
            }
            Ok(())
        },
    ),
    case(
        "descriptor.sha-256-is-known",
        "image-spec/descriptor.md#sha-256",
        "Implementations MUST implement SHA-256 digest verification for use in descriptors.",
        |desk| {
            let bundle = desk.unpack(&two().build()?)?;
            expect_eq("a", bundle.text("a")?, "lower\n")?;
            expect_eq("b", bundle.text("b")?, "upper\n")
        },
    ),
];
