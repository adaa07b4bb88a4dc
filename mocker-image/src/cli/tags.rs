//! `tags`: what a repository, a layout or an archive offers.

use super::{Access, Global, print, wait};
use crate::archive::{docker, oci};
use crate::error::{Context, Error, Kind, Result};
use crate::interrupt;
use crate::layout::Layout;
use crate::place::Place;
use crate::registry::Registry;

#[derive(Debug, clap::Args)]
pub(super) struct Tags {
    /// The repository: `[HOST[:PORT]/]NAME`, or `oci:DIR`, `oci-archive:FILE`, `docker-archive:FILE`
    #[arg(value_name = "REPOSITORY")]
    repository: Place,
    #[command(flatten)]
    access: Access,
}

impl Tags {
    pub(super) fn run(&self, global: &Global) -> Result<()> {
        interrupt::watch()?;
        let tags = self.tags().while_doing(|| match &self.repository {
            Place::Registry(reference, _) => format!("list the tags of {}", reference.name()),
            place => format!("list the names in {place}"),
        })?;
        match global.json {
            true => print(format!("{:#}\n", serde_json::Value::from(tags))),
            false => print(tags.iter().map(|tag| format!("{tag}\n")).collect::<String>()),
        }
    }

    fn tags(&self) -> Result<Vec<String>> {
        let named =
            |entries: Vec<(Option<String>, _)>| entries.into_iter().filter_map(|(name, _)| name).collect();
        match &self.repository {
            Place::Registry(reference, _) => wait(Registry::new(reference, &self.access.settings())?.tags()),
            Place::Oci(dir, _) => Layout::new(dir, None).entries().map(named),
            Place::OciArchive(file, _) => oci::Archive::new(file, None).entries().map(named),
            Place::DockerArchive(file, _) => Ok(docker::Archive::new(file, None).names()?.concat()),
            _ => Err(Error::new(Kind::Unsupported, "there are no names")
                .hint("the store's images: `mocker-image list`")),
        }
    }
}
