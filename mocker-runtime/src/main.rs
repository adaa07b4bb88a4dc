//! `mocker-runtime`: runs OCI bundles.

use std::process::ExitCode;

fn main() -> ExitCode {
    mocker_runtime::main()
}
