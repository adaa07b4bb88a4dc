//! Config.User.

use serde_json::json;

use super::super::ROOT;
use super::{case, converts, of};
use crate::case::Case;
use crate::fixture::{Image, Layer};
use crate::image::Desk;

const AT: &str = "image-spec/conversion.md#configuser";
const NUMBERS: &str = "If the values of user or group in Config.User are numeric (uid or gid) then the values MUST be copied verbatim to process.user.uid and process.user.gid respectively.";
const NAMES: &str = "If the values of user or group in Config.User are not numeric (user or group) then a converter SHOULD resolve the user information using a method appropriate for the container's context.";
const GROUPS: &str = "In addition, a converter SHOULD set the value of process.user.additionalGids to a value corresponding to the user in the container's context described by Config.User.";
const NO_GROUPS: &str = "The converter SHOULD NOT modify process.user.additionalGids if the value of user in Config.User is numeric or if Config.User specifies a group.";
const ERROR: &str = "If Config.User does not correspond to a user in the container's context, the converter MUST return an error.";

fn image(user: &str) -> Image {
    let layer = Layer::new()
        .dir("etc")
        .file("etc/passwd", "root:x:0:0::/root:/bin/sh\nguest:x:1234:2345::/home/guest:/bin/sh\n")
        .file("etc/group", "root:x:0:\nguest:x:2345:\nextra:x:3456:other,guest\nwheel:x:10:guest\n");
    of([layer]).user(user)
}

/// Of a user without groups the list may be empty or absent, or have the gid itself (CVE-2022-36109).
fn no_groups(desk: &Desk, user: &str) -> anyhow::Result<()> {
    let config = desk.unpack(&image(user).build()?)?.config()?;
    let mut groups = config["process"]["user"]["additionalGids"].as_array().cloned().unwrap_or_default();
    groups.retain(|group| *group != config["process"]["user"]["gid"]);
    anyhow::ensure!(groups.is_empty(), "additionalGids of {user} are {groups:?}");
    Ok(())
}

pub(super) const CASES: &[Case<Desk>] = &[
    case("user.number-is-the-uid", AT, NUMBERS, |desk| {
        converts(desk, image("4242"), "/process/user/uid", 4242)
    }),
    case("user.numbers-are-uid-and-gid", AT, NUMBERS, |desk| {
        converts(desk, image("4242:4343"), "/process/user/uid", 4242)?;
        converts(desk, image("4242:4343"), "/process/user/gid", 4343)
    }),
    case("user.name-is-looked-up-in-the-image", AT, NAMES, |desk| {
        converts(desk, image("guest"), "/process/user/uid", 1234)
    }),
    case("user.name-has-its-first-group", AT, NAMES, |desk| {
        converts(desk, image("guest"), "/process/user/gid", 2345)
    }),
    case("user.name-of-a-group-is-looked-up-in-the-image", AT, NAMES, |desk| {
        converts(desk, image("guest:extra"), "/process/user/gid", 3456)
    }),
    case("user.number-with-the-name-of-a-group", AT, NAMES, |desk| {
        converts(desk, image("4242:extra"), "/process/user/uid", 4242)?;
        converts(desk, image("4242:extra"), "/process/user/gid", 3456)
    }),
    case("user.name-has-the-groups-that-list-it", AT, GROUPS, |desk| {
        let config = desk.unpack(&image("guest").build()?)?.config()?;
        let mut groups = config["process"]["user"]["additionalGids"].as_array().cloned().unwrap_or_default();
        groups.retain(|group| *group != 2345);
        groups.sort_by_key(serde_json::Value::as_u64);
        crate::case::expect_eq("additionalGids", groups, json!([10, 3456]))
    })
    .needs(ROOT),
    case("user.number-has-no-further-groups", AT, NO_GROUPS, |desk| no_groups(desk, "1234")).needs(ROOT),
    case("user.with-a-group-has-no-further-ones", AT, NO_GROUPS, |desk| no_groups(desk, "guest:extra"))
        .needs(ROOT),
    case("user.unknown-name-is-an-error", AT, ERROR, |desk| {
        desk.refuses(&image("nobody-here").build()?, "an image for a user that it does not have")
    }),
    case("user.unknown-group-is-an-error", AT, ERROR, |desk| {
        desk.refuses(&image("guest:no-such-group").build()?, "an image for a group that it does not have")
    }),
    case("user.name-without-a-passwd-file-is-an-error", AT, ERROR, |desk| {
        desk.refuses(&of([Layer::new().file("a", "")]).user("guest").build()?, "an image without users")
    }),
];
