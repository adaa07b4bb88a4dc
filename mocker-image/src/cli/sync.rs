//! `sync`: all tags of a repository, or all images of a folder, to a registry or a folder.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::transfer::{Common, DestinationEnd, Ends, SourceEnd, Way, transfer};
use super::{Global, Teller, print};
use crate::error::{Context, Error, Kind, Result};
use crate::interrupt;
use crate::place::Place;
use crate::reference::Reference;
use crate::registry::remote::Remote;

/// A kind of place that holds many images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Many {
    /// A registry: a repository with all its tags, or one tag
    Docker,
    /// A folder with a folder for each image
    Dir,
}

#[derive(Debug, clap::Args)]
pub(super) struct Sync {
    /// The kind of SOURCE
    #[arg(long, short, value_name = "KIND")]
    src: Many,
    /// The kind of DESTINATION
    #[arg(long, short, value_name = "KIND")]
    dest: Many,
    /// A repository (`HOST/PATH[:TAG]`), or a folder
    #[arg(value_name = "SOURCE")]
    source: String,
    /// The beginning of the new names (`HOST[/PATH]`), or a folder
    #[arg(value_name = "DESTINATION")]
    destination: String,
    /// Keep the whole of the source's name, not only its last part
    #[arg(long)]
    scoped: bool,
    /// Go on with the others when one fails
    #[arg(long)]
    keep_going: bool,
    /// Only tell what would be copied
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    from: SourceEnd,
    #[command(flatten)]
    to: DestinationEnd,
    #[command(flatten)]
    way: Way,
}

impl Sync {
    pub(super) fn run(&self, global: &Global) -> Result<()> {
        interrupt::watch()?;
        let all = self.images().while_doing(|| format!("list the images of {}", self.source))?;
        let (mut failed, mut done) = (0, Vec::new());
        for (from, name) in &all {
            let to = self.target(name)?;
            if self.dry_run {
                match global.json {
                    true => done.push(json!({ "from": from.to_string(), "to": to.to_string() })),
                    false => print(format!("{from} -> {to}\n"))?,
                }
                continue;
            }
            if let Place::Dir(dir) = &to {
                let made = std::fs::create_dir_all(dir);
                made.while_doing(|| format!("make {}", dir.display()))?;
            }
            let ends = Ends { common: &self.common, source: Some(&self.from), destination: Some(&self.to) };
            let copied = transfer(global, &ends, &self.way, from, &to);
            match copied.while_doing(|| format!("copy {from} to {to}")) {
                Err(e) if self.keep_going && !matches!(e.kind(), Kind::Interrupted(_)) => {
                    global.tell(&e.to_string());
                    failed += 1;
                }
                other => {
                    let digest = other?.digest.to_string();
                    match global.json {
                        true => done.push(json!({
                            "from": from.to_string(), "to": to.to_string(), "digest": digest,
                        })),
                        false => print(format!("{digest} {to}\n"))?,
                    }
                }
            }
        }
        if global.json {
            print(format!("{:#}\n", json!(done)))?;
        }
        match failed {
            0 => Ok(()),
            n => Err(Error::invalid(format!("{n} of {} images were not copied", all.len()))),
        }
    }

    /// Every image, with the name that it is copied under.
    fn images(&self) -> Result<Vec<(Place, String)>> {
        match self.src {
            Many::Docker => self.tags(),
            Many::Dir => {
                let mut found = Vec::new();
                folders(Path::new(&self.source), "", &mut found)?;
                Ok(found.into_iter().map(|(dir, name)| (Place::Dir(dir), name)).collect())
            }
        }
    }

    fn tags(&self) -> Result<Vec<(Place, String)>> {
        let reference: Reference = self.source.parse()?;
        let bare = self.source.rsplit('/').next().unwrap_or_default();
        let tags = match bare.contains([':', '@']) {
            true => vec![reference.selector()],
            false => Remote::new(&reference, &self.from.settings(&self.common))?.tags()?,
        };
        let base = match self.scoped {
            true => reference.name(),
            false => reference.path().rsplit('/').next().unwrap_or_default().to_owned(),
        };
        let one = |tag: &String| {
            let of = if tag.contains(':') { reference.clone() } else { reference.with_tag(tag)? };
            Ok((Place::Registry(of, true), format!("{base}:{tag}")))
        };
        tags.iter().map(one).collect()
    }

    fn target(&self, name: &str) -> Result<Place> {
        match self.dest {
            Many::Dir => Ok(Place::Dir(Path::new(&self.destination).join(name))),
            Many::Docker => {
                let prefix = self.destination.trim_end_matches('/');
                Ok(Place::Registry(format!("{prefix}/{name}").parse()?, true))
            }
        }
    }
}

/// Folders that hold an image, at any depth.
fn folders(dir: &Path, name: &str, found: &mut Vec<(PathBuf, String)>) -> Result<()> {
    let step = || format!("list {}", dir.display());
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(dir).while_doing(step)? {
        entries.push(entry.while_doing(step)?);
    }
    entries.sort_by_key(std::fs::DirEntry::file_name);
    if !name.is_empty() && entries.iter().any(|entry| entry.file_name() == "manifest.json") {
        found.push((dir.to_owned(), name.to_owned()));
        return Ok(());
    }
    for entry in entries {
        if entry.file_type().while_doing(step)?.is_dir() {
            let own = entry.file_name().to_string_lossy().into_owned();
            let below = if name.is_empty() { own } else { format!("{name}/{own}") };
            folders(&entry.path(), &below, found)?;
        }
    }
    Ok(())
}
