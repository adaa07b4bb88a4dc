//! A new network namespace, made by a thread while this one goes on with something else.
//!
//! To make one is a tenth of what a whole container costs, all of it inside one system call that nothing else waits
//! for. The thread shares memory and descriptors with this one, and nothing of the C library: it is gone before
//! anything that wants a single thread (clone3 in place of fork, setns of user and time namespaces).
#![expect(
    unsafe_code,
    reason = "clone(2) with a stack of its own; a thread of the standard library costs ten times it"
)]

use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use rustix::fs::{Mode, OFlags};
use rustix::thread::{UnshareFlags, futex};

/// The thread's stack, in units of 16 bytes: it calls two functions.
const STACK: usize = 32 * 1024 / 16;
/// No descriptor
const NONE: RawFd = -1;

/// What both threads see.
#[derive(Debug)]
struct Shared {
    /// The thread's number; the kernel sets it to 0 at its end (`CLONE_CHILD_CLEARTID`), and wakes who waits
    thread: AtomicU32,
    /// The namespace, once it is there
    made: AtomicI32,
}

/// A network namespace in the making.
#[derive(Debug)]
pub(crate) struct NewNetwork {
    shared: Box<Shared>,
    /// Must be there as long as the thread
    _stack: Vec<u128>,
}

impl NewNetwork {
    /// Begins; None where no thread can be had, or where it could not be kept from the C library.
    pub(crate) fn begin() -> Option<Self> {
        if !cfg!(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64")) {
            // rustix would ask the C library, whose errno is this thread's.
            return None;
        }
        let shared = Box::new(Shared { thread: AtomicU32::new(0), made: AtomicI32::new(NONE) });
        let mut stack: Vec<u128> = Vec::with_capacity(STACK);
        let flags = libc::CLONE_VM
            | libc::CLONE_FILES
            | libc::CLONE_SIGHAND
            | libc::CLONE_THREAD
            | libc::CLONE_SYSVSEM
            | libc::CLONE_PARENT_SETTID
            | libc::CLONE_CHILD_CLEARTID;
        let (both, number) = (&raw const *shared, shared.thread.as_ptr());
        // SAFETY: the stack grows down from its end, has the processor's alignment, and lives, as `shared` does, until
        // the thread is gone: who drops this waits for that. `make` touches nothing but `shared`, which is all atomic.
        let thread = unsafe {
            let top = stack.as_mut_ptr().add(STACK);
            libc::clone(make, top.cast(), flags, both.cast_mut().cast(), number, 0_usize, number)
        };
        (thread > 0).then_some(Self { shared, _stack: stack })
    }

    /// Waits for it; None where the kernel refused, as it will once more with its reason when a child is to have one.
    pub(crate) fn finish(self) -> Option<OwnedFd> {
        self.wait();
        match self.shared.made.swap(NONE, Ordering::AcqRel) {
            NONE => None,
            // SAFETY: the thread has opened it and told nobody else.
            fd => Some(unsafe { OwnedFd::from_raw_fd(fd) }),
        }
    }

    /// Until the thread is gone.
    fn wait(&self) {
        loop {
            let thread = self.shared.thread.load(Ordering::Acquire);
            if thread == 0 {
                return;
            }
            // Whatever it says: the number tells.
            futex::wait(&self.shared.thread, futex::Flags::empty(), thread, None).ok();
        }
    }
}

impl Drop for NewNetwork {
    fn drop(&mut self) {
        self.wait();
        match self.shared.made.swap(NONE, Ordering::AcqRel) {
            NONE => {}
            // SAFETY: as in `finish`, which leaves none.
            fd => drop(unsafe { OwnedFd::from_raw_fd(fd) }),
        }
    }
}

/// The thread. It shares the other one's thread-local storage, so nothing here may use any.
extern "C" fn make(shared: *mut libc::c_void) -> libc::c_int {
    // SAFETY: what `begin` has given, which outlives this thread.
    let shared = unsafe { &*shared.cast::<Shared>() };
    // SAFETY: a namespace, not the table of descriptors.
    let made = unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }.and_then(|()| {
        rustix::fs::open(c"/proc/thread-self/ns/net", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
    });
    if let Ok(fd) = made {
        shared.made.store(fd.into_raw_fd(), Ordering::Release);
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_comes_of_it_the_thread_is_gone_and_this_one_is_where_it_was() {
        let own = || std::fs::read_link("/proc/thread-self/ns/net").expect("own");
        let before = own();
        let tasks = || std::fs::read_dir("/proc/self/task").expect("tasks").count();
        let count = tasks();
        for _ in 0..20 {
            drop(NewNetwork::begin());
            if let Some(made) = NewNetwork::begin().and_then(NewNetwork::finish) {
                let link = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&made));
                assert_ne!(std::fs::read_link(link).expect("made"), before);
            }
        }
        assert_eq!(own(), before);
        assert!(tasks() <= count + 8, "other tests have threads too, but not twenty more");
    }
}
