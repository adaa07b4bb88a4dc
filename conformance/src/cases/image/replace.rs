//! Entries where something is already.

use super::{case, of};
use crate::case::{Case, expect_eq};
use crate::fixture::Layer;
use crate::image::Desk;

const AT: &str = "image-spec/layer.md#changeset-over-existing-files";
const OTHERS: &str = "In all other cases, the implementation MUST do the semantic equivalent of the following: removing the file path; recreating the file path, based on the contents and attributes of the changeset entry";

pub(super) const CASES: &[Case<Desk>] = &[
    case(
        "replace.a-directory-gets-the-attributes-of-the-later-one",
        AT,
        "If the entry and the existing path are both directories, then the existing path's attributes MUST be replaced by those of the entry in the changeset.",
        |desk| {
            let lower = Layer::new().dir("d").mode(0o755).mtime(1_000).file("d/kept", "kept");
            let upper = Layer::new().dir("d").mode(0o700).mtime(2_000);
            let bundle = desk.unpack(&of([lower, upper]).build()?)?;
            let seen = bundle.look("d")?;
            expect_eq("the mode", seen.mode, 0o700)?;
            expect_eq("the time", seen.mtime, 2_000)
        },
    ),
    case(
        "replace.a-directory-keeps-its-files",
        AT,
        "If the entry and the existing path are both directories, then the existing path's attributes MUST be replaced by those of the entry in the changeset.",
        |desk| {
            let lower = Layer::new().dir("d").file("d/kept", "kept");
            let bundle = desk.unpack(&of([lower, Layer::new().dir("d").mode(0o700)]).build()?)?;
            expect_eq("d/kept", bundle.text("d/kept")?, "kept")
        },
    ),
    case("replace.a-directory-by-a-file", AT, OTHERS, |desk| {
        let lower = Layer::new().dir("it").dir("it/d").file("it/d/f", "below");
        let bundle = desk.unpack(&of([lower, Layer::new().file("it", "file")]).build()?)?;
        expect_eq("the kind", bundle.look("it")?.kind, "file")?;
        expect_eq("it", bundle.text("it")?, "file")
    }),
    case("replace.a-file-by-a-directory", AT, OTHERS, |desk| {
        let upper = Layer::new().dir("it").file("it/kept", "inside");
        let bundle = desk.unpack(&of([Layer::new().file("it", "file"), upper]).build()?)?;
        expect_eq("the kind", bundle.look("it")?.kind, "directory")?;
        expect_eq("it/kept", bundle.text("it/kept")?, "inside")
    }),
    case("replace.a-symbolic-link-by-a-directory", AT, OTHERS, |desk| {
        let lower = Layer::new().dir("target").symlink("it", "target");
        let upper = Layer::new().dir("it").file("it/kept", "inside");
        let bundle = desk.unpack(&of([lower, upper]).build()?)?;
        expect_eq("the kind", bundle.look("it")?.kind, "directory")?;
        bundle.lacks("target/kept")
    }),
    case("replace.a-symbolic-link-by-a-file", AT, OTHERS, |desk| {
        let lower = Layer::new().file("target", "old").symlink("it", "target");
        let bundle = desk.unpack(&of([lower, Layer::new().file("it", "new")]).build()?)?;
        expect_eq("the kind", bundle.look("it")?.kind, "file")?;
        expect_eq("the link's old target", bundle.text("target")?, "old")
    }),
    case("replace.a-file-by-a-symbolic-link", AT, OTHERS, |desk| {
        let lower = Layer::new().file("target", "old").file("it", "file");
        let bundle = desk.unpack(&of([lower, Layer::new().symlink("it", "target")]).build()?)?;
        expect_eq("the kind", bundle.look("it")?.kind, "symlink")?;
        expect_eq("its target", bundle.look("it")?.target, "target")
    }),
    case("replace.one-name-of-a-linked-file-leaves-the-other", AT, OTHERS, |desk| {
        let lower = Layer::new().file("kept", "old").hardlink("it", "kept");
        let bundle = desk.unpack(&of([lower, Layer::new().file("it", "new")]).build()?)?;
        expect_eq("it", bundle.text("it")?, "new")?;
        expect_eq("its old link", bundle.text("kept")?, "old")
    }),
    case("replace.a-file-has-nothing-of-the-earlier-one", AT, OTHERS, |desk| {
        let lower = Layer::new().file("it", "a long content").mode(0o755).xattr("user.gone", "1").mtime(5);
        let bundle = desk.unpack(&of([lower, Layer::new().file("it", "short").mode(0o600)]).build()?)?;
        expect_eq("it", bundle.text("it")?, "short")?;
        expect_eq("the mode", bundle.look("it")?.mode, 0o600)?;
        expect_eq("an attribute of the earlier one", bundle.xattr("it", "user.gone"), None::<Vec<u8>>)
    }),
];
