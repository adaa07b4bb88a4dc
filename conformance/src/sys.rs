//! Calls of the kernel that no crate makes safe.

pub mod supervisor;
