//! Architectures, and which number a system call has in each.

use std::collections::HashMap;
use std::ops::RangeInclusive;

/// A table of system calls: one architecture of the profile's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Table {
    #[cfg(target_arch = "x86_64")]
    X86_64,
    #[cfg(target_arch = "x86_64")]
    X32,
    #[cfg(target_arch = "x86_64")]
    X86,
    #[cfg(target_arch = "aarch64")]
    Aarch64,
    #[cfg(target_arch = "aarch64")]
    Arm,
    #[cfg(target_arch = "riscv64")]
    Riscv64,
    #[cfg(target_arch = "s390x")]
    S390x,
    #[cfg(target_arch = "powerpc64")]
    Powerpc64,
    #[cfg(target_arch = "loongarch64")]
    Loongarch64,
}

/// Every word that libseccomp knows.
pub(crate) const WORDS: [&str; 22] = [
    "SCMP_ARCH_AARCH64",
    "SCMP_ARCH_ARM",
    "SCMP_ARCH_LOONGARCH64",
    "SCMP_ARCH_M68K",
    "SCMP_ARCH_MIPS",
    "SCMP_ARCH_MIPS64",
    "SCMP_ARCH_MIPS64N32",
    "SCMP_ARCH_MIPSEL",
    "SCMP_ARCH_MIPSEL64",
    "SCMP_ARCH_MIPSEL64N32",
    "SCMP_ARCH_PARISC",
    "SCMP_ARCH_PARISC64",
    "SCMP_ARCH_PPC",
    "SCMP_ARCH_PPC64",
    "SCMP_ARCH_PPC64LE",
    "SCMP_ARCH_RISCV64",
    "SCMP_ARCH_S390",
    "SCMP_ARCH_S390X",
    "SCMP_ARCH_SH",
    "SCMP_ARCH_X32",
    "SCMP_ARCH_X86",
    "SCMP_ARCH_X86_64",
];

/// The bit that tells x32's numbers from those of x86_64.
#[cfg(target_arch = "x86_64")]
const X32_BIT: u32 = 0x4000_0000;

impl Table {
    /// This machine's own.
    #[cfg(target_arch = "x86_64")]
    pub(super) const NATIVE: Self = Self::X86_64;
    #[cfg(target_arch = "aarch64")]
    pub(super) const NATIVE: Self = Self::Aarch64;
    #[cfg(target_arch = "riscv64")]
    pub(super) const NATIVE: Self = Self::Riscv64;
    #[cfg(target_arch = "s390x")]
    pub(super) const NATIVE: Self = Self::S390x;
    #[cfg(target_arch = "powerpc64")]
    pub(super) const NATIVE: Self = Self::Powerpc64;
    #[cfg(target_arch = "loongarch64")]
    pub(super) const NATIVE: Self = Self::Loongarch64;

    /// None: no such word; Some(None): not one that this machine's kernel reports.
    pub(super) fn parse(word: &str) -> Option<Option<Self>> {
        match word {
            #[cfg(target_arch = "x86_64")]
            "SCMP_ARCH_X86_64" => Some(Some(Self::X86_64)),
            #[cfg(target_arch = "x86_64")]
            "SCMP_ARCH_X32" => Some(Some(Self::X32)),
            #[cfg(target_arch = "x86_64")]
            "SCMP_ARCH_X86" => Some(Some(Self::X86)),
            #[cfg(target_arch = "aarch64")]
            "SCMP_ARCH_ARM" => Some(Some(Self::Arm)),
            word if WORDS.contains(&word) => Some(None),
            _ => None,
        }
    }

    /// `AUDIT_ARCH_*` of linux/audit.h.
    fn audit(self) -> u32 {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::X86_64 | Self::X32 => 0xc000_003e,
            #[cfg(target_arch = "x86_64")]
            Self::X86 => 0x4000_0003,
            #[cfg(target_arch = "aarch64")]
            Self::Aarch64 => 0xc000_00b7,
            #[cfg(target_arch = "aarch64")]
            Self::Arm => 0x4000_0028,
            #[cfg(target_arch = "riscv64")]
            Self::Riscv64 => 0xc000_00f3,
            #[cfg(target_arch = "s390x")]
            Self::S390x => 0x8000_0016,
            #[cfg(target_arch = "powerpc64")]
            Self::Powerpc64 => 0xc000_0015,
            #[cfg(target_arch = "loongarch64")]
            Self::Loongarch64 => 0xc000_0102,
        }
    }

    /// All numbers that belong to the table, known or not.
    pub(super) fn space(self) -> RangeInclusive<u32> {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::X86_64 => 0..=X32_BIT - 1,
            #[cfg(target_arch = "x86_64")]
            Self::X32 => X32_BIT..=2 * X32_BIT - 1,
            _ => 0..=u32::MAX - 1,
        }
    }

    /// The call through which a call can be made as well, and what its first argument is then: i386 had no others for
    /// sockets and System V IPC until Linux 4.3 and 5.1, and still has these (socketcall(2), ipc(2)).
    pub(super) fn multiplexer(self, name: &str) -> Option<(u32, u64)> {
        #[cfg(target_arch = "x86_64")]
        if self == Self::X86 {
            let at =
                |list: &[(&str, u64)]| list.iter().find(|(known, _)| *known == name).map(|(_, call)| *call);
            let socket = || SOCKETCALL.iter().position(|known| *known == name).map(|at| (102, at as u64 + 1));
            return socket().or_else(|| at(&IPC).map(|call| (117, call)));
        }
        let _ = name;
        None
    }

    /// Every name that the table has.
    pub(super) fn numbers(self) -> HashMap<&'static str, u32> {
        macro_rules! table {
            ($arch:ident) => {
                syscalls::$arch::Sysno::iter().map(|call| (call.name(), call.id() as u32)).collect()
            };
        }
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::X86_64 => table!(x86_64),
            #[cfg(target_arch = "x86_64")]
            Self::X32 => x32(),
            #[cfg(target_arch = "x86_64")]
            Self::X86 => table!(x86),
            #[cfg(target_arch = "aarch64")]
            Self::Aarch64 => table!(aarch64),
            #[cfg(target_arch = "aarch64")]
            Self::Arm => table!(arm),
            #[cfg(target_arch = "riscv64")]
            Self::Riscv64 => table!(riscv64),
            #[cfg(target_arch = "s390x")]
            Self::S390x => table!(s390x),
            #[cfg(target_arch = "powerpc64")]
            Self::Powerpc64 => table!(powerpc64),
            #[cfg(target_arch = "loongarch64")]
            Self::Loongarch64 => table!(loongarch64),
        }
    }
}

/// The calls of linux/net.h, from 1 on.
#[cfg(target_arch = "x86_64")]
const SOCKETCALL: [&str; 20] = [
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
#[cfg(target_arch = "x86_64")]
const IPC: [(&str, u64); 12] = [
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
#[cfg(target_arch = "x86_64")]
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
    let mut numbers = Table::X86_64.numbers();
    for number in numbers.values_mut() {
        *number |= X32_BIT;
    }
    for (name, number) in OWN.into_iter().zip(512..) {
        numbers.insert(name, number | X32_BIT);
    }
    numbers
}

/// The tables whose calls the kernel reports under one architecture.
#[derive(Debug)]
pub(super) struct Family {
    /// `AUDIT_ARCH_*`
    pub(super) audit: u32,
    pub(super) tables: Vec<Table>,
}

impl Family {
    /// Sorts tables into families, in their order.
    pub(super) fn all(tables: &[Table]) -> Vec<Self> {
        let mut out: Vec<Self> = Vec::new();
        for table in tables {
            match out.iter_mut().find(|family| family.audit == table.audit()) {
                Some(family) => family.tables.push(*table),
                None => out.push(Self { audit: table.audit(), tables: vec![*table] }),
            }
        }
        out
    }
}
