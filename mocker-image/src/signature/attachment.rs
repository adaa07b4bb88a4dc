//! Signatures beside an image in a registry, and in a folder: how they are written down.

use serde_json::{Value, json};

use super::Signature;
use crate::digest::Digest;
use crate::error::{Context, Error, Result};
use crate::image::edit::to_bytes;
use crate::image::{Blob, Descriptor};
use crate::media::{OCI_CONFIG, OCI_MANIFEST};

/// The media type of what is signed.
pub const PAYLOAD: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// The annotation that holds a signature.
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
/// The most bytes of what is signed, and the most signatures that are looked at.
const LIMIT: (u64, usize) = (1 << 20, 256);
/// How such a file of a folder begins; one without is of GPG.
const MARK: &[u8] = b"\0sigstore-json\n";

/// The tag of a manifest's signatures.
pub fn tag(digest: &Digest) -> String {
    format!("{}-{}.sig", digest.algorithm(), digest.hex())
}

/// The signatures that a manifest names; `open` gives a blob.
pub fn read(manifest: &[u8], open: impl Fn(&Descriptor) -> Result<Blob>) -> Result<Vec<Signature>> {
    let value: Value = crate::image::json(manifest)?;
    let layers = value["layers"].as_array().cloned().unwrap_or_default();
    let mut found = Vec::new();
    for layer in layers.iter().filter(|layer| layer["mediaType"] == PAYLOAD).take(LIMIT.1) {
        let descriptor = Descriptor::parse(layer)?;
        let annotations = annotations(&layer["annotations"]);
        let Some(signature) = annotations.iter().find(|(key, _)| key == SIGNATURE).map(|a| a.1.clone())
        else {
            continue;
        };
        if descriptor.size > LIMIT.0 {
            return Err(Error::invalid(format!("signature {descriptor} is larger than {} bytes", LIMIT.0)));
        }
        let mut payload = Vec::new();
        let read = std::io::Read::read_to_end(&mut open(&descriptor)?, &mut payload);
        read.while_doing(|| format!("read the signature {descriptor}"))?;
        found.push(Signature { payload, signature, annotations });
    }
    Ok(found)
}

/// The manifest and the configuration that name signatures, those of `before` among them.
pub fn write(before: Option<&[u8]>, signatures: &[Signature]) -> Result<(Vec<u8>, Vec<u8>)> {
    let before: Value = before.map_or(Ok(Value::Null), crate::image::json)?;
    let mut layers = before["layers"].as_array().cloned().unwrap_or_default();
    for signature in signatures {
        let layer = layer(signature);
        let same = |other: &Value| {
            other["digest"] == layer["digest"] && other["annotations"][SIGNATURE] == *signature.signature
        };
        if !layers.iter().any(same) {
            layers.push(layer);
        }
    }
    // These layers are not packed: their digests are their diffIDs.
    let ids: Vec<&Value> = layers.iter().map(|layer| &layer["digest"]).collect();
    let config = to_bytes(&json!({ "architecture": "", "os": "", "config": {},
        "rootfs": { "type": "layers", "diff_ids": ids } }))?;
    let of_config = Descriptor::of(OCI_CONFIG, &config);
    let manifest = to_bytes(
        &json!({ "schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": layers, "config": {
        "mediaType": of_config.media_type, "digest": of_config.digest.to_string(), "size": of_config.size } }),
    )?;
    Ok((manifest, config))
}

fn layer(signature: &Signature) -> Value {
    let descriptor = Descriptor::of(PAYLOAD, &signature.payload);
    let mut said = json!({ SIGNATURE: signature.signature });
    for (key, value) in &signature.annotations {
        said[key] = json!(value);
    }
    json!({ "mediaType": PAYLOAD, "digest": descriptor.digest.to_string(), "size": descriptor.size,
        "annotations": said })
}

fn annotations(value: &Value) -> Vec<(String, String)> {
    let pairs = value.as_object().into_iter().flatten();
    pairs.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

/// A signature as a file of a folder (`signature-N`); `None` is one of another kind.
pub fn from_file(bytes: &[u8]) -> Result<Option<Signature>> {
    use base64::Engine;
    let Some(text) = bytes.strip_prefix(MARK) else {
        return Ok(None);
    };
    let value: Value = crate::image::json(text)?;
    let annotations = annotations(&value["annotations"]);
    let signature = annotations.iter().find(|(key, _)| key == SIGNATURE).map(|a| a.1.clone());
    let payload = value["payload"].as_str().unwrap_or_default();
    let payload = base64::engine::general_purpose::STANDARD.decode(payload);
    match (value["mimeType"] == PAYLOAD, signature, payload) {
        (true, Some(signature), Ok(payload)) => Ok(Some(Signature { payload, signature, annotations })),
        _ => Ok(None),
    }
}

/// The same the other way.
pub fn to_file(signature: &Signature) -> Result<Vec<u8>> {
    use base64::Engine;
    let payload = base64::engine::general_purpose::STANDARD.encode(&signature.payload);
    let annotations = &layer(signature)["annotations"];
    let text = to_bytes(&json!({ "mimeType": PAYLOAD, "payload": payload, "annotations": annotations }))?;
    Ok([MARK, &text].concat())
}
