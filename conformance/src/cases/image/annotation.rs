//! What becomes annotations of config.json.

use anyhow::ensure;
use serde_json::json;

use super::{annotates, case, small};
use crate::case::{Case, expect_eq};
use crate::fixture::{Index, Platform};
use crate::image::{Ask, Desk};

const AT: &str = "image-spec/conversion.md#annotation-fields";
const WINS: &str = "If a user has explicitly specified this annotation with Config.Labels, then the value specified in this field takes lower precedence and the converter MUST instead use the value from Config.Labels.";
const NOT_THOSE: &str =
    "A converter SHOULD NOT attempt to extract annotations from manifests or image indices.";

pub(super) const CASES: &[Case<Desk>] = &[
    case(
        "annotation.os",
        AT,
        "The value of this field MUST be set as the value of org.opencontainers.image.os in annotations.",
        |desk| annotates(desk, small(), "org.opencontainers.image.os", "linux"),
    ),
    case(
        "annotation.architecture",
        AT,
        "The value of this field MUST be set as the value of org.opencontainers.image.architecture in annotations.",
        |desk| {
            let want = Platform::host().architecture;
            annotates(desk, small(), "org.opencontainers.image.architecture", &want)
        },
    ),
    case(
        "annotation.variant",
        AT,
        "The value of this field MUST be set as the value of org.opencontainers.image.variant in annotations.",
        |desk| annotates(desk, small().top("variant", "v2".into()), "org.opencontainers.image.variant", "v2"),
    ),
    case(
        "annotation.os-version",
        AT,
        "The value of this field MUST be set as the value of org.opencontainers.image.os.version in annotations.",
        |desk| {
            annotates(
                desk,
                small().top("os.version", "10.1".into()),
                "org.opencontainers.image.os.version",
                "10.1",
            )
        },
    ),
    case(
        "annotation.os-features",
        AT,
        "The value of this field MUST be set as the value of org.opencontainers.image.os.features in annotations.",
        |desk| {
            let image = small().top("os.features", json!(["one", "two"]));
            annotates(desk, image, "org.opencontainers.image.os.features", "one,two")
        },
    ),
    case(
        "annotation.author",
        AT,
        "The value of this field MUST be set as the value of org.opencontainers.image.author in annotations.",
        |desk| {
            annotates(
                desk,
                small().author("A <a@example.org>"),
                "org.opencontainers.image.author",
                "A <a@example.org>",
            )
        },
    ),
    case(
        "annotation.created",
        AT,
        "The value of this field MUST be set as the value of org.opencontainers.image.created in annotations.",
        |desk| {
            let image = small().created("2024-05-06T07:08:09Z");
            annotates(desk, image, "org.opencontainers.image.created", "2024-05-06T07:08:09Z")
        },
    ),
    case(
        "annotation.stop-signal",
        AT,
        "The value of this field MUST be set as the value of org.opencontainers.image.stopSignal in annotations.",
        |desk| {
            annotates(desk, small().stop_signal("SIGUSR1"), "org.opencontainers.image.stopSignal", "SIGUSR1")
        },
    ),
    case(
        "annotation.labels",
        AT,
        "A compliant configuration converter MUST extract the following fields verbatim to the corresponding field in the generated runtime configuration",
        |desk| {
            let config = desk
                .unpack(&small().label("org.example.kept", "a=b").label("empty", "").build()?)?
                .config()?;
            expect_eq("org.example.kept", config["annotations"]["org.example.kept"].clone(), "a=b")?;
            expect_eq("empty", config["annotations"]["empty"].clone(), "")
        },
    ),
    case("annotation.label-wins-over-a-field", AT, WINS, |desk| {
        let image = small().author("field").label("org.opencontainers.image.author", "kept");
        annotates(desk, image, "org.opencontainers.image.author", "kept")
    }),
    case("annotation.label-wins-over-the-platform", AT, WINS, |desk| {
        let image = small().label("org.opencontainers.image.os", "kept");
        annotates(desk, image, "org.opencontainers.image.os", "kept")
    }),
    case(
        "annotation.label-wins-over-the-manifest",
        "image-spec/conversion.md#annotations",
        "If there is a conflict (same key but different value) between an implicit annotation (or annotation in manifests or image indices) and an explicitly specified annotation in Config.Labels, the value specified in Config.Labels MUST take precedence.",
        |desk| {
            let image = small().annotation("org.example.key", "manifest").label("org.example.key", "kept");
            annotates(desk, image, "org.example.key", "kept")
        },
    ),
    case(
        "annotation.of-the-manifest-is-not-taken",
        "image-spec/conversion.md#annotations",
        NOT_THOSE,
        |desk| {
            let config = desk.unpack(&small().annotation("org.example.gone", "1").build()?)?.config()?;
            ensure!(
                config["annotations"]["org.example.gone"].is_null(),
                "an annotation of the manifest is there"
            );
            Ok(())
        },
    ),
    case("annotation.of-the-index-is-not-taken", "image-spec/conversion.md#annotations", NOT_THOSE, |desk| {
        let index = Index::new().member(Platform::host(), small().build()?).build();
        let index =
            crate::image::remade(&index, |index| index["annotations"] = json!({ "org.example.gone": "1" }));
        let config = desk.unpack_from(&desk.serve(&index), &Ask::default())?.config()?;
        ensure!(config["annotations"]["org.example.gone"].is_null(), "an annotation of the index is there");
        Ok(())
    }),
    case(
        "annotation.exposed-ports",
        "image-spec/conversion.md#configexposedports",
        "However, converters SHOULD set the org.opencontainers.image.exposedPorts annotation, unless doing so will cause a conflict.",
        |desk| {
            let config = desk.unpack(&small().port("80/tcp").port("53/udp").build()?)?.config()?;
            let text = config["annotations"]["org.opencontainers.image.exposedPorts"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            let mut ports: Vec<&str> = text.split(',').collect();
            ports.sort_unstable();
            expect_eq("exposedPorts", ports, vec!["53/udp", "80/tcp"])
        },
    ),
    case(
        "annotation.unknown-ones-are-no-error",
        "image-spec/annotations.md#rules",
        "Consumers MUST NOT generate an error if they encounter an unknown annotation key.",
        |desk| {
            let image =
                small().annotation("no-domain", "1").annotation("org.opencontainers.image.unheard-of", "2");
            desk.unpack(&image.build()?).map(drop)
        },
    ),
];
