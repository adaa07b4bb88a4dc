//! Values with a type of D-Bus's own, and the text in which a person writes one (GVariant text format).
//!
//! Only what systemd's properties are made of is here: numbers, words, lists, pairs. Dictionaries and
//! descriptors are no property of any unit.

use crate::error::{Error, Result};

/// A value (D-Bus specification, "Type System").
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Bool(bool),
    Byte(u8),
    I16(i16),
    U16(u16),
    I32(i32),
    U32(u32),
    I64(i64),
    U64(u64),
    Double(f64),
    Str(String),
    Path(String),
    Signature(String),
    /// The signature of the members, and the members
    Array(String, Vec<Value>),
    Struct(Vec<Value>),
    Variant(Box<Value>),
}

impl Value {
    /// The type as D-Bus spells it.
    pub(crate) fn signature(&self) -> String {
        let letter = match self {
            Self::Bool(_) => "b",
            Self::Byte(_) => "y",
            Self::I16(_) => "n",
            Self::U16(_) => "q",
            Self::I32(_) => "i",
            Self::U32(_) => "u",
            Self::I64(_) => "x",
            Self::U64(_) => "t",
            Self::Double(_) => "d",
            Self::Str(_) => "s",
            Self::Path(_) => "o",
            Self::Signature(_) => "g",
            Self::Variant(_) => "v",
            Self::Array(member, _) => return format!("a{member}"),
            Self::Struct(members) => {
                return format!("({})", members.iter().map(Self::signature).collect::<String>());
            }
        };
        letter.to_owned()
    }

    /// Reads GVariant text: `'word'`, `true`, `uint64 5`, `['a', 'b']`, `@as []`, `(1, 'x')`, `<'any'>`.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut parser = Parser { rest: text, depth: 0 };
        let value = parser.value(None)?;
        parser.skip_blanks();
        match parser.rest {
            "" => Ok(value),
            rest => Err(bad(rest)),
        }
    }

    /// A number of seconds as one of microseconds: systemd's programs speak of `TimeoutStopSec`, its
    /// D-Bus interface of `TimeoutStopUSec`.
    pub(crate) fn seconds_to_microseconds(&self) -> Result<Self> {
        const FACTOR: u64 = 1_000_000;
        let whole = |value: Option<u64>| value.and_then(|value| value.checked_mul(FACTOR)).map(Self::U64);
        let out = match self {
            Self::Byte(value) => whole(Some((*value).into())),
            Self::I16(value) => whole((*value).try_into().ok()),
            Self::U16(value) => whole(Some((*value).into())),
            Self::I32(value) => whole((*value).try_into().ok()),
            Self::U32(value) => whole(Some((*value).into())),
            Self::I64(value) => whole((*value).try_into().ok()),
            Self::U64(value) => whole(Some(*value)),
            Self::Double(value) if *value >= 0.0 => Some(Self::U64((value * FACTOR as f64) as u64)),
            _ => None,
        };
        out.ok_or_else(|| Error::invalid(format!("{self:?} is no number of seconds")))
    }
}

fn bad(rest: &str) -> Error {
    match rest.chars().take(20).collect::<String>().as_str() {
        "" => Error::invalid("the value ends too early"),
        here => Error::invalid(format!("{here:?} is not what a value goes on with")),
    }
}

/// The keywords of the text format, and the type that each stands for.
const KEYWORDS: [(&str, &str); 12] = [
    ("boolean", "b"),
    ("byte", "y"),
    ("int16", "n"),
    ("uint16", "q"),
    ("int32", "i"),
    ("uint32", "u"),
    ("int64", "x"),
    ("uint64", "t"),
    ("double", "d"),
    ("string", "s"),
    ("objectpath", "o"),
    ("signature", "g"),
];

/// How deep lists may be nested; the specification allows 32.
const DEEPEST: usize = 32;

struct Parser<'a> {
    rest: &'a str,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn take(&mut self, word: &str) -> bool {
        self.skip_blanks();
        match self.rest.strip_prefix(word) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// All characters up to the first that is not of the kind.
    fn take_while(&mut self, kind: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !kind(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }

    /// A value, of a type that is known from outside or told by the text.
    fn value(&mut self, kind: Option<&str>) -> Result<Value> {
        self.skip_blanks();
        if self.depth >= DEEPEST {
            return Err(Error::invalid("the value is nested too deep"));
        }
        self.depth += 1;
        let value = match self.rest.chars().next() {
            Some('@') => {
                self.rest = self.rest.get(1..).unwrap_or_default();
                let named = self.take_while(|c| !c.is_whitespace());
                self.value(Some(named))
            }
            Some('\'' | '"') => self.string().and_then(|text| as_word(text, kind)),
            Some('[') => self.list(kind),
            Some('(') => self.pair(kind),
            Some('<') => self.variant(),
            Some(_) => self.plain(kind),
            None => Err(bad("")),
        };
        self.depth -= 1;
        value
    }

    /// `true`, a number, or a keyword with a value behind it.
    fn plain(&mut self, kind: Option<&str>) -> Result<Value> {
        let whole = self.rest;
        let word = self.take_while(|c| c.is_ascii_alphanumeric() || "+-._".contains(c));
        if let Some((_, named)) = KEYWORDS.iter().find(|(known, _)| *known == word) {
            return self.value(Some(named));
        }
        match word {
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            word => number(word, kind).ok_or_else(|| bad(whole)),
        }
    }

    /// A word in quotes, with C's escapes.
    fn string(&mut self) -> Result<String> {
        let mut chars = self.rest.chars();
        let quote = chars.next();
        let mut out = String::new();
        loop {
            match chars.next() {
                None => return Err(bad("")),
                c if c == quote => break,
                Some('\\') => match chars.next() {
                    Some('n') => out.push('\n'),
                    Some('t') => out.push('\t'),
                    Some('r') => out.push('\r'),
                    Some(c) if !c.is_ascii_alphanumeric() => out.push(c),
                    _ => return Err(bad(chars.as_str())),
                },
                Some(c) => out.push(c),
            }
        }
        self.rest = chars.as_str();
        if out.contains('\0') { Err(bad("\0")) } else { Ok(out) }
    }

    fn list(&mut self, kind: Option<&str>) -> Result<Value> {
        let member = kind.and_then(|kind| kind.strip_prefix('a')).map(str::to_owned);
        let members = self.members("[", "]", |_| member.as_deref())?;
        let first = members.first().map(Value::signature);
        match member.or(first) {
            None => Err(Error::invalid("an empty list needs its type before it: @as []")),
            Some(member) if members.iter().any(|value| value.signature() != member) => {
                Err(Error::invalid("the members of a list differ in their types"))
            }
            Some(member) => Ok(Value::Array(member, members)),
        }
    }

    fn pair(&mut self, kind: Option<&str>) -> Result<Value> {
        let inner = kind.and_then(|kind| kind.strip_prefix('(')?.strip_suffix(')'));
        let kinds = inner.map(split_signature).unwrap_or_default();
        let members = self.members("(", ")", |at| kinds.get(at).copied())?;
        if members.is_empty() { Err(Error::invalid("a pair is empty")) } else { Ok(Value::Struct(members)) }
    }

    fn members<'k>(
        &mut self,
        open: &str,
        close: &str,
        kind: impl Fn(usize) -> Option<&'k str>,
    ) -> Result<Vec<Value>> {
        self.take(open);
        let mut out = Vec::new();
        while !self.take(close) {
            if !out.is_empty() && !self.take(",") {
                return Err(bad(self.rest));
            }
            if !out.is_empty() && self.take(close) {
                break; // a comma after the last one
            }
            out.push(self.value(kind(out.len()))?);
        }
        Ok(out)
    }

    fn variant(&mut self) -> Result<Value> {
        self.take("<");
        let value = self.value(None)?;
        if self.take(">") { Ok(Value::Variant(Box::new(value))) } else { Err(bad(self.rest)) }
    }
}

fn as_word(text: String, kind: Option<&str>) -> Result<Value> {
    match kind {
        None | Some("s") => Ok(Value::Str(text)),
        Some("o") => Ok(Value::Path(text)),
        Some("g") => Ok(Value::Signature(text)),
        Some(other) => Err(Error::invalid(format!("{text:?} is not of the type {other:?}"))),
    }
}

/// A number of a type, without one an int32 or (with a point) a double.
fn number(word: &str, kind: Option<&str>) -> Option<Value> {
    let whole = || {
        let (sign, digits) = word.strip_prefix('-').map_or((1, word), |digits| (-1, digits));
        let value = match digits.strip_prefix("0x") {
            Some(hex) => i128::from_str_radix(hex, 16).ok(),
            None => digits.parse().ok(),
        };
        value.map(|value| sign * value)
    };
    match kind {
        Some("y") => whole()?.try_into().ok().map(Value::Byte),
        Some("n") => whole()?.try_into().ok().map(Value::I16),
        Some("q") => whole()?.try_into().ok().map(Value::U16),
        Some("i") => whole()?.try_into().ok().map(Value::I32),
        Some("u") => whole()?.try_into().ok().map(Value::U32),
        Some("x") => whole()?.try_into().ok().map(Value::I64),
        Some("t") => whole()?.try_into().ok().map(Value::U64),
        Some("d") => word.parse().ok().map(Value::Double),
        None => match whole() {
            Some(value) => value.try_into().ok().map(Value::I32),
            None => word.parse().ok().filter(|_| word.contains('.')).map(Value::Double),
        },
        Some(_) => None,
    }
}

/// The single types of a signature: `sa(ss)u` is `s`, `a(ss)` and `u`.
fn split_signature(text: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let (mut start, mut depth) = (0, 0_u32);
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 && c != 'a' {
            out.extend(text.get(start..=at));
            start = at + 1;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_tells_the_type() {
        for (text, signature) in [
            ("'inactive-or-failed'", "s"),
            ("\"it's\"", "s"),
            ("true", "b"),
            ("5", "i"),
            ("-5", "i"),
            ("0.5", "d"),
            ("uint64 123456789", "t"),
            ("int64 -3", "x"),
            ("uint32 0x10", "u"),
            ("byte 7", "y"),
            ("int16 7", "n"),
            ("uint16 7", "q"),
            ("objectpath '/a'", "o"),
            ("signature 'as'", "g"),
            ("['a', 'b']", "as"),
            ("@as []", "as"),
            ("@au [1, 2,]", "au"),
            ("@ay [0x01, 0xff]", "ay"),
            ("[uint64 1, uint64 2]", "at"),
            ("('a', uint64 5)", "(st)"),
            ("@a(st) [('/dev/sda', 5)]", "a(st)"),
            ("<'x'>", "v"),
            (" [ ( 'a' , 'b' ) ] ", "a(ss)"),
        ] {
            assert_eq!(Value::parse(text).map(|value| value.signature()), Ok(signature.to_owned()), "{text}");
        }
        assert_eq!(Value::parse(r"'a\'b\\'"), Ok(Value::Str(r"a'b\".to_owned())));
    }

    #[test]
    fn what_is_no_value_is_refused() {
        for text in [
            "",
            "word",
            "'open",
            "[]",
            "[1, 'a']",
            "5 6",
            "uint64 -1",
            "byte 256",
            "uint64 'a'",
            "{'a': 1}",
            "()",
            "@as [1]",
            "<5",
            "1e",
            "'\\q'",
            "[1",
            "@",
            &"[".repeat(100),
        ] {
            assert!(Value::parse(text).is_err(), "{text:?} {:?}", Value::parse(text));
        }
    }

    #[test]
    fn seconds_become_microseconds() {
        for (text, want) in [
            ("5", Some(5_000_000)),
            ("uint64 2", Some(2_000_000)),
            ("0.5", Some(500_000)),
            ("-1", None),
            ("'5'", None),
        ] {
            let value = Value::parse(text).expect("parses").seconds_to_microseconds();
            assert_eq!(value.ok(), want.map(Value::U64), "{text}");
        }
    }
}
