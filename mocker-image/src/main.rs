//! `mocker-image`: turns registry images into OCI bundles.

use std::process::ExitCode;

fn main() -> ExitCode {
    mocker_image::cli::main()
}
