//! A changed image: another one's documents, edited, and blobs of its own. It is a source like any
//! other, so that `copy` brings it anywhere.

use std::collections::HashMap;
use std::io::{Cursor, Read};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::edit::{Edit, to_bytes};
use super::{Blob, Descriptor, Image, Source, Supply};
use crate::digest::Digest;
use crate::error::{Context, Error, Kind, Result};
use crate::layer::create::epoch;
use crate::layer::pack::Packed;
use crate::media::{Compression, Family};
use crate::reference::Reference;

/// An image that is being changed.
pub struct Draft<'a> {
    bases: Vec<&'a dyn Source>,
    /// The manifest.
    pub manifest: Edit,
    /// The configuration.
    pub config: Value,
    packed: HashMap<Digest, Packed>,
    texts: HashMap<Digest, Vec<u8>>,
    top: Option<(Descriptor, Vec<u8>)>,
}

/// One line of an image's history.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// What made it.
    pub created_by: Option<String>,
    /// Who made it.
    pub author: Option<String>,
    /// Words about it.
    pub comment: Option<String>,
    /// When, RFC 3339; `None` is SOURCE_DATE_EPOCH or now.
    pub created: Option<String>,
}

impl<'a> Draft<'a> {
    /// Begins with an image as it is.
    pub fn of(base: &'a dyn Source, image: &Image) -> Result<Self> {
        let manifest = Edit::new(&image.descriptor.media_type, &image.bytes)?;
        let config = super::json(&image.config_bytes)?;
        Ok(Self {
            bases: vec![base],
            manifest,
            config,
            packed: HashMap::new(),
            texts: HashMap::new(),
            top: None,
        })
    }

    /// Begins with nothing.
    pub fn empty(os: &str, architecture: &str) -> Result<Self> {
        let manifest = json!({ "schemaVersion": 2, "mediaType": Family::Oci.manifest(), "layers": [],
            "config": { "mediaType": Family::Oci.config(), "digest": Digest::of(b"").to_string(), "size": 0 } });
        let manifest = Edit::new(Family::Oci.manifest(), &to_bytes(&manifest)?)?;
        let config = json!({ "os": os, "architecture": architecture, "created": now()?, "config": {},
            "rootfs": { "type": "layers", "diff_ids": [] }, "history": [] });
        Ok(Self {
            bases: Vec::new(),
            manifest,
            config,
            packed: HashMap::new(),
            texts: HashMap::new(),
            top: None,
        })
    }

    /// Blobs come from here, too.
    pub fn also(&mut self, base: &'a dyn Source) {
        self.bases.push(base);
    }

    /// Adds a layer on top.
    pub fn push(&mut self, packed: Packed, compression: Compression) {
        let media_type = self.manifest.family().layer(compression);
        let descriptor = Descriptor { media_type, digest: packed.digest.clone(), size: packed.size };
        self.manifest.push_layer(&descriptor);
        let id = json!(packed.diff_id.to_string());
        match self.config["rootfs"]["diff_ids"].as_array_mut() {
            Some(ids) => ids.push(id),
            None => self.config["rootfs"] = json!({ "type": "layers", "diff_ids": [id] }),
        }
        self.packed.insert(packed.digest.clone(), packed);
    }

    /// Adds a line to the history; `empty` is one without a layer.
    pub fn note(&mut self, history: &History, empty: bool) -> Result<()> {
        let created = history.created.clone().map_or_else(now, Ok)?;
        let mut line = json!({ "created": created });
        for (key, value) in
            [("created_by", &history.created_by), ("author", &history.author), ("comment", &history.comment)]
        {
            if let Some(value) = value {
                line[key] = json!(value);
            }
        }
        if empty {
            line["empty_layer"] = json!(true);
        }
        self.config["created"] = json!(created);
        match self.config["history"].as_array_mut() {
            Some(lines) => lines.push(line),
            None => self.config["history"] = json!([line]),
        }
        Ok(())
    }

    /// Ends: the configuration gets its digest, and the manifest with it.
    pub fn seal(&mut self) -> Result<Digest> {
        let bytes = to_bytes(&self.config)?;
        let config = Descriptor::of(self.manifest.family().config(), &bytes);
        self.manifest.replace_config(&config);
        self.texts.insert(config.digest.clone(), bytes);
        let top = self.manifest.clone().done()?;
        let digest = top.0.digest.clone();
        self.top = Some(top);
        Ok(digest)
    }
}

impl Source for Draft<'_> {
    fn name(&self) -> String {
        self.bases.first().map_or_else(|| "the new image".to_owned(), |base| base.name())
    }

    fn top(&self) -> Result<(Descriptor, Vec<u8>)> {
        self.top.clone().ok_or_else(|| Error::new(Kind::Internal, "the image is not sealed"))
    }

    fn blob(&self, descriptor: &Descriptor) -> Result<Blob> {
        if let Some(packed) = self.packed.get(&descriptor.digest) {
            return packed.open();
        }
        if let Some(text) = self.texts.get(&descriptor.digest) {
            let reader: Box<dyn Read + Send> = Box::new(Cursor::new(text.clone()));
            return Ok(Blob::new(reader, descriptor.to_string(), &descriptor.digest, descriptor.size));
        }
        let mut failed = Error::new(Kind::NotFound, format!("there is no {descriptor}"));
        for base in &self.bases {
            match base.blob(descriptor) {
                Err(e) if e.kind() == Kind::NotFound => failed = e,
                other => return other,
            }
        }
        Err(failed)
    }

    fn origins(&self, descriptor: &Descriptor) -> Vec<Reference> {
        self.bases.iter().flat_map(|base| base.origins(descriptor)).collect()
    }
}

/// SOURCE_DATE_EPOCH, or else the time, as RFC 3339 has it.
pub fn now() -> Result<String> {
    let since = match epoch()? {
        Some(seconds) => Duration::from_secs(u64::try_from(seconds).unwrap_or(0)),
        None => SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_err(|e| Error::invalid(e.to_string()))
            .while_doing(|| "read the clock")?,
    };
    Ok(rfc3339(since.as_secs()))
}

fn rfc3339(seconds: u64) -> String {
    let (days, clock) = (seconds / 86_400, seconds % 86_400);
    // Civil calendar, counted from March so that leap days come last.
    let z = days + 719_468;
    let (era, doe) = (z / 146_097, z % 146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (day, month) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    let year = yoe + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (clock / 3600, clock / 60 % 60, clock % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_the_calendar_has_them() {
        for (seconds, want) in [
            (0, "1970-01-01T00:00:00Z"),
            (1_709_210_096, "2024-02-29T12:34:56Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
        ] {
            assert_eq!(rfc3339(seconds), want);
        }
    }
}
