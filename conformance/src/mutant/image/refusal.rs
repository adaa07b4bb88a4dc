//! Mutants that take what has to be refused: a failure told in these words becomes a bundle.

use super::source::forget_urls;
use super::{Change, Mutant};

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "believes-every-digest",
        caught_by: &[
            "descriptor.layer-with-another-digest-is-refused",
            "descriptor.configuration-with-another-digest-is-refused",
            "descriptor.manifest-with-another-digest-is-refused",
            "descriptor.layer-with-a-flipped-byte-is-refused",
            "descriptor.configuration-with-a-flipped-byte-is-refused",
            "layout.blob-of-another-digest-is-refused",
            "pull.by-digest-takes-only-that",
            "pull.by-digest-takes-no-other-image",
        ],
        change: Change::Swallows(&["has other content than its digest", "hashes to"]),
    },
    Mutant {
        name: "believes-every-size",
        caught_by: &[
            "descriptor.longer-layer-than-it-says-is-refused",
            "descriptor.shorter-layer-than-it-says-is-refused",
            "descriptor.longer-configuration-than-it-says-is-refused",
            "descriptor.shorter-configuration-than-it-says-is-refused",
            "descriptor.manifest-of-another-size-is-refused",
            "layout.manifest-of-another-digest-is-refused",
            "pull.blob-that-says-it-is-shorter-is-refused",
        ],
        change: Change::Swallows(&["bytes of it, the manifest says", "bytes that its descriptor says"]),
    },
    Mutant {
        name: "reads-any-document",
        caught_by: &[
            "descriptor.negative-size-is-refused",
            "descriptor.upper-case-digest-is-refused",
            "descriptor.short-digest-is-refused",
            "manifest.that-is-no-json-is-refused",
            "manifest.layers-are-descriptors",
        ],
        change: Change::Swallows(&["not the JSON that it should be"]),
    },
    Mutant {
        name: "does-without-missing-blobs",
        caught_by: &[
            "descriptor.missing-blob-is-an-error",
            "layout.missing-blob-is-an-error",
            "pull.missing-blob-is-an-error",
        ],
        change: Change::Swallows(&["has no blob", "is missing"]),
    },
    Mutant {
        name: "needs-no-index",
        caught_by: &[
            "layout.unknown-name-is-an-error",
            "layout.index-that-is-none-is-an-error",
            "layout.without-its-index-is-an-error",
            "layout.without-its-mark-is-an-error",
        ],
        change: Change::Swallows(&["there is no", "is no OCI layout"]),
    },
    Mutant {
        name: "takes-an-image-of-any-platform",
        caught_by: &["index.without-a-fitting-image-is-an-error"],
        change: Change::Swallows(&["the image is not there for"]),
    },
    Mutant {
        name: "takes-any-schema",
        caught_by: &["manifest.other-schema-version-is-refused"],
        change: Change::Swallows(&["schema version"]),
    },
    Mutant {
        name: "unpacks-anything",
        caught_by: &["manifest.layer-of-an-unknown-kind-is-not-unpacked"],
        change: Change::Swallows(&["is not a layer's", "media type"]),
    },
    Mutant {
        name: "takes-any-content-type",
        caught_by: &["pull.other-media-type-than-the-manifests-own-is-refused"],
        change: Change::Swallows(&["but the registry says"]),
    },
    Mutant {
        name: "pushes-everything",
        caught_by: &["push.non-distributable-layers-stay"],
        change: Change::Words(|words| forget_urls(words)),
    },
    Mutant {
        name: "ignores-diff-ids",
        caught_by: &["layer.diff-id-of-other-bytes-is-refused", "layer.one-diff-id-for-each-layer"],
        change: Change::Swallows(&["diffID"]),
    },
    Mutant {
        name: "takes-any-root-for-layers",
        caught_by: &["layer.unknown-rootfs-type-is-an-error"],
        change: Change::Swallows(&["rootfs is of type"]),
    },
    Mutant {
        name: "unpacks-what-it-can",
        caught_by: &[
            "layer.bytes-that-are-no-tar-are-refused",
            "layer.archive-that-ends-in-a-file-is-refused",
        ],
        change: Change::Swallows(&["header whose checksum is wrong", "in the middle of an entry"]),
    },
    Mutant {
        name: "takes-whiteouts-of-nothing",
        caught_by: &["whiteout.without-a-name-is-an-error"],
        change: Change::Swallows(&["is a whiteout of no file's name"]),
    },
    Mutant {
        name: "takes-unknown-users-for-root",
        caught_by: &[
            "user.unknown-name-is-an-error",
            "user.unknown-group-is-an-error",
            "user.name-without-a-passwd-file-is-an-error",
        ],
        change: Change::Swallows(&["is not in the image's"]),
    },
    Mutant {
        name: "takes-a-missing-image-for-an-empty-one",
        caught_by: &[
            "pull.missing-manifest-is-an-error",
            "pull.missing-repository-is-an-error",
            "pull.tags-of-a-missing-repository-are-an-error",
        ],
        change: Change::Swallows(&["has no tag", "has no repository"]),
    },
    Mutant {
        name: "takes-any-name",
        caught_by: &["pull.never-asks-for-what-is-no-tag", "pull.never-asks-for-what-is-no-name"],
        change: Change::Swallows(&["invalid value", "is not a", "mocker-image:"]),
    },
    Mutant {
        name: "takes-half-a-blob",
        caught_by: &["pull.blob-that-ends-early-is-refused"],
        change: Change::Swallows(&["end of file before"]),
    },
    Mutant {
        name: "gives-up-silently",
        caught_by: &[
            "pull.redirects-in-a-circle-are-an-error",
            "pull.error-of-the-registry-is-an-error",
            "pull.answer-without-a-meaning-is-an-error",
            "push.refused-upload-is-an-error",
            "push.refused-manifest-is-an-error",
        ],
        change: Change::Swallows(&["redirects more than", "answers 4", "wants credentials"]),
    },
    Mutant {
        name: "passes-by-locks",
        caught_by: &[
            "lock.wrong-password-is-an-error",
            "lock.no-password-is-an-error",
            "lock.no-token-is-an-error",
            "lock.push-with-a-wrong-password-is-an-error",
        ],
        change: Change::Swallows(&["refuses the credentials", "wants credentials"]),
    },
];
