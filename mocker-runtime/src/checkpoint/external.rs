//! What the container has from outside: mounts whose source is the host's, and namespaces given by path.
//!
//! Each mount has a name in the images and, at the restore, a path of the host that takes its place. The names are
//! runc's: the place itself, and `/dev/null` for what covers masked files.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::rpc::{Request, field};
use crate::cgroup::Cgroup;
use crate::error::{Error, Kind, Result, WhileDoing};
use crate::plan::Plan;
use crate::plan::mounts::{Link, What};
use crate::plan::namespaces::{KINDS, Namespaces};
use crate::sys::path;

/// A mount from outside.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct External {
    /// In the container, and its name in the images
    place: PathBuf,
    /// On the host
    source: PathBuf,
}

/// All mounts from outside, in the order of the file.
///
/// `init` is that of a running container.
pub(super) fn mounts(plan: &Plan, cgroup: &Cgroup, init: Option<i32>) -> Result<Vec<External>> {
    let rootfs = match (&plan.rootfs.overlay, init) {
        (None, _) => Rootfs::open(&plan.rootfs.path)?,
        (Some(_), Some(init)) => Rootfs::open(Path::new(&format!("/proc/{init}/root")))?,
        (Some(_), None) => Rootfs::new(crate::init::root_tree(&plan.rootfs)?)?,
    };
    let mut found = Vec::new();
    for mount in &plan.mounts {
        let place = rootfs.resolve(&mount.destination)?;
        match &mount.what {
            What::Bind { link: Link::Copy, source, .. } if source.is_symlink() => {} // no mount was made
            What::Bind { link: Link::Show, source, .. } if source.is_symlink() => {
                return Err(Error::unsupported(format!(
                    "mount {} at {}: criu would follow the link",
                    source.display(),
                    mount.destination.display()
                )));
            }
            What::Bind { source, .. } => found.push(External { place, source: source.clone() }),
            // In a cgroup namespace they are mounts of the container's own.
            What::Cgroup if !plan.namespaces.has(libc::CLONE_NEWCGROUP) => {
                found.extend(cgroups(&place, cgroup));
            }
            _ => {}
        }
    }
    for device in &plan.devices {
        found.push(External { place: device.path.clone(), source: device.path.clone() });
    }
    Ok(found)
}

/// Version 2: one directory bound to the place. Version 1: one for each hierarchy, on a tmpfs there.
fn cgroups(place: &Path, cgroup: &Cgroup) -> Vec<External> {
    match cgroup.dirs() {
        [dir] if dir.controllers.is_empty() => {
            vec![External { place: place.to_owned(), source: dir.path.clone() }]
        }
        dirs => dirs
            .iter()
            .map(|dir| {
                let name = dir.mount.file_name().map(Path::new).unwrap_or(Path::new("unified"));
                External { place: place.join(name), source: dir.path.clone() }
            })
            .collect(),
    }
}

/// Tells criu which mounts to save by name only.
pub(super) fn name(request: &mut Request, mounts: &[External], masked: &[PathBuf]) {
    for External { place, .. } in mounts {
        let place = place.to_string_lossy();
        request.pair(field::EXT_MNT, &place, &place);
    }
    for path in masked {
        request.pair(field::EXT_MNT, &path.to_string_lossy(), "/dev/null");
    }
}

/// Tells criu what takes the place of each name.
pub(super) fn replace(request: &mut Request, mounts: &[External], masked: &[PathBuf]) {
    for External { place, source } in mounts {
        request.pair(field::EXT_MNT, &place.to_string_lossy(), &source.to_string_lossy());
    }
    if !masked.is_empty() {
        request.pair(field::EXT_MNT, "/dev/null", "/dev/null");
    }
}

/// The masked paths that are files in a running container: those are covered by a device.
pub(super) fn masked_files(init: i32, masked: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let root = path::open(Path::new(&format!("/proc/{init}/root")), OFlags::PATH | OFlags::DIRECTORY)?;
    let mut files = Vec::new();
    for masked in masked {
        match path::open_in_root(&root, masked, OFlags::PATH) {
            Err(Errno::NOENT | Errno::NOTDIR) => {}
            opened => {
                let opened = opened.while_doing(|| format!("look at {}", masked.display()))?;
                if !path::is_dir(&opened)? {
                    files.push(masked.clone());
                }
            }
        }
    }
    Ok(files)
}

/// The root file system on the host, to find out where its own symlinks lead.
struct Rootfs {
    fd: OwnedFd,
    path: PathBuf,
}

impl Rootfs {
    fn open(at: &Path) -> Result<Self> {
        Self::new(path::open(at, OFlags::PATH | OFlags::DIRECTORY)?)
    }

    fn new(fd: OwnedFd) -> Result<Self> {
        let path = path_of(&fd)?;
        Ok(Self { fd, path })
    }

    /// A destination without symlinks; what is not there yet is taken as it is written.
    fn resolve(&self, destination: &Path) -> Result<PathBuf> {
        for above in destination.ancestors() {
            match path::open_in_root(&self.fd, above, OFlags::PATH) {
                Err(Errno::NOENT) => {}
                opened => {
                    let real = path_of(&opened.while_doing(|| format!("look at {}", above.display()))?)?;
                    let inside = real.strip_prefix(&self.path).unwrap_or(above);
                    let rest = destination.strip_prefix(above).unwrap_or(Path::new(""));
                    // No component for no rest: a path that ends in a slash is another one for criu.
                    return Ok(Path::new("/").join(inside).components().chain(rest.components()).collect());
                }
            }
        }
        Ok(destination.to_owned())
    }
}

fn path_of(fd: &OwnedFd) -> Result<PathBuf> {
    let link = format!("/proc/self/fd/{}", fd.as_raw_fd());
    std::fs::read_link(&link).while_doing(|| format!("read {link}"))
}

/// The namespaces that criu leaves alone if they are somebody else's, and its words for them.
const LEFT_ALONE: [(i32, &str, &str); 2] =
    [(libc::CLONE_NEWNET, "net", "extRootNetNS"), (libc::CLONE_NEWPID, "pid", "extRootPidNS")];

/// For a dump: names those namespaces by their inodes.
pub(super) fn name_namespaces(request: &mut Request, namespaces: &Namespaces, init: i32) -> Result<()> {
    for (flag, kind, key) in LEFT_ALONE {
        if namespaces.path(flag).is_some() {
            let file = format!("/proc/{init}/ns/{kind}");
            let inode = rustix::fs::stat(file.as_str()).while_doing(|| format!("stat {file}"))?.st_ino;
            request.text(field::EXTERNAL, &format!("{kind}[{inode}]:{key}"));
        }
    }
    Ok(())
}

/// For a restore: opens them, to be handed to criu under their own numbers, and names the others by path.
pub(super) fn enter_namespaces(request: &mut Request, namespaces: &Namespaces) -> Result<Vec<OwnedFd>> {
    let mut opened = Vec::new();
    for (flag, target) in &namespaces.join {
        let flag = *flag as i32;
        if let Some((_, _, key)) = LEFT_ALONE.iter().find(|(known, ..)| *known == flag) {
            let fd = path::open(target, OFlags::RDONLY)?;
            request.numbered(field::INHERIT_FD, key, fd.as_raw_fd());
            opened.push(fd);
            continue;
        }
        let word = criu_word(flag)?;
        request.pair(field::JOIN_NS, word, &target.to_string_lossy());
    }
    Ok(opened)
}

/// criu's word for a namespace that is joined by path.
fn criu_word(flag: i32) -> Result<&'static str> {
    match flag {
        libc::CLONE_NEWCGROUP => Err(Error::unsupported(
            "linux.namespaces gives a cgroup namespace by path, which criu cannot restore into",
        )),
        libc::CLONE_NEWNS => Ok("mnt"),
        flag => KINDS
            .iter()
            .find(|(_, known)| *known == flag)
            .map(|(name, _)| *name)
            .ok_or_else(|| Error::new(Kind::Internal, format!("no namespace has the flag {flag:#x}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_behind_a_symlink_is_named_as_the_kernel_names_it() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        std::fs::create_dir_all(dir.path().join("real/conf")).expect("mkdir");
        std::os::unix::fs::symlink("/real/conf", dir.path().join("conf")).expect("symlink");
        let rootfs = Rootfs::open(dir.path()).expect("opens");
        for (destination, want) in [
            ("/conf", "/real/conf"),
            ("/conf/new/file", "/real/conf/new/file"),
            ("/none/x", "/none/x"),
            ("/", "/"),
        ] {
            assert_eq!(rootfs.resolve(Path::new(destination)).expect("resolves"), Path::new(want));
        }
    }

    #[test]
    fn a_namespace_that_criu_cannot_join_is_refused() {
        assert_eq!(criu_word(libc::CLONE_NEWUTS).expect("known"), "uts");
        assert!(criu_word(libc::CLONE_NEWCGROUP).is_err());
    }
}
