//! `conformance`: proves a container runtime and an image tool against the OCI specifications.

fn main() {}
