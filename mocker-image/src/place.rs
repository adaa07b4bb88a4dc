//! Places, as people write them: `TRANSPORT:WHERE`, skopeo's words.
//!
//! ```text
//! docker://NAME or NAME     a registry
//! store:NAME                the local store
//! oci:DIR[:NAME]            an OCI layout                  oci-archive:FILE[:NAME]   the same in a tar file
//! docker-archive:FILE[:NAME]  what `docker save` writes    dir:DIR                   a plain folder
//! docker-daemon:NAME        a docker that runs here
//! ```

pub(crate) mod file;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use crate::archive::docker::Form;
use crate::archive::{docker, oci};
use crate::daemon::{Daemon, ToDaemon};
use crate::error::{Context, Error, Kind, Result};
use crate::folder::Folder;
use crate::image::platform::Platform;
use crate::image::{Sink, Source};
use crate::layout::Layout;
use crate::reference::Reference;
use crate::registry::remote::Remote;
use crate::registry::{Actions, Settings};
use crate::store::Store;
use crate::store::place::Named;

/// Where an image is, or is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A registry; false if nothing said so.
    Registry(Reference, bool),
    /// The local store.
    Store(Reference),
    /// An OCI layout, and a name in it.
    Oci(PathBuf, Option<String>),
    /// An OCI layout in a tar file.
    OciArchive(PathBuf, Option<String>),
    /// Docker's archive.
    DockerArchive(PathBuf, Option<String>),
    /// A folder.
    Dir(PathBuf),
    /// A docker that runs here.
    Daemon(Reference),
}

/// What opening a place may need.
pub struct Opening<'a> {
    /// The local store, made when it is asked for.
    pub store: &'a dyn Fn() -> Result<Arc<Store>>,
    /// How registries are spoken to.
    pub settings: &'a Settings,
    /// The docker daemon's socket, in place of the usual one.
    pub daemon: Option<&'a Path>,
    /// Which image a name of the store is listed as.
    pub platform: Option<&'a Platform>,
    /// More names in a docker archive.
    pub more_names: &'a [Reference],
    /// How a docker archive is written.
    pub form: Form,
    /// The most bytes of a blob that go to a registry in one request.
    pub part: Option<u64>,
}

impl<'a> Opening<'a> {
    /// With nothing but what every place needs.
    pub fn new(store: &'a dyn Fn() -> Result<Arc<Store>>, settings: &'a Settings) -> Self {
        Self { store, settings, daemon: None, platform: None, more_names: &[], form: Form::New, part: None }
    }
}

impl Place {
    /// The place to read from.
    pub fn source(&self, with: &Opening<'_>) -> Result<Box<dyn Source>> {
        Ok(match self {
            Self::Registry(reference, _) => Box::new(Remote::new(reference, with.settings)?),
            Self::Store(reference) => Box::new(Named::new(&(with.store)()?, reference)),
            Self::Oci(dir, name) => Box::new(Layout::new(dir, name.as_deref())),
            Self::OciArchive(file, name) => Box::new(oci::Archive::new(file, name.as_deref())),
            Self::DockerArchive(file, name) => Box::new(docker::Archive::new(file, name.as_deref())),
            Self::Dir(dir) => Box::new(Folder::new(dir)),
            Self::Daemon(reference) => Box::new(Daemon::new(reference, with.daemon)),
        })
    }

    /// The place to write to.
    pub fn sink(&self, with: &Opening<'_>) -> Result<Box<dyn Sink>> {
        Ok(match self {
            Self::Registry(reference, _) => {
                let settings = Settings { actions: Actions::Push, ..with.settings.clone() };
                let mut remote = Remote::new(reference, &settings)?;
                remote.part = with.part;
                Box::new(remote)
            }
            Self::Store(reference) => {
                let mut named = Named::new(&(with.store)()?, reference);
                named.platform = with.platform.cloned();
                Box::new(named)
            }
            Self::Oci(dir, name) => Box::new(Layout::new(dir, name.as_deref())),
            Self::OciArchive(file, name) => Box::new(oci::NewArchive::new(file, name.as_deref())),
            Self::DockerArchive(path, name) => {
                if file::is_there(path)? {
                    let what = format!("{} is there, and a docker archive is not added to", path.display());
                    return Err(Error::new(Kind::Exists, what));
                }
                let mut names = name.iter().map(|name| name.parse()).collect::<Result<Vec<Reference>>>()?;
                names.extend(with.more_names.iter().cloned());
                Box::new(docker::NewArchive::new(path, &names, with.form))
            }
            Self::Dir(dir) => {
                let folder = Folder::new(dir);
                folder.begin()?;
                Box::new(folder)
            }
            Self::Daemon(reference) => Box::new(ToDaemon::new(reference, with.daemon)?),
        })
    }

    /// The same place, from wherever it is named.
    pub fn absolute(&self) -> Result<Self> {
        let full = |path: &Path| std::path::absolute(path).while_doing(|| format!("find {}", path.display()));
        Ok(match self {
            Self::Oci(dir, name) => Self::Oci(full(dir)?, name.clone()),
            Self::OciArchive(file, name) => Self::OciArchive(full(file)?, name.clone()),
            Self::DockerArchive(file, name) => Self::DockerArchive(full(file)?, name.clone()),
            Self::Dir(dir) => Self::Dir(full(dir)?),
            other => other.clone(),
        })
    }

    /// The reference, if the place is a registry's or the store's.
    pub fn reference(&self) -> Option<&Reference> {
        match self {
            Self::Registry(reference, _) | Self::Store(reference) | Self::Daemon(reference) => {
                Some(reference)
            }
            _ => None,
        }
    }
}

impl FromStr for Place {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self> {
        let (transport, rest) = s.split_once(':').unwrap_or((s, ""));
        let split = |what: &str| {
            let (path, name) = rest.split_once(':').map_or((rest, None), |(path, name)| (path, Some(name)));
            match path.is_empty() {
                true => Err(Error::invalid(format!("place {s:?} names no {what}"))),
                false => Ok((PathBuf::from(path), name.filter(|n| !n.is_empty()).map(str::to_owned))),
            }
        };
        // `oci@digest` would be a part of the name: skopeo takes it there, too.
        Ok(match transport {
            "docker" if rest.starts_with("//") => Self::Registry(rest[2..].parse()?, true),
            "store" => Self::Store(rest.parse()?),
            "oci" => split("folder").map(|(dir, name)| Self::Oci(dir, name))?,
            "oci-archive" => split("file").map(|(file, name)| Self::OciArchive(file, name))?,
            "docker-archive" => split("file").map(|(file, name)| Self::DockerArchive(file, name))?,
            "dir" if rest.is_empty() => return Err(Error::invalid(format!("place {s:?} names no folder"))),
            "dir" => Self::Dir(rest.into()),
            "docker-daemon" => Self::Daemon(rest.parse()?),
            "containers-storage" | "atomic" | "ostree" | "tarball" | "sif" => {
                let e = Error::new(
                    Kind::Unsupported,
                    format!("place {s:?} is of the kind {transport}, which is not known here"),
                );
                return Err(e.hint(
                    "known are docker:// store: oci: oci-archive: docker-archive: dir: docker-daemon:",
                ));
            }
            _ => Self::Registry(s.parse()?, false),
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = |f: &mut fmt::Formatter<'_>, kind: &str, path: &Path, name: &Option<String>| {
            write!(f, "{kind}:{}", path.display())?;
            name.as_ref().map_or(Ok(()), |name| write!(f, ":{name}"))
        };
        match self {
            Self::Registry(reference, _) => reference.fmt(f),
            Self::Store(reference) => write!(f, "store:{reference}"),
            Self::Oci(dir, name) => path(f, "oci", dir, name),
            Self::OciArchive(file, name) => path(f, "oci-archive", file, name),
            Self::DockerArchive(file, name) => path(f, "docker-archive", file, name),
            Self::Dir(dir) => path(f, "dir", dir, &None),
            Self::Daemon(reference) => write!(f, "docker-daemon:{reference}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_told_apart_as_skopeo_does() {
        for (text, want) in [
            ("alpine", "docker.io/library/alpine:latest"),
            ("docker://q.io/a:b", "q.io/a:b"),
            ("localhost:5000/a", "localhost:5000/a:latest"),
            ("store:q.io/a:b", "store:q.io/a:b"),
            ("oci:/a/b:c", "oci:/a/b:c"),
            ("oci:a", "oci:a"),
            ("oci-archive:a.tar:v1", "oci-archive:a.tar:v1"),
            ("docker-archive:a.tar:q.io/a:b", "docker-archive:a.tar:q.io/a:b"),
            ("dir:/a:b", "dir:/a:b"),
            ("docker-daemon:a:b", "docker-daemon:docker.io/library/a:b"),
        ] {
            assert_eq!(text.parse::<Place>().unwrap().to_string(), want, "{text}");
        }
        for bad in ["oci:", "dir:", "docker://", "store:", "containers-storage:a", "docker-archive::x"] {
            assert!(bad.parse::<Place>().is_err(), "{bad}");
        }
    }
}
