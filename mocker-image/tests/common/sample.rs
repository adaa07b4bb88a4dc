//! Images that several tests begin with, and registries that serve them.

use std::path::Path;

use conformance::fixture::{Artifact, Image, Layer};
use conformance::registry::Registry;

use super::Place;

/// Bytes that do not compress.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes: Vec<u8> = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        bytes.extend(next());
    }
    bytes.truncate(length);
    bytes
}

/// Three small layers: gzip, plain and zstd.
pub(crate) fn small() -> Image {
    Image::new()
        .layer(&Layer::new().dir("etc").file("etc/a", "a\n").file("noise", noise(300_000)))
        .layer(&Layer::new().file("etc/b", "b\n").plain())
        .layer(&Layer::new().file("etc/c", "c\n").zstd())
}

/// Three layers, the lowest of some megabytes that do not compress well.
pub(crate) fn large() -> Image {
    let noise: Vec<u8> = (0..800_000_u32)
        .flat_map(|n| n.wrapping_mul(2_654_435_761).rotate_left(n % 31).to_le_bytes())
        .collect();
    Image::new()
        .layer(&Layer::new().dir("./").dir("etc").file("etc/a", "a\n").file("noise", noise))
        .layer(&Layer::new().file("etc/b", "b\n").plain())
        .layer(&Layer::new().file("etc/c", "c\n"))
        .cmd(["/bin/true"])
        .created("2024-01-01T00:00:00Z")
}

/// A registry that holds one artifact as `app:v1`.
pub(crate) fn serving(artifact: &Artifact) -> Registry {
    let registry = Registry::start().unwrap();
    registry.put("app", "v1", artifact);
    registry
}

/// Serves an image as `app:v1` while `look` looks.
pub(crate) fn with<T>(image: &Image, look: impl FnOnce(&Place, &str, &Registry) -> T) -> T {
    let registry = Registry::start().unwrap();
    registry.put("app", "v1", &image.build().unwrap());
    look(&Place::new(), &registry.reference("app", "v1"), &registry)
}

/// A file of the unpacked root.
pub(crate) fn text(place: &Place, name: &str) -> String {
    std::fs::read_to_string(place.rootfs().join(name)).unwrap()
}

/// The names in a directory, sorted.
pub(crate) fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
