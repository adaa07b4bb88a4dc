//! What proves the two programs, and what their own tests share.
//!
//! ```text
//! fixture   images built in memory or from a tar file, true or lying
//! registry  an in-process registry with faults, Debian's docker-registry, and a push to either
//! debian    images with a real Debian userland, made once and kept
//! criu      a criu that works on this kernel, found or made
//! host      what this machine can do; the only way for a test to skip; waiting; finding programs
//!
//! cases     the suite: sentences of the specification, each with a check
//! case      what a case is, and the bench that it works at
//! bundle    its root file system and configuration      container   its life, by the runtime's verbs
//! runtime   calls of the program under test             inside      what the probe saw in the container
//! image     the same for image tools: a desk with a registry, command tables, the trees that they make
//! expected  what known tools are known to fail          mutant    runtimes wrong on purpose
//! jobs      several cases at once         report    what a run found; several side by side
//! tools     runtime-tools' validation programs
//! ```
//!
//! Nothing here depends on the crates that it proves: they are called as programs.

pub mod blob;
pub mod bundle;
pub mod case;
pub mod cases;
pub mod container;
pub mod criu;
pub mod debian;
pub mod expected;
pub mod fixture;
pub mod host;
pub mod image;
pub mod inside;
pub mod jobs;
pub mod mutant;
pub mod registry;
pub mod report;
pub mod runtime;
pub mod socket;
pub mod sys;
pub mod tools;
