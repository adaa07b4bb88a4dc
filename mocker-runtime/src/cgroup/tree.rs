//! Directories of one hierarchy: made with controllers handed down, removed bottom up.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::Mode;
use rustix::io::Errno;

use super::{Dir, in_use, open_at, read_at, write_file};
use crate::error::{Error, Kind, Result, WhileDoing};
use crate::sys::proc;

/// How long dying processes may keep a cgroup busy.
const PATIENCE: Duration = Duration::from_secs(10);

/// The mode of a directory above a container's that was made for it. The bit changes nothing for those who use
/// it, and tells whoever leaves last that it may go too.
const SHARED: u32 = 0o1755;

/// Makes the directory and what is missing above it. One that is there already must be empty.
pub(super) fn make(dir: &mut Dir) -> Result<()> {
    dir.made = make_path(dir).while_doing(|| format!("make cgroup {}", dir.path.display()))?;
    if dir.made == 0 {
        check_unused(&dir.path)?;
    }
    check_thawed(dir)
}

/// Makes what is missing of a directory that somebody else has begun, with all its controllers.
pub(super) fn complete(dir: &mut Dir) -> Result<()> {
    dir.made = make_path(dir).while_doing(|| format!("make cgroup {}", dir.path.display()))?;
    Ok(())
}

/// Gives the number of directories made.
fn make_path(dir: &Dir) -> Result<usize> {
    // Another container's end may remove an empty directory between two steps of ours: begin again.
    for _ in 0..16 {
        match try_make_path(dir) {
            Err(error) if error.is_errno(Errno::NOENT) => {}
            result => return result,
        }
    }
    Err(Error::new(Kind::Internal, "something keeps removing the directories above it"))
}

fn try_make_path(dir: &Dir) -> Result<usize> {
    let below = dir.path.strip_prefix(&dir.mount).unwrap_or(Path::new(""));
    let mut here = dir.mount.clone();
    let mut made = 0;
    for name in below {
        if dir.controllers.is_empty() {
            hand_down(&here);
        }
        let parent = here.clone();
        here.push(name);
        let mode = if here == dir.path { 0o755 } else { SHARED };
        match rustix::fs::mkdir(&here, Mode::from_raw_mode(mode)) {
            Ok(()) => made += 1,
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno).while_doing(|| format!("mkdir {}", here.display())),
        }
        if dir.controllers == "cpuset" {
            inherit_cpuset(&parent, &here)?;
        }
    }
    Ok(made)
}

/// Lets all directories from one to another have every controller that the first has.
pub(super) fn hand_down_to(from: &Path, to: &Path) {
    let mut way: Vec<&Path> = to.ancestors().skip(1).take_while(|path| path.starts_with(from)).collect();
    way.reverse();
    way.into_iter().for_each(hand_down);
}

/// Lets children of `dir` use every controller that it has. What fails here is named when a limit needs it.
fn hand_down(dir: &Path) {
    let (Ok(have), Ok(handed)) = (read_at(dir, "cgroup.controllers"), read_at(dir, "cgroup.subtree_control"))
    else {
        return;
    };
    let handed: Vec<&str> = handed.split_whitespace().collect();
    let missing: Vec<String> =
        have.split_whitespace().filter(|c| !handed.contains(c)).map(|c| format!("+{c}")).collect();
    if missing.is_empty() || write_file(dir, "cgroup.subtree_control", &missing.join(" ")).is_ok() {
        return;
    }
    // All or nothing failed: one that cannot be handed down must not keep back the others.
    for controller in missing {
        write_file(dir, "cgroup.subtree_control", &controller).ok();
    }
}

/// A cpuset of version 1 starts empty, and nothing can run in it until it has processors and memory nodes.
fn inherit_cpuset(parent: &Path, child: &Path) -> Result<()> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let value = read_at(child, file).while_doing(|| format!("read {}", child.join(file).display()))?;
        if value.trim().is_empty() {
            let value =
                read_at(parent, file).while_doing(|| format!("read {}", parent.join(file).display()))?;
            write_file(child, file, value.trim())
                .while_doing(|| format!("write {:?} to {}", value.trim(), child.join(file).display()))?;
        }
    }
    Ok(())
}

/// Refuses a cgroup that has processes, which would be killed with the container.
fn check_unused(path: &Path) -> Result<()> {
    if processes(path)?.is_empty() { Ok(()) } else { Err(in_use(path)) }
}

/// Refuses a cgroup in which nothing would run: init would never say a word.
fn check_thawed(dir: &Dir) -> Result<()> {
    let says = |path: &Path, file: &str, words: &[&str]| {
        read_at(path, file).is_ok_and(|text| words.contains(&text.trim()))
    };
    let own = dir.path.ancestors().take_while(|path| *path != dir.mount);
    let frozen = match dir.controllers.as_str() {
        "" => own.into_iter().skip(dir.made).find(|path| says(path, "cgroup.freeze", &["1"])),
        // A child made in a frozen cgroup is frozen by itself.
        "freezer" => Some(&*dir.path).filter(|path| says(path, "freezer.state", &["FROZEN", "FREEZING"])),
        _ => None,
    };
    match frozen {
        Some(path) => Err(Error::new(Kind::Exists, format!("cgroup {} is frozen", path.display()))
            .with_hint("whoever froze it must thaw it first")),
        None => Ok(()),
    }
}

/// All processes in a cgroup and below it.
pub(super) fn processes(path: &Path) -> Result<Vec<i32>> {
    let mut out = match open_at(path, "cgroup.procs").and_then(proc::read_all) {
        // NODEV: it has been removed; OPNOTSUPP: it is threaded, and its processes are listed above it
        Err(Errno::NOENT | Errno::NODEV | Errno::OPNOTSUPP) => Vec::new(),
        text => parse_pids(&text.while_doing(|| format!("read {}/cgroup.procs", path.display()))?),
    };
    for child in children(path) {
        out.extend(processes(&child)?);
    }
    Ok(out)
}

fn parse_pids(text: &str) -> Vec<i32> {
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

fn children(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(path) else {
        return Vec::new();
    };
    entries
        .filter_map(std::result::Result::ok)
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

/// Removes a container's directory, and those above it that were made for it and are empty now.
pub(super) fn remove(dir: &Dir) -> Result<()> {
    remove_tree(&dir.path, Instant::now() + PATIENCE)
        .while_doing(|| format!("remove cgroup {}", dir.path.display()))?;
    remove_above(dir);
    Ok(())
}

/// The same where nothing is in it any more; true if it is gone.
pub(super) fn remove_if_empty(dir: &Dir) -> bool {
    let gone = rustix::fs::rmdir(&dir.path).is_ok();
    if gone {
        remove_above(dir);
    }
    gone
}

fn remove_above(dir: &Dir) {
    for above in dir.path.ancestors().skip(1).take_while(|above| *above != dir.mount) {
        let ours = rustix::fs::stat(above).is_ok_and(|stat| stat.st_mode & 0o7777 == SHARED);
        if !ours || rustix::fs::rmdir(above).is_err() {
            break; // somebody else's, or in use by another container by now
        }
    }
}

fn remove_tree(path: &Path, deadline: Instant) -> Result<()> {
    let mut pause = Duration::from_micros(100);
    loop {
        match rustix::fs::rmdir(path) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(Errno::BUSY | Errno::NOTEMPTY) => {
                for child in children(path) {
                    remove_tree(&child, deadline)?;
                }
            }
            Err(errno) => return Err(errno.into()),
        }
        if rustix::fs::rmdir(path).is_ok() {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(in_use(path));
        }
        // The kernel tells of a dying process's departure in version 2 only; look again, less and less often.
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}
