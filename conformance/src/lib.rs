//! What proves the two programs, and what their own tests share: fixtures, a registry, the host's features.
