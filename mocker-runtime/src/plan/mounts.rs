//! Mounts: what config.md "Mounts" asks for, as kernel values.

mod idmap;
mod option;

use std::path::{Path, PathBuf};

use super::ids::{Map, Maps};
use crate::abi::{Attr, Parameter, Reach};
use crate::bundle::config::Mount as Given;
use crate::error::{Error, Result, WhileDoing};
pub(crate) use option::{Follow, Link, propagation, words};
use option::{RDONLY, Words};

/// One mount to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mount {
    /// In the container, absolute
    pub(crate) destination: PathBuf,
    pub(crate) what: What,
    /// Changes to the mount itself
    pub(crate) attr: Attr,
    /// Changes to it and everything below it (`rro` and the like)
    pub(crate) recursive: Attr,
    /// Each propagation word in its order
    pub(crate) propagation: Vec<(Attr, Reach)>,
    pub(crate) idmap: Option<Idmap>,
    pub(crate) follow: Follow,
}

/// Files appear under other owners (config.md "POSIX-platform Mounts", `idmap` and `ridmap`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Idmap {
    /// None: as the container's user namespace has it
    pub(crate) maps: Option<Maps>,
    pub(crate) reach: Reach,
}

/// What appears at the destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// A directory or file of the host
    Bind { source: PathBuf, reach: Reach, link: Link },
    /// The container's own cgroups, in whatever version the host has
    Cgroup,
    /// What is mounted there already, with other attributes and parameters
    Remount { parameters: Vec<Parameter> },
    /// A new file system
    Fs { fstype: String, source: String, parameters: Vec<Parameter>, copy_up: bool },
}

impl Mount {
    /// A bind mount that this program makes of its own accord.
    pub(crate) fn bind(source: PathBuf, destination: &Path, reach: Reach, attr: Attr) -> Self {
        Self {
            destination: destination.to_owned(),
            what: What::Bind { source, reach, link: Link::Follow },
            attr,
            recursive: Attr::default(),
            propagation: Vec::new(),
            idmap: None,
            follow: Follow::Yes,
        }
    }
}

/// What all mounts of a container have to do with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context<'a> {
    /// A relative source belongs to it
    pub(crate) bundle: &'a Path,
    /// Whether the container has a user namespace, new or not
    pub(crate) user: bool,
    /// The mappings of a new one
    pub(crate) maps: Option<&'a Maps>,
    /// What SELinux knows new file systems by: the option's name, and `linux.mountLabel`
    pub(crate) label: Option<(&'a str, &'a str)>,
}

/// Plans all mounts in their order.
pub(crate) fn plan(given: &[Given<'_>], context: &Context<'_>) -> Result<Vec<Mount>> {
    given.iter().map(|mount| plan_one(mount, context)).collect()
}

fn plan_one(given: &Given<'_>, context: &Context<'_>) -> Result<Mount> {
    let destination = &*given.destination;
    if destination.is_empty() {
        return Err(Error::invalid("mounts has an entry without a destination"));
    }
    let words = Words::parse(&given.options);
    let idmap = idmap(given, &words, context)?;
    let source = given.source.as_deref().unwrap_or_default();
    let fstype = given.kind.as_deref().unwrap_or_default();
    let bind = |reach| What::Bind { source: context.bundle.join(source), reach, link: words.link };
    let copy_up = words.copy_up;
    let what = match (words.bind, fstype) {
        _ if words.remount => What::Remount { parameters: words.parameters },
        (Some(reach), _) => bind(reach),
        (None, "bind") => bind(Reach::One),
        (None, "cgroup" | "cgroup2") => What::Cgroup,
        (None, "") => {
            return Err(Error::invalid(format!("mount at {destination} has neither a type nor bind")));
        }
        (None, fstype) => What::Fs {
            fstype: fstype.to_owned(),
            source: source.to_owned(),
            parameters: parameters(fstype, words.parameters, context),
            copy_up,
        },
    };
    if copy_up && !matches!(&what, What::Fs { fstype, .. } if fstype == "tmpfs") {
        return Err(Error::invalid(format!("mount at {destination}: tmpcopyup is for tmpfs only")));
    }
    if idmap.is_some() && !matches!(what, What::Bind { .. }) {
        return Err(Error::invalid(format!(
            "mount at {destination}: ids can be mapped for bind mounts only"
        )));
    }
    Ok(Mount {
        // A relative destination is below the root, as runc reads it (the spec only forbids it).
        destination: Path::new("/").join(destination),
        what,
        attr: words.attr,
        recursive: words.recursive,
        propagation: words.propagation,
        idmap,
        follow: words.follow_place,
    })
}

/// Mappings alone are as good as the word `idmap`; the word alone means those of the container.
fn idmap(given: &Given<'_>, words: &Words, context: &Context<'_>) -> Result<Option<Idmap>> {
    let destination = &*given.destination;
    let reach = match words.idmap {
        None if given.uid_mappings.is_empty() && given.gid_mappings.is_empty() => return Ok(None),
        word => word.unwrap_or(Reach::One),
    };
    if let Some(text) = &words.mappings {
        let act = || format!("mount at {destination}: option {:?}", format!("idmap={text}"));
        return idmap::parse(text, context.maps)
            .map(|maps| Some(Idmap { maps: Some(maps), reach }))
            .while_doing(act);
    }
    match (given.uid_mappings.is_empty(), given.gid_mappings.is_empty()) {
        (false, false) => {
            let maps = Maps { uids: Map::new(&given.uid_mappings), gids: Map::new(&given.gid_mappings) };
            Ok(Some(Idmap { maps: Some(maps), reach }))
        }
        (true, true) if context.user => Ok(Some(Idmap { maps: None, reach })),
        (true, true) => Err(Error::invalid(format!(
            "mount at {destination}: idmap needs uidMappings and gidMappings, or a user namespace of the \
             container's"
        ))),
        _ => Err(Error::invalid(format!(
            "mount at {destination}: uidMappings and gidMappings need each other"
        ))),
    }
}

/// Adds the SELinux label where a file system takes one, and paths that belong to the bundle become absolute.
fn parameters(fstype: &str, given: Vec<Parameter>, context: &Context<'_>) -> Vec<Parameter> {
    let mut parameters = given;
    if fstype == "overlay" {
        parameters = parameters.into_iter().flat_map(|parameter| layer(parameter, context.bundle)).collect();
    }
    if let Some((word, label)) = context.label.filter(|_| !matches!(fstype, "proc" | "sysfs" | "mqueue")) {
        parameters.push((word.to_owned(), Some(label.to_owned())));
    }
    parameters
}

/// fsconfig(2) takes values of 255 bytes, so a longer list of layers is given one by one (Linux 6.7).
fn layer((key, value): Parameter, bundle: &Path) -> Vec<Parameter> {
    const LONGEST: usize = 255;
    let absolute = |path: &str| bundle.join(path).display().to_string();
    match (key.as_str(), value) {
        ("lowerdir+" | "datadir+" | "upperdir" | "workdir", Some(path)) => vec![(key, Some(absolute(&path)))],
        ("lowerdir", Some(paths)) if paths.len() > LONGEST && !paths.contains("::") => {
            paths.split(':').map(|path| ("lowerdir+".to_owned(), Some(absolute(path)))).collect()
        }
        ("lowerdir", Some(paths)) if !paths.contains("::") => {
            let paths: Vec<String> = paths.split(':').map(absolute).collect();
            vec![(key, Some(paths.join(":")))]
        }
        (_, value) => vec![(key, value)],
    }
}

/// A file system of type overlay at `/` is no mount on the root file system but the root file system itself.
pub(crate) fn take_root(mounts: &mut Vec<Mount>) -> Option<Mount> {
    let is_root = |mount: &Mount| {
        mount.destination == Path::new("/")
            && matches!(&mount.what, What::Fs { fstype, .. } if fstype == "overlay")
    };
    mounts.iter().position(is_root).map(|at| mounts.remove(at))
}

/// Nothing on it can be changed, run or opened as a device.
pub(crate) const GUARDED: u64 = RDONLY | option::NOSUID | option::NODEV | option::NOEXEC;

/// The attribute that makes a mount read-only.
pub(crate) const READONLY: Attr = Attr { set: RDONLY, clear: 0, propagation: 0, userns_fd: 0 };

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: &str, user: bool) -> Result<Mount> {
        let given: Given<'_> = serde_json::from_str(json).expect("parses");
        plan_one(&given, &Context { bundle: Path::new("/b"), user, maps: None, label: None })
    }

    #[test]
    fn a_mount_without_a_type_names_its_destination() {
        let error = of(r#"{"destination":"/data"}"#, false).expect_err("must fail");
        assert_eq!(error.to_string(), "mount at /data has neither a type nor bind");
    }

    #[test]
    fn ids_are_mapped_by_the_mounts_own_mappings_or_by_the_containers() {
        const MAPS: &str = r#""uidMappings":[{"containerID":0,"hostID":7,"size":1}],
            "gidMappings":[{"containerID":0,"hostID":7,"size":1}]"#;
        let bind = |more: &str| format!(r#"{{"destination":"/x","source":"/y","type":"bind"{more}}}"#);
        let of = |more: &str, user| of(&bind(more), user).map(|mount| mount.idmap);
        assert_eq!(of("", true).expect("plans"), None);
        let own = of(&format!(",{MAPS}"), false).expect("plans").expect("is there");
        assert_eq!((own.reach, own.maps.is_some()), (Reach::One, true));
        let shared = of(r#","options":["ridmap"]"#, true).expect("plans").expect("is there");
        assert_eq!((shared.reach, shared.maps), (Reach::Tree, None));
        assert!(of(r#","options":["idmap"]"#, false).is_err(), "nothing to map by");
    }

    #[test]
    fn an_overlay_at_the_root_is_the_root_and_its_relative_layers_are_the_bundles() {
        let json = r#"{"destination":"/","type":"overlay","options":["lowerdir=a:/b","upperdir=up"]}"#;
        let mut mounts = vec![of(json, false).expect("plans")];
        let root = take_root(&mut mounts).expect("is found");
        assert!(mounts.is_empty());
        let What::Fs { parameters, .. } = root.what else { unreachable!("it is a file system") };
        let values: Vec<&str> = parameters.iter().filter_map(|(_, value)| value.as_deref()).collect();
        assert_eq!(values, ["/b/a:/b", "/b/up"]);
    }

    #[test]
    fn a_list_of_layers_that_is_too_long_for_one_value_is_given_one_by_one() {
        let paths = vec!["/a-path-of-some-length"; 20].join(":");
        let json = format!(r#"{{"destination":"/","type":"overlay","options":["lowerdir={paths}"]}}"#);
        let What::Fs { parameters, .. } = of(&json, false).expect("plans").what else {
            unreachable!("it is a file system")
        };
        assert_eq!(parameters.len(), 20);
        assert!(parameters.iter().all(|(key, _)| key == "lowerdir+"));
    }
}
