//! `mocker-image`: turns registry images into OCI bundles.

fn main() {}
