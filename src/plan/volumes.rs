//! cephdock's own volume driver on every node: its key, its program, its unit. Planned beside all else that makes a node
//! a client.
//!
//! It goes to nodes whose kernel has no rbd, too: it says so there to whoever asks for a volume, which is clearer than
//! Docker's word that there is no such driver, and it works as soon as the kernel does.

use super::fleet::{Fleet, Usable};
use super::reset::Target;
use super::{Action, FileSpec, Lane, ProgramSpec, Removal, Step, Verb, Waiting, Why};
use crate::daemon::mon::Entity;
use crate::facts::{Facts, NodeFacts};
use crate::identity::Identity;
use crate::inventory::{AutoOff, Inventory, VolumeDriver};
use crate::secret::{Secret, sha256};
use crate::volume::driver::FEATURES;
use crate::volume::program::Program;
use crate::volume::unit;

/// Where the driver's key lies on every node: `rbd --id cephdock` looks for it there.
pub(super) const KEYRING: &str = "/etc/ceph/ceph.client.cephdock.keyring";
const PROGRAM_MODE: u32 = 0o755;

/// Features without which nothing works: of layers all else is made, and the lock keeps a second writer out.
const LEAST: u64 = LAYERING | EXCLUSIVE_LOCK;
const LAYERING: u64 = 1;
const EXCLUSIVE_LOCK: u64 = 4;

/// What becomes of a node.
enum Fate<'a> {
    /// This is its driver.
    Gets(&'a Program),
    /// The inventory asks for none, or for another.
    NotWanted,
    /// Nobody has looked for programs: not even what is there is touched.
    Open,
    /// Nothing would run it.
    NoSystemd,
    /// There is none for its architecture.
    NoProgram,
}

fn fate<'a>(want: &'a Inventory, facts: &NodeFacts) -> Fate<'a> {
    if want.volumes.driver != VolumeDriver::Cephdock {
        return Fate::NotWanted;
    }
    let Some(programs) = &want.volumes.programs else { return Fate::Open };
    if !facts.driver.systemd {
        return Fate::NoSystemd;
    }
    programs.iter().find(|p| p.is_for(&facts.arch)).map_or(Fate::NoProgram, Fate::Gets)
}

/// The key of all drivers, where they are wanted. With `profile rbd` it may map, make and remove images of the one pool,
/// and shut out a client that has died with one; it is not an administrator's.
pub(super) fn entity(want: &Inventory, id: &Identity) -> Option<Entity> {
    let wanted = want.volumes.driver == VolumeDriver::Cephdock && want.volumes.programs.is_some();
    wanted.then(|| key(id, &want.cluster.pool.name))
}

fn key(id: &Identity, pool: &str) -> Entity {
    let name = format!("client.{}", unit::USER);
    let osd = format!("profile rbd pool={pool}");
    let key = id.key(&name);
    Entity::new(name, key, &[("mon", "profile rbd"), ("osd", &osd)])
}

/// The file with it, whatever the pool.
pub(super) fn keyring(id: &Identity) -> Secret {
    key(id, "").keyring(false)
}

/// Whether a node holds the key.
pub(super) fn wants_keyring(fleet: &Fleet, u: &Usable) -> bool {
    matches!(fate(fleet.want, u.facts), Fate::Gets(_))
}

/// The steps, in a lane of their own on each node.
pub(super) fn all(fleet: &Fleet, id: &Identity) -> Vec<Lane> {
    let features = features(fleet.want, fleet.seen);
    let steps = |u: &Usable| match fate(fleet.want, u.facts) {
        Fate::Gets(program) => install(fleet, u, program, &features),
        Fate::NotWanted if in_use(u.facts).is_empty() => remove(u, id),
        _ => Vec::new(),
    };
    fleet.scope().map(|u| Lane::new(&u.node.name, steps(u))).collect()
}

fn install(fleet: &Fleet, u: &Usable, program: &Program, features: &str) -> Vec<Step> {
    let seen = &u.facts.driver;
    let args = unit::args(u.node.name.as_str(), &fleet.want.cluster.pool.name, features);
    let mut steps = Vec::new();
    let spec = ProgramSpec {
        program: program.clone(),
        path: unit::PROGRAM_PATH.into(),
        mode: PROGRAM_MODE,
    };
    match &seen.program {
        Some(file) if file.sha256 == program.sha256 && file.mode == PROGRAM_MODE => {}
        Some(_) => steps.push(Step::new(Action::SendProgram(spec), Why::Differs)),
        None => steps.push(Step::new(Action::SendProgram(spec), Why::Missing)),
    }
    let file = FileSpec {
        path: unit::UNIT_PATH.into(),
        mode: 0o644,
        folder_mode: 0o755,
        content: Secret::new(unit::unit(&args)),
    };
    match &seen.unit {
        Some(unit)
            if unit.file.sha256 == sha256(file.content.expose()) && unit.file.mode == file.mode => {
        }
        Some(_) => steps.push(Step::new(Action::WriteFiles(vec![file]), Why::Differs)),
        None => steps.push(Step::new(Action::WriteFiles(vec![file]), Why::Missing)),
    }
    let service = |verb| Action::Service(unit::UNIT.into(), verb);
    let command = unit::command(&args);
    let runs = seen.running.as_ref().filter(|_| seen.active);
    match runs {
        None => steps.push(Step::new(service(Verb::Start), Why::NotRunning)),
        Some(running) if !steps.is_empty() || !running.current || running.command != command => {
            let why = Why::NotYet("it runs as it was before; what is mounted stays".into());
            steps.push(Step::new(service(Verb::Restart), why));
        }
        Some(_) if !seen.enabled => {
            let why = Why::NotYet("it is not started at boot".into());
            steps.push(Step::new(service(Verb::Enable), why));
        }
        Some(_) => {}
    }
    steps
}

/// The features of new images, in `rbd`'s words: those that the kernels of all nodes can map. Nodes on which no image can
/// be mapped anyhow do not count. While a node cannot be seen, it is left at what the drivers have been told, or at what
/// every kernel can: otherwise a node that is off would make all others change.
pub(super) fn features(want: &Inventory, seen: &Facts) -> String {
    let facts: Vec<_> = want.nodes.iter().map(|n| seen.node(&n.name)).collect();
    let mut all = facts.iter().flatten().filter_map(|f| can_map(f)).fold(u64::MAX, |a, b| a & b);
    if facts.iter().any(Option::is_none) {
        let told = facts.iter().flatten().filter_map(|f| told(f)).reduce(|a, b| a & b);
        all &= told.unwrap_or(LEAST);
    }
    let names = FEATURES.iter().filter(|(bit, _)| (all | LEAST) & bit != 0).map(|(_, name)| *name);
    names.collect::<Vec<_>>().join(",")
}

/// The features that a node's kernel can map; `None`: it cannot map any image that a driver makes.
fn can_map(facts: &NodeFacts) -> Option<u64> {
    if !facts.client.module.is_available() {
        return None;
    }
    let bits = facts.client.features.unwrap_or_else(|| since(&facts.kernel));
    (bits & LEAST == LEAST).then_some(bits)
}

/// What krbd has had since which Linux, for kernels that do not say it: before 4.11, or while rbd is not loaded.
fn since(kernel: &str) -> u64 {
    let mut words = kernel.split(|c: char| !c.is_ascii_digit()).map(|w| w.parse().unwrap_or(0));
    let version: (u32, u32) = (words.next().unwrap_or(0), words.next().unwrap_or(0));
    let since = [((3, 10), 1), ((4, 9), 4), ((5, 1), 32), ((5, 3), 8 | 16)];
    since.iter().filter(|(first, _)| version >= *first).fold(0, |bits, (_, more)| bits | more)
}

/// The features in a node's unit.
fn told(facts: &NodeFacts) -> Option<u64> {
    let unit = facts.driver.unit.as_ref().filter(|unit| unit.ours)?;
    let list = unit.command.split(' ').skip_while(|word| *word != "--features").nth(1)?;
    let bit = |name: &str| FEATURES.iter().find(|f| f.1 == name).map_or(0, |f| f.0);
    Some(list.split(',').fold(0, |bits, name| bits | bit(name)))
}

/// Where the driver's volumes are mounted on a node.
fn in_use(facts: &NodeFacts) -> Vec<&str> {
    let mounts = facts.mapped.iter().flat_map(|m| &m.mounts).map(String::as_str);
    mounts.filter(|at| at.starts_with(unit::ROOT)).collect()
}

/// All of it but what the cluster knows, on a node that is to have it no more.
fn remove(u: &Usable, id: &Identity) -> Vec<Step> {
    let mut steps = take_away(u, &Why::NotWanted);
    let ours = sha256(keyring(id).expose());
    if u.facts.files.get(KEYRING).is_some_and(|seen| seen.sha256 == ours) {
        let keyring = Removal::All(KEYRING.into());
        steps.push(Step::new(Action::RemoveFiles(vec![keyring]), Why::NotWanted));
    }
    steps
}

/// For `reset`. The key goes with the cluster's other files.
pub(super) fn undo(_: &Target, u: &Usable) -> Vec<Step> {
    take_away(u, &Why::OnlyForCeph)
}

/// The unit goes first, with its process; folders only as far as they are empty, whatever is mounted in them.
fn take_away(u: &Usable, why: &Why) -> Vec<Step> {
    let seen = &u.facts.driver;
    let theirs = seen.unit.as_ref().is_some_and(|unit| !unit.ours);
    if seen.is_absent() || theirs {
        return Vec::new();
    }
    let mut steps = Vec::new();
    if seen.systemd {
        let path = unit::UNIT_PATH.into();
        steps.push(Step::new(Action::Service(unit::UNIT.into(), Verb::Remove(path)), why.clone()));
    }
    let mut gone: Vec<Removal> = Vec::new();
    if seen.program.is_some() {
        gone.push(Removal::All(unit::PROGRAM_PATH.into()));
    }
    gone.extend(seen.left.iter().filter(|p| *p != unit::ROOT).cloned().map(Removal::All));
    gone.push(Removal::IfEmptyTree(unit::ROOT.into()));
    steps.push(Step::new(Action::RemoveFiles(gone), why.clone()));
    steps
}

/// Nodes that do not get it, and why.
pub(super) fn waiting(fleet: &Fleet) -> Vec<Waiting> {
    let mut waiting = Vec::new();
    for u in fleet.scope() {
        let mut note = |what: String, holds_up: bool| {
            waiting.push(Waiting { node: Some(u.node.name.clone()), what, holds_up });
        };
        match fate(fleet.want, u.facts) {
            Fate::Gets(_) => {
                let client = &u.facts.client;
                if client.module.is_available() && can_map(u.facts).is_none() {
                    note(too_old(&u.facts.kernel), false);
                }
                // where it is to be installed and cannot be, that is said already
                if fleet.want.client.packages == AutoOff::Off && client.rbd.is_none() {
                    note(NO_RBD.into(), false);
                }
            }
            Fate::NoSystemd => note(NO_SYSTEMD.into(), false),
            Fate::NoProgram => note(no_program(fleet.want, &u.facts.arch), true),
            Fate::NotWanted => {
                let in_use = in_use(u.facts);
                if !u.facts.driver.is_absent() && !in_use.is_empty() {
                    note(still_used(&in_use), true);
                }
            }
            Fate::Open => {}
        }
    }
    waiting
}

const NO_SYSTEMD: &str = "it has no systemd, which would run the volume driver, and so it has no volumes; all else works";

const NO_RBD: &str = "it has no program `rbd`, so volumes cannot work on it: install ceph-common there, or set \
                      `client.packages: auto`";

fn too_old(kernel: &str) -> String {
    format!(
        "its kernel {kernel} cannot keep a second writer out of an RBD image, so volumes cannot work on it: they need \
         Linux 4.9 or later"
    )
}

fn no_program(want: &Inventory, arch: &str) -> String {
    let programs = want.volumes.programs.iter().flatten();
    let have: Vec<String> = programs.map(|p| format!("{} is for {}", p.name(), p.arch())).collect();
    let have = if have.is_empty() { "there is no program at all".into() } else { have.join(", ") };
    format!(
        "there is no volume driver for its architecture {arch} ({have}): name a cephdock that was built for {arch} with \
         `volumes.driver_binary`, or set `volumes.driver: none`"
    )
}

fn still_used(at: &[&str]) -> String {
    format!(
        "the volume driver is not asked for any more, and volumes are mounted at {}: it stays until the containers that \
         use them are gone",
        at.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::action::PARTIAL;

    #[test]
    fn kernels_that_do_not_say_it() {
        for (kernel, bits) in [
            ("3.10.0-1160.el7.x86_64", 1),
            ("4.9.0", 5),
            ("4.18.0-553.el8", 5),
            ("5.1.16", 37),
            ("5.10.0-28-amd64", 61),
            ("6.8", 61),
            ("nonsense", 0),
        ] {
            assert_eq!(since(kernel), bits, "{kernel}");
        }
    }

    #[test]
    fn unfinished_files_are_called_as_they_are_written() {
        assert_eq!(unit::PROGRAM_PARTIAL, format!("{}{PARTIAL}", unit::PROGRAM_PATH));
        assert_eq!(unit::UNIT_PARTIAL, format!("{}{PARTIAL}", unit::UNIT_PATH));
    }
}
