//! The fields of a tar header: fixed places, octal text, and GNU's binary numbers.

use crate::error::{Error, Result};

/// The unit that archives are made of.
pub(super) const BLOCK: usize = 512;
/// One header block.
pub(super) type Block = [u8; BLOCK];

/// The bytes of a text field up to its first NUL.
pub(super) fn text(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|&b| b == 0).unwrap_or(field.len());
    &field[..end]
}

/// A number: octal text, or base 256 where the first bit is set (GNU's, for what octal cannot hold).
pub(super) fn number(field: &[u8], what: &str) -> Result<i64> {
    let bad = || Error::invalid(format!("a header's {what} is not a number"));
    if let [first, rest @ ..] = field
        && first & 0x80 != 0
    {
        let negative = first & 0x40 != 0;
        let top = i128::from(if negative { i64::from(*first) - 256 } else { i64::from(first & 0x3f) });
        let fold = |acc: i128, b: &u8| acc.checked_mul(256).map(|a| a + i128::from(*b));
        let value = rest.iter().try_fold(top, fold).ok_or_else(bad)?;
        return i64::try_from(value).map_err(|_| bad());
    }
    let digits = text(field).trim_ascii();
    let octal = |acc: i64, b: &u8| match b {
        b'0'..=b'7' => acc.checked_mul(8).map(|a| a + i64::from(b - b'0')),
        _ => None,
    };
    digits.iter().try_fold(0, octal).ok_or_else(bad)
}

/// Whether the checksum field is the sum of the header's bytes, as unsigned or (old tars) signed.
pub(super) fn checksum_is_right(block: &Block) -> bool {
    let Ok(want) = number(&block[148..156], "checksum") else {
        return false;
    };
    let byte = |(i, b): (usize, &u8)| if (148..156).contains(&i) { b' ' } else { *b };
    let unsigned: i64 = block.iter().enumerate().map(|x| i64::from(byte(x))).sum();
    let signed: i64 = block.iter().enumerate().map(|x| i64::from(byte(x).cast_signed())).sum();
    want == unsigned || want == signed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_base_256() {
        for (field, want) in [
            (&b"0000644\0"[..], Some(0o644)),
            (b"   644 \0", Some(0o644)),
            (b"\0\0\0\0\0\0\0\0", Some(0)),
            (b"\x80\0\0\0\0\0\x01\0", Some(256)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff", Some(-1)),
            (b"0000648\0", None),
            (b"-1\0\0\0\0\0\0", None),
        ] {
            assert_eq!(number(field, "size").ok(), want, "{field:?}");
        }
    }
}
