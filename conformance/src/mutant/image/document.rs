//! Mutants that cannot bear some documents, spoil the layouts that they write, or misread their command line.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{Change, Mutant};
use crate::blob::Digest;
use crate::image::Layout;

fn has(text: &[u8], part: &str) -> bool {
    text.windows(part.len()).any(|window| window == part.as_bytes())
}

fn json_of(text: &[u8]) -> Value {
    serde_json::from_slice(text).unwrap_or_default()
}

fn is_layers_file(document: &Value) -> bool {
    document["layers"].is_array()
}

/// The name of the entry written last stays, as if there could be but one.
fn only_the_last_name(dir: &Path) -> Result<()> {
    Layout::open(dir).edit_index(|index| {
        let last = index["manifests"].as_array().and_then(|list| list.last().cloned());
        index["manifests"] = json!([last]);
    })
}

/// Sorts the members of the manifest and leaves out what it does not know.
fn rewrite(dir: &Path) -> Result<()> {
    let layout = Layout::open(dir);
    let mut manifest = json_of(&layout.blob(&layout.first()?)?);
    manifest
        .as_object_mut()
        .context("no manifest")?
        .retain(|name, _| matches!(name.as_str(), "schemaVersion" | "config" | "layers" | "manifests"));
    let bytes = manifest.to_string();
    let digest = Digest::of(bytes.as_bytes());
    std::fs::write(layout.path(digest.as_str()), &bytes)?;
    layout.edit_index(|index| index["manifests"][0]["digest"] = json!(digest.as_str()))
}

fn spoil_blobs(dir: &Path) -> Result<()> {
    for entry in std::fs::read_dir(dir.join("blobs/sha256"))? {
        let path = entry?.path();
        let mut bytes = std::fs::read(&path)?;
        bytes.push(b' ');
        std::fs::write(path, bytes)?;
    }
    Ok(())
}

fn without_option(words: &mut Vec<String>, name: &str, values: usize) {
    if let Some(at) = words.iter().position(|word| word == name) {
        words.drain(at..=at + values);
    }
}

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "knows-no-zstd",
        caught_by: &["layer.zstd-is-unpacked"],
        change: Change::Chokes(|text| has(text, "tar+zstd")),
    },
    Mutant {
        name: "knows-no-gzip",
        caught_by: &["layer.gzip-is-unpacked"],
        change: Change::Chokes(|text| has(text, "tar+gzip")),
    },
    Mutant {
        name: "knows-no-plain-archives",
        caught_by: &["layer.plain-tar-is-unpacked"],
        change: Change::Chokes(|text| has(text, "v1.tar\"")),
    },
    Mutant {
        name: "knows-only-the-oci",
        caught_by: &[
            "manifest.dockers-schema-2-is-known",
            "index.docker-manifest-list-is-one",
            "push.content-type-of-dockers-family",
        ],
        change: Change::Chokes(|text| has(text, "vnd.docker")),
    },
    Mutant {
        name: "knows-no-index",
        caught_by: &[
            "index.is-understood",
            "index.unknown-media-type-of-an-entry-is-no-error",
            "index.may-be-nested",
            "index.unknown-properties-are-no-error",
            "index.entry-without-a-platform-is-no-error",
            "index.is-copied-with-all-its-images",
            "index.may-be-empty",
            "pull.by-digest-of-an-index",
        ],
        change: Change::Chokes(|text| json_of(text)["manifests"].is_array()),
    },
    Mutant {
        name: "knows-no-index-in-an-index",
        caught_by: &["index.may-be-nested"],
        change: Change::Chokes(|text| {
            let document = json_of(text);
            let list = document["manifests"].as_array().cloned().unwrap_or_default();
            list.iter().any(|entry| entry["mediaType"] == document["mediaType"])
        }),
    },
    Mutant {
        name: "wants-a-platform-everywhere",
        caught_by: &["index.entry-without-a-platform-is-no-error"],
        change: Change::Chokes(|text| {
            let list = json_of(text)["manifests"].as_array().cloned().unwrap_or_default();
            list.iter().any(|entry| entry["platform"].is_null())
        }),
    },
    Mutant {
        name: "wants-something-in-an-index",
        caught_by: &["index.may-be-empty"],
        change: Change::Chokes(|text| json_of(text)["manifests"] == json!([])),
    },
    Mutant {
        name: "knows-no-layouts",
        caught_by: &[
            "layout.is-a-place-of-images",
            "layout.further-blobs-and-files-are-no-error",
            "layout.further-fields-of-its-mark-are-no-error",
            "layout.name-chooses-among-several",
            "layout.unknown-media-type-is-no-error",
            "manifest.copied-image-is-unpacked",
        ],
        change: Change::Chokes(|text| has(text, "imageLayoutVersion")),
    },
    Mutant {
        name: "bears-nothing-unknown",
        caught_by: &[
            "conversion.unknown-fields-are-no-error",
            "manifest.unknown-properties-are-no-error",
            "index.unknown-properties-are-no-error",
        ],
        change: Change::Chokes(|text| has(text, "x-unknown")),
    },
    Mutant {
        name: "bears-no-unknown-kinds",
        caught_by: &[
            "index.unknown-media-type-of-an-entry-is-no-error",
            "layout.unknown-media-type-is-no-error",
            "annotation.unknown-ones-are-no-error",
            "manifest.copy-of-an-unknown-artifact-type",
        ],
        change: Change::Chokes(|text| has(text, "unheard")),
    },
    Mutant {
        name: "copies-nothing-but-images",
        caught_by: &[
            "manifest.copy-of-an-unknown-configuration",
            "manifest.unknown-configuration-is-not-parsed",
            "manifest.copy-of-an-unknown-layer",
        ],
        change: Change::Chokes(|text| has(text, "vnd.example")),
    },
    Mutant {
        name: "bears-no-null",
        caught_by: &["conversion.null-is-absent"],
        change: Change::Chokes(|text| has(text, ":null")),
    },
    Mutant {
        name: "bears-no-spaces",
        caught_by: &["conversion.spaces-in-the-document-are-no-error"],
        change: Change::Chokes(|text| has(text, "\n  ")),
    },
    Mutant {
        name: "wants-a-media-type-in-the-manifest",
        caught_by: &["manifest.without-its-own-media-type-is-known"],
        change: Change::Chokes(|text| {
            let document = json_of(text);
            is_layers_file(&document) && document["mediaType"].is_null()
        }),
    },
    Mutant {
        name: "knows-no-foreign-layers",
        caught_by: &["manifest.non-distributable-layer-is-unpacked"],
        change: Change::Chokes(|text| has(text, "nondistributable")),
    },
    Mutant {
        name: "knows-small-manifests-only",
        caught_by: &["push.manifest-of-four-megabytes"],
        change: Change::Chokes(|text| text.len() > 1 << 20),
    },
    Mutant {
        name: "leaves-no-mark-in-a-layout",
        caught_by: &["layout.written-one-has-its-mark"],
        change: Change::Layout(|dir| Ok(std::fs::remove_file(dir.join("oci-layout"))?)),
    },
    Mutant {
        name: "forgets-the-index-of-a-layout",
        caught_by: &["layout.written-one-has-an-index"],
        change: Change::Layout(|dir| Layout::open(dir).edit_index(|index| index["manifests"] = json!([]))),
    },
    Mutant {
        name: "names-nothing-in-a-layout",
        caught_by: &["layout.written-one-names-the-image"],
        change: Change::Layout(|dir| {
            Layout::open(dir).edit_index(|index| index["manifests"][0]["annotations"] = json!({}))
        }),
    },
    Mutant {
        name: "knows-one-name-of-a-layout",
        caught_by: &["layout.second-name-keeps-the-first"],
        change: Change::Layout(only_the_last_name),
    },
    Mutant {
        name: "spoils-blobs",
        caught_by: &["layout.written-blobs-match-their-names", "manifest.copied-image-is-unpacked"],
        change: Change::Layout(spoil_blobs),
    },
    Mutant {
        name: "rewrites-manifests",
        caught_by: &[
            "manifest.copy-has-the-same-digest",
            "manifest.copy-keeps-every-byte",
            "manifest.copy-keeps-unknown-properties",
            "manifest.copy-of-an-unknown-configuration",
            "manifest.copy-of-an-unknown-layer",
            "index.is-copied-with-all-its-images",
        ],
        change: Change::Layout(rewrite),
    },
    Mutant {
        name: "copies-nothing",
        caught_by: &[
            "push.everything-arrives",
            "push.between-repositories",
            "push.refused-upload-is-an-error",
            "lock.push-answers-a-challenge",
        ],
        change: Change::Nothing("copy"),
    },
    Mutant {
        name: "prints-manifests-prettily",
        caught_by: &["manifest.is-printed-byte-by-byte"],
        change: Change::Prints(|text| json_of(text.as_bytes()).to_string()),
    },
    Mutant {
        name: "forgets-the-last-tag",
        caught_by: &["pull.lists-all-tags", "pull.lists-the-tags-of-every-page"],
        change: Change::Prints(|text| {
            let mut tags = json_of(text.as_bytes());
            tags.as_array_mut().map(Vec::pop);
            tags.to_string()
        }),
    },
    Mutant {
        name: "ignores-the-asked-platform",
        caught_by: &[
            "index.image-of-the-asked-architecture-is-taken",
            "index.image-of-the-asked-variant-is-taken",
        ],
        change: Change::Words(|words| without_option(words, "--platform", 1)),
    },
    Mutant {
        name: "is-on-another-machine",
        caught_by: &["index.image-of-this-machine-is-taken", "index.platform-of-a-plain-image-is-its-own"],
        change: Change::Words(|words| {
            if words.first().is_some_and(|verb| verb == "unpack") {
                let place = words.len().saturating_sub(2);
                words.splice(place..place, ["--platform".to_owned(), "linux/riscv64".to_owned()]);
            }
        }),
    },
    Mutant {
        name: "copies-one-of-an-index",
        caught_by: &["index.is-copied-with-all-its-images", "push.images-come-before-their-index"],
        change: Change::Words(|words| without_option(words, "--all", 0)),
    },
];
