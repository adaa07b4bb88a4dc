//! A low-level container runtime: it turns an OCI bundle into a running container.
//!
//! `cli -> container -> { plan <- bundle } -> sync -> init -> sys`: a command reads the bundle, `plan`
//! makes kernel values of its config, `container` is the parent's half of the work and `init` the
//! child's, and only `sys` speaks to the kernel with its own hands. ARCHITECTURE.md tells the life of a
//! create from one end to the other.

mod abi;
mod bundle;
mod cgroup;
mod checkpoint;
mod cli;
mod container;
pub mod error;
mod features;
#[doc(hidden)]
pub mod fuzz;
mod hooks;
mod init;
mod log;
mod plan;
mod rootless;
mod sealed;
mod sync;
mod sys;
mod time;
mod user;

pub use cli::main;

/// Makes `main` of a program that is nothing but [`crate::main`]: called by the C library, without the standard
/// library's own preparations, which read /proc/self/maps and make a second stack for a message that nobody needs.
#[macro_export]
macro_rules! entry {
    () => {
        #[unsafe(no_mangle)]
        extern "C" fn main() -> i32 {
            $crate::main().into()
        }
    };
}

/// The version of runtime-spec that this program is written to.
pub const SPEC_VERSION: &str = "1.3.0";
