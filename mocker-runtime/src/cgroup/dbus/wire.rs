//! Messages as bytes (D-Bus specification, "Message Protocol"): little-endian, as this machine is.

use crate::error::{Error, Kind, Result};
use crate::plan::cgroup::Value;

/// Longer messages than this are no answer of systemd's to anything that is asked here.
const LONGEST: usize = 16 << 20;
/// What every message begins with.
pub(super) const HEAD: usize = 16;

/// The types of messages that are of interest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Call = 1,
    Return = 2,
    Error = 3,
    Signal = 4,
}

/// A message to us, as far as it is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    /// None for types that are of no interest
    pub(super) kind: Option<Type>,
    pub(super) reply_to: Option<u32>,
    pub(super) member: String,
    /// The name of an error
    pub(super) error: String,
    /// The words (strings and object paths) that the body begins with, past numbers
    pub(super) words: Vec<String>,
}

/// A method call.
pub(super) struct Call<'a> {
    /// Empty on a connection without a bus
    pub(super) destination: &'a str,
    pub(super) path: &'a str,
    pub(super) interface: &'a str,
    pub(super) member: &'a str,
    pub(super) body: &'a [Value],
}

impl Call<'_> {
    pub(super) fn encode(&self, serial: u32) -> Vec<u8> {
        let mut body = Writer::default();
        self.body.iter().for_each(|value| body.value(value));
        let signature: String = self.body.iter().map(Value::signature).collect();

        let mut out = Writer(vec![b'l', Type::Call as u8, 0, 1]);
        out.u32(body.0.len() as u32);
        out.u32(serial);
        let field =
            |code: u8, value: Value| Value::Struct(vec![Value::Byte(code), Value::Variant(value.into())]);
        let text = |text: &str| Value::Str(text.to_owned());
        let mut fields = vec![
            field(1, Value::Path(self.path.to_owned())),
            field(2, text(self.interface)),
            field(3, text(self.member)),
        ];
        if !self.destination.is_empty() {
            fields.push(field(6, text(self.destination)));
        }
        if !signature.is_empty() {
            fields.push(field(8, Value::Signature(signature)));
        }
        out.value(&Value::Array("(yv)".to_owned(), fields));
        out.align(8);
        out.0.extend(body.0);
        out.0
    }
}

#[derive(Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn align(&mut self, to: usize) {
        self.0.resize(self.0.len().next_multiple_of(to), 0);
    }

    fn number(&mut self, bytes: &[u8]) {
        self.align(bytes.len());
        self.0.extend(bytes);
    }

    fn u32(&mut self, value: u32) {
        self.number(&value.to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.u32(text.len() as u32);
        self.0.extend(text.as_bytes());
        self.0.push(0);
    }

    fn signature(&mut self, text: &str) {
        self.0.push(text.len() as u8);
        self.0.extend(text.as_bytes());
        self.0.push(0);
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Bool(value) => self.u32((*value).into()),
            Value::Byte(value) => self.0.push(*value),
            Value::I16(value) => self.number(&value.to_le_bytes()),
            Value::U16(value) => self.number(&value.to_le_bytes()),
            Value::I32(value) => self.number(&value.to_le_bytes()),
            Value::U32(value) => self.u32(*value),
            Value::I64(value) => self.number(&value.to_le_bytes()),
            Value::U64(value) => self.number(&value.to_le_bytes()),
            Value::Double(value) => self.number(&value.to_le_bytes()),
            Value::Str(text) | Value::Path(text) => self.text(text),
            Value::Signature(text) => self.signature(text),
            Value::Array(member, values) => self.array(member, values),
            Value::Struct(values) => {
                self.align(8);
                values.iter().for_each(|value| self.value(value));
            }
            Value::Variant(value) => {
                self.signature(&value.signature());
                self.value(value);
            }
        }
    }

    /// The length counts the members without the gap before the first.
    fn array(&mut self, member: &str, values: &[Value]) {
        self.u32(0);
        let at = self.0.len();
        self.align(alignment(member));
        let start = self.0.len();
        values.iter().for_each(|value| self.value(value));
        let length = (self.0.len() - start) as u32;
        if let Some(field) = self.0.get_mut(at - 4..at) {
            field.copy_from_slice(&length.to_le_bytes());
        }
    }
}

fn alignment(signature: &str) -> usize {
    match signature.bytes().next() {
        Some(b'y' | b'g' | b'v') => 1,
        Some(b'n' | b'q') => 2,
        Some(b'x' | b't' | b'd' | b'(') => 8,
        _ => 4,
    }
}

fn broken() -> Error {
    Error::new(Kind::Internal, "a message makes no sense")
}

/// How long a message is in all, from its first [`HEAD`] bytes.
pub(super) fn length(head: &[u8]) -> Result<usize> {
    let mut reader = Reader { bytes: head, at: 0 };
    if reader.byte()? != b'l' {
        return Err(broken());
    }
    reader.at = 4;
    let body = reader.u32()? as usize;
    reader.at = 12;
    let fields = reader.u32()? as usize;
    match HEAD.checked_add(fields.next_multiple_of(8)).and_then(|length| length.checked_add(body)) {
        Some(length @ ..=LONGEST) => Ok(length),
        _ => Err(broken()),
    }
}

impl Message {
    /// Reads a whole message.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader { bytes, at: 1 };
        let kind = match reader.byte()? {
            2 => Some(Type::Return),
            3 => Some(Type::Error),
            4 => Some(Type::Signal),
            _ => None,
        };
        let mut message =
            Self { kind, reply_to: None, member: String::new(), error: String::new(), words: Vec::new() };
        reader.at = 12;
        let end = HEAD + reader.u32()? as usize;
        let mut signature = String::new();
        while reader.at < end {
            reader.align(8);
            let code = reader.byte()?;
            match (code, reader.signature()?.as_str()) {
                (5, "u") => message.reply_to = Some(reader.u32()?),
                (3, "s") => message.member = reader.text()?,
                (4, "s") => message.error = reader.text()?,
                (8, "g") => signature = reader.signature()?,
                (_, "s" | "o") => drop(reader.text()?),
                (_, "u") => drop(reader.u32()?),
                (_, "g") => drop(reader.signature()?),
                _ => return Err(broken()),
            }
        }
        reader.at = end.next_multiple_of(8);
        for letter in signature.chars() {
            match letter {
                's' | 'o' => message.words.push(reader.text()?),
                'u' | 'b' | 'i' => drop(reader.u32()?),
                _ => break,
            }
        }
        Ok(message)
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn align(&mut self, to: usize) {
        self.at = self.at.next_multiple_of(to);
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let end = self.at.checked_add(length).ok_or_else(broken)?;
        let taken = self.bytes.get(self.at..end).ok_or_else(broken)?;
        self.at = end;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8> {
        self.take(1)?.first().copied().ok_or_else(broken)
    }

    fn u32(&mut self) -> Result<u32> {
        self.align(4);
        self.take(4)?.try_into().map(u32::from_le_bytes).map_err(|_| broken())
    }

    fn text_of(&mut self, length: usize) -> Result<String> {
        let bytes = self.take(length)?.to_vec();
        self.take(1)?;
        String::from_utf8(bytes).map_err(|_| broken())
    }

    fn text(&mut self) -> Result<String> {
        let length = self.u32()? as usize;
        self.text_of(length)
    }

    fn signature(&mut self) -> Result<String> {
        let length = self.byte()?.into();
        self.text_of(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A call is a message as well; what it says can be read back.
    #[test]
    fn what_is_written_can_be_read() {
        let body = [
            Value::Str("unit".to_owned()),
            Value::U32(5),
            Value::Path("/a".to_owned()),
            Value::Array("(sv)".to_owned(), vec![]),
        ];
        let call = Call { destination: "a.b", path: "/c", interface: "d.e", member: "F", body: &body };
        let bytes = call.encode(7);
        assert_eq!(length(&bytes[..HEAD]).expect("has a length"), bytes.len());
        let message = Message::decode(&bytes).expect("is a message");
        assert_eq!((message.member.as_str(), message.words), ("F", vec!["unit".to_owned(), "/a".to_owned()]));
    }

    /// Byte by byte as the specification's "Marshaling" has it.
    #[test]
    fn members_are_aligned_and_counted_without_the_gap_before_them() {
        let mut writer = Writer::default();
        writer.value(&Value::Array("t".to_owned(), vec![Value::U64(5)]));
        assert_eq!(writer.0, [8, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0]);
        let mut writer = Writer::default();
        writer.value(&Value::Variant(Value::Str("ab".to_owned()).into()));
        assert_eq!(writer.0, [1, b's', 0, 0, 2, 0, 0, 0, b'a', b'b', 0]);
        let mut writer = Writer::default();
        writer.value(&Value::Bool(true));
        writer.value(&Value::Struct(vec![Value::Byte(9), Value::U16(2)]));
        assert_eq!(writer.0, [1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 0]);
    }

    #[test]
    fn nonsense_is_an_error_and_never_a_panic() {
        let call = Call { destination: "a.b", path: "/c", interface: "d.e", member: "F", body: &[] };
        let good = call.encode(1);
        for cut in 0..good.len() {
            let _ = Message::decode(&good[..cut]);
            let mut wrong = good.clone();
            wrong[cut] = 0xff;
            let _ = Message::decode(&wrong);
            let _ = length(&wrong[..HEAD]);
        }
        assert!(length(&[b'B'; HEAD]).is_err());
    }
}
