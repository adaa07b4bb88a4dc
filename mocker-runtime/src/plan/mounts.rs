//! Mounts: option words to kernel values (config.md "Mounts").

use std::path::{Path, PathBuf};

use crate::abi::{Attr, Parameter, Reach};
use crate::bundle::config::{Mount as Given, Text};
use crate::error::{Error, Result};

const RDONLY: u64 = 0x1;
const NOSUID: u64 = 0x2;
const NODEV: u64 = 0x4;
const NOEXEC: u64 = 0x8;
/// The two bits in which the kernel keeps one of relatime (0), noatime and strictatime.
const ATIME: u64 = 0x70;
const NOATIME: u64 = 0x10;
const STRICTATIME: u64 = 0x20;
const NODIRATIME: u64 = 0x80;
const NOSYMFOLLOW: u64 = 0x0020_0000;

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
}

/// What appears at the destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// A directory or file of the host
    Bind { source: PathBuf, reach: Reach },
    /// The container's own cgroups, in whatever version the host has
    Cgroup,
    /// A new file system
    Fs { fstype: String, source: String, parameters: Vec<Parameter>, copy_up: bool },
}

/// The effect of an option word that the kernel itself knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    Set(u64),
    Clear(u64),
    /// One of the access time modes
    Atime(u64),
    Bind(Reach),
    /// A flag of the file system as a whole, which the mount interface takes by name
    Superblock(&'static str),
    Nothing,
    CopyUp,
}

/// Every option word with an effect of its own; `features` prints the same table.
const OPTIONS: &[(&str, Effect)] = &[
    ("async", Effect::Superblock("async")),
    ("atime", Effect::Atime(0)),
    ("bind", Effect::Bind(Reach::One)),
    ("defaults", Effect::Nothing),
    ("dev", Effect::Clear(NODEV)),
    ("diratime", Effect::Clear(NODIRATIME)),
    ("dirsync", Effect::Superblock("dirsync")),
    ("exec", Effect::Clear(NOEXEC)),
    ("lazytime", Effect::Superblock("lazytime")),
    ("loud", Effect::Nothing),
    ("mand", Effect::Superblock("mand")),
    ("noatime", Effect::Atime(NOATIME)),
    ("nodev", Effect::Set(NODEV)),
    ("nodiratime", Effect::Set(NODIRATIME)),
    ("noexec", Effect::Set(NOEXEC)),
    ("nolazytime", Effect::Superblock("nolazytime")),
    ("nomand", Effect::Superblock("nomand")),
    ("norelatime", Effect::Atime(0)),
    ("nostrictatime", Effect::Atime(0)),
    ("nosuid", Effect::Set(NOSUID)),
    ("nosymfollow", Effect::Set(NOSYMFOLLOW)),
    ("rbind", Effect::Bind(Reach::Tree)),
    ("relatime", Effect::Atime(0)),
    ("ro", Effect::Set(RDONLY)),
    ("rw", Effect::Clear(RDONLY)),
    ("silent", Effect::Nothing),
    ("strictatime", Effect::Atime(STRICTATIME)),
    ("suid", Effect::Clear(NOSUID)),
    ("symfollow", Effect::Clear(NOSYMFOLLOW)),
    ("sync", Effect::Superblock("sync")),
    ("tmpcopyup", Effect::CopyUp),
];

/// The same for a whole tree of mounts (mount_setattr(2), Linux 5.12).
const RECURSIVE: &[(&str, Effect)] = &[
    ("ratime", Effect::Atime(0)),
    ("rdev", Effect::Clear(NODEV)),
    ("rdiratime", Effect::Clear(NODIRATIME)),
    ("rexec", Effect::Clear(NOEXEC)),
    ("rnoatime", Effect::Atime(NOATIME)),
    ("rnodev", Effect::Set(NODEV)),
    ("rnodiratime", Effect::Set(NODIRATIME)),
    ("rnoexec", Effect::Set(NOEXEC)),
    ("rnorelatime", Effect::Atime(0)),
    ("rnostrictatime", Effect::Atime(0)),
    ("rnosuid", Effect::Set(NOSUID)),
    ("rnosymfollow", Effect::Set(NOSYMFOLLOW)),
    ("rrelatime", Effect::Atime(0)),
    ("rro", Effect::Set(RDONLY)),
    ("rrw", Effect::Clear(RDONLY)),
    ("rstrictatime", Effect::Atime(STRICTATIME)),
    ("rsuid", Effect::Clear(NOSUID)),
    ("rsymfollow", Effect::Clear(NOSYMFOLLOW)),
];

/// Words that mean something to the kernel which this program does not do yet, and so must not pass on.
const REFUSED: &[&str] = &["idmap", "ridmap", "remount", "iversion", "noiversion"];

/// Plain propagation words; each has a recursive form with an `r` in front (mount_namespaces(7)).
const PROPAGATIONS: [(&str, u64); 4] = [
    ("private", libc::MS_PRIVATE),
    ("shared", libc::MS_SHARED),
    ("slave", libc::MS_SLAVE),
    ("unbindable", libc::MS_UNBINDABLE),
];

/// All words that are no parameters of a file system.
pub(crate) fn words() -> impl Iterator<Item = String> {
    let plain = OPTIONS.iter().chain(RECURSIVE).map(|(word, _)| (*word).to_owned());
    let propagation = PROPAGATIONS.iter().flat_map(|(word, _)| [(*word).to_owned(), format!("r{word}")]);
    plain.chain(propagation)
}

/// What a propagation word means for a mount.
pub(crate) fn propagation(word: &str) -> Option<(Attr, Reach)> {
    let (plain, reach) = match word.strip_prefix('r') {
        Some(plain) => (plain, Reach::Tree),
        None => (word, Reach::One),
    };
    let (_, propagation) = PROPAGATIONS.into_iter().find(|(known, _)| *known == plain)?;
    Some((Attr { propagation, ..Attr::default() }, reach))
}

/// Plans all mounts in their order; a relative source belongs to the bundle.
pub(crate) fn plan(given: &[Given<'_>], bundle: &Path) -> Result<Vec<Mount>> {
    given.iter().map(|mount| plan_one(mount, bundle)).collect()
}

fn plan_one(given: &Given<'_>, bundle: &Path) -> Result<Mount> {
    let destination = &*given.destination;
    if destination.is_empty() {
        return Err(Error::invalid("mounts has an entry without a destination"));
    }
    if !given.uid_mappings.is_empty() || !given.gid_mappings.is_empty() {
        return Err(Error::unsupported(format!(
            "mount at {destination}: idmapped mounts are not supported yet"
        )));
    }
    let words = Words::parse(&given.options, destination)?;
    let source = given.source.as_deref().unwrap_or_default();
    let fstype = given.kind.as_deref().unwrap_or_default();
    let what = match (words.bind, fstype) {
        (Some(reach), _) => bind(source, reach, bundle),
        (None, "bind") => bind(source, Reach::One, bundle),
        (None, "cgroup" | "cgroup2") => What::Cgroup,
        (None, "") => {
            return Err(Error::invalid(format!("mount at {destination} has neither a type nor bind")));
        }
        (None, fstype) => What::Fs {
            fstype: fstype.to_owned(),
            source: source.to_owned(),
            parameters: words.parameters,
            copy_up: words.copy_up,
        },
    };
    if words.copy_up && !matches!(&what, What::Fs { fstype, .. } if fstype == "tmpfs") {
        return Err(Error::invalid(format!("mount at {destination}: tmpcopyup is for tmpfs only")));
    }
    // A relative destination is below the root, as runc reads it (the spec only forbids it).
    let destination = Path::new("/").join(destination);
    Ok(Mount {
        destination,
        what,
        attr: words.attr,
        recursive: words.recursive,
        propagation: words.propagation,
    })
}

fn bind(source: &str, reach: Reach, bundle: &Path) -> What {
    What::Bind { source: bundle.join(source), reach }
}

/// All options of one mount, sorted by what they act on.
#[derive(Debug, Default)]
struct Words {
    attr: Attr,
    recursive: Attr,
    propagation: Vec<(Attr, Reach)>,
    bind: Option<Reach>,
    copy_up: bool,
    parameters: Vec<Parameter>,
}

impl Words {
    fn parse(options: &[Text<'_>], destination: &str) -> Result<Self> {
        let mut words = Self::default();
        for option in options {
            let word = &**option;
            if REFUSED.contains(&word) {
                return Err(Error::unsupported(format!(
                    "mount at {destination}: option {word:?} is not supported yet"
                )));
            }
            words.take(word);
        }
        Ok(words)
    }

    fn take(&mut self, word: &str) {
        if let Some(propagation) = propagation(word) {
            self.propagation.push(propagation);
        } else if let Some((_, effect)) = RECURSIVE.iter().find(|(name, _)| *name == word) {
            change(&mut self.recursive, *effect);
        } else if let Some((_, effect)) = OPTIONS.iter().find(|(name, _)| *name == word) {
            match effect {
                Effect::Bind(reach) => self.bind = Some(*reach),
                Effect::CopyUp => self.copy_up = true,
                Effect::Superblock(name) => self.parameters.push(((*name).to_owned(), None)),
                effect => change(&mut self.attr, *effect),
            }
        } else {
            let (key, value) = match word.split_once('=') {
                Some((key, value)) => (key, Some(value.to_owned())),
                None => (word, None),
            };
            self.parameters.push((key.to_owned(), value));
        }
    }
}

/// Later words win over earlier ones.
fn change(attr: &mut Attr, effect: Effect) {
    match effect {
        Effect::Set(bit) => (attr.set, attr.clear) = (attr.set | bit, attr.clear & !bit),
        Effect::Clear(bit) => (attr.set, attr.clear) = (attr.set & !bit, attr.clear | bit),
        Effect::Atime(mode) => (attr.set, attr.clear) = ((attr.set & !ATIME) | mode, attr.clear | ATIME),
        _ => {}
    }
}

/// The attribute that makes a mount read-only.
pub(crate) const READONLY: Attr = Attr { set: RDONLY, clear: 0, propagation: 0, userns_fd: 0 };

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(options: &[&str]) -> Words {
        let options: Vec<Text<'_>> = options.iter().map(|o| Text((*o).into())).collect();
        Words::parse(&options, "/x").expect("parses")
    }

    #[test]
    fn later_options_win_and_unknown_ones_go_to_the_filesystem() {
        for (options, set, clear, data) in [
            (&["ro", "nosuid"][..], RDONLY | NOSUID, 0, &[][..]),
            (&["ro", "rw"], 0, RDONLY, &[]),
            (&["noatime", "strictatime"], STRICTATIME, ATIME, &[]),
            (&["size=64k", "mode=755", "newinstance"], 0, 0, &["size", "mode", "newinstance"]),
            (&["sync"], 0, 0, &["sync"]),
        ] {
            let words = parse(options);
            assert_eq!((words.attr.set, words.attr.clear), (set, clear), "{options:?}");
            let keys: Vec<&str> = words.parameters.iter().map(|(key, _)| key.as_str()).collect();
            assert_eq!(keys, data, "{options:?}");
        }
    }

    #[test]
    fn propagation_is_taken_in_plain_and_recursive_form() {
        for (word, bit, reach) in [
            ("private", libc::MS_PRIVATE, Reach::One),
            ("rprivate", libc::MS_PRIVATE, Reach::Tree),
            ("rshared", libc::MS_SHARED, Reach::Tree),
            ("runbindable", libc::MS_UNBINDABLE, Reach::Tree),
        ] {
            assert_eq!(
                propagation(word),
                Some((Attr { propagation: bit, ..Attr::default() }, reach)),
                "{word}"
            );
        }
        assert_eq!(propagation("ro"), None);
    }

    #[test]
    fn recursive_words_reach_the_tree_and_plain_ones_the_mount() {
        let words = parse(&["rbind", "rro", "nodev"]);
        assert_eq!(words.bind, Some(Reach::Tree));
        assert_eq!((words.recursive.set, words.attr.set), (RDONLY, NODEV));
    }

    #[test]
    fn the_tables_are_sorted_and_have_no_word_twice() {
        for table in [OPTIONS, RECURSIVE] {
            assert!(table.windows(2).all(|pair| pair[0].0 < pair[1].0));
        }
    }

    #[test]
    fn a_mount_without_a_type_names_its_destination() {
        let given: Given<'_> = serde_json::from_str(r#"{"destination":"/data"}"#).expect("parses");
        let error = plan_one(&given, Path::new("/b")).expect_err("must fail");
        assert_eq!(error.to_string(), "mount at /data has neither a type nor bind");
    }
}
