//! Mutants that spoil the tree.

use super::edit;
use super::{Change, Mutant};

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "keeps-what-is-hidden",
        caught_by: &[
            "whiteout.removes-a-file",
            "whiteout.removes-a-directory-with-all-in-it",
            "whiteout.removes-a-symbolic-link-and-not-its-target",
            "whiteout.in-a-later-layer-hides-and-a-still-later-one-brings-back",
            "whiteout.opaque-hides-all-children",
            "whiteout.opaque-leaves-the-files-of-its-own-layer",
            "whiteout.opaque-counts-first-wherever-it-stands",
            "whiteout.explicit-and-opaque-come-to-the-same",
        ],
        change: Change::Tree(|root| edit::plant(root, &["gone"])),
    },
    Mutant {
        name: "hides-too-much",
        caught_by: &[
            "whiteout.leaves-what-stands-beside",
            "whiteout.removes-a-symbolic-link-and-not-its-target",
            "whiteout.behind-a-file-of-its-own-layer-leaves-it",
            "whiteout.before-a-file-of-its-own-layer-leaves-it",
            "whiteout.opaque-leaves-the-files-of-its-own-layer",
            "whiteout.opaque-counts-first-wherever-it-stands",
            "replace.a-directory-keeps-its-files",
            "replace.a-file-by-a-directory",
            "kind.directories-that-no-entry-names",
            "attribute.hard-links-to-a-file-of-a-lower-layer",
        ],
        change: Change::Tree(|root| edit::lose(root, "kept")),
    },
    Mutant {
        name: "shows-whiteouts",
        caught_by: &["whiteout.is-not-seen-itself", "whiteout.of-nothing-is-not-seen-either"],
        change: Change::Tree(|root| edit::plant(root, &[".wh.gone", ".wh.missing", ".wh..wh..opq"])),
    },
    Mutant {
        name: "forgets-times",
        caught_by: &[
            "attribute.modification-time-of-a-file",
            "attribute.modification-time-of-a-directory",
            "attribute.modification-time-of-a-symbolic-link",
            "replace.a-directory-gets-the-attributes-of-the-later-one",
        ],
        change: Change::Tree(edit::forget_times),
    },
    Mutant {
        name: "gives-everything-to-root",
        caught_by: &[
            "attribute.user-and-group",
            "attribute.ids-beyond-those-of-the-machine",
            "attribute.names-of-users-do-not-count",
        ],
        change: Change::Tree(edit::give_to_root),
    },
    Mutant {
        name: "opens-everything",
        caught_by: &[
            "attribute.mode",
            "kind.fifos",
            "replace.a-directory-gets-the-attributes-of-the-later-one",
            "replace.a-file-has-nothing-of-the-earlier-one",
        ],
        change: Change::Tree(|root| edit::modes(root, |_| 0o777)),
    },
    Mutant {
        name: "drops-setuid",
        caught_by: &["attribute.setuid-setgid-and-sticky", "attribute.setuid-of-another-owner"],
        change: Change::Tree(|root| edit::modes(root, |mode| mode & 0o777)),
    },
    Mutant {
        name: "drops-extended-attributes",
        caught_by: &["attribute.extended-attributes", "attribute.file-capabilities"],
        change: Change::Tree(edit::drop_xattrs),
    },
    Mutant {
        name: "copies-hard-links",
        caught_by: &[
            "attribute.hard-links-are-one-file",
            "attribute.hard-links-to-symbolic-links",
            "attribute.hard-links-to-a-file-of-a-lower-layer",
        ],
        change: Change::Tree(edit::copy_links),
    },
    Mutant {
        name: "makes-files-of-everything",
        caught_by: &[
            "kind.symbolic-links",
            "kind.fifos",
            "kind.character-devices",
            "kind.block-devices",
            "replace.a-file-by-a-symbolic-link",
        ],
        change: Change::Tree(edit::plain_files),
    },
    Mutant {
        name: "makes-no-folders",
        caught_by: &["kind.directories", "kind.directories-that-no-entry-names"],
        change: Change::Tree(edit::lose_folders),
    },
    Mutant {
        name: "makes-empty-files",
        caught_by: &[
            "kind.regular-files",
            "descriptor.sha-256-is-known",
            "layer.later-ones-are-applied-over-earlier-ones",
            "layer.plain-tar-is-unpacked",
            "layer.gzip-is-unpacked",
            "layer.zstd-is-unpacked",
            "conversion.root-is-the-tree",
            "manifest.copied-image-is-unpacked",
        ],
        change: Change::Tree(edit::empty_files),
    },
    Mutant {
        name: "forgets-a-layer",
        caught_by: &["layer.files-of-all-layers-are-there"],
        change: Change::Tree(|root| edit::lose(root, "two")),
    },
    Mutant {
        name: "cuts-long-names",
        caught_by: &["layer.names-of-any-length-in-pax-records", "layer.names-of-any-length-in-gnu-records"],
        change: Change::Tree(edit::cut_names),
    },
    Mutant {
        name: "leaves-links-in-the-way",
        caught_by: &["replace.a-symbolic-link-by-a-directory", "replace.a-symbolic-link-by-a-file"],
        change: Change::Tree(edit::leave_link),
    },
    Mutant {
        name: "never-changes-the-kind",
        caught_by: &["replace.a-directory-by-a-file", "replace.a-file-by-a-directory"],
        change: Change::Tree(edit::leave_old_kind),
    },
    Mutant {
        name: "writes-into-linked-files",
        caught_by: &["replace.one-name-of-a-linked-file-leaves-the-other"],
        change: Change::Tree(edit::write_through_links),
    },
    Mutant {
        name: "writes-over-instead-of-anew",
        caught_by: &["replace.a-file-has-nothing-of-the-earlier-one"],
        change: Change::Tree(edit::keep_old_attributes),
    },
    Mutant {
        name: "takes-another-image",
        caught_by: &[
            "index.image-of-this-machine-is-taken",
            "index.image-of-another-system-is-not-taken",
            "index.first-of-several-that-fit-is-taken",
            "layout.name-chooses-among-several",
            "layout.second-name-keeps-the-first",
        ],
        change: Change::Tree(|root| edit::rewrite(root, "which", "second")),
    },
];
