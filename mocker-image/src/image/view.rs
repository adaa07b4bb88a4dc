//! What `inspect` shows of an image: skopeo's fields, so that what reads those reads these.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Image, json};
use crate::error::Result;

/// An image in one document.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct View {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<String>,
    digest: String,
    repo_tags: Vec<String>,
    created: Option<String>,
    docker_version: String,
    labels: Option<Value>,
    architecture: String,
    os: String,
    layers: Vec<String>,
    layers_data: Vec<Layer>,
    env: Option<Value>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Layer {
    #[serde(rename = "MIMEType")]
    mime_type: String,
    digest: String,
    size: u64,
    annotations: Option<Value>,
}

/// What of the config is no part of the specification, or is to be shown as it stands there.
#[derive(Deserialize)]
struct Extra {
    #[serde(default)]
    docker_version: String,
    #[serde(default)]
    config: Option<Running>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Running {
    labels: Option<Value>,
    env: Option<Value>,
}

impl View {
    /// The view of an image; `tags` are those of its repository.
    pub fn new(name: String, tag: Option<&str>, image: &Image, tags: Vec<String>) -> Result<Self> {
        let manifest: Value = json(&image.bytes)?;
        let extra: Extra = json(&image.config_bytes)?;
        let (labels, env) = extra.config.map_or((None, None), |config| (config.labels, config.env));
        let config = &image.config.document;
        let layers = image.manifest.layers.iter().enumerate().map(|(n, layer)| Layer {
            mime_type: layer.media_type.clone(),
            digest: layer.digest.to_string(),
            size: layer.size,
            annotations: manifest["layers"][n].get("annotations").cloned(),
        });
        Ok(Self {
            name,
            tag: tag.map(str::to_owned),
            digest: image.top.digest.to_string(),
            repo_tags: tags,
            created: config.created().clone(),
            docker_version: extra.docker_version,
            labels,
            architecture: config.architecture().to_string(),
            os: config.os().to_string(),
            layers: image.manifest.layers.iter().map(|layer| layer.digest.to_string()).collect(),
            layers_data: layers.collect(),
            env,
        })
    }
}
