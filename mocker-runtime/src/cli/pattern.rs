//! Several containers at once, by a regular expression (`--regex`).

use regex_lite::Regex;

use crate::container::{Container, Root};
use crate::error::{Error, Result};

/// The containers whose names hold what the expression describes (`^` and `$` stand for a name's ends).
pub(super) fn matching(root: &Root, pattern: &str) -> Result<impl Iterator<Item = Container>> {
    let regex = Regex::new(pattern)
        .map_err(|error| Error::invalid(format!("the regular expression {pattern:?} is wrong: {error}")))?;
    Ok(root.list()?.filter(move |container| regex.is_match(container.id().as_str())))
}

/// Does the same to each, whatever becomes of the others; gives the first error.
pub(super) fn each(
    containers: impl Iterator<Item = Container>,
    act: impl Fn(Container) -> Result<()>,
) -> Result<()> {
    containers.map(act).fold(Ok(()), Result::and)
}
