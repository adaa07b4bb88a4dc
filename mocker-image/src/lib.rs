//! `mocker-image` as a library for its own program: from a registry to an OCI bundle.
//!
//! ```text
//! cli -> { image::pull, bundle } -> { registry, store, layer }
//!     -> image::copy -> Source, Sink <- { registry, store, layout, archive, folder, daemon }
//! ```
//!
//! Registry and store never see each other; `image` stands between them. Errors are data and
//! only `cli` prints.

pub mod archive;
pub mod bundle;
pub mod cli;
pub mod daemon;
pub mod digest;
pub mod error;
pub mod folder;
#[doc(hidden)]
pub mod fuzz;
pub mod home;
pub mod image;
pub mod interrupt;
pub mod layer;
pub mod layout;
pub mod media;
pub mod overlay;
pub mod place;
pub mod policy;
pub mod progress;
pub mod reference;
pub mod registry;
pub mod signature;
pub mod store;
pub mod userns;
