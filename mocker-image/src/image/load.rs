//! An image's documents from any place.

use super::platform::Platform;
use super::{Config, Descriptor, Document, Image, Source};
use crate::error::{Context, Error, Kind, Result};
use crate::progress::Teller;

/// Gets the documents of the image for a platform; `None` is this machine's.
pub fn load(source: &dyn Source, platform: Option<&Platform>, teller: &dyn Teller) -> Result<Image> {
    let (top, bytes) = source.top()?;
    let (descriptor, bytes) = choose(source, platform, top.clone(), bytes)?;
    let Document::Manifest(manifest) = Document::parse(&bytes, &descriptor.media_type)? else {
        return Err(Error::new(Kind::Internal, "an index was chosen for an image"));
    };
    let config_bytes =
        source.document(&manifest.config).while_doing(|| format!("config {}", manifest.config))?;
    let config =
        Config::parse(&config_bytes, &manifest).while_doing(|| format!("config {}", manifest.config))?;
    check_platform(platform, &config, teller)?;
    Ok(Image { top, descriptor, bytes, manifest, config, config_bytes })
}

/// So many indexes may lead to each other.
const DEPTH: usize = 4;

/// The manifest that a document is, or that an index names for a platform, perhaps by way of further indexes.
pub fn choose(
    source: &dyn Source,
    platform: Option<&Platform>,
    top: Descriptor,
    bytes: Vec<u8>,
) -> Result<(Descriptor, Vec<u8>)> {
    let (mut descriptor, mut bytes) = (top, bytes);
    for _ in 0..=DEPTH {
        let Document::Index(index) = Document::parse(&bytes, &descriptor.media_type)? else {
            return Ok((descriptor, bytes));
        };
        descriptor = platform.unwrap_or(&Platform::host()).choose(&index)?;
        bytes = source.document(&descriptor).while_doing(|| format!("manifest {descriptor}"))?;
    }
    Err(Error::new(Kind::Unsupported, format!("the index leads to more than {DEPTH} others")))
}

/// An image of one platform only is taken as it is, unless another one was asked for.
fn check_platform(platform: Option<&Platform>, config: &Config, teller: &dyn Teller) -> Result<()> {
    let document = &config.document;
    let Ok(own) = format!("{}/{}", document.os(), document.architecture()).parse::<Platform>() else {
        return Ok(());
    };
    let host = Platform::host();
    match platform {
        Some(asked) if !asked.is_like(&own) => {
            Err(Error::new(Kind::NotFound, format!("the image is not there for {asked}; it is for: {own}")))
        }
        None if !host.is_like(&own) => {
            teller.tell(&format!("warning: the image is for {own}, this machine is {host}"));
            Ok(())
        }
        _ => Ok(()),
    }
}
