//! The fuzz targets of `mocker-image`. A target panics where its input breaks a promise.
//!
//! `scripts/fuzz` runs them under libFuzzer. The seeds, and whatever input was ever a finding, are files below
//! `seeds/TARGET`; a plain test runs them all.

/// A target's name, and what it does with an input.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: &[Target] = &[
    ("reference", reference),
    ("manifest", manifest),
    ("challenge", challenge),
    ("tar", tar),
    ("gzip", gzip),
];

/// What a name is written as is the same name, and no path can climb in it.
fn reference(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Some(written) = mocker_image::fuzz::reference(text) else { return };
    assert_eq!(mocker_image::fuzz::reference(&written).as_ref(), Some(&written), "{text:?}");
    assert!(!written.split('/').any(|part| matches!(part, "" | "." | "..")), "{text:?} climbs");
}

fn manifest(bytes: &[u8]) {
    mocker_image::fuzz::manifest(bytes);
}

fn challenge(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        mocker_image::fuzz::challenge(text);
    }
}

/// No more comes out of an archive than is in it.
fn tar(bytes: &[u8]) {
    let (entries, content) = mocker_image::fuzz::tar(bytes);
    assert!(entries * 512 <= bytes.len(), "{entries} entries");
    assert!(content <= bytes.len() as u64, "{content} bytes of content");
}

/// What another reader unpacks, ours unpacks to the same bytes.
fn gzip(bytes: &[u8]) {
    if let Some((length, ours)) = mocker_image::fuzz::gzip(bytes) {
        assert_eq!(ours, Ok(()), "{length} bytes");
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    #[test]
    fn every_seed_and_every_former_finding_keeps_the_promises() {
        for (name, target) in super::TARGETS {
            let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(name);
            let files: Vec<_> = std::fs::read_dir(&seeds).unwrap().collect();
            assert!(!files.is_empty(), "{} has no seed", seeds.display());
            for file in files {
                target(&std::fs::read(file.unwrap().path()).unwrap());
            }
        }
    }

    #[test]
    fn the_first_seeds_are_accepted() {
        let read = |name: &str| std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(name));
        let text = |name: &str| String::from_utf8(read(name).unwrap()).unwrap();
        assert_eq!(mocker_image::fuzz::reference("alpine").unwrap(), "docker.io/library/alpine:latest");
        assert!(mocker_image::fuzz::reference(&text("reference/whole")).is_some());
        assert!(mocker_image::fuzz::manifest(&read("manifest/image").unwrap()));
        assert!(mocker_image::fuzz::challenge(&text("challenge/bearer")));
        assert!(mocker_image::fuzz::tar(&read("tar/gnu.tar").unwrap()).0 > 3);
        assert!(mocker_image::fuzz::tar(&read("tar/pax.tar").unwrap()).0 > 3);
        assert_eq!(mocker_image::fuzz::gzip(&read("gzip/members.gz").unwrap()), Some((47, Ok(()))));
    }
}
