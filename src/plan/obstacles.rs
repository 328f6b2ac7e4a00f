//! Everything that would keep `up` from going on, at once and by what it is about: for `check`. The decisions are the
//! planner's own; here they are only made on facts in which one obstacle does not hide the next.

use std::collections::{BTreeMap, BTreeSet};

use super::fleet::Fleet;
use super::{
    Action, Finding, Refusal, Waiting, clients, firewall, foreign, images, osds, plugins, volumes,
};
use crate::facts::firewall::{PortRule, Running};
use crate::facts::{DiskContent, Docker, DockerFacts, Facts, Seen};
use crate::identity::Identity;
use crate::inventory::{Inventory, NodeName};

/// What stands in the way of a plan.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Obstacles {
    /// What somebody else made, or another cluster.
    pub theirs: Vec<Finding>,
    /// Disks that may not be formatted.
    pub disks: Vec<Finding>,
    /// OSDs whose data is gone.
    pub lost: Vec<Waiting>,
    /// What keeps packets out and is not cephdock's to change.
    pub firewall: Vec<Waiting>,
    /// Nodes that have different images of one name.
    pub images: Vec<Waiting>,
    /// Nodes that cannot run the image archive's.
    pub archive: Vec<Finding>,
    /// What nodes lack as clients, what keeps the volume driver from them, and what is odd about their volume plugins.
    pub clients: Vec<Waiting>,
    /// Ports that `up` is going to open, by node.
    pub opens: BTreeMap<NodeName, BTreeSet<PortRule>>,
}

/// Finds them. What `check` finds by itself is put aside first: nodes that cannot be reached, addresses that are not
/// there, a Docker or firewalld that does not answer. `id` is `None` where it is not known which cluster this is: traces
/// of Ceph and OSDs on disks are not looked at then, for they may be its own.
pub fn obstacles(want: &Inventory, seen: &Facts, id: Option<&Identity>) -> Obstacles {
    let mut seen = put_aside(want, seen);
    if id.is_none() {
        put_osds_aside(&mut seen);
    }
    // it stands for the one that is not known
    let nobody = Identity::mint(want, [0; 48], 0);
    let known = id.is_some();
    let id = id.unwrap_or(&nobody);
    // a mon node that is missing is no reason to look no further
    let mut established = id.clone();
    established.established = true;
    let Ok(fleet) = Fleet::sort(want, &seen, &established) else { return Obstacles::default() };
    let findings = |refused: Result<(), Refusal>| refused.err().map(|r| r.findings);
    let theirs = if known { findings(foreign::refuse(&fleet, id)) } else { None };
    let (disks, lost) = match osds::Osds::choose(&fleet, id) {
        Ok(osds) => (Vec::new(), osds.lost),
        Err(refusal) => (refusal.findings, Vec::new()),
    };
    Obstacles {
        theirs: theirs.unwrap_or_default(),
        disks,
        lost,
        firewall: firewall::waiting(&fleet),
        images: images::waiting(&fleet),
        archive: findings(images::refuse(&fleet)).unwrap_or_default(),
        clients: [clients::waiting(&fleet), volumes::waiting(&fleet), plugins::waiting(&fleet)]
            .concat(),
        opens: opens(&fleet),
    }
}

fn put_aside(want: &Inventory, seen: &Facts) -> Facts {
    let mut seen = seen.clone();
    for node in &want.nodes {
        let Some(Seen::Value(facts)) = seen.nodes.get_mut(&node.name) else { continue };
        if !facts.addresses.contains(&node.address) {
            facts.addresses.push(node.address);
        }
        if facts.docker.up().is_none() {
            facts.docker = Docker::Up(DockerFacts::default());
        }
        if let Some(firewalld) = &mut facts.firewall.firewalld
            && matches!(firewalld.running, Running::Silent(_))
        {
            firewalld.running = Running::No;
        }
    }
    seen
}

fn put_osds_aside(seen: &mut Facts) {
    for node in seen.nodes.values_mut() {
        let Seen::Value(facts) = node else { continue };
        for disk in facts.disks.values_mut() {
            if matches!(disk.content, DiskContent::BlueStore(_)) {
                disk.content = DiskContent::Blank;
            }
        }
    }
}

fn opens(fleet: &Fleet) -> BTreeMap<NodeName, BTreeSet<PortRule>> {
    let mut opens: BTreeMap<NodeName, BTreeSet<PortRule>> = BTreeMap::new();
    for lane in firewall::ports(fleet) {
        for step in lane.steps {
            if let Action::OpenPorts(spec) = step.action {
                let rules = spec.rules.into_iter().map(|(_, rule)| rule);
                opens.entry(lane.node.clone()).or_default().extend(rules);
            }
        }
    }
    opens
}
