//! Whether signatures go along with a copy: containers-registries.d(5).
//!
//! ```text
//! default-docker: { use-sigstore-attachments: true }
//! docker: { HOST/PATH: { use-sigstore-attachments: false }, ... }
//! ```
//!
//! Nobody copies signatures unasked, since every registry would be asked for those that most images
//! have not. What a policy or the command line demands is looked for in any case.

use std::io;
use std::path::PathBuf;

use yaml_rust2::{Yaml, YamlLoader};

use crate::error::{Context, Error, Result};
use crate::home;
use crate::policy::of_name;
use crate::reference::Reference;

const SYSTEM: &str = "/etc/containers/registries.d";
const KEY: &str = "use-sigstore-attachments";

/// Whether a repository's signatures are copied from and to it.
pub fn carries(reference: &Reference) -> Result<bool> {
    let mut usual = false;
    let (mut best, scopes) = (None::<(usize, bool)>, of_name(reference));
    for path in files()? {
        let text = std::fs::read_to_string(&path).while_doing(|| format!("read {}", path.display()))?;
        let parsed = YamlLoader::load_from_str(&text).map_err(|e| Error::invalid(e.to_string()));
        for document in parsed.while_doing(|| format!("read {}", path.display()))? {
            usual = document["default-docker"][KEY].as_bool().unwrap_or(usual);
            let Yaml::Hash(of_docker) = &document["docker"] else { continue };
            for (scope, value) in of_docker {
                let place = scopes.iter().position(|own| scope.as_str() == Some(own));
                if let (Some(place), Some(said)) = (place, value[KEY].as_bool())
                    && best.is_none_or(|(held, _)| place < held)
                {
                    best = Some((place, said));
                }
            }
        }
    }
    Ok(best.map_or(usual, |(_, said)| said))
}

/// The user's files, or else the system's.
fn files() -> Result<Vec<PathBuf>> {
    let own = home::variable("XDG_CONFIG_HOME").or_else(|| home::directory().ok().map(|h| h.join(".config")));
    let own = own.map(|dir| dir.join("containers/registries.d"));
    for dir in own.into_iter().chain([PathBuf::from(SYSTEM)]) {
        let found = match std::fs::read_dir(&dir) {
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => {
                continue;
            }
            other => other.while_doing(|| format!("list {}", dir.display()))?,
        };
        let mut files: Vec<PathBuf> = found.flatten().map(|entry| entry.path()).collect();
        files.retain(|path| path.extension().is_some_and(|end| end == "yaml"));
        files.sort();
        return Ok(files);
    }
    Ok(Vec::new())
}
