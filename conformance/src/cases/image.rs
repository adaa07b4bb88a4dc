//! The image side of the suite: sentences of image-spec 1.1 and distribution-spec 1.1, each with a check.
//!
//! In the fixtures everything named `gone` has to vanish, and everything named `kept` to stay.

mod annotation;
mod attribute;
mod conversion;
mod descriptor;
mod index;
mod kind;
mod layer;
mod layout;
mod lock;
mod manifest;
mod pull;
mod push;
mod replace;
mod user;
mod whiteout;

use anyhow::Result;

use crate::case::{Case, expect_eq};
use crate::fixture::{Artifact, Image, Layer};
use crate::host::Need;
use crate::image::{Desk, reconfigured};

/// All cases, in the order of the specifications.
pub fn all() -> impl Iterator<Item = &'static Case<Desk>> {
    let topics = [
        descriptor::CASES,
        layout::CASES,
        index::CASES,
        manifest::CASES,
        layer::CASES,
        kind::CASES,
        attribute::CASES,
        replace::CASES,
        whiteout::CASES,
        conversion::CASES,
        user::CASES,
        annotation::CASES,
        pull::CASES,
        lock::CASES,
        push::CASES,
    ];
    topics.into_iter().flatten()
}

const fn case(
    name: &'static str,
    at: &'static str,
    must: &'static str,
    check: fn(&Desk) -> Result<()>,
) -> Case<Desk> {
    Case { name, at, must, needs: &[], check }
}

impl Case<Desk> {
    const fn needs(self, needs: &'static [Need]) -> Self {
        Self { needs, ..self }
    }
}

/// An image of these layers, lowest first, with a command.
fn of<const N: usize>(layers: [Layer; N]) -> Image {
    layers.iter().fold(Image::new().cmd(["/a"]), Image::layer)
}

/// The smallest image.
fn small() -> Image {
    of([Layer::new().file("a", "content of a\n")])
}

/// A layer with a file `f` of this user and group by number, whose names say another one.
fn named_layer(id: u64, name: &str) -> Result<Layer> {
    let mut header = tar::Header::new_gnu();
    header.set_path("f")?;
    header.set_uid(id);
    header.set_gid(id);
    header.set_mode(0o644);
    header.set_username(name)?;
    header.set_groupname(name)?;
    header.set_cksum();
    let mut builder = tar::Builder::new(Vec::new());
    builder.append(&header, &[][..])?;
    Ok(Layer::raw(builder.into_inner()?))
}

/// A case that looks at one member of the config.json that an image becomes.
fn converts(desk: &Desk, image: Image, pointer: &str, want: impl Into<serde_json::Value>) -> Result<()> {
    let config = desk.unpack(&image.build()?)?.config()?;
    expect_eq(pointer, config.pointer(pointer).cloned().unwrap_or_default(), want)
}

/// The same of an annotation.
fn annotates(desk: &Desk, image: Image, name: &str, want: &str) -> Result<()> {
    let config = desk.unpack(&image.build()?)?.config()?;
    expect_eq(name, config["annotations"][name].clone(), want)
}

/// The same image with spaces in its documents, as people's tools write them.
fn spaced(image: &Artifact) -> Artifact {
    let image = reconfigured(image, |_| {});
    let pretty = serde_json::to_string_pretty(&image.json()).unwrap_or_default();
    let mut changed = Artifact::raw(&image.media_type, format!("\n{pretty}\n\n"));
    changed.blobs = image.blobs;
    changed
}
