//! execveat(2): a program by descriptor.
#![expect(unsafe_code, reason = "neither rustix nor nix runs a program by an empty path")]

use std::ffi::{CString, c_char};
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

use super::check;

/// Becomes the program behind `file`; gives the errno, since on success there is nobody to give anything to.
pub(crate) fn execveat(file: BorrowedFd<'_>, words: &[CString], env: &[CString]) -> Errno {
    let pointers = |list: &[CString]| -> Vec<*const c_char> {
        list.iter().map(|word| word.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let (words, env) = (pointers(words), pointers(env));
    // SAFETY: both lists are of C strings that live across the call and end with a null pointer; the empty
    // path makes the kernel take the descriptor itself.
    let result = check(unsafe {
        libc::syscall(
            libc::SYS_execveat,
            file.as_raw_fd(),
            c"".as_ptr(),
            words.as_ptr(),
            env.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    });
    result.err().unwrap_or(Errno::INVAL)
}
