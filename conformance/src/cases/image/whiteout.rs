//! Whiteouts, explicit and opaque.

use super::{case, of};
use crate::case::{Case, expect_eq};
use crate::fixture::Layer;
use crate::image::Desk;

const AT: &str = "image-spec/layer.md#whiteouts";
const OPAQUE: &str = "image-spec/layer.md#opaque-whiteout";
const BOTH: &str =
    "Implementations SHOULD generate layers using explicit whiteout files, but MUST accept both.";

fn tree() -> Layer {
    Layer::new()
        .dir("d")
        .file("d/gone", "1")
        .dir("d/e")
        .file("d/e/gone", "2")
        .file("d/kept", "3")
        .file("gone", "4")
}

pub(super) const CASES: &[Case<Desk>] = &[
    case(
        "whiteout.removes-a-file",
        "image-spec/layer.md#representing-changes",
        "To signify that the resource ./etc/my-app-config MUST be removed when the changeset is applied, the basename of the entry is prefixed with .wh..",
        |desk| {
            let bundle =
                desk.unpack(&of([tree(), Layer::new().whiteout("d/gone").whiteout("gone")]).build()?)?;
            bundle.lacks("d/gone")?;
            bundle.lacks("gone")
        },
    ),
    case(
        "whiteout.leaves-what-stands-beside",
        AT,
        "A whiteout filename consists of the prefix .wh. plus the basename of the path to be deleted.",
        |desk| {
            let bundle = desk.unpack(&of([tree(), Layer::new().whiteout("d/gone")]).build()?)?;
            expect_eq("d/kept", bundle.text("d/kept")?, "3")
        },
    ),
    case(
        "whiteout.removes-a-directory-with-all-in-it",
        AT,
        "A whiteout file is an empty file with a special filename that signifies a path should be deleted.",
        |desk| {
            let lower = Layer::new().dir("gone").dir("gone/e").file("gone/e/f", "").file("kept", "");
            let bundle = desk.unpack(&of([lower, Layer::new().whiteout("gone")]).build()?)?;
            bundle.lacks("gone")?;
            expect_eq("kept", bundle.text("kept")?, "")
        },
    ),
    case(
        "whiteout.removes-a-symbolic-link-and-not-its-target",
        AT,
        "A whiteout file is an empty file with a special filename that signifies a path should be deleted.",
        |desk| {
            let lower = Layer::new().dir("d").file("d/kept", "kept").symlink("gone", "d");
            let bundle = desk.unpack(&of([lower, Layer::new().whiteout("gone")]).build()?)?;
            bundle.lacks("gone")?;
            expect_eq("d/kept", bundle.text("d/kept")?, "kept")
        },
    ),
    case(
        "whiteout.is-not-seen-itself",
        AT,
        "Once a whiteout is applied, the whiteout itself MUST also be hidden.",
        |desk| {
            let upper = Layer::new().whiteout("d/gone").opaque("d/e");
            let bundle = desk.unpack(&of([tree(), upper]).build()?)?;
            for name in ["d/.wh.gone", "d/e/.wh..wh..opq"] {
                bundle.lacks(name)?;
            }
            Ok(())
        },
    ),
    case(
        "whiteout.of-nothing-is-not-seen-either",
        AT,
        "Once a whiteout is applied, the whiteout itself MUST also be hidden.",
        |desk| {
            let bundle = desk.unpack(&of([tree(), Layer::new().whiteout("d/missing")]).build()?)?;
            bundle.lacks("d/.wh.missing")?;
            bundle.lacks("d/missing")
        },
    ),
    case(
        "whiteout.behind-a-file-of-its-own-layer-leaves-it",
        AT,
        "Whiteout files MUST only apply to resources in lower/parent layers.",
        |desk| {
            let upper = Layer::new().dir("d").file("d/kept", "new").whiteout("d/kept");
            let bundle = desk.unpack(&of([tree(), upper]).build()?)?;
            expect_eq("d/kept", bundle.text("d/kept")?, "new")
        },
    ),
    case(
        "whiteout.before-a-file-of-its-own-layer-leaves-it",
        AT,
        "Files that are present in the same layer as a whiteout file can only be hidden by whiteout files in subsequent layers.",
        |desk| {
            let upper = Layer::new().dir("d").whiteout("d/kept").file("d/kept", "new");
            let bundle = desk.unpack(&of([tree(), upper]).build()?)?;
            expect_eq("d/kept", bundle.text("d/kept")?, "new")
        },
    ),
    case(
        "whiteout.in-a-later-layer-hides-and-a-still-later-one-brings-back",
        AT,
        "Files that are present in the same layer as a whiteout file can only be hidden by whiteout files in subsequent layers.",
        |desk| {
            let again = Layer::new().dir("d").file("d/kept", "again");
            let bundle = desk.unpack(&of([tree(), Layer::new().whiteout("d"), again]).build()?)?;
            expect_eq("d/kept", bundle.text("d/kept")?, "again")?;
            bundle.lacks("d/gone")
        },
    ),
    case(
        "whiteout.without-a-name-is-an-error",
        AT,
        "A .wh. file, without a basename to delete, is invalid and implementations SHOULD return an error when encountering such an entry.",
        |desk| desk.refuses(&of([tree(), Layer::new().file("d/.wh.", "")]).build()?, "a whiteout of no name"),
    ),
    case("whiteout.opaque-hides-all-children", OPAQUE, BOTH, |desk| {
        let lower = Layer::new().dir("d").file("d/gone", "").dir("d/e").file("d/e/gone", "").file("kept", "");
        let bundle = desk.unpack(&of([lower, Layer::new().dir("d").opaque("d")]).build()?)?;
        bundle.lacks("d/gone")?;
        bundle.lacks("d/e")?;
        expect_eq("d", bundle.look("d")?.kind, "directory")?;
        expect_eq("kept", bundle.look("kept")?.kind, "file")
    }),
    case(
        "whiteout.opaque-leaves-the-files-of-its-own-layer",
        OPAQUE,
        "An opaque whiteout entry is a file with the name .wh..wh..opq indicating that all siblings are hidden in the lower layer.",
        |desk| {
            let upper = Layer::new().dir("d").opaque("d").dir("d/e").file("d/e/kept", "new");
            let bundle = desk.unpack(&of([tree(), upper]).build()?)?;
            expect_eq("d/e/kept", bundle.text("d/e/kept")?, "new")?;
            bundle.lacks("d/gone")?;
            bundle.lacks("d/e/gone")
        },
    ),
    case(
        "whiteout.opaque-counts-first-wherever-it-stands",
        OPAQUE,
        "a/.wh..wh..opq is applied first, before creating the new version of a/b, regardless of the ordering in which the whiteout file was encountered.",
        |desk| {
            let upper = Layer::new().dir("d").dir("d/e").file("d/e/kept", "new").opaque("d");
            let bundle = desk.unpack(&of([tree(), upper]).build()?)?;
            expect_eq("d/e/kept", bundle.text("d/e/kept")?, "new")?;
            bundle.lacks("d/gone")?;
            bundle.lacks("d/e/gone")
        },
    ),
    case("whiteout.explicit-and-opaque-come-to-the-same", OPAQUE, BOTH, |desk| {
        let uppers =
            [Layer::new().opaque("d"), Layer::new().whiteout("d/gone").whiteout("d/e").whiteout("d/kept")];
        for upper in uppers {
            let bundle = desk.unpack(&of([tree(), upper]).build()?)?;
            let left = std::fs::read_dir(bundle.path("d"))?.count();
            expect_eq("the number of files in d", left, 0)?;
        }
        Ok(())
    }),
];
