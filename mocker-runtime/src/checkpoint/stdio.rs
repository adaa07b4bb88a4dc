//! Where a container's standard streams led when it was made: `descriptors.json`.
//!
//! Pipes among them are the caller's. criu saves their names, and at the restore it gets the streams of the
//! restoring command in their place.

use std::path::Path;

use crate::error::{Result, WhileDoing};

const FILE: &str = "descriptors.json";

/// What this process's own streams are: `pipe:[123]`, or a path.
pub(crate) fn own() -> Vec<String> {
    (0..3)
        .map(|number| {
            let target = std::fs::read_link(format!("/proc/self/fd/{number}"));
            target.map(|path| path.to_string_lossy().into_owned()).unwrap_or_default()
        })
        .collect()
}

/// What the streams of a container with a terminal are, as runc writes them.
pub(crate) fn of_terminal() -> Vec<String> {
    vec!["/dev/null".to_owned(); 3]
}

/// Writes the file beside the images.
pub(super) fn save(images: &Path, streams: &[String]) -> Result<()> {
    let file = images.join(FILE);
    serde_json::to_vec(streams)
        .while_doing(|| "write the descriptors")
        .and_then(|text| std::fs::write(&file, text).while_doing(|| format!("write {}", file.display())))
}

/// Names of pipes and the stream that takes the place of each.
pub(super) fn pipes(images: &Path) -> Result<Vec<(String, i32)>> {
    let file = images.join(FILE);
    let act = || format!("read {}", file.display());
    let text = std::fs::read(&file).while_doing(act)?;
    let streams: Vec<String> = serde_json::from_slice(&text).while_doing(act)?;
    Ok(streams.into_iter().zip(0..).filter(|(name, _)| name.contains("pipe:")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pipes_are_handed_over_at_the_restore() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let streams = ["/dev/null", "pipe:[12]", "pipe:[13]"].map(str::to_owned);
        save(dir.path(), &streams).expect("writes");
        let want = [("pipe:[12]".to_owned(), 1), ("pipe:[13]".to_owned(), 2)];
        assert_eq!(pipes(dir.path()).expect("reads"), want);
    }
}
