//! `serve`: fixture images from a registry on loopback, for demonstrations and by hand.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::ValueEnum;
use conformance::registry::Registry;
use conformance::{debian, fixture};

/// Serve images from a registry on 127.0.0.1 until standard input closes or a signal comes
///
/// The first line of output is the registry's address; the others name what it holds.
#[derive(Debug, clap::Args)]
pub(crate) struct Serve {
    /// Also write the address to this file, whole or not at all
    #[arg(long, value_name = "FILE")]
    port_file: Option<PathBuf>,
    /// What to serve (may be given several times)
    #[arg(long, value_enum, default_values = ["sample"])]
    image: Vec<Which>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Which {
    /// busybox in two layers, as sample:latest
    Sample,
    /// busybox alone, as scratch:latest
    Scratch,
    /// Debian: debian:bookworm, :changed, :many, :zstd and :index
    Debian,
}

impl Serve {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let registry = Registry::start().context("listen on 127.0.0.1")?;
        let mut names = Vec::new();
        let mut put = |name: &str, tag: &str, artifact: &fixture::Artifact| {
            registry.put(name, tag, artifact);
            names.push(registry.reference(name, tag));
        };
        for which in &self.image {
            match which {
                Which::Sample => put("sample", "latest", &fixture::sample()?),
                Which::Scratch => {
                    put("scratch", "latest", &fixture::scratch("/bin/busybox".as_ref(), ["echo", "hello"])?);
                }
                Which::Debian => {
                    put("debian", "bookworm", &debian::base()?.build()?);
                    put("debian", "changed", &debian::changed()?.build()?);
                    put("debian", "many", &debian::many()?.build()?);
                    put("debian", "zstd", &debian::zstd()?.build()?);
                    put("debian", "index", &debian::index()?);
                }
            }
        }
        if let Some(path) = &self.port_file {
            let unfinished = path.with_added_extension("unfinished");
            std::fs::write(&unfinished, registry.address() + "\n")?;
            std::fs::rename(&unfinished, path).with_context(|| format!("write {}", path.display()))?;
        }
        super::say(&format!("{}\n{}", registry.address(), names.join("\n")));
        io::stdout().flush()?;
        io::copy(&mut io::stdin(), &mut io::sink()).context("wait for the end of standard input")?;
        Ok(ExitCode::SUCCESS)
    }
}
