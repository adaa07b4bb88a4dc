//! `Config.User` to numbers, by the image's own /etc/passwd and /etc/group.
//!
//! Both files are the image's, so they are hostile until proven otherwise: they are opened inside
//! the rootfs, only if they are regular files, and only up to a size.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::error::{Context, Error, Kind, Result};

/// The most bytes of a passwd or group file.
const LIMIT: u64 = 16 << 20;

/// Whom a process runs as.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct User {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// With the one in `gid`: a set-group-id program would lose it, and with it what the group is refused
    /// (CVE-2022-36109, CVE-2023-25173)
    pub(super) additional: Vec<u32>,
}

/// Finds out what `user[:group]`, names or numbers, means in a root file system.
pub(super) fn find(rootfs: &Path, wanted: &str) -> Result<User> {
    if wanted.is_empty() {
        return Ok(User::default());
    }
    let passwd = read(rootfs, "etc/passwd")?;
    let group = read(rootfs, "etc/group")?;
    look_up(wanted, &passwd, &group).while_doing(|| format!("user {wanted:?} of the image"))
}

/// A text of the image, empty where it has none.
fn read(rootfs: &Path, name: &str) -> Result<String> {
    let step = || format!("read the image's /{name}");
    let directory = OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::openat(CWD, rootfs, directory, Mode::empty()).while_doing(step)?;
    let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    // A device could do things when it is opened for reading: first look, without opening.
    match rustix::fs::openat2(&root, name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), how) {
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(String::new()),
        found => {
            let stat = rustix::fs::fstat(found.while_doing(step)?).while_doing(step)?;
            if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
                return Err(Error::invalid("is not a regular file")).while_doing(step);
            }
        }
    }
    let file = File::from(rustix::fs::openat2(&root, name, flags, Mode::empty(), how).while_doing(step)?);
    let mut bytes = Vec::new();
    file.take(LIMIT + 1).read_to_end(&mut bytes).while_doing(step)?;
    match bytes.len() as u64 > LIMIT {
        true => Err(Error::invalid(format!("is larger than {LIMIT} bytes"))).while_doing(step),
        false => Ok(String::from_utf8_lossy(&bytes).into_owned()),
    }
}

fn look_up(wanted: &str, passwd: &str, group: &str) -> Result<User> {
    let (user, wanted_group) = match wanted.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|g| !g.is_empty())),
        None => (wanted, None),
    };
    let user = if user.is_empty() { "0" } else { user };
    // A number that the kernel does not take is nobody's name either (CVE-2026-46680).
    for number in [Some(user), wanted_group].into_iter().flatten().filter_map(number) {
        number?;
    }
    let entry = entries(passwd, 4).find(|e| e[0] == user).or_else(|| {
        let uid = user.parse::<u32>().ok()?;
        entries(passwd, 4).find(|e| e[2].parse() == Ok(uid))
    });
    let uid = match &entry {
        Some(entry) => id(entry[2])?,
        None => number(user).ok_or_else(|| missing(user, "/etc/passwd"))??,
    };
    match wanted_group {
        Some(name) => {
            let entry = entries(group, 3).find(|e| e[0] == name);
            let gid = match entry {
                Some(entry) => id(entry[2])?,
                None => number(name).ok_or_else(|| missing(name, "/etc/group"))??,
            };
            Ok(User { uid, gid, additional: vec![gid] })
        }
        None => {
            let gid = entry.as_ref().map_or(Ok(0), |entry| id(entry[3]))?;
            let name = entry.as_ref().map(|entry| entry[0]);
            let member =
                |e: &Vec<&str>| e.get(3).is_some_and(|m| m.split(',').any(|m| Some(m.trim()) == name));
            let groups = entries(group, 3).filter(member).map(|e| id(e[2])).collect::<Result<Vec<_>>>()?;
            let mut additional = groups;
            additional.push(gid);
            additional.sort_unstable();
            additional.dedup();
            Ok(User { uid, gid, additional })
        }
    }
}

/// The lines with at least so many fields; comments and NIS's `+` lines are none.
fn entries(text: &str, fields: usize) -> impl Iterator<Item = Vec<&str>> {
    let split = |line: &'_ str| -> Option<()> { (!line.starts_with(['#', '+', '-'])).then_some(()) };
    text.lines()
        .map(str::trim)
        .filter(move |line| split(line).is_some())
        .map(|line| line.split(':').collect::<Vec<_>>())
        .filter(move |entry| entry.len() >= fields)
}

/// `None` if it is no number at all, an error if it is one that the kernel does not take.
fn number(text: &str) -> Option<Result<u32>> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| id(text))
}

fn id(text: &str) -> Result<u32> {
    // 2^32 - 1 means "leave it" to the kernel.
    let id = text.parse::<u32>().ok().filter(|&id| id != u32::MAX);
    id.ok_or_else(|| Error::invalid(format!("{text:?} is not a number from 0 to 4294967294")))
}

fn missing(name: &str, file: &str) -> Error {
    Error::new(Kind::NotFound, format!("{name:?} is not in the image's {file}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/sh\n# c\n\napp:x:1000:100:::\n7:x:70:71:::\nbig:x:4294967296:0:::\n";
    const GROUP: &str = "root:x:0:\nusers:x:100:app\nwheel:x:10:root,app\nbin:x:2:app\nvideo:x:44:7\n";

    #[test]
    fn names_and_numbers_are_found_as_other_runtimes_find_them() {
        for (wanted, uid, gid, additional) in [
            ("root", 0, 0, &[0, 10][..]),
            ("0", 0, 0, &[0, 10]),
            ("app", 1000, 100, &[2, 10, 100]),
            ("1000", 1000, 100, &[2, 10, 100]),
            ("app:wheel", 1000, 10, &[10]),
            ("app:5", 1000, 5, &[5]),
            ("5:app", 0, 0, &[]), // below: app is no group
            ("12345", 12345, 0, &[0]),
            ("12345:54321", 12345, 54321, &[54321]),
            ("7", 70, 71, &[44, 71]),
            (":wheel", 0, 10, &[10]),
        ] {
            match look_up(wanted, PASSWD, GROUP) {
                Ok(user) => assert_eq!(user, User { uid, gid, additional: additional.to_vec() }, "{wanted}"),
                Err(e) => assert_eq!(
                    (wanted, e.to_string().as_str()),
                    ("5:app", "\"app\" is not in the image's /etc/group")
                ),
            }
        }
    }

    #[test]
    fn what_is_not_there_or_too_large_is_refused() {
        for (wanted, error) in [
            ("nobody", "\"nobody\" is not in the image's /etc/passwd"),
            ("4294967295", "\"4294967295\" is not a number from 0 to 4294967294"),
            ("99999999999", "\"99999999999\" is not a number from 0 to 4294967294"),
            ("big", "\"4294967296\" is not a number from 0 to 4294967294"),
            ("-1", "\"-1\" is not in the image's /etc/passwd"),
        ] {
            assert_eq!(look_up(wanted, PASSWD, GROUP).unwrap_err().to_string(), error);
        }
    }
}
