//! bpf(2), as far as the device rules of cgroup v2 need it: load one small program, attach it.
#![expect(unsafe_code, reason = "bpf(2) has no safe wrapper, and no C library shall be linked for it")]

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use super::check;
use crate::error::{Result, WhileDoing};

const PROG_LOAD: libc::c_int = 5;
const PROG_ATTACH: libc::c_int = 8;
const PROG_GET_FD_BY_ID: libc::c_int = 13;
const OBJ_GET_INFO_BY_FD: libc::c_int = 15;
const PROG_QUERY: libc::c_int = 16;
const PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const ATTACH_TYPE_CGROUP_DEVICE: u32 = 6;
/// Several programs on one cgroup, all of which must say yes.
const F_ALLOW_MULTI: u32 = 2;
/// The program takes the place of another one (Linux 5.6).
const F_REPLACE: u32 = 4;
/// How ours are told from those of others, such as systemd's, on the same cgroup (Linux 4.15).
const NAME: &[u8; 16] = b"mocker_devices\0\0";
/// Where `struct bpf_prog_info` has the name, and how much of the structure is asked for, in words.
const INFO_NAME: usize = 16;
const INFO_WORDS: usize = 20;
/// More programs than this on one cgroup are the kernel's own limit (`BPF_CGROUP_MAX_PROGS`).
const MOST_PROGRAMS: usize = 64;

/// One instruction (`struct bpf_insn`).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Insn {
    /// Operation
    pub(crate) code: u8,
    /// Source register in the upper half, destination in the lower
    pub(crate) registers: u8,
    /// Offset of a jump or load
    pub(crate) offset: i16,
    /// Constant
    pub(crate) immediate: i32,
}

/// `union bpf_attr`, longer than any kernel's: Linux 6.17 to 7.1 write past one that is shorter than
/// theirs, and every kernel takes a longer one whose rest is zero.
#[repr(C, align(8))]
struct Attr([u32; 64]);

impl Attr {
    fn new() -> Self {
        Self([0; 64])
    }

    fn set(&mut self, at: usize, value: u32) {
        if let Some(field) = self.0.get_mut(at) {
            *field = value;
        }
    }

    fn get(&self, at: usize) -> u32 {
        self.0.get(at).copied().unwrap_or_default()
    }

    fn set_pointer<T>(&mut self, at: usize, pointer: *const T) {
        let value = pointer as u64;
        self.set(at, value as u32);
        self.set(at + 1, (value >> 32) as u32);
    }
}

/// Runs one command of bpf(2).
fn bpf(command: libc::c_int, attr: &mut Attr) -> std::result::Result<libc::c_long, rustix::io::Errno> {
    // SAFETY: `attr` is longer than the kernel's union, zero where nothing is set, and every pointer in
    // it was made from a reference that outlives this call.
    check(unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attr), size_of::<Attr>()) })
}

/// Loads a program of type `BPF_PROG_TYPE_CGROUP_DEVICE` (Linux 4.15).
pub(crate) fn load_device_program(program: &[Insn]) -> Result<OwnedFd> {
    let license = c"Apache-2.0";
    let mut attr = Attr::new();
    attr.set(0, PROG_TYPE_CGROUP_DEVICE);
    attr.set(1, program.len() as u32);
    attr.set_pointer(2, program.as_ptr());
    attr.set_pointer(4, license.as_ptr());
    for (at, word) in name_words().enumerate() {
        attr.set(12 + at, word);
    }
    let fd = bpf(PROG_LOAD, &mut attr)
        .while_doing(|| format!("load the device program of {} instructions", program.len()))?;
    // SAFETY: PROG_LOAD gives a new descriptor that nobody else knows.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// Attaches a device program to a cgroup (v2) directory.
pub(crate) fn attach_device_program(cgroup: BorrowedFd<'_>, program: BorrowedFd<'_>) -> Result<()> {
    let mut attr = Attr::new();
    attr.set(0, cgroup.as_raw_fd() as u32);
    attr.set(1, program.as_raw_fd() as u32);
    attr.set(2, ATTACH_TYPE_CGROUP_DEVICE);
    attr.set(3, F_ALLOW_MULTI);
    bpf(PROG_ATTACH, &mut attr).map(drop).while_doing(|| "attach the device program to the cgroup")
}

/// Puts a device program in the place of the one of ours that a cgroup (v2) directory has, in one step;
/// false if it has none, or more than one.
pub(crate) fn replace_device_program(cgroup: BorrowedFd<'_>, program: BorrowedFd<'_>) -> Result<bool> {
    let mut ours = Vec::new();
    for id in device_programs(cgroup)? {
        let mut attr = Attr::new();
        attr.set(0, id);
        let fd = bpf(PROG_GET_FD_BY_ID, &mut attr).while_doing(|| format!("open the device program {id}"))?;
        // SAFETY: PROG_GET_FD_BY_ID gives a new descriptor that nobody else knows.
        let fd = unsafe { OwnedFd::from_raw_fd(fd as RawFd) };
        if is_ours(&fd)? {
            ours.push(fd);
        }
    }
    let [old] = &ours[..] else { return Ok(false) };
    let mut attr = Attr::new();
    attr.set(0, cgroup.as_raw_fd() as u32);
    attr.set(1, program.as_raw_fd() as u32);
    attr.set(2, ATTACH_TYPE_CGROUP_DEVICE);
    attr.set(3, F_ALLOW_MULTI | F_REPLACE);
    attr.set(4, old.as_raw_fd() as u32);
    bpf(PROG_ATTACH, &mut attr).while_doing(|| "replace the device program of the cgroup")?;
    Ok(true)
}

fn name_words() -> impl Iterator<Item = u32> {
    NAME.chunks_exact(4).map(|word| word.try_into().map_or(0, u32::from_ne_bytes))
}

fn is_ours(program: &OwnedFd) -> Result<bool> {
    let mut info = [0_u32; INFO_WORDS];
    let mut attr = Attr::new();
    attr.set(0, program.as_raw_fd() as u32);
    attr.set(1, size_of_val(&info) as u32);
    attr.set_pointer(2, info.as_mut_ptr());
    bpf(OBJ_GET_INFO_BY_FD, &mut attr).while_doing(|| "read a device program's name")?;
    Ok(info.into_iter().skip(INFO_NAME).eq(name_words()))
}

/// The ids of the device programs on a cgroup (v2) directory itself.
fn device_programs(cgroup: BorrowedFd<'_>) -> Result<Vec<u32>> {
    let mut ids = vec![0_u32; MOST_PROGRAMS];
    let mut attr = Attr::new();
    attr.set(0, cgroup.as_raw_fd() as u32);
    attr.set(1, ATTACH_TYPE_CGROUP_DEVICE);
    attr.set_pointer(4, ids.as_mut_ptr());
    attr.set(6, MOST_PROGRAMS as u32);
    bpf(PROG_QUERY, &mut attr).while_doing(|| "list the device programs of the cgroup")?;
    ids.truncate(attr.get(6) as usize);
    Ok(ids)
}
