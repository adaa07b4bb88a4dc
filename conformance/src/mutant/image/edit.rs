//! What mutants do to a root file system.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::Result;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps};

/// Everything below the root, folders before what is in them; the root itself first.
pub(super) fn walk(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = vec![root.to_owned()];
    let mut at = 0;
    while let Some(path) = found.get(at).cloned() {
        if path.symlink_metadata()?.is_dir() {
            for entry in fs::read_dir(&path)? {
                found.push(entry?.path());
            }
        }
        at += 1;
    }
    Ok(found)
}

fn is_dir(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|meta| meta.is_dir())
}

fn is_file(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|meta| meta.is_file())
}

fn remove(path: &Path) -> Result<()> {
    let removed = if is_dir(path) { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    Ok(removed?)
}

/// A file of each of these names in every folder that has none.
pub(super) fn plant(root: &Path, names: &[&str]) -> Result<()> {
    for dir in walk(root)?.into_iter().filter(|path| is_dir(path)) {
        for name in names {
            if !dir.join(name).try_exists()? {
                fs::write(dir.join(name), "")?;
            }
        }
    }
    Ok(())
}

/// Everything of this name goes.
pub(super) fn lose(root: &Path, name: &str) -> Result<()> {
    for path in walk(root)? {
        if path.file_name().is_some_and(|held| held == name) && path.symlink_metadata().is_ok() {
            remove(&path)?;
        }
    }
    Ok(())
}

pub(super) fn forget_times(root: &Path) -> Result<()> {
    let never = Timespec { tv_sec: 0, tv_nsec: 0 };
    let times = Timestamps { last_access: never, last_modification: never };
    for path in walk(root)?.into_iter().rev() {
        rustix::fs::utimensat(CWD, &path, &times, AtFlags::SYMLINK_NOFOLLOW)?;
    }
    Ok(())
}

pub(super) fn give_to_root(root: &Path) -> Result<()> {
    for path in walk(root)? {
        std::os::unix::fs::lchown(path, Some(0), Some(0))?;
    }
    Ok(())
}

/// Every mode becomes what `change` makes of it.
pub(super) fn modes(root: &Path, change: fn(u32) -> u32) -> Result<()> {
    for path in walk(root)? {
        let meta = path.symlink_metadata()?;
        if !meta.is_symlink() {
            fs::set_permissions(&path, fs::Permissions::from_mode(change(meta.mode() & 0o7777)))?;
        }
    }
    Ok(())
}

pub(super) fn drop_xattrs(root: &Path) -> Result<()> {
    for path in walk(root)? {
        for name in ["user.kept", "security.capability"] {
            rustix::fs::lremovexattr(&path, name).ok();
        }
    }
    Ok(())
}

pub(super) fn copy_links(root: &Path) -> Result<()> {
    for path in walk(root)? {
        let meta = path.symlink_metadata()?;
        if meta.nlink() < 2 || meta.is_dir() {
            continue;
        }
        let (content, target) = (fs::read(&path), fs::read_link(&path));
        fs::remove_file(&path)?;
        match target {
            Ok(target) => symlink(target, &path)?,
            Err(_) => fs::write(&path, content?)?,
        }
    }
    Ok(())
}

/// Links, devices and pipes become empty files.
pub(super) fn plain_files(root: &Path) -> Result<()> {
    for path in walk(root)?.into_iter().filter(|path| !is_dir(path) && !is_file(path)) {
        fs::remove_file(&path)?;
        fs::write(&path, "")?;
    }
    Ok(())
}

pub(super) fn lose_folders(root: &Path) -> Result<()> {
    for path in walk(root)?.into_iter().skip(1).filter(|path| is_dir(path)) {
        if is_dir(&path) {
            remove(&path)?;
        }
    }
    Ok(())
}

pub(super) fn empty_files(root: &Path) -> Result<()> {
    for path in walk(root)?.into_iter().filter(|path| is_file(path)) {
        fs::write(path, "")?;
    }
    Ok(())
}

pub(super) fn cut_names(root: &Path) -> Result<()> {
    for path in walk(root)?.into_iter().rev() {
        let name = path.file_name().map(|name| name.as_bytes().to_vec()).unwrap_or_default();
        if name.len() > 100 {
            fs::rename(&path, path.with_file_name(std::ffi::OsStr::from_bytes(&name[..100])))?;
        }
    }
    Ok(())
}

/// Where a link to `target` was, there it still is.
pub(super) fn leave_link(root: &Path) -> Result<()> {
    let (it, target) = (root.join("it"), root.join("target"));
    if !target.try_exists()? {
        return Ok(());
    }
    remove(&it)?;
    Ok(symlink("target", it)?)
}

/// `it` is of the other kind.
pub(super) fn leave_old_kind(root: &Path) -> Result<()> {
    let it = root.join("it");
    let was_dir = is_dir(&it);
    remove(&it)?;
    let made = if was_dir { fs::write(it, "") } else { fs::create_dir(it) };
    Ok(made?)
}

pub(super) fn write_through_links(root: &Path) -> Result<()> {
    let (it, kept) = (root.join("it"), root.join("kept"));
    if is_file(&it) && is_file(&kept) {
        fs::copy(it, kept)?;
    }
    Ok(())
}

pub(super) fn keep_old_attributes(root: &Path) -> Result<()> {
    let it = root.join("it");
    if is_file(&it) {
        rustix::fs::setxattr(&it, "user.gone", b"1", rustix::fs::XattrFlags::empty())?;
    }
    Ok(())
}

/// A file of the root gets another content, where it is there.
pub(super) fn rewrite(root: &Path, name: &str, content: &str) -> Result<()> {
    let path = root.join(name);
    if is_file(&path) {
        fs::write(path, content)?;
    }
    Ok(())
}
