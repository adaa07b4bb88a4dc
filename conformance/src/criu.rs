//! A criu that works on this kernel: the one in PATH, else sid's, unpacked once and kept.
//!
//! Debian 12's criu 3.17 fails on kernels much newer than itself, and user-mode Linux has nothing of what criu
//! needs; so it is tried, not looked up. Making the kept one needs mmdebstrap and the machine's own apt mirror.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, Result, bail};

use crate::{debian, host};

/// The folder to put at the front of PATH, if there is a criu that works here.
pub fn folder() -> Option<&'static Path> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    FOUND.get_or_init(find).as_deref()
}

fn find() -> Option<PathBuf> {
    let on_path = host::on_path("criu").filter(|criu| works(criu));
    let own = on_path.and_then(|criu| criu.parent().map(Path::to_owned));
    own.or_else(|| kept().ok().filter(|folder| works(&folder.join("criu"))))
}

fn works(criu: &Path) -> bool {
    let mut check = Command::new(criu);
    check.arg("check").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    host::is_root() && check.status().is_ok_and(|status| status.success())
}

/// FIXTURES/criu: the packages' files, and `bin/criu`, which starts sid's program with sid's libraries.
fn kept() -> Result<PathBuf> {
    let dir = debian::folder()?.join("criu");
    let bin = dir.join("bin");
    let _lock = debian::lock()?;
    if bin.join("criu").is_file() {
        return Ok(bin);
    }
    let root = dir.join("root");
    if root.is_dir() {
        std::fs::remove_dir_all(&root)?;
    }
    std::fs::create_dir_all(&bin)?;
    let output = Command::new("mmdebstrap")
        .args(["--variant=extract", "--include=criu", "--aptopt=Acquire::Retries \"3\""])
        // A mirror that stands still is as good as one that is up to date.
        .args(["--aptopt=Acquire::Check-Valid-Until \"false\"", "sid"])
        .args([root.as_os_str(), debian::mirror()?.as_ref()])
        .output()
        .context("run mmdebstrap (package mmdebstrap)")?;
    if !output.status.success() {
        bail!("mmdebstrap sid: {}", String::from_utf8_lossy(&output.stderr));
    }
    let root = root.display();
    let script = format!(
        "#!/bin/sh\nexec {root}/usr/lib64/ld-linux-x86-64.so.2 --argv0 criu \
         --library-path {root}/usr/lib/x86_64-linux-gnu {root}/usr/sbin/criu \"$@\"\n"
    );
    let unfinished = bin.join("criu.unfinished");
    std::fs::write(&unfinished, script)?;
    std::fs::set_permissions(&unfinished, std::fs::Permissions::from_mode(0o755))?;
    std::fs::rename(&unfinished, bin.join("criu"))?;
    Ok(bin)
}
