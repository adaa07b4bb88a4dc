//! Attributes of files.

use anyhow::{Result, ensure};

use super::super::ROOT;
use super::{case, of};
use crate::case::{Case, expect_eq};
use crate::fixture::Layer;
use crate::image::{Bundle, Desk};

const AT: &str = "image-spec/layer.md#file-attributes";
const LINKS: &str = "image-spec/layer.md#hardlinks";

fn linked(bundle: &Bundle, one: &str, other: &str) -> Result<()> {
    let (left, right) = (bundle.look(one)?, bundle.look(other)?);
    ensure!(left.inode == right.inode, "{one} and {other} are two files");
    Ok(())
}

pub(super) const CASES: &[Case<Desk>] = &[
    case(
        "attribute.modification-time-of-a-file",
        AT,
        "Where supported, MUST include file attributes for Additions and Modifications include: Modification Time (mtime)",
        |desk| {
            let bundle = desk.unpack(&of([Layer::new().file("f", "").mtime(1_234_567_890)]).build()?)?;
            expect_eq("the time", bundle.look("f")?.mtime, 1_234_567_890)
        },
    ),
    case(
        "attribute.modification-time-of-a-directory",
        AT,
        "Where supported, MUST include file attributes for Additions and Modifications include: Modification Time (mtime)",
        |desk| {
            let layer = Layer::new().dir("d").mtime(1_234_567_890).file("d/f", "").dir("d/e").file("d/e/g", "");
            let bundle = desk.unpack(&of([layer]).build()?)?;
            expect_eq("the time", bundle.look("d")?.mtime, 1_234_567_890)
        },
    ),
    case(
        "attribute.modification-time-of-a-symbolic-link",
        AT,
        "Where supported, MUST include file attributes for Additions and Modifications include: Modification Time (mtime)",
        |desk| {
            let layer = Layer::new().file("f", "").mtime(1_111).symlink("link", "f").mtime(1_234_567_890);
            let bundle = desk.unpack(&of([layer]).build()?)?;
            expect_eq("the link's time", bundle.look("link")?.mtime, 1_234_567_890)?;
            expect_eq("its target's time", bundle.look("f")?.mtime, 1_111)
        },
    ),
    case(
        "attribute.user-and-group",
        AT,
        "Where supported, MUST include file attributes for Additions and Modifications include: User ID (uid), Group ID (gid)",
        |desk| {
            let layer = Layer::new().file("f", "").owner(1000, 2000).dir("d").owner(3, 4).symlink("l", "f").owner(5, 6);
            let bundle = desk.unpack(&of([layer]).build()?)?;
            for (path, owner) in [("f", [1000, 2000]), ("d", [3, 4]), ("l", [5, 6])] {
                let seen = bundle.look(path)?.owner;
                expect_eq(&format!("the owner of {path}"), vec![seen.0, seen.1], owner.to_vec())?;
            }
            Ok(())
        },
    )
    .needs(ROOT),
    case(
        "attribute.ids-beyond-those-of-the-machine",
        AT,
        "Where supported, MUST include file attributes for Additions and Modifications include: User ID (uid), Group ID (gid)",
        |desk| {
            let bundle = desk.unpack(&of([Layer::new().file("f", "").owner(3_000_000_000, 70_000)]).build()?)?;
            let seen = bundle.look("f")?.owner;
            expect_eq("the owner", vec![seen.0, seen.1], vec![3_000_000_000_u32, 70_000])
        },
    )
    .needs(ROOT),
    case(
        "attribute.mode",
        AT,
        "Where supported, MUST include file attributes for Additions and Modifications include: Mode (mode)",
        |desk| {
            let layer = Layer::new().file("f", "").mode(0o751).dir("d").mode(0o700).file("open", "").mode(0o666);
            let bundle = desk.unpack(&of([layer]).build()?)?;
            for (path, mode) in [("f", 0o751), ("d", 0o700), ("open", 0o666)] {
                expect_eq(&format!("the mode of {path}"), bundle.look(path)?.mode, mode)?;
            }
            Ok(())
        },
    ),
    case(
        "attribute.setuid-setgid-and-sticky",
        AT,
        "Where supported, MUST include file attributes for Additions and Modifications include: Mode (mode)",
        |desk| {
            let layer = Layer::new().file("u", "").mode(0o4755).file("g", "").mode(0o2755).dir("t").mode(0o1777);
            let bundle = desk.unpack(&of([layer]).build()?)?;
            for (path, mode) in [("u", 0o4755), ("g", 0o2755), ("t", 0o1777)] {
                expect_eq(&format!("the mode of {path}"), bundle.look(path)?.mode, mode)?;
            }
            Ok(())
        },
    ),
    case(
        "attribute.setuid-of-another-owner",
        AT,
        "Where supported, MUST include file attributes for Additions and Modifications include: Mode (mode)",
        |desk| {
            let bundle = desk.unpack(&of([Layer::new().file("u", "").mode(0o6755).owner(1000, 1000)]).build()?)?;
            expect_eq("the mode", bundle.look("u")?.mode, 0o6755)
        },
    )
    .needs(ROOT),
    case(
        "attribute.extended-attributes",
        AT,
        "Where supported, MUST include file attributes for Additions and Modifications include: Extended Attributes (xattrs)",
        |desk| {
            let layer = Layer::new().file("f", "").xattr("user.kept", "value\0of bytes").dir("d").xattr("user.kept", "v");
            let bundle = desk.unpack(&of([layer]).build()?)?;
            expect_eq("the file's", bundle.xattr("f", "user.kept"), Some(b"value\0of bytes".to_vec()))?;
            expect_eq("the directory's", bundle.xattr("d", "user.kept"), Some(b"v".to_vec()))
        },
    ),
    case(
        "attribute.file-capabilities",
        AT,
        "Where supported, MUST include file attributes for Additions and Modifications include: Extended Attributes (xattrs)",
        |desk| {
            // version 2, effective, permitted: CAP_NET_BIND_SERVICE
            let value = [&[1, 0, 0, 2, 0, 4, 0, 0][..], &[0; 12]].concat();
            let layer = Layer::new().file("f", "program").mode(0o755).owner(7, 7).xattr("security.capability", &value);
            let bundle = desk.unpack(&of([layer]).build()?)?;
            expect_eq("the capabilities", bundle.xattr("f", "security.capability"), Some(value))
        },
    )
    .needs(ROOT),
    case(
        "attribute.hard-links-are-one-file",
        LINKS,
        "Hardlinked files are on a same device (i.e. comparing Major:Minor pair) and have the same inode.",
        |desk| {
            let layer = Layer::new().dir("d").file("d/kept", "linked").hardlink("link", "d/kept");
            let bundle = desk.unpack(&of([layer]).build()?)?;
            linked(&bundle, "d/kept", "link")?;
            expect_eq("link", bundle.text("link")?, "linked")
        },
    ),
    case(
        "attribute.hard-links-to-symbolic-links",
        LINKS,
        "Hardlinks are possible with all file types except directories.",
        |desk| {
            let layer = Layer::new().file("f", "").symlink("first", "f").hardlink("second", "first");
            let bundle = desk.unpack(&of([layer]).build()?)?;
            expect_eq("the kind", bundle.look("second")?.kind, "symlink")?;
            linked(&bundle, "first", "second")
        },
    ),
    case(
        "attribute.hard-links-to-a-file-of-a-lower-layer",
        AT,
        "Where supported, MUST include file attributes for Additions and Modifications include: Hardlink reference (linkname)",
        |desk| {
            let layers = [Layer::new().file("kept", "below"), Layer::new().hardlink("link", "kept")];
            let bundle = desk.unpack(&of(layers).build()?)?;
            expect_eq("link", bundle.text("link")?, "below")?;
            linked(&bundle, "kept", "link")
        },
    ),
    case(
        "attribute.names-of-users-do-not-count",
        AT,
        "User Name (uname) should be ignored on platforms that support User ID (uid)",
        |desk| {
            let bundle = desk.unpack(&of([super::named_layer(1000, "root")?]).build()?)?;
            let seen = bundle.look("f")?.owner;
            expect_eq("the owner", vec![seen.0, seen.1], vec![1000, 1000])
        },
    )
    .needs(ROOT),
];
