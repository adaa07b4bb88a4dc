//! What proves the two programs, and what their own tests share.
//!
//! ```text
//! fixture   images built in memory or from a tar file, true or lying
//! registry  an in-process registry with faults, Debian's docker-registry, and a push to either
//! debian    images with a real Debian userland, made once and kept
//! host      what this machine can do; the only way for a test to skip; waiting; finding programs
//! ```
//!
//! Nothing here depends on the crates that it proves: they are called as programs.

pub mod blob;
pub mod debian;
pub mod fixture;
pub mod host;
pub mod registry;
