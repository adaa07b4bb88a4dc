//! Which number a system call has where.

use std::collections::HashMap;

use super::Table;

/// The bit that tells x32's numbers from those of x86_64.
pub(super) const X32_BIT: u32 = 0x4000_0000;

/// From here on arm has calls of its own.
pub(super) const ARM_PRIVATE: u32 = 0x000f_0000;

/// The names that a table has. The tests know all tables; a program, those of the machine that it was built for, since
/// each is thousands of bytes.
pub(super) fn of(table: Table) -> HashMap<&'static str, u32> {
    macro_rules! table {
        ($arch:ident) => {
            syscalls::$arch::Sysno::iter().map(|call| (call.name(), call.id() as u32)).collect()
        };
    }
    match table {
        #[cfg(any(test, target_arch = "x86_64"))]
        Table::X86_64 => table!(x86_64),
        #[cfg(any(test, target_arch = "x86_64"))]
        Table::X32 => x32(),
        #[cfg(any(test, target_arch = "x86_64"))]
        Table::X86 => table!(x86),
        #[cfg(any(test, target_arch = "aarch64"))]
        Table::Aarch64 => wide(table!(aarch64)),
        #[cfg(any(test, target_arch = "aarch64"))]
        Table::Arm => arm(table!(arm)),
        #[cfg(any(test, target_arch = "riscv64"))]
        Table::Riscv64 => table!(riscv64),
        #[cfg(any(test, target_arch = "s390x"))]
        Table::S390x => table!(s390x),
        #[cfg(any(test, target_arch = "powerpc64"))]
        Table::Powerpc64 => table!(powerpc64),
        #[cfg(any(test, target_arch = "loongarch64"))]
        Table::Loongarch64 => wide(table!(loongarch64)),
        #[cfg(not(test))]
        _ => HashMap::new(),
    }
}

/// As the kernel and the profiles have it: the list gives these two the calls that only processors of 32 bits have, and
/// one by another name.
#[cfg(any(test, target_arch = "aarch64", target_arch = "loongarch64"))]
fn wide(mut numbers: HashMap<&'static str, u32>) -> HashMap<&'static str, u32> {
    numbers.retain(|name, number| !(403..=423).contains(number) && *name != "fstatat");
    numbers.insert("newfstatat", 79);
    numbers
}

/// With what the kernel answers outside its table.
#[cfg(any(test, target_arch = "aarch64"))]
fn arm(mut numbers: HashMap<&'static str, u32>) -> HashMap<&'static str, u32> {
    let own = ["breakpoint", "cacheflush", "usr26", "usr32", "set_tls", "get_tls"];
    numbers.extend(own.into_iter().zip(ARM_PRIVATE + 1..));
    numbers
}

/// The calls of linux/net.h, from 1 on.
pub(super) const SOCKETCALL: [&str; 20] = [
    "socket",
    "bind",
    "connect",
    "listen",
    "accept",
    "getsockname",
    "getpeername",
    "socketpair",
    "send",
    "recv",
    "sendto",
    "recvfrom",
    "shutdown",
    "setsockopt",
    "getsockopt",
    "sendmsg",
    "recvmsg",
    "accept4",
    "recvmmsg",
    "sendmmsg",
];

/// The calls of linux/ipc.h.
pub(super) const IPC: [(&str, u64); 12] = [
    ("semop", 1),
    ("semget", 2),
    ("semctl", 3),
    ("semtimedop", 4),
    ("msgsnd", 11),
    ("msgrcv", 12),
    ("msgget", 13),
    ("msgctl", 14),
    ("shmat", 21),
    ("shmdt", 22),
    ("shmget", 23),
    ("shmctl", 24),
];

/// x32 has x86_64's numbers with a bit, but for calls that take pointers in structures: these follow 512.
#[cfg(any(test, target_arch = "x86_64"))]
fn x32() -> HashMap<&'static str, u32> {
    const OWN: [&str; 36] = [
        "rt_sigaction",
        "rt_sigreturn",
        "ioctl",
        "readv",
        "writev",
        "recvfrom",
        "sendmsg",
        "recvmsg",
        "execve",
        "ptrace",
        "rt_sigpending",
        "rt_sigtimedwait",
        "rt_sigqueueinfo",
        "sigaltstack",
        "timer_create",
        "mq_notify",
        "kexec_load",
        "waitid",
        "set_robust_list",
        "get_robust_list",
        "vmsplice",
        "move_pages",
        "preadv",
        "pwritev",
        "rt_tgsigqueueinfo",
        "recvmmsg",
        "sendmmsg",
        "process_vm_readv",
        "process_vm_writev",
        "setsockopt",
        "getsockopt",
        "io_setup",
        "io_submit",
        "execveat",
        "preadv2",
        "pwritev2",
    ];
    let mut numbers = of(Table::X86_64);
    for number in numbers.values_mut() {
        *number |= X32_BIT;
    }
    for (name, number) in OWN.into_iter().zip(512..) {
        numbers.insert(name, number | X32_BIT);
    }
    numbers
}
