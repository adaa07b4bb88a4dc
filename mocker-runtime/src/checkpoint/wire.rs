//! Protocol buffers, as far as criu's RPC needs them: varints and lengths, no floats, no packed lists
//! (<https://protobuf.dev/programming-guides/encoding>).
//!
//! A crate would bring a derive macro and five crates more for what is one page here.

use crate::error::{Error, Result};

const VARINT: u64 = 0;
const FIXED_64: u64 = 1;
const LENGTH: u64 = 2;
const FIXED_32: u64 = 5;

/// A message that grows field by field.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Message(Vec<u8>);

impl Message {
    /// A number, an enum or a bool. A negative int32 is written as 64 bits.
    pub(super) fn int(&mut self, field: u32, value: i64) {
        self.varint(u64::from(field) << 3 | VARINT);
        self.varint(value as u64);
    }

    /// A string, or a message.
    pub(super) fn bytes(&mut self, field: u32, value: &[u8]) {
        self.varint(u64::from(field) << 3 | LENGTH);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Int(i64),
    Bytes(&'a [u8]),
    /// A kind that no field of ours has
    Other,
}

impl Value<'_> {
    /// A number in which a message of ours keeps 32 bits.
    pub(super) fn int(self) -> Option<i32> {
        match self {
            Self::Int(value) => Some(value as i32),
            _ => None,
        }
    }

    pub(super) fn text(self) -> Option<String> {
        match self {
            Self::Bytes(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            _ => None,
        }
    }
}

/// Takes a message apart, in the order of its bytes.
pub(super) fn fields(bytes: &[u8]) -> Result<Vec<(u32, Value<'_>)>> {
    let mut rest = bytes;
    let mut out = Vec::new();
    while !rest.is_empty() {
        let key = varint(&mut rest)?;
        let value = match key & 7 {
            VARINT => Value::Int(varint(&mut rest)? as i64),
            LENGTH => {
                let length = usize::try_from(varint(&mut rest)?).map_err(|_| cut())?;
                Value::Bytes(take(&mut rest, length)?)
            }
            FIXED_64 => take(&mut rest, 8).map(|_| Value::Other)?,
            FIXED_32 => take(&mut rest, 4).map(|_| Value::Other)?,
            kind => return Err(Error::invalid(format!("a message has a field of the unknown kind {kind}"))),
        };
        out.push((u32::try_from(key >> 3).unwrap_or(0), value));
    }
    Ok(out)
}

fn varint(rest: &mut &[u8]) -> Result<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(rest, 1)?.first().copied().unwrap_or_default();
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(Error::invalid("a message has a number of more than 64 bits"))
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Result<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(count).ok_or_else(cut)?;
    *rest = left;
    Ok(taken)
}

fn cut() -> Error {
    Error::invalid("a message ends before its end")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_what_the_documentation_says() {
        let mut message = Message::default();
        message.int(1, 150);
        message.bytes(2, b"testing");
        let want = [0x08, 0x96, 0x01, 0x12, 0x07, 0x74, 0x65, 0x73, 0x74, 0x69, 0x6e, 0x67];
        assert_eq!(message.as_bytes(), want);
        let fields = fields(message.as_bytes()).expect("reads");
        assert_eq!(fields, [(1, Value::Int(150)), (2, Value::Bytes(b"testing"))]);
    }

    #[test]
    fn numbers_survive_whatever_they_are() {
        for number in [0, 1, 127, 128, -1, i64::from(i32::MIN), i64::MAX, 0x4000_0000] {
            let mut message = Message::default();
            message.int(44, number);
            assert_eq!(fields(message.as_bytes()).expect("reads"), [(44, Value::Int(number))]);
        }
    }

    #[test]
    fn what_is_cut_short_or_unknown_is_an_error() {
        for bytes in [&[0x08][..], &[0x08, 0x80], &[0x12, 0x05, 0x61], &[0x0b], &[0xff; 11]] {
            assert!(fields(bytes).is_err(), "{bytes:?}");
        }
        assert_eq!(fields(&[0x0d, 1, 2, 3, 4]).expect("reads"), [(1, Value::Other)]);
    }
}
