//! cephdock's volume driver on a simulated node: its program, and what systemd does with its unit.

use std::collections::BTreeSet;

use cephdock::facts::{FileFact, Running, ServiceFacts, UnitFact};
use cephdock::inventory::NodeName;
use cephdock::plan::{ProgramSpec, Removal, Verb};
use cephdock::secret::sha256;
use cephdock::volume::program::Program;
use cephdock::volume::unit;

use super::World;
use super::node::NodeState;

/// What there is of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Service {
    /// The digest of the program that lies there.
    pub(crate) program: Option<String>,
    pub(crate) enabled: bool,
    /// The command and the program's digest of the process.
    pub(crate) running: Option<(String, String)>,
    pub(crate) left: BTreeSet<String>,
}

/// A cephdock of this version, as the operator's.
pub(crate) fn program(version: &str) -> Program {
    let sha256 = sha256(format!("cephdock {version}"));
    Program { path: "/proc/self/exe".into(), bytes: 12 << 20, sha256, machine: 62 }
}

fn command(unit: &str) -> String {
    let line = unit.lines().find_map(|l| l.strip_prefix("ExecStart="));
    line.unwrap_or_default().to_owned()
}

pub(super) fn facts(node: &NodeState) -> ServiceFacts {
    let service = &node.service;
    let unit = node.files.get(unit::UNIT_PATH).map(|file| UnitFact {
        file: FileFact { sha256: sha256(&file.content), mode: file.mode },
        ours: file.content.starts_with(unit::MARK),
        command: command(&file.content),
    });
    ServiceFacts {
        systemd: node.systemd,
        program: service.program.clone().map(|sha256| FileFact { sha256, mode: 0o755 }),
        unit,
        enabled: service.enabled,
        active: service.running.is_some(),
        running: service.running.clone().map(|(command, program)| Running {
            command,
            current: Some(program) == service.program,
        }),
        left: service.left.clone(),
    }
}

impl World {
    pub(super) fn send_program(&mut self, at: &NodeName, spec: &ProgramSpec, half: bool) {
        let node = self.nodes.get_mut(at).expect("hosts are made from nodes");
        let service = &mut node.service;
        if half {
            service.left.insert(unit::PROGRAM_PARTIAL.into());
        } else {
            service.left.remove(unit::PROGRAM_PARTIAL);
            service.program = Some(spec.program.sha256.clone());
        }
    }

    pub(super) fn service(&mut self, at: &NodeName, verb: &Verb, half: bool) -> Result<(), String> {
        let node = self.nodes.get_mut(at).expect("hosts are made from nodes");
        if !node.systemd {
            return Err("systemctl: not found".into());
        }
        if let Verb::Remove(path) = verb {
            node.service.enabled = false;
            node.service.running = None;
            if !half {
                node.files.remove(path);
            }
            return Ok(());
        }
        let command = command(node.text(unit::UNIT_PATH)?);
        let service = &mut node.service;
        let Some(program) = service.program.clone() else {
            return Err("Main process exited, code=exited, status=203/EXEC".into());
        };
        service.enabled = true;
        if half {
            return Ok(());
        }
        match verb {
            Verb::Enable => {}
            Verb::Start if service.running.is_some() => {}
            _ => {
                service.running = Some((command, program));
                let state = format!("{}/{}", unit::ROOT, unit::STATE);
                service.left.extend([unit::ROOT.to_owned(), unit::SOCKET_PATH.into(), state]);
            }
        }
        Ok(())
    }
}

impl NodeState {
    /// Its files go. Gives what must not happen.
    pub(super) fn forget_service(&mut self, removals: &[Removal]) -> Option<String> {
        let mut crime = None;
        for removal in removals {
            let (Removal::All(path) | Removal::IfEmpty(path) | Removal::IfEmptyTree(path)) =
                removal;
            if path == unit::PROGRAM_PATH {
                self.service.program = None;
                let running = self.service.running.is_some();
                crime = crime.or(running.then(|| format!("{path} is removed while it runs")));
            }
            if matches!(removal, Removal::All(_)) && path == unit::ROOT {
                crime = Some(format!("{path} is removed with all that may be mounted there"));
            }
            self.service.left.remove(path);
        }
        crime
    }
}
