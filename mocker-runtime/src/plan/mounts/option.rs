//! The words of a mount's `options`: what each means to the kernel.

use crate::abi::{Attr, Parameter, Reach};
use crate::bundle::config::Text;

pub(super) const RDONLY: u64 = 0x1;
pub(super) const NOSUID: u64 = 0x2;
pub(super) const NODEV: u64 = 0x4;
pub(super) const NOEXEC: u64 = 0x8;
/// The two bits in which the kernel keeps one of relatime (0), noatime and strictatime.
const ATIME: u64 = 0x70;
const NOATIME: u64 = 0x10;
const STRICTATIME: u64 = 0x20;
const NODIRATIME: u64 = 0x80;
const NOSYMFOLLOW: u64 = 0x0020_0000;

/// What becomes of a bind mount's source that is a symbolic link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Link {
    /// What it leads to is shown
    #[default]
    Follow,
    /// It is shown itself (`src-nofollow`)
    Show,
    /// The container gets such a link of its own instead of a mount (`copy-symlink`)
    Copy,
}

/// Whether a symbolic link at the destination is followed, within the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Follow {
    #[default]
    Yes,
    No,
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
    Remount,
    /// The mount shows files under other owners
    Idmap(Reach),
    /// What becomes of a source that is a symbolic link
    Source(Link),
    /// A destination that is a symbolic link is not followed
    PlaceNoFollow,
}

/// Every option word with an effect of its own; `features` prints the same table.
const OPTIONS: &[(&str, Effect)] = &[
    ("async", Effect::Superblock("async")),
    ("atime", Effect::Atime(0)),
    ("bind", Effect::Bind(Reach::One)),
    ("copy-symlink", Effect::Source(Link::Copy)),
    ("defaults", Effect::Nothing),
    ("dest-nofollow", Effect::PlaceNoFollow),
    ("dev", Effect::Clear(NODEV)),
    ("diratime", Effect::Clear(NODIRATIME)),
    ("dirsync", Effect::Superblock("dirsync")),
    ("exec", Effect::Clear(NOEXEC)),
    ("idmap", Effect::Idmap(Reach::One)),
    // The switch of the file systems that still have one.
    ("iversion", Effect::Superblock("i_version")),
    ("lazytime", Effect::Superblock("lazytime")),
    ("loud", Effect::Nothing),
    ("mand", Effect::Superblock("mand")),
    ("noatime", Effect::Atime(NOATIME)),
    ("nodev", Effect::Set(NODEV)),
    ("nodiratime", Effect::Set(NODIRATIME)),
    ("noexec", Effect::Set(NOEXEC)),
    // What a new file system begins with.
    ("noiversion", Effect::Nothing),
    ("nolazytime", Effect::Superblock("nolazytime")),
    ("nomand", Effect::Superblock("nomand")),
    ("norelatime", Effect::Atime(0)),
    ("nostrictatime", Effect::Atime(0)),
    ("nosuid", Effect::Set(NOSUID)),
    ("nosymfollow", Effect::Set(NOSYMFOLLOW)),
    ("rbind", Effect::Bind(Reach::Tree)),
    ("relatime", Effect::Atime(0)),
    ("remount", Effect::Remount),
    ("ridmap", Effect::Idmap(Reach::Tree)),
    ("ro", Effect::Set(RDONLY)),
    ("rw", Effect::Clear(RDONLY)),
    ("silent", Effect::Nothing),
    ("src-nofollow", Effect::Source(Link::Show)),
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

/// All options of one mount, sorted by what they act on.
#[derive(Debug, Default)]
pub(super) struct Words {
    pub(super) attr: Attr,
    pub(super) recursive: Attr,
    pub(super) propagation: Vec<(Attr, Reach)>,
    pub(super) bind: Option<Reach>,
    pub(super) copy_up: bool,
    pub(super) remount: bool,
    pub(super) idmap: Option<Reach>,
    /// Mappings in crun's words, after `idmap=` or `ridmap=`
    pub(super) mappings: Option<String>,
    pub(super) link: Link,
    pub(super) follow_place: Follow,
    pub(super) parameters: Vec<Parameter>,
}

impl Words {
    pub(super) fn parse(options: &[Text<'_>]) -> Self {
        let mut words = Self::default();
        options.iter().for_each(|option| words.take(option));
        words
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
                Effect::Remount => self.remount = true,
                Effect::Idmap(reach) => self.idmap = Some(*reach),
                Effect::Source(link) => self.link = *link,
                Effect::PlaceNoFollow => self.follow_place = Follow::No,
                Effect::Superblock(name) => self.parameters.push(((*name).to_owned(), None)),
                effect => change(&mut self.attr, *effect),
            }
        } else {
            match word.split_once('=') {
                Some(("idmap", text)) => {
                    (self.idmap, self.mappings) = (Some(Reach::One), Some(text.to_owned()))
                }
                Some(("ridmap", text)) => {
                    (self.idmap, self.mappings) = (Some(Reach::Tree), Some(text.to_owned()))
                }
                Some((key, value)) => self.parameters.push((key.to_owned(), Some(value.to_owned()))),
                None => self.parameters.push((word.to_owned(), None)),
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(options: &[&str]) -> Words {
        let options: Vec<Text<'_>> = options.iter().map(|o| Text((*o).into())).collect();
        Words::parse(&options)
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
}
