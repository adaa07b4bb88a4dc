//! Which hierarchies the host mounts, and where this process is in them.

use std::path::{Path, PathBuf};

use super::read_at;
use crate::error::{Result, WhileDoing};
use crate::plan::CgroupMode;

/// Where every distribution mounts them.
const ROOT: &str = "/sys/fs/cgroup";
/// `CGROUP2_SUPER_MAGIC` and `CGROUP_SUPER_MAGIC` of linux/magic.h.
const MAGIC_V2: i64 = 0x6367_7270;
const MAGIC_V1: i64 = 0x0027_e0eb;

/// One mounted tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hierarchy {
    /// As /proc/self/cgroup names them; empty for version 2
    pub(crate) controllers: String,
    pub(crate) mount: PathBuf,
    /// This process's own cgroup, below the mount
    pub(crate) own: PathBuf,
}

impl Hierarchy {
    /// The container's directory: an absolute path counts from the mount, a relative one from the
    /// runtime's own cgroup. In version 2 it counts from that one's parent, since a cgroup that has
    /// processes cannot hand controllers down (runc does the same).
    pub(crate) fn locate(&self, path: &Path, id: &str) -> PathBuf {
        let path = if path.as_os_str().is_empty() { Path::new(id) } else { path };
        let inner = match path.strip_prefix("/") {
            Ok(absolute) => absolute.to_owned(),
            Err(_) if self.is_v2() => self.own.parent().unwrap_or(Path::new("")).join(path),
            Err(_) => self.own.join(path),
        };
        // Neither `..` nor `.` may lead out of the mount.
        let clean = inner.components().filter(|part| matches!(part, std::path::Component::Normal(_)));
        self.mount.join(clean.collect::<PathBuf>())
    }

    /// True for the tree of version 2, with controllers or (on a hybrid host) without.
    pub(crate) fn is_v2(&self) -> bool {
        self.controllers.is_empty()
    }
}

fn magic(path: &Path) -> Option<i64> {
    rustix::fs::statfs(path).ok().map(|stat| stat.f_type)
}

/// Looks at the mount point only: two system calls at most.
pub(crate) fn mode() -> CgroupMode {
    match magic(Path::new(ROOT)) {
        Some(MAGIC_V2) => CgroupMode::V2,
        None => CgroupMode::None,
        Some(_)
            if ["pids", "memory", "cpu"]
                .iter()
                .any(|c| magic(&Path::new(ROOT).join(c)) == Some(MAGIC_V1)) =>
        {
            CgroupMode::V1
        }
        Some(_) => CgroupMode::None,
    }
}

/// All hierarchies that are mounted at their usual places.
pub(crate) fn hierarchies(mode: CgroupMode) -> Result<Vec<Hierarchy>> {
    if mode == CgroupMode::None {
        return Ok(Vec::new());
    }
    let text = read_at(Path::new("/proc/self"), "cgroup").while_doing(|| "read /proc/self/cgroup")?;
    // Of version 2 the mode says as much.
    let is_there = |hierarchy: &Hierarchy| mode == CgroupMode::V2 || is_mounted(hierarchy);
    Ok(text.lines().filter_map(|line| parse_line(line, mode)).filter(is_there).collect())
}

/// One line of cgroups(7) /proc/PID/cgroup: `number:controllers:path`.
fn parse_line(line: &str, mode: CgroupMode) -> Option<Hierarchy> {
    let mut fields = line.splitn(3, ':').skip(1);
    let (controllers, own) = (fields.next()?, fields.next()?);
    let mount = match (controllers, mode) {
        ("", CgroupMode::V2) => PathBuf::from(ROOT),
        ("", _) => Path::new(ROOT).join("unified"),
        (_, CgroupMode::V2) => return None,
        (controllers, _) => Path::new(ROOT).join(controllers.strip_prefix("name=").unwrap_or(controllers)),
    };
    let own = PathBuf::from(own.trim_start_matches('/'));
    Some(Hierarchy { controllers: controllers.to_owned(), mount, own })
}

fn is_mounted(hierarchy: &Hierarchy) -> bool {
    let want = if hierarchy.is_v2() { MAGIC_V2 } else { MAGIC_V1 };
    magic(&hierarchy.mount) == Some(want)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_its_mount_and_the_own_cgroup() {
        for (line, mode, mount, own) in [
            ("0::/user.slice/a", CgroupMode::V2, "/sys/fs/cgroup", "user.slice/a"),
            ("0::/", CgroupMode::V1, "/sys/fs/cgroup/unified", ""),
            ("3:cpu,cpuacct:/b", CgroupMode::V1, "/sys/fs/cgroup/cpu,cpuacct", "b"),
            ("1:name=systemd:/", CgroupMode::V1, "/sys/fs/cgroup/systemd", ""),
        ] {
            let hierarchy = parse_line(line, mode).expect("parses");
            assert_eq!(hierarchy.mount, Path::new(mount), "{line}");
            assert_eq!(hierarchy.own, Path::new(own), "{line}");
        }
    }

    #[test]
    fn a_path_is_absolute_relative_or_the_id_and_never_leaves_the_mount() {
        let hierarchy = |controllers: &str| Hierarchy {
            controllers: controllers.to_owned(),
            mount: PathBuf::from("/m"),
            own: PathBuf::from("a/b"),
        };
        for (controllers, path, want) in [
            ("pids", "/x/y", "/m/x/y"),
            ("pids", "x", "/m/a/b/x"),
            ("", "x", "/m/a/x"),
            ("", "", "/m/a/id"),
            ("", "/../../etc", "/m/etc"),
        ] {
            assert_eq!(hierarchy(controllers).locate(Path::new(path), "id"), Path::new(want), "{path}");
        }
    }
}
