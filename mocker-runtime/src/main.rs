//! `mocker-runtime`: runs OCI bundles.

fn main() {}
