//! A program that is sent to nodes to be their volume driver: what is to be known of it before.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::secret::hex;

/// A Linux program in a file on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// The file.
    pub path: PathBuf,
    /// Its size, in bytes.
    pub bytes: u64,
    /// SHA-256 of it, in hex.
    pub sha256: String,
    /// What it runs on: `e_machine` of its ELF header.
    pub machine: u16,
}

/// Why a file is no program for a node.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// It cannot be read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It is something else.
    #[error("it is no program for Linux")]
    Not,
}

/// This process's program, whatever has become of its file since it was started.
const THIS: &str = "/proc/self/exe";

/// `uname -m` and `e_machine` (elf(5)) of what Docker runs on.
const MACHINES: [(&str, u16); 9] = [
    ("x86_64", 62),
    ("aarch64", 183),
    ("riscv64", 243),
    ("ppc64le", 21),
    ("loongarch64", 258),
    ("armv7l", 40),
    ("armv6l", 40),
    ("armv8l", 40),
    ("s390x", 22),
];

impl Program {
    /// Looks into a file.
    ///
    /// # Errors
    /// It cannot be read, or is no ELF file for Linux.
    pub fn read(path: &Path) -> Result<Self, ProgramError> {
        let mut file = File::open(path)?;
        let mut head = Vec::with_capacity(64);
        (&mut file).take(64).read_to_end(&mut head)?;
        let machine = machine(&head).ok_or(ProgramError::Not)?;
        let mut digest = Sha256::new();
        digest.update(&head);
        let rest = io::copy(&mut file, &mut digest)?;
        Ok(Self {
            path: path.to_owned(),
            bytes: head.len() as u64 + rest,
            sha256: hex(&digest.finalize()),
            machine,
        })
    }

    /// The program that this process is.
    ///
    /// # Errors
    /// `/proc` is not there.
    pub fn this() -> Result<Self, ProgramError> {
        Self::read(Path::new(THIS))
    }

    /// Whether it is for machines that `uname -m` calls `arch`. Whether it finds its libraries there is another matter.
    pub fn is_for(&self, arch: &str) -> bool {
        MACHINES.contains(&(arch, self.machine))
    }

    /// What it is for, as `uname -m` would call it.
    pub fn arch(&self) -> String {
        let known = MACHINES.iter().find(|(_, machine)| *machine == self.machine);
        known.map_or_else(|| format!("machine {}", self.machine), |(name, _)| (*name).to_owned())
    }

    /// What it is, for people.
    pub fn name(&self) -> String {
        if self.path == Path::new(THIS) {
            "this cephdock".to_owned()
        } else {
            self.path.display().to_string()
        }
    }
}

/// `e_machine` of an ELF file: after 16 bytes of identification and 2 of its type.
fn machine(head: &[u8]) -> Option<u16> {
    if !head.starts_with(b"\x7fELF") {
        return None;
    }
    let bytes = [*head.get(18)?, *head.get(19)?];
    match head[5] {
        1 => Some(u16::from_le_bytes(bytes)),
        2 => Some(u16::from_be_bytes(bytes)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_program_is_for_this_machine() {
        let this = Program::this().unwrap();
        let uname = rustix::system::uname();
        let arch = uname.machine().to_str().unwrap();
        assert!(this.is_for(arch) && !this.is_for("vax"), "{arch}");
        assert_eq!(this.arch(), arch);
        let bytes = std::fs::read(THIS).unwrap();
        assert_eq!(this.bytes, bytes.len() as u64);
        assert_eq!(this.sha256, crate::secret::sha256(bytes));
        assert_eq!(this.name(), "this cephdock");
    }

    #[test]
    fn what_is_no_program_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        assert!(matches!(Program::read(&path), Err(ProgramError::Io(_))));
        for odd in [&b""[..], b"\x7fEL", b"#!/bin/sh\nexit\n", b"\x7fELF\x02\x01"] {
            std::fs::write(&path, odd).unwrap();
            assert!(matches!(Program::read(&path), Err(ProgramError::Not)), "{odd:?}");
        }
        let mut arm = b"\x7fELF\x02\x01\x01".to_vec();
        arm.resize(18, 0);
        arm.extend([183, 0, 1, 0]);
        std::fs::write(&path, &arm).unwrap();
        let arm = Program::read(&path).unwrap();
        assert!(arm.is_for("aarch64") && !arm.is_for("x86_64"));
        assert_eq!((arm.arch().as_str(), arm.bytes), ("aarch64", 22));
        assert_eq!(arm.name(), path.display().to_string());
    }
}
