//! `mocker-image` as a library for its own program: from a registry to an OCI bundle.
//!
//! ```text
//! cli -> { image::pull, bundle } -> { registry, store, layer }
//! ```
//!
//! Registry and store never see each other; `image::pull` stands between them. Errors are data and
//! only `cli` prints.

pub mod bundle;
pub mod cli;
pub mod digest;
pub mod error;
pub mod home;
pub mod image;
pub mod interrupt;
pub mod layer;
pub mod media;
pub mod progress;
pub mod reference;
pub mod registry;
pub mod store;
