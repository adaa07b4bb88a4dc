//! Masked and read-only paths (config-linux.md "Masked Paths", "Readonly Paths").

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, OFlags, makedev};
use rustix::io::Errno;

use super::Init;
use crate::abi::{Parameter, Reach};
use crate::error::{Error, Kind, Result, WhileDoing};
use crate::plan::mounts;
use crate::sys::fd::Later;
use crate::sys::mount;
use crate::sys::path;

/// Hides and write-protects. A path that is not there needs neither.
pub(super) fn mask(init: &mut Init<'_>) -> Result<()> {
    let (root, later) = (init.root()?, Later::default());
    init.plan.readonly.iter().try_for_each(|path| {
        make_readonly(root, path, &later).while_doing(|| format!("make {} read-only", path.display()))
    })?;
    let mut covers = Covers { label: init.plan.mount_label.as_ref(), null: None, empty: None, later };
    let mut masked = init.plan.masked.iter();
    masked
        .try_for_each(|path| covers.cover(root, path).while_doing(|| format!("mask {}", path.display())))?;
    let Covers { null, empty, later, .. } = covers;
    null.into_iter().chain(empty).for_each(|fd| later.close(fd));
    Ok(())
}

fn open(root: &OwnedFd, path: &Path) -> Result<Option<OwnedFd>> {
    match path::open_in_root(root, path, OFlags::PATH) {
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        result => Ok(Some(result?)),
    }
}

fn make_readonly(root: &OwnedFd, path: &Path, later: &Later) -> Result<()> {
    let Some(place) = open(root, path)? else {
        return Ok(());
    };
    // A copy of what is there, mounts below it included, so that nothing is looked up by name again.
    let tree = mount::clone_with(place.as_fd(), &mounts::READONLY)?;
    mount::attach(tree.as_fd(), place.as_fd())?;
    later.close(tree);
    later.close(place);
    Ok(())
}

/// What is laid over masked paths: files get a null device, directories one empty read-only tmpfs.
struct Covers<'a> {
    label: Option<&'a Parameter>,
    null: Option<OwnedFd>,
    empty: Option<OwnedFd>,
    /// What has served
    later: Later,
}

impl Covers<'_> {
    fn cover(&mut self, root: &OwnedFd, path: &Path) -> Result<()> {
        let Some(place) = open(root, path)? else {
            return Ok(());
        };
        let cover = match path::is_dir(&place)? {
            true => self.empty(&place)?,
            false => Some(mount::clone_tree(self.null(root)?.as_fd(), c"", Reach::One)?),
        };
        if let Some(cover) = cover {
            mount::attach(cover.as_fd(), place.as_fd())?;
            self.later.close(cover);
        }
        self.later.close(place);
        Ok(())
    }

    /// The container's /dev/null, proved to be the device and not something planted (CVE-2025-31133).
    fn null(&mut self, root: &OwnedFd) -> Result<&OwnedFd> {
        if self.null.is_none() {
            let null = path::open_without_symlinks(root, Path::new("/dev/null"), OFlags::PATH)
                .while_doing(|| "open /dev/null")?;
            let stat = rustix::fs::fstat(&null).while_doing(|| "stat /dev/null")?;
            let is_char = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice;
            if !is_char || stat.st_rdev != makedev(1, 3) {
                return Err(Error::new(Kind::Invalid, "/dev/null is not the null device"));
            }
            self.null = Some(null);
        }
        self.null.as_ref().ok_or_else(|| Error::new(Kind::Internal, "/dev/null is not open"))
    }

    /// The first directory gets the tmpfs itself (None: it is attached already), the others copies of it.
    fn empty(&mut self, place: &OwnedFd) -> Result<Option<OwnedFd>> {
        if let Some(empty) = &self.empty {
            return mount::clone_tree(empty.as_fd(), c"", Reach::One).map(Some);
        }
        let mut parameters = vec![
            ("nr_blocks".to_owned(), Some("1".to_owned())),
            ("nr_inodes".to_owned(), Some("1".to_owned())),
        ];
        parameters.extend(self.label.cloned());
        let tmpfs = mount::new_filesystem("tmpfs", "tmpfs", &parameters, mounts::READONLY.set, &self.later)?;
        mount::attach(tmpfs.as_fd(), place.as_fd())?;
        self.empty = Some(tmpfs);
        Ok(None)
    }
}
