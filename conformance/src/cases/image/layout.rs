//! OCI layouts, read and written.

use std::fs;

use anyhow::Result;
use serde_json::json;

use super::{case, of, small};
use crate::blob::Digest;
use crate::case::{Case, expect_eq};
use crate::fixture::{Artifact, Layer};
use crate::image::{Ask, Desk};

const AT: &str = "image-spec/image-layout.md#content";
const BLOBS: &str = "image-spec/image-layout.md#blobs";
const INDEX: &str = "image-spec/image-layout.md#indexjson-file";
const MATCH: &str =
    "The content of blobs/<alg>/<encoded> MUST match the digest <alg>:<encoded> (referenced per descriptor).";

fn told(name: &str) -> Result<Artifact> {
    Ok(of([Layer::new().file("which", name)]).build()?)
}

pub(super) const CASES: &[Case<Desk>] = &[
    case(
        "layout.is-a-place-of-images",
        INDEX,
        "This REQUIRED file is the entry point for references and descriptors of the image-layout.",
        |desk| {
            let (_, source) = desk.lay_out(&told("here")?)?;
            expect_eq("which", desk.unpack_from(&source, &Ask::default())?.text("which")?, "here")
        },
    ),
    case(
        "layout.name-chooses-among-several",
        "image-spec/annotations.md#pre-defined-annotation-keys",
        "org.opencontainers.image.ref.name Name of the reference for a target (string). SHOULD only be considered valid when on descriptors on index.json within image layout.",
        |desk| {
            let (layout, source) = desk.lay_out(&told("latest")?)?;
            let first = layout.json("index.json")?["manifests"][0].clone();
            let other = crate::image::Layout::write(layout.dir(), "other", &told("other")?)?;
            other.edit_index(|index| {
                index["manifests"].as_array_mut().into_iter().for_each(|list| list.push(first.clone()))
            })?;
            for (place, want) in [(source.clone(), "latest"), (source.replace(":latest", ":other"), "other")]
            {
                expect_eq("which", desk.unpack_from(&place, &Ask::default())?.text("which")?, want)?;
            }
            Ok(())
        },
    ),
    case(
        "layout.unknown-name-is-an-error",
        INDEX,
        "This index provides an established path (/index.json) to have an entry point for an image-layout and to discover auxiliary descriptors.",
        |desk| {
            let (_, source) = desk.lay_out(&told("here")?)?;
            desk.refuses_place(&source.replace(":latest", ":missing"), "a name that the layout does not have")
        },
    ),
    case("layout.without-its-index-is-an-error", AT, "index.json file: It MUST exist", |desk| {
        let (layout, source) = desk.lay_out(&small().build()?)?;
        fs::remove_file(layout.dir().join("index.json"))?;
        desk.refuses_place(&source, "a layout without index.json")
    }),
    case("layout.index-that-is-none-is-an-error", AT, "It MUST be an image index JSON object.", |desk| {
        let (layout, source) = desk.lay_out(&small().build()?)?;
        fs::write(layout.dir().join("index.json"), "[]")?;
        desk.refuses_place(&source, "a layout whose index.json is a list")
    }),
    case("layout.without-its-mark-is-an-error", AT, "oci-layout file: It MUST exist", |desk| {
        let (layout, source) = desk.lay_out(&small().build()?)?;
        fs::remove_file(layout.dir().join("oci-layout"))?;
        desk.refuses_place(&source, "a layout without oci-layout")
    }),
    case("layout.blob-of-another-digest-is-refused", BLOBS, MATCH, |desk| {
        let image = of([Layer::new().plain().file("which", "here")]).build()?;
        let (layout, source) = desk.lay_out(&image)?;
        let path = layout.path(&image.layer_digests()[0]);
        let mut bytes = fs::read(&path)?;
        // the first byte of the file: it stays an archive
        bytes[512] ^= 1;
        fs::write(path, bytes)?;
        desk.refuses_place(&source, "a layout with a wrong byte in a layer")
    }),
    case("layout.manifest-of-another-digest-is-refused", BLOBS, MATCH, |desk| {
        let image = told("here")?;
        let (layout, source) = desk.lay_out(&image)?;
        let text = String::from_utf8(image.manifest.clone())?;
        fs::write(
            layout.path(image.digest.as_str()),
            text.replacen("schemaVersion\":2", "schemaVersion\": 2", 1),
        )?;
        desk.refuses_place(&source, "a layout with a changed manifest")
    }),
    case(
        "layout.missing-blob-is-an-error",
        BLOBS,
        "The blobs directory MAY be missing referenced blobs, in which case the missing blobs SHOULD be fulfilled by an external blob store.",
        |desk| {
            let image = told("here")?;
            let (layout, source) = desk.lay_out(&image)?;
            fs::remove_file(layout.path(&image.layer_digests()[0]))?;
            desk.refuses_place(&source, "a layout without a layer")
        },
    ),
    case(
        "layout.further-blobs-and-files-are-no-error",
        BLOBS,
        "The blobs directory MAY contain blobs which are not referenced by any of the refs.",
        |desk| {
            let (layout, source) = desk.lay_out(&told("here")?)?;
            fs::write(layout.path(Digest::of(b"more").as_str()), "more")?;
            fs::write(layout.dir().join("manifest.json"), "[]")?;
            expect_eq("which", desk.unpack_from(&source, &Ask::default())?.text("which")?, "here")
        },
    ),
    case(
        "layout.further-fields-of-its-mark-are-no-error",
        AT,
        "oci-layout file: It MAY include additional fields",
        |desk| {
            let (layout, source) = desk.lay_out(&told("here")?)?;
            fs::write(layout.dir().join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0","x-more":[1]}"#)?;
            expect_eq("which", desk.unpack_from(&source, &Ask::default())?.text("which")?, "here")
        },
    ),
    case(
        "layout.unknown-media-type-is-no-error",
        INDEX,
        "An encountered mediaType that is unknown MUST NOT generate an error.",
        |desk| {
            let (layout, source) = desk.lay_out(&told("here")?)?;
            let entry = json!({ "mediaType": "application/vnd.example.unheard+json", "size": 2,
                "digest": Digest::of(b"{}").as_str(), "annotations": { "org.opencontainers.image.ref.name": "odd" } });
            layout.edit_index(|index| {
                index["manifests"].as_array_mut().into_iter().for_each(|list| list.insert(0, entry.clone()))
            })?;
            expect_eq("which", desk.unpack_from(&source, &Ask::default())?.text("which")?, "here")
        },
    ),
    case("layout.written-one-has-its-mark", AT, "It MUST contain an imageLayoutVersion field", |desk| {
        let layout = desk.copy_to_layout(&small().build()?)?;
        expect_eq("imageLayoutVersion", layout.json("oci-layout")?["imageLayoutVersion"].clone(), "1.0.0")
    }),
    case("layout.written-one-has-an-index", AT, "It MUST be an image index JSON object.", |desk| {
        let image = small().build()?;
        let index = desk.copy_to_layout(&image)?.json("index.json")?;
        expect_eq("schemaVersion", index["schemaVersion"].clone(), 2)?;
        expect_eq("the digest", index["manifests"][0]["digest"].clone(), image.digest.as_str())?;
        expect_eq("the size", index["manifests"][0]["size"].clone(), image.manifest.len())?;
        expect_eq("the media type", index["manifests"][0]["mediaType"].clone(), image.media_type)
    }),
    case(
        "layout.written-one-names-the-image",
        "image-spec/annotations.md#pre-defined-annotation-keys",
        "org.opencontainers.image.ref.name Name of the reference for a target (string). SHOULD only be considered valid when on descriptors on index.json within image layout.",
        |desk| {
            let index = desk.copy_to_layout(&small().build()?)?.json("index.json")?;
            let name = index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"].clone();
            expect_eq("the name", name, "latest")
        },
    ),
    case("layout.written-blobs-match-their-names", BLOBS, MATCH, |desk| {
        expect_eq("the number of blobs", desk.copy_to_layout(&small().build()?)?.check()?, 3)
    }),
    case(
        "layout.second-name-keeps-the-first",
        INDEX,
        "No semantic restriction is given for the \"org.opencontainers.image.ref.name\" annotation of descriptors.",
        |desk| {
            let layout = desk.copy_to_layout(&told("one")?)?;
            let second = told("two")?;
            desk.registry().put("case", "second", &second);
            desk.copy(&desk.place("case", "second"), &format!("oci:{}:second", layout.dir().display()))?;
            for (name, want) in [("latest", "one"), ("second", "two")] {
                let place = format!("oci:{}:{name}", layout.dir().display());
                expect_eq(name, desk.unpack_from(&place, &Ask::default())?.text("which")?, want)?;
            }
            Ok(())
        },
    ),
];
