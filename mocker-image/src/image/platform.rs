//! Platforms, and the choice of one from an index.

use std::fmt;
use std::str::FromStr;

use oci_spec::image::ImageIndex;

use super::Descriptor;
use crate::error::{Error, Kind, Result};

/// `os/arch[/variant]`, in Go's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Platform {
    os: String,
    architecture: String,
    variant: Option<String>,
}

impl Platform {
    /// Linux on this machine's processor.
    pub fn host() -> Self {
        let machine = std::env::consts::ARCH;
        let (architecture, variant) = match normal(machine) {
            ("arm", None) => ("arm", Some("v7")),
            other => other,
        };
        Self {
            os: "linux".to_owned(),
            architecture: architecture.to_owned(),
            variant: variant.map(str::to_owned),
        }
    }

    /// Whether the two are of one system and architecture; variants aside.
    pub fn is_like(&self, other: &Self) -> bool {
        (&self.os, &self.architecture) == (&other.os, &other.architecture)
    }

    /// The variants that this platform runs, the best first; `None` is a manifest that names none.
    fn variants(&self) -> Vec<Option<&str>> {
        let default = match self.architecture.as_str() {
            "arm" => Some("v7"),
            "arm64" => Some("v8"),
            _ => None,
        };
        let wanted = self.variant.as_deref().or(default);
        let mut variants = vec![wanted];
        let level = wanted.and_then(|v| v.strip_prefix('v')).and_then(|v| v.parse::<u8>().ok());
        let lowest = if self.architecture == "arm" { 5 } else { 1 };
        let lower: &[&str] = &["v9", "v8", "v7", "v6", "v5", "v4", "v3", "v2", "v1"];
        for name in lower {
            let n = name[1..].parse::<u8>().unwrap_or(0);
            if level.is_some_and(|level| n < level) && n >= lowest {
                variants.push(Some(name));
            }
        }
        variants.push(None);
        variants
    }

    /// The manifest for this platform.
    ///
    /// # Errors
    /// There is none; the sentence says which there are.
    pub fn choose(&self, index: &ImageIndex) -> Result<Descriptor> {
        let of = |d: &oci_spec::image::Descriptor| {
            d.platform().as_ref().map(|p| {
                let variant = p.variant().as_deref();
                let (architecture, implied) = normal(&p.architecture().to_string()).to_owned_pair();
                Self { os: p.os().to_string(), architecture, variant: variant.map(str::to_owned).or(implied) }
            })
        };
        let offers: Vec<_> = index.manifests().iter().filter_map(|d| of(d).map(|p| (p, d))).collect();
        for variant in self.variants() {
            let fits = |p: &Self| {
                (&p.os, &p.architecture, p.variant.as_deref()) == (&self.os, &self.architecture, variant)
            };
            if let Some((_, descriptor)) = offers.iter().find(|(p, _)| fits(p)) {
                return Descriptor::read(descriptor);
            }
        }
        let mut names: Vec<_> =
            offers.iter().map(|(p, _)| p.to_string()).filter(|p| !p.contains("unknown")).collect();
        names.dedup();
        let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        let what = format!("the image is not there for {self}; it is for: {names}");
        Err(Error::new(Kind::NotFound, what).hint("choose one with --platform"))
    }
}

/// The usual other names of architectures.
fn normal(architecture: &str) -> (&str, Option<&'static str>) {
    match architecture {
        "x86_64" | "x86-64" => ("amd64", None),
        "x86" | "i386" | "i686" => ("386", None),
        "aarch64" => ("arm64", None),
        "armhf" => ("arm", Some("v7")),
        "armel" => ("arm", Some("v6")),
        "powerpc64" => ("ppc64le", None),
        "loongarch64" => ("loong64", None),
        other => (other, None),
    }
}

trait ToOwnedPair {
    fn to_owned_pair(self) -> (String, Option<String>);
}

impl ToOwnedPair for (&str, Option<&'static str>) {
    fn to_owned_pair(self) -> (String, Option<String>) {
        (self.0.to_owned(), self.1.map(str::to_owned))
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}

impl FromStr for Platform {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self> {
        let parts: Vec<&str> = s.split('/').collect();
        let word =
            |w: &&str| !w.is_empty() && w.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
        if !parts.iter().all(word) || !(2..=3).contains(&parts.len()) {
            return Err(Error::invalid(format!(
                "platform {s:?} is not os/architecture or os/architecture/variant"
            )));
        }
        let (architecture, implied) = normal(parts[1]).to_owned_pair();
        let variant = parts.get(2).map(|&v| v.to_owned()).or(implied);
        Ok(Self { os: parts[0].to_owned(), architecture, variant })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(platforms: &[(&str, Option<&str>)]) -> ImageIndex {
        let manifests: Vec<_> = platforms
            .iter()
            .enumerate()
            .map(|(i, (architecture, variant))| {
                let mut platform = serde_json::json!({"os": "linux", "architecture": architecture});
                if let Some(variant) = variant {
                    platform["variant"] = (*variant).into();
                }
                serde_json::json!({"mediaType": crate::media::OCI_MANIFEST, "size": i, "platform": platform,
                "digest": format!("sha256:{}", "0".repeat(64))})
            })
            .collect();
        serde_json::from_value(serde_json::json!({"schemaVersion": 2, "manifests": manifests})).unwrap()
    }

    #[test]
    fn the_best_variant_that_runs_is_chosen() {
        let arms = index(&[("arm", Some("v5")), ("arm", Some("v7")), ("arm64", Some("v8")), ("amd64", None)]);
        for (platform, place) in [
            ("linux/arm", 1),
            ("linux/arm/v6", 0),
            ("linux/arm64", 2),
            ("linux/aarch64", 2),
            ("linux/amd64", 3),
            ("linux/x86_64", 3),
            ("linux/amd64/v3", 3),
        ] {
            assert_eq!(
                platform.parse::<Platform>().unwrap().choose(&arms).unwrap().size,
                place,
                "{platform}"
            );
        }
    }

    #[test]
    fn a_missing_platform_is_told_with_those_that_are_there() {
        let e = "linux/s390x".parse::<Platform>().unwrap().choose(&index(&[("amd64", None)])).unwrap_err();
        assert_eq!(e.to_string(), "the image is not there for linux/s390x; it is for: linux/amd64");
        for bad in ["linux", "", "linux/", "/amd64", "a/b/c/d"] {
            assert!(bad.parse::<Platform>().is_err(), "{bad}");
        }
    }
}
