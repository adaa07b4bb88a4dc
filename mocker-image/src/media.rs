//! Media types: what a registry says that a blob or a document is.

use crate::error::{Error, Kind, Result};

/// All documents that a manifest request accepts, OCI's and Docker's.
pub const DOCUMENTS: [&str; 4] = [OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST];

/// An OCI image index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// An OCI image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Docker's manifest list, the index before there were indexes.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// Docker's manifest, schema 2.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// An OCI image's configuration.
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// Docker's image configuration.
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";

/// Whose words a document speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// The OCI's image specification.
    Oci,
    /// Docker's schema 2.
    Docker,
}

impl Family {
    /// Whose a manifest or an index is.
    pub fn of(media_type: &str) -> Self {
        match media_type.contains("vnd.docker.") {
            true => Self::Docker,
            false => Self::Oci,
        }
    }

    /// The media type of its manifests.
    pub fn manifest(self) -> &'static str {
        match self {
            Self::Oci => OCI_MANIFEST,
            Self::Docker => DOCKER_MANIFEST,
        }
    }

    /// The media type of its indexes.
    pub fn index(self) -> &'static str {
        match self {
            Self::Oci => OCI_INDEX,
            Self::Docker => DOCKER_LIST,
        }
    }

    /// The media type of its configurations.
    pub fn config(self) -> &'static str {
        match self {
            Self::Oci => OCI_CONFIG,
            Self::Docker => DOCKER_CONFIG,
        }
    }

    /// The media type of its layers; Docker has none for zstd, and everybody writes it so.
    pub fn layer(self, compression: Compression) -> String {
        match (self, compression) {
            (Self::Oci, Compression::None) => OCI_LAYER.to_owned(),
            (Self::Oci, Compression::Gzip) => format!("{OCI_LAYER}+gzip"),
            (Self::Oci, Compression::Zstd) => format!("{OCI_LAYER}+zstd"),
            (Self::Docker, Compression::None) => DOCKER_LAYER.to_owned(),
            (Self::Docker, Compression::Gzip) => format!("{DOCKER_LAYER}.gzip"),
            (Self::Docker, Compression::Zstd) => format!("{DOCKER_LAYER}.zstd"),
            // Nobody has these; whoever reads such a layer says that there is no such media type.
            (_, Compression::Bzip2) => format!("{DOCKER_LAYER}.bzip2"),
            (_, Compression::Xz) => format!("{DOCKER_LAYER}.xz"),
        }
    }
}

/// Whether a media type is a manifest's or an index's.
pub fn is_document(media_type: &str) -> bool {
    DOCUMENTS.contains(&media_type.split(';').next().unwrap_or_default().trim())
}

/// What a layer's bytes are packed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Nothing: a bare tar archive.
    None,
    /// gzip, of any number of members.
    Gzip,
    /// Zstandard, of any number of frames.
    Zstd,
    /// bzip2: no layer's, but archives may be packed so, and layers in docker's.
    Bzip2,
    /// xz, the same.
    Xz,
}

impl Compression {
    /// What the media type of a layer says.
    ///
    /// # Errors
    /// A media type that is no layer's.
    pub fn of(media_type: &str) -> Result<Self> {
        let kind = media_type.split(';').next().unwrap_or_default().trim();
        match kind {
            "application/vnd.oci.image.layer.v1.tar"
            | "application/vnd.oci.image.layer.nondistributable.v1.tar" => Ok(Self::None),
            "application/vnd.docker.image.rootfs.diff.tar" => Ok(Self::None),
            "application/vnd.oci.image.layer.v1.tar+gzip"
            | "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
            | "application/vnd.docker.image.rootfs.diff.tar.gzip"
            | "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip" => Ok(Self::Gzip),
            "application/vnd.oci.image.layer.v1.tar+zstd"
            | "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd"
            | "application/vnd.docker.image.rootfs.diff.tar.zstd" => Ok(Self::Zstd),
            _ => Err(Error::new(Kind::Unsupported, format!("media type {media_type:?} is not a layer's"))),
        }
    }

    /// What the first bytes look like; anything unknown passes for a bare archive.
    pub fn sniff(first: &[u8]) -> Self {
        match first {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Self::Bzip2,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            _ => Self::None,
        }
    }

    /// The name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "a plain archive",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Bzip2 => "bzip2",
            Self::Xz => "xz",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_media_type_decides_and_what_is_no_layer_is_refused_by_name() {
        for (media_type, want) in [
            ("application/vnd.oci.image.layer.v1.tar", Compression::None),
            ("application/vnd.oci.image.layer.v1.tar+gzip", Compression::Gzip),
            ("application/vnd.oci.image.layer.v1.tar+zstd", Compression::Zstd),
            ("application/vnd.docker.image.rootfs.diff.tar.gzip", Compression::Gzip),
        ] {
            assert_eq!(Compression::of(media_type).unwrap(), want);
        }
        let e = Compression::of("application/vnd.in-toto+json").unwrap_err();
        assert_eq!(e.to_string(), "media type \"application/vnd.in-toto+json\" is not a layer's");
    }
}
