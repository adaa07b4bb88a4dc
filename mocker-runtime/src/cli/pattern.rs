//! Several containers at once, by a regular expression (`--regex`).

use regex_lite::Regex;

use crate::container::{Container, Root};
use crate::error::{Error, Result};

/// The containers whose names hold what the expression describes (`^` and `$` stand for a name's ends).
pub(super) fn matching(root: &Root, pattern: &str) -> Result<Vec<Container>> {
    let regex = Regex::new(pattern)
        .map_err(|error| Error::invalid(format!("the regular expression {pattern:?} is wrong: {error}")))?;
    Ok(root.list()?.into_iter().filter(|container| regex.is_match(container.id().as_str())).collect())
}

/// Does the same to each, whatever becomes of the others; gives the first error.
pub(super) fn each(containers: Vec<Container>, act: impl Fn(Container) -> Result<()>) -> Result<()> {
    let results: Vec<Result<()>> = containers.into_iter().map(act).collect();
    results.into_iter().collect()
}
