//! PAX extended headers: `length key=value\n` records that overrule the header behind them.

use super::attribute;
use crate::error::{Error, Result};

/// What the extended headers before an entry say about it.
#[derive(Debug, Default)]
pub(super) struct Pax {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    pub(super) size: Option<u64>,
    pub(super) mtime: Option<(i64, u32)>,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) sparse: Sparse,
}

/// GNU's three ways to write a sparse file into PAX headers.
#[derive(Debug, Default)]
pub(super) struct Sparse {
    /// Version 1.0: the map stands in front of the data.
    pub(super) map_in_data: bool,
    /// The size with holes.
    pub(super) real_size: Option<u64>,
    /// Versions 0.0 and 0.1: the map itself.
    pub(super) runs: Vec<(u64, u64)>,
    /// Version 0.0 gives offset and length in turn.
    offset: Option<u64>,
    is_sparse: bool,
}

impl Sparse {
    pub(super) fn is_sparse(&self) -> bool {
        self.is_sparse || self.map_in_data
    }
}

/// GNU's names of any length, each in a header of its own; they win over PAX records, as for Go's readers.
#[derive(Debug, Default)]
pub(super) struct Long {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
}

impl Pax {
    /// With GNU's names in it.
    pub(super) fn named(mut self, long: Long) -> Self {
        self.path = long.path.or(self.path);
        self.link = long.link.or(self.link);
        self
    }

    /// The records of one extended header; unknown keys are none of our business.
    pub(super) fn read(mut records: &[u8]) -> Result<Self> {
        let mut pax = Self::default();
        let bad = || Error::invalid("a PAX header is malformed");
        while !records.is_empty() && records[0] != 0 {
            let space = records.iter().position(|&b| b == b' ').ok_or_else(bad)?;
            let length = usize::try_from(decimal(&records[..space])?).map_err(|_| bad())?;
            let record =
                records.get(space + 1..length).and_then(|r| r.strip_suffix(b"\n")).ok_or_else(bad)?;
            let equals = record.iter().position(|&b| b == b'=').ok_or_else(bad)?;
            pax.record(&record[..equals], &record[equals + 1..])?;
            records = &records[length..];
        }
        Ok(pax)
    }

    fn record(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        match key {
            // An empty value takes the key back (pax(1)): what the header itself says counts.
            b"path" | b"linkpath" | b"uid" | b"gid" | b"size" | b"mtime" if value.is_empty() => {}
            b"path" => self.path = Some(value.to_vec()),
            b"GNU.sparse.name" => self.path = Some(value.to_vec()),
            b"linkpath" => self.link = Some(value.to_vec()),
            b"uid" => self.uid = Some(decimal(value)?),
            b"gid" => self.gid = Some(decimal(value)?),
            b"size" => self.size = Some(size(value)?),
            b"mtime" => self.mtime = Some(time(value)?),
            b"SCHILY.acl.access" => self.list(attribute::ACCESS, value),
            b"SCHILY.acl.default" => self.list(attribute::DEFAULT, value),
            _ => match (key.strip_prefix(b"SCHILY.xattr."), key.strip_prefix(b"GNU.sparse.")) {
                (Some(name), _) => self.xattrs.push((name.to_vec(), value.to_vec())),
                (None, Some(key)) => return self.sparse.record(key, value),
                (None, None) => {}
            },
        }
        Ok(())
    }
}

impl Pax {
    /// A list in text; where it is there as an attribute too, that counts.
    fn list(&mut self, name: &[u8], text: &[u8]) {
        if let Some(value) =
            attribute::of_text(text).filter(|_| !self.xattrs.iter().any(|(key, _)| key == name))
        {
            self.xattrs.push((name.to_vec(), value));
        }
    }
}

impl Sparse {
    fn record(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        match key {
            b"major" => self.map_in_data = value == b"1",
            b"realsize" | b"size" => self.real_size = Some(decimal(value)?),
            b"offset" => self.offset = Some(decimal(value)?),
            b"numbytes" => {
                let offset =
                    self.offset.take().ok_or_else(|| Error::invalid("a sparse map lacks an offset"))?;
                self.runs.push((offset, decimal(value)?));
            }
            b"map" => {
                let numbers = value.split(|&b| b == b',').map(decimal).collect::<Result<Vec<_>>>()?;
                self.runs = numbers.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
            }
            b"numblocks" => {}
            _ => return Ok(()),
        }
        self.is_sparse = true;
        Ok(())
    }
}

/// A file's size, as the kernel counts it: less than 2^63.
fn size(digits: &[u8]) -> Result<u64> {
    let size = decimal(digits)?;
    let fits = i64::try_from(size).is_ok();
    fits.then_some(size).ok_or_else(|| Error::invalid(format!("a PAX header's size {size} is no file's")))
}

/// A decimal number.
pub(super) fn decimal(digits: &[u8]) -> Result<u64> {
    let text = std::str::from_utf8(digits).ok();
    let number = text.filter(|t| !t.starts_with('+')).and_then(|t| t.parse().ok());
    number.ok_or_else(|| {
        Error::invalid(format!("{} in a PAX header is not a number", super::entry::text(digits)))
    })
}

/// `seconds[.fraction]`, before the epoch too; nanoseconds are cut, not rounded.
fn time(value: &[u8]) -> Result<(i64, u32)> {
    let bad = || Error::invalid(format!("{} in a PAX header is not a time", super::entry::text(value)));
    let text = std::str::from_utf8(value).map_err(|_| bad())?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().map_err(|_| bad())?;
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return Err(bad());
    }
    let nanos: u32 = format!("{fraction:0<9}")[..9].parse().map_err(|_| bad())?;
    match (whole.starts_with('-'), nanos) {
        (true, 1..) => Ok((seconds - 1, 1_000_000_000 - nanos)),
        _ => Ok((seconds, nanos)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_overrule_and_unknown_keys_are_passed_by() {
        let pax = Pax::read(b"12 path=a/b\n20 mtime=12.5000001\n11 foo=bar\n26 SCHILY.xattr.user.x=\0\n\n")
            .unwrap();
        assert_eq!(pax.path.as_deref(), Some(&b"a/b"[..]));
        assert_eq!(pax.mtime, Some((12, 500_000_100)));
        assert_eq!(pax.xattrs, [(b"user.x".to_vec(), b"\0\n".to_vec())]);
    }

    #[test]
    fn malformed_records_are_refused() {
        for bad in [&b"12 path=a/b"[..], b"99 path=a\n", b"x path=a\n", b"7 path\n", b"3 \n", b"11 size=-1\n"]
        {
            assert!(Pax::read(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn times_before_the_epoch_count_down() {
        assert_eq!(time(b"-1.25").unwrap(), (-2, 750_000_000));
        assert_eq!(time(b"-0.5").unwrap(), (-1, 500_000_000));
        assert_eq!(time(b"7").unwrap(), (7, 0));
    }
}
