//! Extended attributes with ids in them, which are mapped as owners are: access control lists and capabilities.
//!
//! ```text
//! system.posix_acl_*     version 2 (u32), then for each entry: tag (u16), permissions (u16), id (u32)
//! security.capability    version and flags (u32), two words of 32 bits for each of two sets; version 3 also
//!                        the id of the root (u32) of the user namespace that has them; without it, the host's
//! ```
//!
//! All numbers are little-endian (`linux/posix_acl_xattr.h`, `linux/capability.h`). Archives have lists in this form
//! or, as GNU tar and star write them, as text; one with names instead of numbers is passed over, as by all others.

use super::ids::{Ids, To};
use crate::error::Result;

const CAPABILITY: &[u8] = b"security.capability";
/// What an entry of the list says who may do with a file.
pub(super) const ACCESS: &[u8] = b"system.posix_acl_access";
/// What is made in a directory gets this one.
pub(super) const DEFAULT: &[u8] = b"system.posix_acl_default";

/// What stands for no id.
const NONE: u32 = u32::MAX;
/// The tags of entries with an id.
const USER: u16 = 0x02;
const GROUP: u16 = 0x08;

/// Versions of capabilities, in the highest byte.
const VERSION: u32 = 0xff00_0000;
const WITHOUT_ROOT: u32 = 0x0200_0000;
const WITH_ROOT: u32 = 0x0300_0000;
/// Bytes of version 2.
const SETS: usize = 20;

/// An attribute's value with its ids mapped; what is malformed stays so, for the kernel to refuse.
pub(super) fn map(name: &[u8], value: &[u8], ids: &Ids, to: To) -> Result<Vec<u8>> {
    match name {
        CAPABILITY => capability(value, ids, to),
        ACCESS | DEFAULT => list(value, ids, to),
        _ => Ok(value.to_vec()),
    }
}

fn capability(value: &[u8], ids: &Ids, to: To) -> Result<Vec<u8>> {
    let Some((head, rest)) = value.split_first_chunk() else {
        return Ok(value.to_vec());
    };
    let head = u32::from_le_bytes(*head);
    let root = match (head & VERSION, rest.get(SETS - 4..).and_then(<[u8]>::first_chunk)) {
        (WITHOUT_ROOT, None) if value.len() == SETS && to == To::Host => 0,
        (WITH_ROOT, Some(root)) if value.len() == SETS + 4 => u32::from_le_bytes(*root),
        _ => return Ok(value.to_vec()),
    };
    let root = ids.user(root, to)?;
    let of = |version: u32| [&(head & !VERSION | version).to_le_bytes(), &rest[..SETS - 4]].concat();
    Ok(match root {
        0 => of(WITHOUT_ROOT),
        root => [of(WITH_ROOT), root.to_le_bytes().to_vec()].concat(),
    })
}

fn list(value: &[u8], ids: &Ids, to: To) -> Result<Vec<u8>> {
    let mut mapped = value.to_vec();
    for entry in mapped.get_mut(4..).unwrap_or_default().chunks_exact_mut(8) {
        let id = u32::from_le_bytes([entry[4], entry[5], entry[6], entry[7]]);
        let id = match u16::from_le_bytes([entry[0], entry[1]]) {
            USER => ids.user(id, to)?,
            GROUP => ids.group(id, to)?,
            _ => id,
        };
        entry[4..].copy_from_slice(&id.to_le_bytes());
    }
    Ok(mapped)
}

/// The attribute for a list as text: `user::rwx,user:1000:r--,group::r-x,mask::r-x,other::---`, where a fourth
/// field is the id of what the second one names.
pub(super) fn of_text(text: &[u8]) -> Option<Vec<u8>> {
    let mut value = 2_u32.to_le_bytes().to_vec();
    for line in std::str::from_utf8(text).ok()?.split([',', '\n']) {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let mut fields = line.split(':');
        let (tag, name, rights, id) = (fields.next()?, fields.next()?, fields.next()?, fields.next());
        let id = match name {
            "" => NONE,
            name => id.unwrap_or(name).parse().ok()?,
        };
        let tag: u16 = match (tag, id == NONE) {
            ("user" | "u", true) => 0x01,
            ("user" | "u", false) => USER,
            ("group" | "g", true) => 0x04,
            ("group" | "g", false) => GROUP,
            ("mask" | "m", true) => 0x10,
            ("other" | "o", true) => 0x20,
            _ => return None,
        };
        let bits: u16 =
            "rwx".chars().zip([4, 2, 1]).filter(|(c, _)| rights.contains(*c)).map(|(_, bit)| bit).sum();
        value.extend([&tag.to_le_bytes()[..], &bits.to_le_bytes(), &id.to_le_bytes()].concat());
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids() -> Ids {
        Ids::of_text("0:100000:100/0:200000:100").unwrap()
    }

    fn there_and_back(name: &[u8], image: &[u8], host: &[u8]) {
        assert_eq!(map(name, image, &ids(), To::Host).unwrap(), host);
        assert_eq!(map(name, host, &ids(), To::Container).unwrap(), image);
    }

    #[test]
    fn capabilities_belong_to_the_containers_root_and_to_nobody_in_the_image() {
        let sets = [0x04_u8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let value = |version: u8, root: &[u8]| [&[1, 0, 0, version], &sets[..], root].concat();
        there_and_back(CAPABILITY, &value(2, b""), &value(3, &100_000_u32.to_le_bytes()));
        there_and_back(CAPABILITY, &value(3, &[7, 0, 0, 0]), &value(3, &100_007_u32.to_le_bytes()));
        for odd in [&value(1, b"")[..12], b"", b"\0", &value(2, b"xxxx"), &value(3, b""), &value(9, b"")] {
            assert_eq!(map(CAPABILITY, odd, &ids(), To::Host).unwrap(), odd, "{odd:?}");
        }
        let e = map(CAPABILITY, &value(3, &[200, 0, 0, 0]), &ids(), To::Host).unwrap_err();
        assert_eq!(e.to_string(), "user 200 is not in the map of ids");
    }

    #[test]
    fn lists_name_the_hosts_ids_and_text_is_the_same_list() {
        let image =
            of_text(b"user::rwx,user:5:r--,group::r-x\ngroup:staff:rw-:6 # effective\nmask::rwx,other::---");
        let image = image.unwrap();
        assert_eq!(image.len(), 4 + 6 * 8);
        assert_eq!(image[12..20], [2, 0, 4, 0, 5, 0, 0, 0]);
        let mut host = image.clone();
        host[16..20].copy_from_slice(&100_005_u32.to_le_bytes());
        host[32..36].copy_from_slice(&200_006_u32.to_le_bytes());
        there_and_back(ACCESS, &image, &host);
        there_and_back(b"user.other", &image, &image);
        for none in [&b"user:lp:rw-"[..], b"user", b"mask:5:rwx", b"\xff"] {
            assert_eq!(of_text(none), None);
        }
    }
}
