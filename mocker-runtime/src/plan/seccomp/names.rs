//! Architectures: their words, the machines that run them, and what the kernel calls them.

mod numbers;

use std::ops::RangeInclusive;

use crate::abi::PROCESSOR;
use crate::error::{Error, Result};
pub(super) use numbers::Name;
use numbers::{ARM_PRIVATE, IPC, SOCKETCALL, X32_BIT};

/// A table of system calls: one architecture of the profile's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Table {
    X86_64,
    X32,
    X86,
    Aarch64,
    Arm,
    Riscv64,
    S390x,
    Powerpc64,
    Loongarch64,
}

/// A processor: its own table, and those that its kernel can report beside it.
#[derive(Debug)]
pub(super) struct Machine {
    /// As Rust calls it
    name: &'static str,
    pub(super) native: Table,
    pub(super) others: &'static [Table],
}

/// Every processor that has a table. s390x is here for its table's sake: seccompiler has no big-endian conditions, so
/// that the runtime cannot be built there.
pub(super) const MACHINES: [Machine; 6] = [
    Machine { name: "x86_64", native: Table::X86_64, others: &[Table::X32, Table::X86] },
    Machine { name: "aarch64", native: Table::Aarch64, others: &[Table::Arm] },
    Machine { name: "riscv64", native: Table::Riscv64, others: &[] },
    Machine { name: "s390x", native: Table::S390x, others: &[] },
    Machine { name: "powerpc64", native: Table::Powerpc64, others: &[] },
    Machine { name: "loongarch64", native: Table::Loongarch64, others: &[] },
];

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

impl Machine {
    /// The one that the program was built for.
    pub(super) fn here() -> Result<&'static Self> {
        let machine = MACHINES.iter().find(|machine| machine.name == PROCESSOR);
        machine.ok_or_else(|| Error::invalid(format!("there is no table of system calls for {PROCESSOR}")))
    }

    /// None: no such word; Some(None): not one that this machine's kernel reports.
    pub(super) fn table(&self, word: &str) -> Option<Option<Table>> {
        let known = WORDS.contains(&word);
        let here = |table: &&Table| table.word() == word;
        known.then(|| [&self.native].into_iter().chain(self.others).find(here).copied())
    }
}

impl Table {
    /// As profiles call it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::X86_64 => "SCMP_ARCH_X86_64",
            Self::X32 => "SCMP_ARCH_X32",
            Self::X86 => "SCMP_ARCH_X86",
            Self::Aarch64 => "SCMP_ARCH_AARCH64",
            Self::Arm => "SCMP_ARCH_ARM",
            Self::Riscv64 => "SCMP_ARCH_RISCV64",
            Self::S390x => "SCMP_ARCH_S390X",
            Self::Powerpc64 => "SCMP_ARCH_PPC64LE",
            Self::Loongarch64 => "SCMP_ARCH_LOONGARCH64",
        }
    }

    /// `AUDIT_ARCH_*` of linux/audit.h.
    fn audit(self) -> u32 {
        match self {
            Self::X86_64 | Self::X32 => 0xc000_003e,
            Self::X86 => 0x4000_0003,
            Self::Aarch64 => 0xc000_00b7,
            Self::Arm => 0x4000_0028,
            Self::Riscv64 => 0xc000_00f3,
            Self::S390x => 0x8000_0016,
            Self::Powerpc64 => 0xc000_0015,
            Self::Loongarch64 => 0xc000_0102,
        }
    }

    /// All numbers that belong to the table, known or not.
    pub(super) fn space(self) -> RangeInclusive<u32> {
        match self {
            Self::X86_64 => 0..=X32_BIT - 1,
            Self::X32 => X32_BIT..=2 * X32_BIT - 1,
            _ => 0..=u32::MAX - 1,
        }
    }

    /// The numbers among which new calls get theirs: what arm has of its own is far above (asm/unistd.h).
    pub(super) fn growth(self) -> RangeInclusive<u32> {
        match self {
            Self::Arm => 0..=ARM_PRIVATE - 1,
            _ => self.space(),
        }
    }

    /// The call through which a call can be made as well, and what its first argument is then: some had no others for
    /// sockets and System V IPC until Linux 4.3 and 5.1, and still have these (socketcall(2), ipc(2)).
    pub(super) fn multiplexer(self, name: Name) -> Option<(u32, u64)> {
        if !matches!(self, Self::X86 | Self::S390x | Self::Powerpc64) {
            return None;
        }
        let socket = SOCKETCALL.iter().position(|known| *known == name).map(|at| (102, at as u64 + 1));
        let ipc = || IPC.iter().find(|(known, _)| *known == name).map(|(_, call)| (117, *call));
        socket.or_else(ipc)
    }

    /// The number of a call, if the table has one of that name; a program knows the tables of the machine that it was
    /// built for.
    pub(super) fn number(self, name: Name) -> Option<u32> {
        numbers::find(self, name)
    }

    /// Every name that the table has.
    #[cfg(test)]
    pub(super) fn numbers(self) -> std::collections::HashMap<&'static str, u32> {
        numbers::all::of(self)
    }
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
