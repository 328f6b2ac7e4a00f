//! Which OSD is which: the uuid, number and disk of every OSD the inventory asks for.
//!
//! An OSD's uuid is derived from the cluster, its node and its disk, so it is the same in every run. Its number comes
//! from whoever knows best: the OSD map, its data directory, the label on its disk, the key that was registered for it;
//! only an OSD that none of them knows gets the lowest free number, and that only when it is certain that no other one
//! has it. What the map gives to one OSD no other gets: an OSD that was removed while its node was off may come back
//! with a number that has been given anew.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::fleet::{Fleet, Usable};
use super::{Finding, Refusal, Waiting, answers};
use crate::daemon::DaemonId;
use crate::daemon::osd::Store;
use crate::facts::bluestore::Label;
use crate::facts::{DiskContent, DiskFact};
use crate::identity::Identity;
use crate::inventory::{NodeName, OsdSpec};
use crate::secret::sha256;

/// The OSDs of the nodes that can be worked on.
pub(super) struct Osds {
    pub all: Vec<Osd>,
    pub waiting: Vec<Waiting>,
    /// OSDs whose data is gone.
    pub lost: Vec<Waiting>,
}

/// One OSD.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Osd {
    pub node: NodeName,
    pub number: u32,
    pub uuid: Uuid,
    pub store: Store,
    /// Its data directory is there and complete.
    pub made: bool,
    /// Its disk carries its data already.
    pub on_disk: bool,
}

impl Osd {
    pub(super) fn daemon(&self) -> DaemonId {
        DaemonId::osd(self.number)
    }
}

/// An OSD whose number is not known yet.
struct Candidate<'a> {
    node: Usable<'a>,
    uuid: Uuid,
    store: Store,
    label: Option<&'a Label>,
}

impl Osds {
    pub(super) fn choose(fleet: &Fleet, id: &Identity) -> Result<Self, Refusal> {
        let mut findings = Vec::new();
        let mut waiting = Vec::new();
        let mut candidates = Vec::new();
        for node in &fleet.usable {
            let mut files = 0;
            for spec in &node.node.osds {
                match spec {
                    OsdSpec::File(bytes) => {
                        files += 1;
                        let uuid = id.osd_uuid(&node.node.name, &format!("file-{files}"));
                        let store = Store::File(*bytes);
                        candidates.push(Candidate { node: *node, uuid, store, label: None });
                    }
                    OsdSpec::Device(path) => {
                        let path = path.to_string_lossy();
                        match device(fleet, id, node, &path) {
                            Ok(Some(candidate)) => candidates.push(candidate),
                            Ok(None) => waiting.push(Waiting {
                                node: Some(node.node.name.clone()),
                                what: format!("{path} carries an OSD of this cluster that no mon can vouch for now"),
                                holds_up: true,
                            }),
                            Err((what, hint)) => {
                                findings.push(Finding { node: node.node.name.clone(), what, hint });
                            }
                        }
                    }
                }
            }
        }
        twins(&candidates, &mut findings);
        if !findings.is_empty() {
            return Err(Refusal { to_protect_data: true, findings });
        }
        let known = known_numbers(&candidates, fleet, id);
        let known = known.map_err(|findings| Refusal { to_protect_data: true, findings })?;
        let mut osds = Self { all: Vec::new(), waiting, lost: Vec::new() };
        osds.number(fleet, id, candidates, &known);
        Ok(osds)
    }

    /// New numbers for those that nobody knows.
    fn number(
        &mut self,
        fleet: &Fleet,
        id: &Identity,
        candidates: Vec<Candidate>,
        known: &[Option<u32>],
    ) {
        let mut taken: BTreeSet<u32> = known.iter().flatten().copied().collect();
        taken.extend(fleet.usable.iter().flat_map(|u| u.facts.osd_dirs.keys()));
        if let Some(cluster) = fleet.cluster() {
            taken.extend(cluster.osds.keys());
            taken.extend(
                cluster.auth.keys().filter_map(|e| e.strip_prefix("osd.")?.parse::<u32>().ok()),
            );
        }
        // While the mons are silent, numbers may be given only if no OSD can have one that is not seen here: in a
        // cluster that has never met, where every node of the inventory was looked at.
        let certain = answers(fleet.seen) || (!id.established && fleet.skipped.is_empty());
        for (candidate, known) in candidates.into_iter().zip(known.iter().copied()) {
            let number = match known {
                Some(number) => number,
                None if certain => {
                    let free = (0..u32::MAX).find(|n| !taken.contains(n)).unwrap_or_default();
                    taken.insert(free);
                    free
                }
                None => {
                    self.waiting.push(Waiting {
                        node: Some(candidate.node.node.name.clone()),
                        what: format!(
                            "a new OSD {} gets its number when the mons answer",
                            match &candidate.store {
                                Store::Device(path) => format!("on {path}"),
                                Store::File(_) => "in a file".into(),
                            }
                        ),
                        holds_up: true,
                    });
                    continue;
                }
            };
            let made = candidate.node.facts.osd_dirs.contains_key(&number);
            let booted =
                fleet.cluster().and_then(|c| c.osds.get(&number)).is_some_and(|o| o.booted);
            if let Some(what) = lost(&candidate, number, made, booted) {
                let node = Some(candidate.node.node.name.clone());
                self.lost.push(Waiting { node, what, holds_up: true });
                continue;
            }
            self.all.push(Osd {
                node: candidate.node.node.name.clone(),
                number,
                uuid: candidate.uuid,
                made,
                on_disk: candidate.label.is_some(),
                store: candidate.store,
            });
        }
    }

    /// The OSDs of a node.
    pub(super) fn of<'s>(&'s self, node: &'s NodeName) -> impl Iterator<Item = &'s Osd> {
        self.all.iter().filter(move |o| &o.node == node)
    }

    /// All their numbers.
    pub(super) fn numbers(&self) -> Vec<u32> {
        self.all.iter().map(|o| o.number).collect()
    }
}

/// May this disk be this node's OSD? `None`: it cannot be known while the mons are silent.
fn device<'a>(
    fleet: &Fleet<'a>,
    id: &Identity,
    node: &Usable<'a>,
    path: &str,
) -> Result<Option<Candidate<'a>>, (String, String)> {
    let Some(disk) = node.facts.disks.get(path) else {
        return Err((format!("{path} was not looked at"), "run the same command again".into()));
    };
    let uuid = id.osd_uuid(&node.node.name, disk.identity(path));
    let candidate = |uuid, label| {
        let store = Store::Device(disk.stable_path.clone());
        Ok(Some(Candidate { node: *node, uuid, store, label }))
    };
    match &disk.content {
        DiskContent::Blank => candidate(uuid, None),
        DiskContent::BlueStore(label) if label.osd_uuid == uuid => candidate(uuid, Some(label)),
        DiskContent::BlueStore(label) if label.ceph_fsid == Some(id.fsid) && label.complete => {
            // an OSD of this cluster that came from another node, or whose disk tells its serial number only now
            match fleet.cluster() {
                Some(c) if c.osds.values().any(|o| o.uuid == label.osd_uuid) => {
                    candidate(label.osd_uuid, Some(label))
                }
                Some(_) => Err(refusal(path, disk)),
                None => Ok(None),
            }
        }
        _ => Err(refusal(path, disk)),
    }
}

fn refusal(path: &str, disk: &DiskFact) -> (String, String) {
    let wipe = format!(
        "if nothing on it is needed any more, wipe it by hand (`wipefs -a {path}` and \
         `dd if=/dev/zero bs=1M count=10 of={path}`); otherwise name another disk"
    );
    let size = crate::plan::osds::size(disk.size);
    match &disk.content {
        DiskContent::Missing => (
            format!("there is no {path}"),
            "look at `lsblk` on the node and correct `device`".into(),
        ),
        DiskContent::NotADisk(what) => (
            format!("{path} is {what}"),
            "name a whole disk; `lsblk` on the node lists them".into(),
        ),
        DiskContent::Unknown(why) => (
            format!("what is on {path} ({size}) cannot be told: {why}"),
            "see to it that `lsblk` and `blkid -p` work on the node".into(),
        ),
        DiskContent::Occupied(found) => {
            (format!("{path} ({size}) is not blank: {}", found.join("; ")), wipe)
        }
        DiskContent::BlueStore(label) => {
            let of = match (label.whoami, label.ceph_fsid) {
                (Some(n), Some(fsid)) => format!("osd.{n} of the cluster {fsid}"),
                _ => format!("the beginning of an OSD with the uuid {}", label.osd_uuid),
            };
            (format!("{path} ({size}) is not blank: it carries {of}"), wipe)
        }
        // only asked for disks that are not blank
        DiskContent::Blank => (format!("{path} is blank"), wipe),
    }
}

/// A disk's size in words.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if value >= 100.0 || value.fract() < 0.05 {
        format!("{value:.0} {}", UNITS[unit])
    } else {
        format!("{value:.1} {}", UNITS[unit])
    }
}

/// Two entries that are one disk under two names, or two disks that tell the same serial number.
fn twins(candidates: &[Candidate], findings: &mut Vec<Finding>) {
    let mut seen = BTreeSet::new();
    for candidate in candidates {
        if !seen.insert(candidate.uuid) {
            let store = match &candidate.store {
                Store::Device(path) => path.as_str(),
                Store::File(_) => "a file",
            };
            findings.push(Finding {
                node: candidate.node.node.name.clone(),
                what: format!("two OSDs of the inventory are the same disk, {store}"),
                hint: "name each disk once; disks that tell no serial number of their own cannot be told apart".into(),
            });
        }
    }
}

/// The number of each candidate, where somebody knows it. The best source is asked for all of them before the next one.
fn known_numbers(
    candidates: &[Candidate],
    fleet: &Fleet,
    id: &Identity,
) -> Result<Vec<Option<u32>>, Vec<Finding>> {
    let in_map = |c: &Candidate| {
        fleet.cluster()?.osds.iter().find(|(_, o)| o.uuid == c.uuid).map(|(n, _)| *n)
    };
    let in_place = |c: &Candidate| {
        let in_dir = c.node.facts.osd_dirs.iter().find(|(_, d)| d.uuid == Some(c.uuid));
        in_dir.map(|(n, _)| *n).or_else(|| c.label?.whoami)
    };
    let in_auth = |c: &Candidate| {
        let key = sha256(id.osd_key(c.uuid).expose());
        let mut auth = fleet.cluster()?.auth.iter();
        let (entity, _) = auth.find(|(e, k)| e.starts_with("osd.") && **k == key)?;
        entity.strip_prefix("osd.")?.parse::<u32>().ok()
    };
    let mut known: Vec<Option<u32>> = candidates.iter().map(in_map).collect();
    let mut taken: BTreeSet<u32> =
        fleet.cluster().into_iter().flat_map(|c| c.osds.keys()).copied().collect();
    let mut findings = Vec::new();
    for (candidate, known) in candidates.iter().zip(&mut known).filter(|(_, known)| known.is_none())
    {
        let Some(number) = in_place(candidate) else { continue };
        if taken.insert(number) {
            *known = Some(number);
        } else {
            findings.push(replaced(candidate, number));
        }
    }
    // a key says least: it may have been registered for an OSD that was never made
    taken.extend(fleet.usable.iter().flat_map(|u| u.facts.osd_dirs.keys()));
    for (candidate, known) in candidates.iter().zip(&mut known).filter(|(_, known)| known.is_none())
    {
        *known = in_auth(candidate).filter(|number| taken.insert(*number));
    }
    if findings.is_empty() { Ok(known) } else { Err(findings) }
}

/// An OSD that was there and whose data is gone: a new disk in the old one's place, perhaps, or one that was wiped. It is
/// not made anew under its old number and uuid, for the others would take it for the one that has the data.
fn lost(candidate: &Candidate, number: u32, made: bool, booted: bool) -> Option<String> {
    let where_it_was = match &candidate.store {
        Store::Device(path) if candidate.label.is_none() && (made || booted) => {
            format!("{path}, which is blank now; was the disk replaced?")
        }
        Store::File(_) if !made && booted => "a file that is gone.".into(),
        Store::Device(_) | Store::File(_) => return None,
    };
    let daemon = DaemonId::osd(number);
    Some(format!(
        "osd.{number} was on {where_it_was} If its data is lost, take it out of the cluster (`docker exec mon ceph osd \
         purge {number} --yes-i-really-mean-it`), remove its container {} and {} on this node, and run `up` again",
        daemon.container(),
        daemon.data_dir(),
    ))
}

fn replaced(candidate: &Candidate, number: u32) -> Finding {
    let store = match &candidate.store {
        Store::Device(path) => path.as_str(),
        Store::File(_) => "a file",
    };
    let dir = DaemonId::osd(number).data_dir();
    Finding {
        node: candidate.node.node.name.clone(),
        what: format!(
            "{store} carries an OSD that was osd.{number}; another OSD has this number now"
        ),
        hint: format!(
            "if nothing on it is needed any more, remove its container and {dir} by hand, and wipe the disk if it is one"
        ),
    }
}
