//! The documents of a source, for mutants that cannot bear some of them.

use std::fs;

use anyhow::Result;
use serde_json::{Value, json};

use super::address;
use crate::blob::Digest;
use crate::bundle;
use crate::image::Layout;
use crate::registry::{Message, send};

/// Manifests, indexes and configurations, or the small files of a layout; as much as can be had.
pub(super) fn documents(source: &str) -> Vec<Vec<u8>> {
    match source.strip_prefix("oci:") {
        Some(place) => layout(place.rsplit_once(':').map_or(place, |(dir, _)| dir)),
        None => served(source).unwrap_or_default(),
    }
}

fn layout(dir: &str) -> Vec<Vec<u8>> {
    let blobs = fs::read_dir(format!("{dir}/blobs/sha256")).into_iter().flatten().flatten();
    let files = ["oci-layout", "index.json"].map(|name| format!("{dir}/{name}").into());
    let paths = blobs.map(|entry| entry.path()).chain(files);
    paths.filter_map(|path| fs::read(path).ok()).collect()
}

fn served(source: &str) -> Option<Vec<Vec<u8>>> {
    let registry = address(source)?;
    let rest = source.split_once(&format!("{registry}/"))?.1;
    let (name, reference) = rest.split_once('@').or_else(|| rest.rsplit_once(':'))?;
    let get = |kind: &str, reference: &str| {
        let path = format!("/v2/{name}/{kind}/{reference}");
        let request = Message { method: "GET".to_owned(), path, ..Message::default() };
        send(&request, registry).ok().filter(|answer| answer.status == 200).map(|answer| answer.body)
    };
    let top = get("manifests", reference)?;
    let mut all = vec![top.clone()];
    let mut open = vec![top];
    while let Some(bytes) = open.pop() {
        let document: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        if let Some(digest) = document["config"]["digest"].as_str() {
            all.extend(get("blobs", digest));
        }
        for entry in document["manifests"].as_array().into_iter().flatten() {
            if let Some(child) = entry["digest"].as_str().and_then(|digest| get("manifests", digest)) {
                all.push(child.clone());
                open.push(child);
            }
        }
    }
    Some(all)
}

/// The image of a layout, as if its layers lay nowhere else.
pub(super) fn forget_urls(words: &[String]) {
    let place = words.iter().find_map(|word| word.strip_prefix("oci:"));
    if let Some(dir) = place.map(|place| place.rsplit_once(':').map_or(place, |(dir, _)| dir)) {
        // a source that is no such layout is left as it is, and the case says so
        rewrite(&Layout::open(dir.as_ref())).ok();
    }
}

fn rewrite(layout: &Layout) -> Result<()> {
    let mut document: Value = serde_json::from_slice(&layout.blob(&layout.first()?)?)?;
    for layer in document["layers"].as_array_mut().into_iter().flatten() {
        bundle::remove_member(layer, "urls");
    }
    let bytes = document.to_string().into_bytes();
    let digest = Digest::of(&bytes);
    fs::write(layout.path(digest.as_str()), &bytes)?;
    layout.edit_index(|index| {
        index["manifests"][0]["digest"] = json!(digest.as_str());
        index["manifests"][0]["size"] = json!(bytes.len());
    })
}
