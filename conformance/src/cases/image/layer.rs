//! Layers as wholes: their order, their packing.

use super::{case, of};
use crate::case::{Case, expect_eq};
use crate::fixture::{Image, Layer};
use crate::image::Desk;

fn packed(desk: &Desk, layer: Layer) -> anyhow::Result<()> {
    let bundle = desk.unpack(&of([layer.dir("d").file("d/f", "content")]).build()?)?;
    expect_eq("d/f", bundle.text("d/f")?, "content")
}

pub(super) const CASES: &[Case<Desk>] = &[
    case(
        "layer.later-ones-are-applied-over-earlier-ones",
        "image-spec/manifest.md#image-manifest-property-descriptions",
        "Subsequent layers MUST then follow in stack order (i.e. from layers[0] to layers[len(layers)-1]).",
        |desk| {
            let layers = ["one", "two", "three"].map(|text| Layer::new().file("f", text));
            let bundle = desk.unpack(&of(layers).build()?)?;
            expect_eq("f", bundle.text("f")?, "three")
        },
    ),
    case(
        "layer.files-of-all-layers-are-there",
        "image-spec/manifest.md#image-manifest-property-descriptions",
        "The final filesystem layout MUST match the result of applying the layers to an empty directory.",
        |desk| {
            let layers = ["one", "two", "three"].map(|name| Layer::new().file(name, name));
            let bundle = desk.unpack(&of(layers).build()?)?;
            let mut names: Vec<String> = std::fs::read_dir(bundle.path(""))?
                .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
                .collect();
            names.sort();
            expect_eq("the root's list", names, vec!["one", "three", "two"])
        },
    ),
    case(
        "layer.plain-tar-is-unpacked",
        "image-spec/manifest.md#image-manifest-property-descriptions",
        "Implementations MUST support at least the following media types: application/vnd.oci.image.layer.v1.tar",
        |desk| packed(desk, Layer::new().plain()),
    ),
    case(
        "layer.gzip-is-unpacked",
        "image-spec/manifest.md#image-manifest-property-descriptions",
        "Implementations MUST support at least the following media types: application/vnd.oci.image.layer.v1.tar+gzip",
        |desk| packed(desk, Layer::new()),
    ),
    case(
        "layer.zstd-is-unpacked",
        "image-spec/manifest.md#image-manifest-property-descriptions",
        "Implementations SHOULD also support the following media types: application/vnd.oci.image.layer.v1.tar+zstd",
        |desk| packed(desk, Layer::new().zstd()),
    ),
    case(
        "layer.names-of-any-length-in-pax-records",
        "image-spec/layer.md#distributable-format",
        "Layer Changesets for the media type application/vnd.oci.image.layer.v1.tar MUST be packaged in tar archive.",
        |desk| {
            let long = "kept".repeat(40);
            let layer = Layer::new().file(&long, "far").symlink("link", format!("/{long}"));
            let bundle = desk.unpack(&of([layer]).build()?)?;
            expect_eq("the file", bundle.text(&long)?, "far")?;
            expect_eq("the link's target", bundle.look("link")?.target, format!("/{long}"))
        },
    ),
    case(
        "layer.names-of-any-length-in-gnu-records",
        "image-spec/layer.md#distributable-format",
        "Layer Changesets for the media type application/vnd.oci.image.layer.v1.tar MUST be packaged in tar archive.",
        |desk| {
            let long = "kept".repeat(40);
            let layer = Layer::new().gnu().file(&long, "far").symlink("link", format!("/{long}"));
            let bundle = desk.unpack(&of([layer]).build()?)?;
            expect_eq("the file", bundle.text(&long)?, "far")?;
            expect_eq("the link's target", bundle.look("link")?.target, format!("/{long}"))
        },
    ),
    case(
        "layer.diff-id-of-other-bytes-is-refused",
        "image-spec/config.md#layer-diffid",
        "A layer DiffID is the digest over the layer's uncompressed tar archive and serialized in the descriptor digest format",
        |desk| {
            let image = of([Layer::new().file("a", "a"), Layer::new().file("b", "b")]);
            desk.refuses(&image.lie(crate::fixture::Lie::DiffId(1)).build()?, "a layer with another diffID")
        },
    ),
    case(
        "layer.one-diff-id-for-each-layer",
        "image-spec/config.md#properties",
        "diff_ids array of strings, REQUIRED: An array of layer content hashes (DiffIDs), in order from first to last.",
        |desk| {
            let image = of([Layer::new().file("a", "a"), Layer::new().file("b", "b")]);
            let image = image.lie(crate::fixture::Lie::MissingDiffId).build()?;
            desk.refuses(&image, "two layers with one diffID")
        },
    ),
    case(
        "layer.unknown-rootfs-type-is-an-error",
        "image-spec/config.md#properties",
        "MUST be set to layers. Implementations MUST generate an error if they encounter a unknown value while verifying or unpacking an image.",
        |desk| {
            let image = super::small().build()?;
            let image =
                crate::image::reconfigured(&image, |config| config["rootfs"]["type"] = "snapshots".into());
            desk.refuses(&image, "an image with rootfs.type snapshots")
        },
    ),
    case(
        "layer.bytes-that-are-no-tar-are-refused",
        "image-spec/layer.md#distributable-format",
        "Layer Changesets for the media type application/vnd.oci.image.layer.v1.tar MUST be packaged in tar archive.",
        |desk| {
            let image = Image::new().cmd(["/a"]).layer(&Layer::raw(vec![b'x'; 2048])).build()?;
            desk.refuses(&image, "a layer that is no archive")
        },
    ),
    case(
        "layer.archive-that-ends-in-a-file-is-refused",
        "image-spec/layer.md#distributable-format",
        "Layer Changesets for the media type application/vnd.oci.image.layer.v1.tar MUST be packaged in tar archive.",
        |desk| {
            let whole = Layer::new().plain().file("a", vec![7; 4096]).pack()?;
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut whole.blob.open()?, &mut bytes)?;
            bytes.truncate(2048);
            let image = Image::new().cmd(["/a"]).layer(&Layer::raw(bytes)).build()?;
            desk.refuses(&image, "a layer that ends within a file")
        },
    ),
];
