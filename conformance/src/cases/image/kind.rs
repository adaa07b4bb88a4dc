//! Every type of file that a layer may have.

use super::{case, of};
use crate::case::{Case, expect_eq};
use crate::fixture::Layer;
use crate::host::Need;
use crate::image::{Desk, Seen};

const AT: &str = "image-spec/layer.md#file-types";
const MKNOD: &[Need] = &[Need::Root, Need::Capability(27, "CAP_MKNOD")];

fn look(desk: &Desk, layer: Layer) -> anyhow::Result<Seen> {
    desk.unpack(&of([layer]).build()?)?.look("it")
}

pub(super) const CASES: &[Case<Desk>] = &[
    case(
        "kind.regular-files",
        AT,
        "Throughout this document section, the use of word \"files\" or \"entries\" includes the following, where supported: regular files",
        |desk| {
            let bundle = desk.unpack(&of([Layer::new().file("it", "some\0bytes\n").file("empty", "")]).build()?)?;
            expect_eq("the kind", bundle.look("it")?.kind, "file")?;
            expect_eq("the content", bundle.text("it")?, "some\0bytes\n")?;
            expect_eq("the empty one", bundle.text("empty")?, "")
        },
    ),
    case(
        "kind.directories",
        AT,
        "Throughout this document section, the use of word \"files\" or \"entries\" includes the following, where supported: directories",
        |desk| expect_eq("the kind", look(desk, Layer::new().dir("it"))?.kind, "directory"),
    ),
    case(
        "kind.symbolic-links",
        AT,
        "Throughout this document section, the use of word \"files\" or \"entries\" includes the following, where supported: symbolic links",
        |desk| {
            for target in ["a", "/etc/passwd", "../../../a", "no/such/place"] {
                let seen = look(desk, Layer::new().file("a", "").symlink("it", target))?;
                expect_eq("the kind", seen.kind, "symlink")?;
                expect_eq("the target", seen.target, target)?;
            }
            Ok(())
        },
    ),
    case(
        "kind.fifos",
        AT,
        "Throughout this document section, the use of word \"files\" or \"entries\" includes the following, where supported: FIFOs",
        |desk| {
            let seen = look(desk, Layer::new().fifo("it").mode(0o640))?;
            expect_eq("the kind", seen.kind, "fifo")?;
            expect_eq("the mode", seen.mode, 0o640)
        },
    ),
    case(
        "kind.character-devices",
        AT,
        "Throughout this document section, the use of word \"files\" or \"entries\" includes the following, where supported: character devices",
        |desk| {
            let seen = look(desk, Layer::new().char_device("it", 1, 3))?;
            expect_eq("the kind", seen.kind, "char")?;
            expect_eq("the numbers", vec![seen.device.0, seen.device.1], vec![1, 3])
        },
    )
    .needs(MKNOD),
    case(
        "kind.block-devices",
        AT,
        "Throughout this document section, the use of word \"files\" or \"entries\" includes the following, where supported: block devices",
        |desk| {
            let seen = look(desk, Layer::new().block_device("it", 7, 300))?;
            expect_eq("the kind", seen.kind, "block")?;
            expect_eq("the numbers", vec![seen.device.0, seen.device.1], vec![7, 300])
        },
    )
    .needs(MKNOD),
    case(
        "kind.directories-that-no-entry-names",
        "image-spec/layer.md#applying-changesets",
        "In the absence of any whiteout files in a layer changeset, the archive is extracted like a regular tar archive.",
        |desk| {
            let bundle = desk.unpack(&of([Layer::new().file("a/b/kept", "deep")]).build()?)?;
            expect_eq("a/b/kept", bundle.text("a/b/kept")?, "deep")
        },
    ),
];
