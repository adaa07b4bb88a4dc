//! `user.rootlesscontainers`: whose a file should be where only one user's files can be made.
//!
//! The attribute is a protocol buffer of two numbers, uid and gid, where either may be missing for 0
//! (rootlesscontaine.rs); umoci, PRoot and others read and write it.

use crate::error::{Error, Result};

/// The attribute's name.
pub(in crate::layer) const ATTRIBUTE: &[u8] = b"user.rootlesscontainers";

/// The attribute's value.
pub(in crate::layer) fn encode(uid: u32, gid: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (tag, id) in [(0x08, uid), (0x10, gid)] {
        if id != 0 {
            bytes.push(tag);
            let mut left = id;
            while left >= 0x80 {
                bytes.push((left & 0x7f) as u8 | 0x80);
                left >>= 7;
            }
            bytes.push(left as u8);
        }
    }
    bytes
}

/// Uid and gid of a value.
pub(in crate::layer) fn decode(bytes: &[u8]) -> Result<(u32, u32)> {
    let bad = || Error::invalid("its attribute user.rootlesscontainers is malformed");
    let (mut ids, mut bytes) = ((0, 0), bytes.iter());
    while let Some(tag) = bytes.next() {
        let (mut value, mut shift) = (0_u64, 0);
        loop {
            let byte = bytes.next().ok_or_else(bad)?;
            value |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            match byte & 0x80 {
                0 => break,
                _ if shift > 35 => return Err(bad()),
                _ => {}
            }
        }
        let value = u32::try_from(value).map_err(|_| bad())?;
        match tag {
            0x08 => ids.0 = value,
            0x10 => ids.1 = value,
            _ => return Err(bad()),
        }
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_come_back_and_what_is_none_is_refused() {
        for (uid, gid, bytes) in
            [(0, 0, &b""[..]), (1000, 0, b"\x08\xe8\x07"), (0, 5, b"\x10\x05"), (u32::MAX - 1, 300, b"")]
        {
            assert_eq!(decode(&encode(uid, gid)).unwrap(), (uid, gid));
            assert!(bytes.is_empty() || encode(uid, gid) == bytes, "{uid}:{gid}");
        }
        for bad in [&b"\x08"[..], b"\x1a\x01", b"\x08\xff\xff\xff\xff\xff\xff"] {
            assert!(decode(bad).is_err(), "{bad:?}");
        }
    }
}
