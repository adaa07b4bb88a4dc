//! `mocker-runtime`: runs OCI bundles.
#![no_main]

mocker_runtime::entry!();
