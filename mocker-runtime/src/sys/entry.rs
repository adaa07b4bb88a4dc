//! Where the kernel lets this program begin, and what is prepared before its own `main`.
//!
//! ```text
//!   kernel ─> mocker_start ─> seal ─┬─> execveat: the same program from a read-only mount
//!                                   └─> _start ─> C library ─> main ─> cli::main
//! ```
//!
//! A command that enters a container starts itself once more, from a read-only mount of its own file (`sealed`). That
//! the first of the two does before the C library has started: it needs none of it, and its start costs as much again.
//! Whatever does not go well here is left to `sealed`, which has the words for it; so is all of it on processors other
//! than x86_64, where it has not been tried. Nothing here may be used that
//! wants to be started, moved to its address or found in a table: only the stack, registers and system calls.
#![expect(
    unsafe_code,
    reason = "the entry point of the program is given by the processor's rules of calling"
)]

use std::os::fd::IntoRawFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::stdio::{stderr, stdin, stdout};

#[cfg(target_arch = "x86_64")]
mod early {
    //! Before the C library: every function here is its own, and every system call is made by hand.

    use core::arch::{asm, naked_asm};

    use crate::abi::Attr;

    /// Whether this program's file was found to be out of reach. Only `start_again` writes it, before all else.
    pub(super) static mut SEALED: bool = false;

    /// `struct statfs` is shorter than that, in words.
    const SCRATCH: usize = 16;

    /// The entry point (`build.rs` tells the linker).
    ///
    /// # Safety
    /// Only the kernel may come here: the stack pointer is at the number of arguments.
    #[unsafe(naked)]
    #[unsafe(no_mangle)]
    unsafe extern "C" fn mocker_start() -> ! {
        // rdx and the stack are for _start; the stack has to be at a multiple of 16 bytes where a function is called.
        naked_asm!(
            "mov rdi, rsp",
            "push rdx",
            "sub rsp, 8 + 8 * {scratch}",
            "mov rsi, rsp",
            "call {seal}",
            "add rsp, 8 + 8 * {scratch}",
            "pop rdx",
            "jmp _start",
            scratch = const SCRATCH,
            seal = sym seal,
        )
    }

    /// Starts the program again if it is to enter a container and does not run from a read-only mount yet.
    ///
    /// # Safety
    /// `stack` is where the kernel has put the number of arguments, with the arguments and the environment behind it,
    /// each a list of C strings that ends with a null pointer. `scratch` has [`SCRATCH`] words.
    unsafe extern "C" fn seal(stack: *const usize, scratch: *mut u64) {
        // SAFETY: as the caller promises; no list is followed beyond its end.
        unsafe {
            let count = *stack;
            let arguments = stack.add(1);
            let mut at = 1;
            while at < count {
                if enters(*arguments.add(at) as *const u8) {
                    return start_again(arguments, arguments.add(count + 1), scratch);
                }
                at += 1;
            }
        }
    }

    /// Whether a word is a command that enters a container, as `cli::ENTERING` has them.
    ///
    /// # Safety
    /// `word` is a C string.
    pub(super) unsafe fn enters(word: *const u8) -> bool {
        // SAFETY: as the caller promises.
        unsafe {
            is(word, &raw const *b"run\0" as *const u8)
                || is(word, &raw const *b"create\0" as *const u8)
                || is(word, &raw const *b"exec\0" as *const u8)
        }
    }

    /// # Safety
    /// Both are C strings.
    unsafe fn is(mut word: *const u8, mut name: *const u8) -> bool {
        loop {
            // SAFETY: both go on as long as they are equal and not at their end.
            let (a, b) = unsafe { (byte(word), *name) };
            if a != b || a == 0 {
                return a == b;
            }
            // SAFETY: neither is at its end.
            (word, name) = unsafe { (word.add(1), name.add(1)) };
        }
    }

    /// A byte, in a way that lets the compiler make no call to the C library's strcmp of its users.
    ///
    /// # Safety
    /// It can be read.
    unsafe fn byte(at: *const u8) -> u8 {
        let byte: u32;
        // SAFETY: as the caller promises.
        unsafe {
            asm!("movzx {0:e}, byte ptr [{1}]", out(reg) byte, in(reg) at, options(readonly, nostack));
        }
        byte as u8
    }

    /// Comes back if that is not needed, or does not go.
    ///
    /// # Safety
    /// Both lists are of C strings and end with a null pointer. `scratch` has [`SCRATCH`] words.
    unsafe fn start_again(arguments: *const usize, environment: *const usize, scratch: *mut u64) {
        const HERE: usize = libc::AT_FDCWD as usize;
        const EMPTY_PATH: usize = libc::AT_EMPTY_PATH as usize;
        // OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC of linux/mount.h
        const CLONE: usize = 1 | libc::O_CLOEXEC as usize;
        // Where struct statfs has its flags, in words
        const FLAGS: usize = 10;
        let own = &raw const *b"/proc/self/exe\0" as usize;
        let empty = &raw const *b"\0" as usize;
        let attr = Attr { set: libc::MOUNT_ATTR_RDONLY, clear: 0, propagation: 0, userns_fd: 0 };
        // SAFETY: every pointer is to a structure of the size that the call has, or to a list as the caller promises.
        unsafe {
            if call(libc::SYS_statfs, own, scratch as usize, 0, 0, 0) != 0 {
                return;
            }
            if *scratch.add(FLAGS) & libc::ST_RDONLY != 0 {
                SEALED = true;
                return;
            }
            let tree = call(libc::SYS_open_tree, HERE, own, CLONE, 0, 0);
            if tree < 0 {
                return;
            }
            let tree = tree as usize;
            let (attr, size) = (&raw const attr as usize, size_of::<Attr>());
            if call(libc::SYS_mount_setattr, tree, empty, EMPTY_PATH, attr, size) == 0 {
                call(libc::SYS_execveat, tree, empty, arguments as usize, environment as usize, EMPTY_PATH);
            }
            call(libc::SYS_close, tree, 0, 0, 0, 0);
        }
    }

    /// A system call: below zero it is an error number.
    ///
    /// # Safety
    /// As the system call demands.
    #[expect(clippy::too_many_arguments, reason = "as many as registers")]
    unsafe fn call(number: libc::c_long, a: usize, b: usize, c: usize, d: usize, e: usize) -> isize {
        let answer: isize;
        // SAFETY: as the caller promises.
        unsafe {
            asm!("syscall", inlateout("rax") number as isize => answer, in("rdi") a, in("rsi") b, in("rdx") c,
                in("r10") d, in("r8") e, lateout("rcx") _, lateout("r11") _, options(nostack));
        }
        answer
    }
}

/// Whether this program runs from a mount that nobody can write to, as was seen before all else; false if nobody looked.
pub(crate) fn is_sealed() -> bool {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: it was written before there could be a second thread, and is only read since.
    return unsafe { early::SEALED };
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// For the tests of who is taken for a command that enters a container.
#[cfg(all(test, target_arch = "x86_64"))]
pub(crate) fn enters(word: &std::ffi::CStr) -> bool {
    // SAFETY: a C string that lives across the call.
    unsafe { early::enters(word.as_ptr().cast()) }
}

/// What the standard library does before its `main`, as far as this program needs it: a stream that the caller has
/// closed leads to /dev/null, so that no other file gets its number, and a reader that is gone is an error of
/// write(2), not the end.
pub(crate) fn prepare() {
    let (stdin, stdout, stderr) = (stdin(), stdout(), stderr());
    let mut streams = [&stdin, &stdout, &stderr].map(|stream| PollFd::new(stream, PollFlags::empty()));
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    if poll(&mut streams, Some(&at_once)).is_ok_and(|ready| ready > 0) {
        for _ in streams.iter().filter(|stream| stream.revents().contains(PollFlags::NVAL)) {
            // The lowest number that is free; whoever has no /dev/null has a free number.
            rustix::fs::open(c"/dev/null", OFlags::RDWR, Mode::empty()).map(IntoRawFd::into_raw_fd).ok();
        }
    }
    #[cfg(target_env = "gnu")]
    // SAFETY: numbers for the allocator of a program that has one thread. It asks for more at once and gives nothing
    // back before its end, which is near.
    unsafe {
        libc::mallopt(libc::M_TOP_PAD, 256 << 10);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 64 << 20);
    }
    // SAFETY: ignoring a signal brings no code that could run at a wrong moment.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
}
