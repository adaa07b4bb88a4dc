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
    // The field itself counts as eight blanks. Plain sums, so that the compiler makes wide ones of them.
    let unsigned = |bytes: &[u8]| bytes.iter().map(|&b| u32::from(b)).sum::<u32>();
    let blanks = 8 * u32::from(b' ');
    if want == i64::from(unsigned(block) - unsigned(&block[148..156]) + blanks) {
        return true;
    }
    let signed = |bytes: &[u8]| bytes.iter().map(|&b| i32::from(b.cast_signed())).sum::<i32>();
    want == i64::from(signed(block) - signed(&block[148..156])) + i64::from(blanks)
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

    #[test]
    fn a_checksum_is_the_sum_of_unsigned_or_of_signed_bytes_with_blanks_in_its_place() {
        let mut block = [0_u8; BLOCK];
        (block[0], block[1], block[511]) = (b'a', 0xe4, 0xff);
        let unsigned = 97 + 0xe4 + 0xff + 8 * 32;
        for (sum, right) in [(unsigned, true), (unsigned - 512, true), (unsigned - 256, false), (0, false)] {
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            assert_eq!(checksum_is_right(&block), right, "{sum}");
        }
    }
}
