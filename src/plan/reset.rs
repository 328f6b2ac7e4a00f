//! `reset`: what to take away, and when not to. The whole cluster here; one node that leaves it in `leave`.
//!
//! A reset is taken up wherever it was cut off, so what says whose a thing is goes after that thing: containers first,
//! on all nodes; then on each node its disks, its files with ceph.conf as the last of them; and at the very end, when
//! nothing else is left, the identity. Uuids of OSDs depend on the fsid alone, so a node that comes back when the
//! identity is gone is cleaned by what it shows itself: labels, ceph.conf, the mark in a mon's store.
//!
//! Nodes that cannot be seen are left out and named, not waited for: a node that has burnt down must not keep a cluster
//! alive. What they have mapped is not known then; the data of their volumes goes with the cluster's disks, and whoever
//! types its fsid has been told which nodes could not be asked.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::fleet::Usable;
use super::{Action, Ending, Finding, Lane, OsdDisk, Plan, Refusal, StageName, Step, Waiting, Why};
use crate::daemon::{DaemonId, Kind};
use crate::facts::{DiskContent, DiskFact, Docker, Facts, IdentityFile, NodeFacts, Seen};
use crate::identity::{Identity, osd_uuid};
use crate::inventory::{Inventory, Node, NodeName};

mod belongings;
mod leave;

use belongings::Belongings;

/// Steps that take away what daemons and the cluster's files are not: one function for each thing that `up` makes on a
/// node beside them (a firewall's rules, a module's file, a volume driver). Each is given a node as it was seen, plans
/// nothing where nothing of it is there, and has its steps done before the node's files go.
const UNDO: &[fn(&Target, &Usable) -> Vec<Step>] = &[
    super::volumes::undo,
    super::plugins::undo,
    super::clients::undo,
    super::firewall::undo,
    super::images::undo,
];

/// The cluster that is to go.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// Its fsid.
    pub fsid: Uuid,
    /// Its identity, while a node still holds it.
    pub identity: Option<Identity>,
}

/// What is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options<'a> {
    /// This node alone, out of the cluster too.
    pub node: Option<&'a NodeName>,
    /// Whatever `up` cannot make again stays: disks and OSD directories, mon stores, the identity.
    pub keep_data: bool,
}

/// Which cluster is on these nodes: the one asked for, or the only one there is. `None`: none.
///
/// # Errors
/// There is another cluster than the one asked for, or more than one.
pub fn find(seen: &Facts, asked: Option<Uuid>) -> Result<Option<Target>, Refusal> {
    let mut clusters: BTreeMap<Uuid, BTreeSet<&NodeName>> = BTreeMap::new();
    for (name, seen) in &seen.nodes {
        for fsid in seen.value().into_iter().flat_map(|facts| traces(name, facts, asked)) {
            clusters.entry(fsid).or_default().insert(name);
        }
    }
    let chosen = match asked {
        Some(fsid) if clusters.contains_key(&fsid) => Some(fsid),
        None if clusters.len() == 1 => clusters.keys().next().copied(),
        _ => None,
    };
    if let Some(fsid) = chosen {
        return Ok(Some(Target { fsid, identity: identity(seen, fsid) }));
    }
    let mut findings = Vec::new();
    for (fsid, nodes) in clusters {
        let (what, hint) = match asked {
            Some(asked) => (
                format!("what is here is of the cluster {fsid}, not of {asked}"),
                "is this the right inventory? `cephdock status` tells the fsid".into(),
            ),
            None => (
                format!("what is here is of the cluster {fsid}, and there are others"),
                format!("say which is to go: `--fsid {fsid}`"),
            ),
        };
        findings.extend(nodes.into_iter().map(|node| Finding {
            node: node.clone(),
            what: what.clone(),
            hint: hint.clone(),
        }));
    }
    if findings.is_empty() { Ok(None) } else { Err(Refusal { to_protect_data: true, findings }) }
}

/// Clusters that cephdock has left its traces of on a node. A disk or a data directory of an OSD is none by itself:
/// everybody's look like that. Only one that is `asked` for, with the very uuid that cephdock would give it, is.
fn traces(name: &NodeName, facts: &NodeFacts, asked: Option<Uuid>) -> BTreeSet<Uuid> {
    let mut traces = BTreeSet::new();
    if let IdentityFile::Found(id) = &facts.identity {
        traces.insert(id.fsid);
    }
    traces.extend(facts.conf.as_ref().filter(|conf| conf.ours).and_then(|conf| conf.fsid));
    traces.extend(facts.mon_stores.values().filter_map(|store| store.fsid));
    let containers = facts.docker.up().map(|d| d.containers.as_slice()).unwrap_or_default();
    let labels = containers.iter().filter_map(|c| c.ours.as_ref());
    traces.extend(labels.filter_map(|ours| ours.fsid.parse::<Uuid>().ok()));
    traces.extend(asked.filter(|fsid| {
        facts.disks.iter().any(|(path, disk)| match &disk.content {
            DiskContent::BlueStore(label) => {
                label.osd_uuid == osd_uuid(*fsid, name, disk.identity(path))
            }
            _ => false,
        })
    }));
    traces
}

/// The identity of this cluster, as the nodes hold it.
fn identity(seen: &Facts, fsid: Uuid) -> Option<Identity> {
    let held = |facts: &NodeFacts| match &facts.identity {
        IdentityFile::Found(id) if id.fsid == fsid => Some(id.clone()),
        _ => None,
    };
    seen.nodes.values().filter_map(Seen::value).find_map(held)
}

/// What `reset` is to do next, and after that.
///
/// # Errors
/// An image is mapped, the node is not in the inventory, or mons or data would be lost with it (`to_protect_data`).
pub fn reset(
    want: &Inventory,
    seen: &Facts,
    target: &Target,
    options: Options,
) -> Result<Plan, Refusal> {
    let plan = match options.node {
        Some(name) => {
            let node = want.node(name).ok_or_else(|| unknown(name))?;
            leave::leave(want, seen, target, node)?
        }
        None => whole(want, seen, target, options.keep_data),
    };
    let in_use = in_use(seen, target, options.node);
    if plan.is_empty() || in_use.is_empty() {
        return Ok(plan);
    }
    Err(Refusal { to_protect_data: true, findings: in_use })
}

/// One node was named, and nobody knows which: that is no reason to take down all of them.
fn unknown(name: &NodeName) -> Refusal {
    let finding = Finding {
        node: name.clone(),
        what: "the inventory has no node of this name".into(),
        hint: "put it there, with the address it has, or had".into(),
    };
    Refusal { to_protect_data: true, findings: vec![finding] }
}

fn whole(want: &Inventory, seen: &Facts, target: &Target, keep_data: bool) -> Plan {
    let mut plan = Plan::default();
    let mut nodes = Vec::new();
    for node in &want.nodes {
        match look(node, seen) {
            Ok(usable) => nodes.push(usable),
            Err(why) => plan.waiting.push(left_out(node, &why)),
        }
    }
    let why = &Why::ClusterGoes;
    let ending = if keep_data { Ending::Orderly } else { Ending::AtOnce };
    let stops = nodes.iter().flat_map(|n| stop(target, n, ending, why));
    plan.stage(StageName::Stop, stops.collect());
    plan.stage(StageName::Clean, nodes.iter().map(|n| clean(target, n, keep_data, why)).collect());
    if !keep_data {
        let lanes = nodes.iter().map(|n| farewell(target, n, why));
        plan.stage(StageName::Farewell, lanes.collect());
    }
    plan
}

/// A node that can be worked on, or why it cannot. Without Docker it cannot: what runs there is not known. Nor with a
/// firewall that says nothing: the files go after its rules, and would leave nothing to tell whose those are.
fn look<'a>(node: &'a Node, seen: &'a Facts) -> Result<Usable<'a>, String> {
    match seen.nodes.get(&node.name) {
        Some(Seen::Value(facts)) => match &facts.docker {
            Docker::Up(docker) => {
                super::firewall::close(facts).map(|_| Usable { node, facts, docker })
            }
            Docker::Down(why) => Err(format!("Docker cannot be used: {why}")),
        },
        Some(Seen::Unknown(why)) => Err(why.clone()),
        Some(Seen::Absent) | None => Err("it was not looked at".into()),
    }
}

fn left_out(node: &Node, why: &str) -> Waiting {
    let what = format!("nothing is taken away on this node: {why}");
    Waiting { node: Some(node.name.clone()), what, holds_up: true }
}

/// Nodes on which nothing could be done, whatever the cluster.
pub fn out_of_reach(want: &Inventory, seen: &Facts, options: Options) -> Vec<Waiting> {
    let nodes = want.nodes.iter().filter(|n| options.node.is_none_or(|only| *only == n.name));
    nodes.filter_map(|node| Some(left_out(node, &look(node, seen).err()?))).collect()
}

/// Containers of the cluster, each in a lane of its own.
fn stop(target: &Target, node: &Usable, ending: Ending, why: &Why) -> Vec<Lane> {
    let ours = node.docker.containers.iter().filter_map(|c| c.ours.as_ref());
    let ours = ours.filter(|o| o.fsid == target.fsid.to_string());
    let remove = |daemon: DaemonId| {
        let ending = if daemon.kind == Kind::Mgr { Ending::AtOnce } else { ending };
        Step::new(Action::RemoveContainer(daemon, target.fsid, ending), why.clone())
    };
    ours.map(|o| Lane::new(&node.node.name, vec![remove(o.daemon.clone())])).collect()
}

/// Everything else on a node but the identity.
fn clean(target: &Target, node: &Usable, keep_data: bool, why: &Why) -> Lane {
    let belongings = Belongings::of(target, node);
    let mut steps = Vec::new();
    // what another cluster on this node needs is not this one's to take
    if belongings.claimed() {
        steps.extend(UNDO.iter().flat_map(|undo| undo(target, node)));
    }
    if !keep_data {
        let wipe = |disk: OsdDisk| {
            let why = Why::CarriesOsd(disk.number);
            Step::new(Action::WipeDisk(disk), why)
        };
        steps.extend(disks(target, node).into_iter().map(wipe));
    }
    let removals = belongings.without_identity(keep_data);
    if !removals.is_empty() {
        steps.push(Step::new(Action::RemoveFiles(removals), why.clone()));
    }
    Lane::new(&node.node.name, steps)
}

/// The identity.
fn farewell(target: &Target, node: &Usable, why: &Why) -> Lane {
    let removals = Belongings::of(target, node).identity();
    let step = Step::new(Action::RemoveFiles(removals.clone()), why.clone());
    Lane::new(&node.node.name, if removals.is_empty() { Vec::new() } else { vec![step] })
}

/// The disks of a node that carry OSDs of this cluster.
fn disks(target: &Target, node: &Usable) -> Vec<OsdDisk> {
    let carries = |(path, disk): (&String, &DiskFact)| {
        let DiskContent::BlueStore(label) = &disk.content else { return None };
        let begun = label.ceph_fsid.is_none()
            && label.osd_uuid == osd_uuid(target.fsid, &node.node.name, disk.identity(path));
        (begun || label.ceph_fsid == Some(target.fsid)).then(|| OsdDisk {
            path: disk.stable_path.clone(),
            kernel_name: disk.kernel_name.clone(),
            serial: disk.serial.clone(),
            size: disk.size,
            uuid: label.osd_uuid,
            number: label.whoami,
            fsid: label.ceph_fsid,
        })
    };
    let mut disks: Vec<OsdDisk> = node.facts.disks.iter().filter_map(carries).collect();
    // one disk may have been named twice
    let mut paths = BTreeSet::new();
    disks.retain(|disk| paths.insert(disk.path.clone()));
    disks
}

/// Images of the cluster that are mapped, on this node or on any.
fn in_use(seen: &Facts, target: &Target, only: Option<&NodeName>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, seen) in seen.nodes.iter().filter(|(name, _)| only.is_none_or(|n| n == *name)) {
        let Seen::Value(facts) = seen else { continue };
        for mapped in facts.mapped.iter().filter(|m| m.may_be_of(target.fsid)) {
            let device = &mapped.device;
            let (at, first) = match mapped.mounts.as_slice() {
                [] => (String::new(), String::new()),
                mounts => (
                    format!(" and mounted at {}", mounts.join(", ")),
                    format!("unmount it (`umount {}`), then ", mounts.join(" ")),
                ),
            };
            findings.push(Finding {
                node: name.clone(),
                what: format!("the RBD image {mapped} is mapped as {device}{at}"),
                hint: format!(
                    "stop what uses it, {first}unmap it (`rbd unmap {device}`, or `rbd unmap -o force {device}` where its \
                     cluster answers no more), and run the same command again"
                ),
            });
        }
    }
    findings
}

/// What is worth knowing before anything is taken away, and stays so afterwards.
pub fn notes(want: &Inventory, seen: &Facts, target: &Target, options: Options) -> Vec<Waiting> {
    let mut all = Vec::new();
    let mut add = |node: Option<&NodeName>, what: String| {
        all.push(Waiting { node: node.cloned(), what, holds_up: false });
    };
    for node in want.nodes.iter().filter(|n| options.node.is_none_or(|only| *only == n.name)) {
        match look(node, seen) {
            Ok(usable) => {
                let belongings = Belongings::of(target, &usable);
                let strangers = belongings.strangers().join(", ");
                if !strangers.is_empty() {
                    let what = "not cephdock's, or not of this cluster, and left";
                    add(Some(&node.name), format!("{what}: {strangers}"));
                }
            }
            Err(_) if seen.node(&node.name).is_none() => {
                let what =
                    "whether it has volumes mapped cannot be known while it is not reachable";
                add(Some(&node.name), what.into());
            }
            Err(_) => {}
        }
    }
    if options.node.is_none() {
        for name in outside(want, seen, target) {
            let what = "is in the cluster and not in the inventory: what is on it is left";
            add(None, format!("{name} {what}"));
        }
    }
    all
}

/// Nodes that the mons know and the inventory does not.
fn outside<'a>(want: &Inventory, seen: &'a Facts, target: &Target) -> BTreeSet<&'a str> {
    let Some(cluster) = seen.cluster.value().filter(|c| c.fsid == target.fsid) else {
        return BTreeSet::new();
    };
    let hosts = cluster.hosts.iter().filter(|(_, osds)| !osds.is_empty()).map(|(name, _)| name);
    let names = cluster.mons.keys().chain(hosts).map(String::as_str);
    names.filter(|name| !want.nodes.iter().any(|n| n.name.as_str() == *name)).collect()
}
