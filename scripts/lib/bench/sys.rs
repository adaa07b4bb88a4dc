//! The system calls that std has no word for.

use std::fs::File;
use std::io::{Error, Result};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::{ffi::CString, fs};

/// `struct rusage` of Linux on every 64-bit architecture.
#[repr(C)]
#[derive(Default)]
pub struct Rusage {
    user: [i64; 2],
    system: [i64; 2],
    pub peak_kb: i64,
    unused: [i64; 3],
    pub minor_faults: i64,
    rest: [i64; 9],
}

impl Rusage {
    /// User and system time, in milliseconds.
    pub fn cpu_ms(&self) -> f64 {
        let ms = |[seconds, micros]: [i64; 2]| seconds as f64 * 1e3 + micros as f64 / 1e3;
        ms(self.user) + ms(self.system)
    }
}

unsafe extern "C" {
    fn wait4(pid: i32, status: *mut i32, options: i32, usage: *mut Rusage) -> i32;
    fn setns(fd: i32, kind: i32) -> i32;
    fn unshare(flags: i32) -> i32;
    fn mount(source: *const i8, target: *const i8, kind: *const i8, flags: u64, data: *const i8) -> i32;
    fn umount2(target: *const i8, flags: i32) -> i32;
    fn prctl(option: i32, value: u64) -> i32;
    fn kill(pid: i32, signal: i32) -> i32;
}

const WNOHANG: i32 = 1;
const CLONE_NEWNS: i32 = 0x0002_0000;
const PR_SET_CHILD_SUBREAPER: i32 = 36;
const MNT_DETACH: i32 = 2;
pub const TERM: i32 = 15;
pub const KILL: i32 = 9;

fn done(result: i32) -> Result<i32> {
    if result < 0 { Err(Error::last_os_error()) } else { Ok(result) }
}

fn text(path: &Path) -> CString {
    CString::new(path.as_os_str().as_encoded_bytes()).expect("a path has no NUL")
}

/// Waits for a child, or with -1 for any: its pid, its wait status, and what it cost.
pub fn wait(pid: i32) -> Result<(i32, i32, Rusage)> {
    let (mut status, mut usage) = (0, Rusage::default());
    // SAFETY: both pointers are to live values of the types that wait4(2) fills.
    let pid = done(unsafe { wait4(pid, &raw mut status, 0, &raw mut usage) })?;
    Ok((pid, status, usage))
}

/// Takes the statuses of all children that have ended: what a daemon left behind is ours.
pub fn reap() {
    let (mut status, mut usage) = (0, Rusage::default());
    // SAFETY: as above.
    while unsafe { wait4(-1, &raw mut status, WNOHANG, &raw mut usage) } > 0 {}
}

/// From now on the orphans below this process become its children.
pub fn adopt_orphans() -> Result<()> {
    // SAFETY: no memory is handed over.
    done(unsafe { prctl(PR_SET_CHILD_SUBREAPER, 1) }).map(drop)
}

pub fn signal(pid: i32, signal: i32) -> Result<()> {
    // SAFETY: no memory is handed over.
    done(unsafe { kill(pid, signal) }).map(drop)
}

/// This process's mount namespace.
pub fn namespace() -> Result<File> {
    File::open("/proc/self/ns/mnt")
}

/// Steps into a mount namespace, in the same directory.
pub fn enter(namespace: &File) -> Result<()> {
    let here = std::env::current_dir()?;
    // SAFETY: no memory is handed over.
    done(unsafe { setns(namespace.as_raw_fd(), CLONE_NEWNS) })?;
    std::env::set_current_dir(here)
}

/// A copy of this mount namespace in which something was done; this process stays where it is.
pub fn altered(alter: impl FnOnce() -> Result<()>) -> Result<File> {
    let home = namespace()?;
    // SAFETY: no memory is handed over.
    done(unsafe { unshare(CLONE_NEWNS) })?;
    let altered = alter().and_then(|()| namespace());
    enter(&home)?;
    altered
}

pub fn unmount(place: &Path) -> Result<()> {
    let place = text(place);
    // SAFETY: the pointer is to a live string that ends in NUL.
    done(unsafe { umount2(place.as_ptr().cast(), MNT_DETACH) }).map(drop)
}

pub fn mount_cgroup2(place: &Path) -> Result<()> {
    let place = text(place);
    // SAFETY: the pointers are to live strings that end in NUL; no data is none.
    let made = unsafe {
        mount(
            c"cgroup2".as_ptr().cast(),
            place.as_ptr().cast(),
            c"cgroup2".as_ptr().cast(),
            0,
            std::ptr::null(),
        )
    };
    done(made).map(drop)
}

/// Memory of a process that no other has and no file holds, in kB.
pub fn private_kb(pid: i32) -> Result<u64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Private_Dirty:")).unwrap_or_default();
    Ok(line.split_whitespace().next().and_then(|kb| kb.parse().ok()).unwrap_or(0))
}

/// What a running process and the children that it waited for have used, in milliseconds.
pub fn used_ms(pid: i32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields.skip(11).take(4).filter_map(|field| field.parse::<u64>().ok()).sum();
    Ok(ticks as f64 * 10.0)
}

/// The most that a running process held since it was last asked, in kB.
pub fn peak_kb(pid: i32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    Ok(line.split_whitespace().next().and_then(|kb| kb.parse().ok()).unwrap_or(0))
}
