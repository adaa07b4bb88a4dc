//! `list`: what is in the store.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::{Global, print};
use crate::error::{Context, Error, Kind, Result};
use crate::image::{Config, Document};
use crate::progress::{age, size};
use crate::reference::Reference;
use crate::store::{Record, Store};

#[derive(Debug, clap::Args)]
pub(super) struct List {}

/// One line.
struct Row {
    name: String,
    tag: Option<String>,
    record: Record,
    platform: String,
    /// Bytes of config and layers, packed.
    size: u64,
    created: Option<String>,
}

impl List {
    pub(super) fn run(&self, global: &Global) -> Result<()> {
        let root = global.root()?;
        let there = root.join("refs").try_exists().while_doing(|| format!("look for {}", root.display()))?;
        let rows = match there {
            false => Vec::new(),
            true => {
                let store = Store::open(&root)?;
                store.records()?.into_iter().map(|record| Row::read(&store, record)).collect::<Result<_>>()?
            }
        };
        match global.json {
            true => print(format!("{:#}\n", rows.iter().map(Row::json).collect::<serde_json::Value>())),
            false => print(table(&rows)),
        }
    }
}

impl Row {
    /// A record whose blobs are gone is still listed, without what only they know.
    fn read(store: &Store, record: Record) -> Result<Self> {
        let reference: Reference = record.name.parse()?;
        let (name, tag) = (reference.name(), reference.tag().map(str::to_owned));
        let mut row = Self { name, tag, record, platform: "-".to_owned(), size: 0, created: None };
        let Some(bytes) = store.document(&row.record.manifest)? else {
            return Ok(row);
        };
        let Document::Manifest(manifest) = Document::parse(&bytes, &row.record.manifest.media_type)? else {
            return Err(Error::new(Kind::Internal, format!("{} is recorded with an index", row.record.name)));
        };
        row.size = manifest.config.size + manifest.layers.iter().map(|layer| layer.size).sum::<u64>();
        if let Some(bytes) = store.document(&manifest.config)? {
            let config = Config::parse(&bytes, &manifest)?.document;
            row.platform = format!("{}/{}", config.os(), config.architecture());
            row.created.clone_from(config.created());
        }
        Ok(row)
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "name": self.name,
            "tag": self.tag,
            "digest": self.record.top.digest.to_string(),
            "manifest": self.record.manifest.digest.to_string(),
            "platform": self.platform,
            "size": self.size,
            "created": self.created,
            "pulled": self.record.pulled,
        })
    }

    fn cells(&self, now: u64) -> [String; 5] {
        let created = self.created.as_deref().and_then(seconds);
        [
            self.name.clone(),
            self.tag.clone().unwrap_or_else(|| "<none>".to_owned()),
            format!("sha256:{}", self.record.top.digest.short()),
            size(self.size),
            created.map_or_else(|| "-".to_owned(), |at| age(now.saturating_sub(at))),
        ]
    }
}

fn table(rows: &[Row]) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let mut lines = vec![["NAME", "TAG", "DIGEST", "SIZE", "AGE"].map(str::to_owned)];
    lines.extend(rows.iter().map(|row| row.cells(now)));
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..5).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        let cells: Vec<String> =
            line.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// Seconds since the epoch of an RFC 3339 time; `None` before the epoch or where it is none.
fn seconds(time: &str) -> Option<u64> {
    let (date, clock) = time.split_once(['T', 't', ' '])?;
    let mut date = date.splitn(3, '-').map(|n| n.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let (clock, offset) = match clock.find(['Z', 'z', '+', '-']) {
        Some(at) => (&clock[..at], &clock[at..]),
        None => return None,
    };
    let mut clock = clock.split(':').map(|n| n.split('.').next().and_then(|n| n.parse::<i64>().ok()));
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    let ahead = match offset.get(1..).and_then(|o| o.split_once(':')) {
        Some((hours, minutes)) => {
            let minutes = hours.parse::<i64>().ok()? * 60 + minutes.parse::<i64>().ok()?;
            if offset.starts_with('-') { -minutes } else { minutes }
        }
        None => 0,
    };
    // Days of the civil calendar, counted from March so that leap days come last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year.div_euclid(4) - year.div_euclid(100)
        + year.div_euclid(400)
        + (month * 153 + 2) / 5
        + day
        - 1
        - 719_468;
    u64::try_from(days * 86_400 + hour * 3600 + (minute - ahead) * 60 + second).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_since_the_epoch() {
        for (time, want) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2024-02-29T12:34:56.789Z", Some(1_709_210_096)),
            ("2000-03-01T00:00:00+01:30", Some(951_863_400)),
            ("0001-01-01T00:00:00Z", None),
            ("yesterday", None),
            ("2024-01-01", None),
        ] {
            assert_eq!(seconds(time), want, "{time}");
        }
    }
}
