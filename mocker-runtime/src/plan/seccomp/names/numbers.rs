//! Which number a system call has where.
//!
//! A profile names hundreds of calls for each table, so the tables are made when the program is compiled: arrays of
//! hashes and numbers in the order of the hashes, without a text or a pointer that would have to be moved at each start.

use super::Table;

/// The bit that tells x32's numbers from those of x86_64.
pub(super) const X32_BIT: u32 = 0x4000_0000;

/// From here on arm has calls of its own.
pub(super) const ARM_PRIVATE: u32 = 0x000f_0000;

/// A name, as its hash: with 64 bits a word that is no call's name is not taken for one by accident, and who writes a
/// profile could as well name the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::plan::seccomp) struct Name(u64);

impl Name {
    pub(in crate::plan::seccomp) const fn new(text: &str) -> Self {
        // FNV-1a: short, and names are short.
        let (bytes, mut hash, mut at) = (text.as_bytes(), 0xcbf2_9ce4_8422_2325_u64, 0);
        while at < bytes.len() {
            hash = (hash ^ bytes[at] as u64).wrapping_mul(0x0000_0100_0000_01b3);
            at += 1;
        }
        Self(hash)
    }

    /// Where a search for it begins.
    const fn slot(self) -> usize {
        (self.0 ^ (self.0 >> 32)) as usize % SLOTS
    }
}

/// Twice as many as the longest table has, so that a search is short.
const SLOTS: usize = 1024;
/// No name has this hash (the tests look).
const FREE: Name = Name(0);

/// Names and, at the same places, numbers.
struct Slots {
    names: [Name; SLOTS],
    numbers: [u16; SLOTS],
}

impl Slots {
    const EMPTY: Self = Self { names: [FREE; SLOTS], numbers: [0; SLOTS] };

    /// Puts a call where its name's hash says, or into the next place that is free.
    const fn put(&mut self, name: &str, number: i32) {
        let name = Name::new(name);
        let mut at = name.slot();
        while self.names[at].0 != FREE.0 {
            at = (at + 1) % SLOTS;
        }
        (self.names[at], self.numbers[at]) = (name, number as u16);
    }

    fn find(&self, name: Name) -> Option<u32> {
        let places = (0..SLOTS).map(|step| (name.slot() + step) % SLOTS);
        let mut known = places.filter_map(|at| Some((self.names.get(at)?, self.numbers.get(at)?)));
        let (found, number) = known.find(|(there, _)| **there == name || **there == FREE)?;
        (*found == name).then_some(u32::from(*number))
    }
}

/// A function that finds a name's number among those that the list has for an architecture.
macro_rules! table {
    ($arch:ident) => {{
        use syscalls::$arch::Sysno;
        static CALLS: Slots = {
            let mut slots = Slots::EMPTY;
            let mut call = Sysno::first();
            while let Some(next) = call.next() {
                slots.put(call.name(), call.id());
                call = next;
            }
            slots.put(call.name(), call.id());
            // `next` stops before the last one.
            if call.id() != Sysno::last().id() {
                slots.put(Sysno::last().name(), Sysno::last().id());
            }
            slots
        };
        |name: Name| CALLS.find(name)
    }};
}

/// A name's number in a table. The tests know all tables; a program, those of the machine that it was built for, since
/// each is thousands of bytes.
pub(super) fn find(table: Table, name: Name) -> Option<u32> {
    match table {
        #[cfg(any(test, target_arch = "x86_64"))]
        Table::X86_64 => table!(x86_64)(name),
        #[cfg(any(test, target_arch = "x86_64"))]
        Table::X32 => find(Table::X86_64, name).map(x32),
        #[cfg(any(test, target_arch = "x86_64"))]
        Table::X86 => table!(x86)(name),
        #[cfg(any(test, target_arch = "aarch64"))]
        Table::Aarch64 => wide(name, table!(aarch64)),
        #[cfg(any(test, target_arch = "aarch64"))]
        Table::Arm => arm(name).or_else(|| table!(arm)(name)),
        #[cfg(any(test, target_arch = "riscv64"))]
        Table::Riscv64 => table!(riscv64)(name),
        #[cfg(any(test, target_arch = "s390x"))]
        Table::S390x => table!(s390x)(name),
        #[cfg(any(test, target_arch = "powerpc64"))]
        Table::Powerpc64 => table!(powerpc64)(name),
        #[cfg(any(test, target_arch = "loongarch64"))]
        Table::Loongarch64 => wide(name, table!(loongarch64)),
        #[cfg(not(test))]
        _ => None,
    }
}

/// As the kernel and the profiles have it: the list gives these two the calls that only processors of 32 bits have, and
/// one by another name.
#[cfg(any(test, target_arch = "aarch64", target_arch = "loongarch64"))]
fn wide(name: Name, listed: impl Fn(Name) -> Option<u32>) -> Option<u32> {
    const HERE: Name = Name::new("newfstatat");
    const LISTED: Name = Name::new("fstatat");
    match name {
        HERE => Some(79),
        LISTED => None,
        _ => listed(name).filter(|number| !(403..=423).contains(number)),
    }
}

/// What the kernel answers outside its table.
#[cfg(any(test, target_arch = "aarch64"))]
fn arm(name: Name) -> Option<u32> {
    const OWN: [Name; 6] = hashed(["breakpoint", "cacheflush", "usr26", "usr32", "set_tls", "get_tls"]);
    OWN.into_iter().zip(ARM_PRIVATE + 1..).find(|(known, _)| *known == name).map(|(_, number)| number)
}

/// x32 has x86_64's numbers with a bit, but for calls that take pointers in structures: these follow 512.
#[cfg(any(test, target_arch = "x86_64"))]
fn x32(number: u32) -> u32 {
    use syscalls::x86_64::Sysno;
    const OWN: [Sysno; 36] = [
        Sysno::rt_sigaction,
        Sysno::rt_sigreturn,
        Sysno::ioctl,
        Sysno::readv,
        Sysno::writev,
        Sysno::recvfrom,
        Sysno::sendmsg,
        Sysno::recvmsg,
        Sysno::execve,
        Sysno::ptrace,
        Sysno::rt_sigpending,
        Sysno::rt_sigtimedwait,
        Sysno::rt_sigqueueinfo,
        Sysno::sigaltstack,
        Sysno::timer_create,
        Sysno::mq_notify,
        Sysno::kexec_load,
        Sysno::waitid,
        Sysno::set_robust_list,
        Sysno::get_robust_list,
        Sysno::vmsplice,
        Sysno::move_pages,
        Sysno::preadv,
        Sysno::pwritev,
        Sysno::rt_tgsigqueueinfo,
        Sysno::recvmmsg,
        Sysno::sendmmsg,
        Sysno::process_vm_readv,
        Sysno::process_vm_writev,
        Sysno::setsockopt,
        Sysno::getsockopt,
        Sysno::io_setup,
        Sysno::io_submit,
        Sysno::execveat,
        Sysno::preadv2,
        Sysno::pwritev2,
    ];
    match OWN.iter().position(|call| call.id() as u32 == number) {
        Some(at) => (512 + at as u32) | X32_BIT,
        None => number | X32_BIT,
    }
}

/// Names when the program is compiled.
const fn hashed<const N: usize>(names: [&str; N]) -> [Name; N] {
    let (mut out, mut at) = ([FREE; N], 0);
    while at < N {
        out[at] = Name::new(names[at]);
        at += 1;
    }
    out
}

/// The calls of linux/net.h, from 1 on.
pub(super) const SOCKETCALL: [Name; 20] = hashed([
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
]);

/// The calls of linux/ipc.h.
pub(super) const IPC: [(Name, u64); 12] = [
    (Name::new("semop"), 1),
    (Name::new("semget"), 2),
    (Name::new("semctl"), 3),
    (Name::new("semtimedop"), 4),
    (Name::new("msgsnd"), 11),
    (Name::new("msgrcv"), 12),
    (Name::new("msgget"), 13),
    (Name::new("msgctl"), 14),
    (Name::new("shmat"), 21),
    (Name::new("shmdt"), 22),
    (Name::new("shmget"), 23),
    (Name::new("shmctl"), 24),
];

#[cfg(test)]
pub(in crate::plan::seccomp) mod all {
    //! The same from the list itself, without hashes.

    use std::collections::HashMap;

    use super::*;

    /// Every name of a table.
    pub(in crate::plan::seccomp) fn of(table: Table) -> HashMap<&'static str, u32> {
        macro_rules! table {
            ($arch:ident) => {
                syscalls::$arch::Sysno::iter()
                    .chain([syscalls::$arch::Sysno::last()])
                    .map(|call| (call.name(), call.id() as u32))
                    .collect::<HashMap<_, _>>()
            };
        }
        match table {
            Table::X86_64 => table!(x86_64),
            Table::X32 => table!(x86_64).into_iter().map(|(name, number)| (name, x32(number))).collect(),
            Table::X86 => table!(x86),
            Table::Aarch64 => without_narrow(table!(aarch64)),
            Table::Arm => {
                let own = ["breakpoint", "cacheflush", "usr26", "usr32", "set_tls", "get_tls"];
                table!(arm).into_iter().chain(own.into_iter().zip(ARM_PRIVATE + 1..)).collect()
            }
            Table::Riscv64 => table!(riscv64),
            Table::S390x => table!(s390x),
            Table::Powerpc64 => table!(powerpc64),
            Table::Loongarch64 => without_narrow(table!(loongarch64)),
        }
    }

    fn without_narrow(mut numbers: HashMap<&'static str, u32>) -> HashMap<&'static str, u32> {
        numbers.retain(|name, number| !(403..=423).contains(number) && *name != "fstatat");
        numbers.insert("newfstatat", 79);
        numbers
    }

    #[test]
    fn every_name_is_found_by_its_hash_in_every_table_and_no_other_is() {
        for table in super::super::MACHINES
            .iter()
            .flat_map(|machine| [machine.native].into_iter().chain(machine.others.iter().copied()))
        {
            let numbers = of(table);
            for (name, number) in &numbers {
                assert_eq!(find(table, Name::new(name)), Some(*number), "{table:?} {name}");
            }
            for name in of(Table::S390x).keys().chain(of(Table::X86).keys()).chain(&["", "no_such_call"]) {
                assert_eq!(find(table, Name::new(name)), numbers.get(name).copied(), "{table:?} {name}");
            }
            // the newest call of all, with which the list ends
            assert!(numbers.contains_key("file_setattr"), "{table:?}");
        }
    }

    #[test]
    fn no_two_names_have_one_hash() {
        let tables = [Table::X86_64, Table::X86, Table::Aarch64, Table::Arm, Table::S390x, Table::Powerpc64];
        let mut names = HashMap::new();
        for name in tables.into_iter().flat_map(|table| of(table).into_keys()) {
            assert_ne!(Name::new(name), FREE, "{name}");
            let other = names.insert(Name::new(name).0, name);
            assert!(other.is_none_or(|other| other == name), "{name} and {other:?}");
        }
    }

    #[test]
    fn calls_of_x32_with_pointers_in_structures_have_numbers_of_their_own() {
        let number = |name| find(Table::X32, Name::new(name));
        assert_eq!(number("rt_sigaction"), Some(X32_BIT + 512));
        assert_eq!(number("pwritev2"), Some(X32_BIT + 547));
        assert_eq!(number("read"), Some(X32_BIT));
    }
}
