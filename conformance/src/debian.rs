//! Images with a real Debian userland, made by mmdebstrap once and kept.
//!
//! ```text
//! FIXTURES/            MOCKER_FIXTURES, or `fixtures` in the cargo target directory
//!   lock               held while something is made
//!   bookworm.tar       mmdebstrap --variant=minbase
//!   base.tar.gz  base.tar.gz.json     the packed layer, its digests
//!   base.tar.zst base.tar.zst.json
//!   many.tar.gz  many.tar.gz.json
//!   criu/                             sid's criu, where PATH has none that works
//! ```
//!
//! Only making `bookworm.tar` needs the network, and only the machine's own apt mirror. A machine without
//! network (the test VM) gets the folder from one that has it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::fixture::{Artifact, Image, Index, Layer, Packed, Platform};
use crate::host;

const SUITE: &str = "bookworm";
const SEARCH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How many files the layer of small files has.
pub const MANY: usize = 20_000;

/// The folder of kept fixtures: `MOCKER_FIXTURES`, or `fixtures` in the cargo target directory.
pub fn folder() -> Result<PathBuf> {
    let named = std::env::var_os("MOCKER_FIXTURES").map(PathBuf::from);
    let dir = named.or_else(|| host::target_dir().map(|dir| dir.join("fixtures")));
    let dir = dir.context("no place for fixtures: set MOCKER_FIXTURES")?;
    std::fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
    Ok(dir)
}

/// Whether the userland is there or can be made here.
pub fn is_available() -> bool {
    folder().is_ok_and(|dir| dir.join("bookworm.tar").is_file()) || host::on_path("mmdebstrap").is_some()
}

/// The userland in one gzip layer; `/bin/bash` is its command.
pub fn base() -> Result<Image> {
    Ok(described(Image::new())
        .packed(locked(|dir| Ok(Layer::from_tar(userland(dir)?).pack_into(&dir.join("base.tar.gz"))?))?))
}

/// The base and the layer `changes`.
pub fn changed() -> Result<Image> {
    Ok(base()?.layer(&changes()))
}

/// The base, `changes`, and 20,000 small files below /many.
pub fn many() -> Result<Image> {
    Ok(changed()?.packed(locked(|dir| Ok(many_layer().pack_into(&dir.join("many.tar.gz"))?))?))
}

/// The userland in one zstd layer.
pub fn zstd() -> Result<Image> {
    Ok(described(Image::new()).packed(locked(|dir| {
        Ok(Layer::from_tar(userland(dir)?).zstd().pack_into(&dir.join("base.tar.zst"))?)
    })?))
}

/// `changed` for this machine and a false arm64 (s390x on arm64) whose os-release says `PRETTY_NAME="Debian elsewhere"`.
pub fn index() -> Result<Artifact> {
    let other = if cfg!(target_arch = "aarch64") { "s390x" } else { "arm64" };
    let here = changed()?.build()?;
    let marker = Layer::new().file("usr/lib/os-release", "ID=debian\nPRETTY_NAME=\"Debian elsewhere\"\n");
    let there = base()?.layer(&marker).platform(Platform::linux(other)).build()?;
    Ok(Index::new().member(Platform::host(), here).member(Platform::linux(other), there).build())
}

/// The layer that deletes and replaces what the base has:
///
/// - `/etc/issue` is deleted, `/etc/issue.net` becomes a directory, `/usr/share/doc` is opaque and holds one
///   new file, `/etc/debian_version` is replaced, `/etc/kept-version` is a hardlink to it,
///   `/usr/share/common-licenses` (a directory) becomes a symlink.
pub fn changes() -> Layer {
    Layer::new()
        .whiteout("etc/issue")
        .whiteout("etc/issue.net")
        .dir("etc/issue.net")
        .file("etc/issue.net/inside", "a directory now\n")
        .dir("usr/share/doc")
        .opaque("usr/share/doc")
        .file("usr/share/doc/only", "the only document\n")
        .file("etc/debian_version", "mocker\n")
        .hardlink("etc/kept-version", "etc/debian_version")
        .symlink("usr/share/common-licenses", "/nowhere")
        .file("etc/changed-by", "the second layer\n")
        .owner(12, 34)
        .mode(0o640)
}

fn many_layer() -> Layer {
    let mut layer = Layer::new().dir("many/");
    for n in 0..MANY {
        if n % 200 == 0 {
            layer = layer.dir(format!("many/{:02}/", n / 200));
        }
        layer = layer.file(format!("many/{:02}/{n:05}", n / 200), format!("file {n}\n"));
    }
    layer
}

fn described(image: Image) -> Image {
    image
        .env(SEARCH)
        .env("LANG=C.UTF-8")
        .cmd(["/bin/bash"])
        .author("mmdebstrap")
        .created("2024-01-01T00:00:00Z")
}

/// Work in the folder that one process does while the others wait.
fn locked(work: impl FnOnce(&Path) -> Result<Packed>) -> Result<Packed> {
    let _lock = lock()?;
    work(&folder()?)
}

/// Held while something in the folder is made.
pub(crate) fn lock() -> Result<File> {
    let dir = folder()?;
    let lock = File::create(dir.join("lock"))?;
    lock.lock().with_context(|| format!("lock {}", dir.display()))?;
    Ok(lock)
}

fn userland(dir: &Path) -> Result<PathBuf> {
    let tar = dir.join(format!("{SUITE}.tar"));
    if tar.is_file() {
        return Ok(tar);
    }
    let (unfinished, mirror) = (dir.join(format!("{SUITE}.unfinished.tar")), mirror()?);
    let output = Command::new("mmdebstrap")
        .args(["--variant=minbase", "--aptopt=Acquire::Retries \"3\"", SUITE])
        .args([unfinished.as_os_str(), mirror.as_ref()])
        .env("SOURCE_DATE_EPOCH", "1700000000")
        .output()
        .context("run mmdebstrap (package mmdebstrap)")?;
    if !output.status.success() {
        bail!("mmdebstrap {SUITE}: {}", String::from_utf8_lossy(&output.stderr));
    }
    std::fs::rename(&unfinished, &tar)?;
    Ok(tar)
}

/// The first repository of this machine's own apt that holds the main archive.
pub(crate) fn mirror() -> Result<String> {
    let output = Command::new("apt-get")
        .args(["indextargets", "--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages"])
        .output()
        .context("run apt-get indextargets")?;
    let text = String::from_utf8(output.stdout)?;
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    let found = lines.find(|(_, release)| *release == SUITE).or_else(|| {
        text.lines().filter_map(|line| line.split_once(' ')).find(|(uri, _)| !uri.contains("security"))
    });
    Ok(found.context("apt knows no repository")?.0.to_owned())
}
