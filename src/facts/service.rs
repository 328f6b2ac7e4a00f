//! cephdock's volume driver on a node: its program, its unit, and the process that runs.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::FileFact;
use crate::volume::unit;

/// What one look at a node showed of the driver.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServiceFacts {
    /// The node is run by systemd.
    pub systemd: bool,
    /// The program.
    pub program: Option<FileFact>,
    /// The unit.
    pub unit: Option<UnitFact>,
    /// systemd starts it at boot.
    pub enabled: bool,
    /// systemd says that it is ready.
    pub active: bool,
    /// Its process.
    pub running: Option<Running>,
    /// Which of [`unit::left_behind`] is there; and [`unit::ROOT`], where there are only folders in it.
    pub left: BTreeSet<String>,
}

/// A unit's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnitFact {
    /// The file.
    pub file: FileFact,
    /// Its first line says that cephdock wrote it.
    pub ours: bool,
    /// The command in it, what follows `ExecStart=`.
    pub command: String,
}

/// A process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Running {
    /// Its words, a space after each (`/proc/PID/cmdline`).
    pub command: String,
    /// It is the program that lies there now, not one that has been replaced since.
    pub current: bool,
}

impl ServiceFacts {
    /// Nothing of it is there.
    pub fn is_absent(&self) -> bool {
        self.program.is_none() && self.unit.is_none() && self.left.is_empty()
    }
}

/// Lines of the probe: `systemd`, `left PATH`, `mode MODE PATH` of stat, `SHA256  PATH` of sha256sum, `unit LINE` of the
/// unit, what `systemctl show` says, `runs COMMAND` and `current`.
pub(super) fn parse(body: &str) -> ServiceFacts {
    let mut facts = ServiceFacts::default();
    let (mut modes, mut sums) = (BTreeMap::new(), BTreeMap::new());
    let (mut ours, mut command) = (false, String::new());
    for line in body.lines() {
        let (key, value) = line.split_once(' ').unwrap_or((line, ""));
        match (key, facts.running.as_mut()) {
            ("systemd", _) => facts.systemd = true,
            ("left", _) => drop(facts.left.insert(value.to_owned())),
            ("mode", _) => {
                if let Some((mode, path)) = value.split_once(' ') {
                    modes.insert(path, u32::from_str_radix(mode, 8).unwrap_or(0));
                }
            }
            ("unit", _) => {
                ours |= value.starts_with(unit::MARK);
                if let Some(exec) = value.strip_prefix("ExecStart=") {
                    exec.clone_into(&mut command);
                }
            }
            ("ActiveState=active", _) => facts.active = true,
            ("UnitFileState=enabled", _) => facts.enabled = true,
            ("runs", _) => {
                let command = value.trim_end().to_owned();
                facts.running = Some(Running { command, current: false });
            }
            ("current", Some(running)) => running.current = true,
            (sum, _) if sum.len() == 64 => drop(sums.insert(value.trim_start(), sum.to_owned())),
            _ => {}
        }
    }
    let mut file = |path| {
        let mode = modes.get(path).copied().unwrap_or(0);
        sums.remove(path).map(|sha256| FileFact { sha256, mode })
    };
    facts.program = file(unit::PROGRAM_PATH);
    facts.unit = file(unit::UNIT_PATH).map(|file| UnitFact { file, ours, command });
    facts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> String {
        let (program, unit) = (unit::PROGRAM_PATH, unit::UNIT_PATH);
        let (one, two) = ("ab".repeat(32), "cd".repeat(32));
        format!("systemd\nmode 755 {program}\nmode 644 {unit}\n{one}  {program}\n{two}  {unit}\n")
    }

    #[test]
    fn a_driver_that_runs() {
        let said = "left /var/lib/cephdock\nunit # written by cephdock; `cephdock reset` removes it\n\
             unit ExecStart=/x volume-driver --node B1\n\
             ActiveState=active\nUnitFileState=enabled\nMainPID=81\nruns /x volume-driver --node B1 \ncurrent\n";
        let facts = parse(&(files() + said));
        assert!(facts.systemd && facts.active && facts.enabled && !facts.is_absent());
        assert_eq!(facts.program, Some(FileFact { sha256: "ab".repeat(32), mode: 0o755 }));
        let unit = facts.unit.unwrap();
        assert!(unit.ours && unit.file.sha256 == "cd".repeat(32) && unit.file.mode == 0o644);
        let running = facts.running.unwrap();
        assert!(running.current && running.command == unit.command, "{running:?}");
    }

    #[test]
    fn a_unit_of_somebody_else_and_one_that_has_ended() {
        let said = "unit # theirs\nActiveState=failed\nUnitFileState=disabled\nMainPID=0\n";
        let facts = parse(&(files() + said));
        assert!(!facts.unit.unwrap().ours && !facts.active && !facts.enabled);
        assert_eq!(facts.running, None);
        assert!(parse("\n").is_absent());
    }
}
