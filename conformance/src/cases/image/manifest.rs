//! Manifests: families, unknown things in them, copies that change nothing.

use serde_json::json;

use super::{case, of, small, spaced};
use crate::blob::{Blob, Digest};
use crate::case::{Case, expect_eq};
use crate::fixture::{Artifact, Layer, Lie};
use crate::image::{Ask, Desk, remade};

const AT: &str = "image-spec/manifest.md#image-manifest-property-descriptions";
const SAME: &str = "Implementations storing or copying content MUST NOT modify or alter the content in a way that would change the digest of the content.";
const EXTENSIBLE: &str = "image-spec/considerations.md#extensibility";

/// No image, but something else of this configuration and one layer.
fn artifact(config: (&str, &[u8]), layer: (&str, &[u8])) -> Artifact {
    let descriptor = |(kind, bytes): (&str, &[u8])| json!({ "mediaType": kind, "digest": Digest::of(bytes).as_str(), "size": bytes.len() });
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({ "schemaVersion": 2, "mediaType": kind, "config": descriptor(config), "layers": [descriptor(layer)] });
    let mut made = Artifact::raw(kind, manifest.to_string());
    made.blobs = [config.1, layer.1].map(|bytes| (Digest::of(bytes), Blob::from(bytes.to_vec()))).to_vec();
    made
}

fn arrives(desk: &Desk, made: &Artifact) -> anyhow::Result<()> {
    let layout = desk.copy_to_layout(made)?;
    expect_eq("the digest of the copy", layout.first()?, made.digest.as_str())?;
    expect_eq(
        "the copy",
        String::from_utf8_lossy(&layout.blob(made.digest.as_str())?),
        String::from_utf8_lossy(&made.manifest),
    )?;
    for (digest, _) in &made.blobs {
        layout.blob(digest.as_str())?;
    }
    Ok(())
}

const EMPTY: (&str, &[u8]) = ("application/vnd.oci.empty.v1+json", b"{}");

pub(super) const CASES: &[Case<Desk>] = &[
    case(
        "manifest.other-schema-version-is-refused",
        AT,
        "For this version of the specification, this MUST be 2 to ensure backward compatibility with older versions of Docker.",
        |desk| {
            let image = remade(&small().build()?, |manifest| manifest["schemaVersion"] = json!(7));
            desk.refuses(&image, "a manifest of schema version 7")
        },
    ),
    case(
        "manifest.without-its-own-media-type-is-known",
        AT,
        "This property SHOULD be used and remain compatible with earlier versions of this specification and with other similar external formats.",
        |desk| {
            let image = remade(&small().build()?, |manifest| {
                manifest.as_object_mut().map(|manifest| manifest.remove("mediaType"));
            });
            desk.unpack(&image)?.text("a").map(drop)
        },
    ),
    case(
        "manifest.dockers-schema-2-is-known",
        "image-spec/media-types.md#compatibility-matrix",
        "The OCI Image Specification strives to be backwards and forwards compatible when possible.",
        |desk| {
            let image = of([Layer::new().file("a", "docker's")]).docker().build()?;
            expect_eq("a", desk.unpack(&image)?.text("a")?, "docker's")
        },
    ),
    case(
        "manifest.non-distributable-layer-is-unpacked",
        AT,
        "Implementations MUST support at least the following media types: application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        |desk| {
            let kind = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip".to_owned();
            let image = of([Layer::new().file("a", "far")]).lie(Lie::LayerMediaType(0, kind)).build()?;
            expect_eq("a", desk.unpack(&image)?.text("a")?, "far")
        },
    ),
    case(
        "manifest.layer-of-an-unknown-kind-is-not-unpacked",
        "image-spec/media-types.md#media-type-conflicts",
        "Implementations that have an expected media type which matches the returned media type SHOULD respect the matched media type.",
        |desk| {
            let kind = "application/vnd.example.layer.v9.squash".to_owned();
            let image = of([Layer::new().file("a", "")]).lie(Lie::LayerMediaType(0, kind)).build()?;
            desk.refuses(&image, "a layer of an unknown media type")
        },
    ),
    case(
        "manifest.unknown-properties-are-no-error",
        EXTENSIBLE,
        "Implementations processing content SHOULD NOT generate an error if they encounter an unknown property in a known media type.",
        |desk| {
            let image = remade(&small().build()?, |manifest| {
                manifest["x-unknown"] = json!({ "deep": [1] });
                manifest["layers"][0]["x-unknown"] = json!(true);
                manifest["config"]["annotations"] = json!({ "org.example": "" });
            });
            desk.unpack(&image)?.text("a").map(drop)
        },
    ),
    case("manifest.copy-has-the-same-digest", EXTENSIBLE, SAME, |desk| arrives(desk, &small().build()?)),
    case("manifest.copy-keeps-every-byte", EXTENSIBLE, SAME, |desk| {
        arrives(desk, &spaced(&small().build()?))
    }),
    case("manifest.copy-keeps-unknown-properties", EXTENSIBLE, SAME, |desk| {
        arrives(
            desk,
            &remade(&small().build()?, |manifest| {
                manifest["x-unknown"] = json!({ "b": 1, "a": [null, 1.5] });
                manifest["annotations"] = json!({ "org.example.key": "ünïcode <&>" });
            }),
        )
    }),
    case(
        "manifest.copy-of-an-unknown-configuration",
        AT,
        "Implementations storing or copying image manifests MUST NOT error on encountering a value that is unknown to the implementation.",
        |desk| {
            arrives(
                desk,
                &artifact(
                    ("application/vnd.example.config.v1+json", b"{\"a\":1}"),
                    ("application/vnd.oci.image.layer.v1.tar", b"data"),
                ),
            )
        },
    ),
    case(
        "manifest.unknown-configuration-is-not-parsed",
        AT,
        "Implementations MUST NOT attempt to parse the referenced content if this media type is unknown and instead consider the referenced content as arbitrary binary data (e.g.: as application/octet-stream).",
        |desk| {
            arrives(
                desk,
                &artifact(
                    ("application/vnd.example.config.v1", b"\x00no JSON"),
                    ("application/vnd.example.data", b"data"),
                ),
            )
        },
    ),
    case(
        "manifest.copy-of-an-unknown-layer",
        AT,
        "Implementations storing or copying image manifests MUST NOT error on encountering a mediaType that is unknown to the implementation.",
        |desk| arrives(desk, &artifact(EMPTY, ("application/vnd.example.film", b"a film"))),
    ),
    case(
        "manifest.copy-of-an-unknown-artifact-type",
        AT,
        "Implementations storing or copying image manifests MUST NOT error on encountering an artifactType that is unknown to the implementation.",
        |desk| {
            let made = artifact(EMPTY, ("application/vnd.example.data", b"data"));
            arrives(
                desk,
                &remade(&made, |manifest| {
                    manifest["artifactType"] = json!("application/vnd.example.unheard")
                }),
            )
        },
    ),
    case(
        "manifest.that-is-no-json-is-refused",
        "image-spec/considerations.md#json",
        "All JSON content MUST follow the I-JSON limitations in RFC 7493: The encoding MUST be UTF-8",
        |desk| {
            let made = Artifact::raw(
                "application/vnd.oci.image.manifest.v1+json",
                b"{ \"schemaVersion\": 2, \xff".to_vec(),
            );
            desk.refuses(&made, "a manifest that is no JSON")
        },
    ),
    case("manifest.layers-are-descriptors", AT, "Each item in the array MUST be a descriptor.", |desk| {
        let image = remade(&small().build()?, |manifest| manifest["layers"] = json!(["sha256:abc"]));
        desk.refuses(&image, "a manifest whose layers are words")
    }),
    case("manifest.is-printed-byte-by-byte", EXTENSIBLE, SAME, |desk| {
        let image = spaced(&small().build()?);
        let printed = desk.manifest(&desk.serve(&image))?;
        let want = String::from_utf8_lossy(&image.manifest).into_owned();
        expect_eq("the manifest", printed.trim_end(), want.trim_end())
    }),
    case(
        "manifest.copied-image-is-unpacked",
        AT,
        "The final filesystem layout MUST match the result of applying the layers to an empty directory.",
        |desk| {
            let layout = desk.copy_to_layout(
                &of([Layer::new().file("a", "1"), Layer::new().whiteout("a").file("b", "2")]).build()?,
            )?;
            let bundle =
                desk.unpack_from(&format!("oci:{}:latest", layout.dir().display()), &Ask::default())?;
            bundle.lacks("a")?;
            expect_eq("b", bundle.text("b")?, "2")
        },
    ),
];
