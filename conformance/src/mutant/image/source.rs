//! The documents of a source, for mutants that cannot bear some of them.

use std::fs;

use serde_json::Value;

use super::address;
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
