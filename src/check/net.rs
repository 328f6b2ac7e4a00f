//! Whether nodes are reached, who they are, and which addresses and ports they have.

use std::collections::BTreeMap;

use super::{Evidence, Found, listed};
use crate::facts::Seen;
use crate::inventory::NodeName;

/// Both protocols of the mons.
pub(super) const MON_PORTS: [u16; 2] = [3300, 6789];

pub(super) fn reached(evidence: &Evidence) -> Vec<Found> {
    let mut found = Vec::new();
    for node in &evidence.want.nodes {
        let why = match evidence.facts.nodes.get(&node.name) {
            Some(Seen::Value(_)) => continue,
            Some(Seen::Unknown(why)) => why.as_str(),
            Some(Seen::Absent) | None => "it was not looked at",
        };
        let ssh = &node.ssh;
        let port = if ssh.port == 22 { String::new() } else { format!("-p {} ", ssh.port) };
        let sudo = if ssh.user == "root" { "true" } else { "sudo -n true" };
        found.push(
            Found::fail(&node.name, why)
                .why("nothing can be looked at or done on it")
                .fix(format!("see to it that `ssh {port}{}@{} {sudo}` works", ssh.user, ssh.host)),
        );
    }
    found
}

/// A survey that failed leaves checks without a thing to look at, which is not the same as nothing found.
pub(super) fn surveyed(evidence: &Evidence) -> Vec<Found> {
    let failed = evidence.surveys.iter().filter_map(|(node, seen)| match seen {
        Seen::Unknown(why) => {
            Some(Found::unchecked(node, format!("it could not be surveyed: {why}")))
        }
        Seen::Absent | Seen::Value(_) => None,
    });
    failed.collect()
}

pub(super) fn hostnames(evidence: &Evidence) -> Vec<Found> {
    let mut by_name: BTreeMap<&str, Vec<&NodeName>> = BTreeMap::new();
    for (node, facts) in evidence.seen().filter(|(_, facts)| !facts.hostname.is_empty()) {
        by_name.entry(&facts.hostname).or_default().push(&node.name);
    }
    let twins = by_name.into_iter().filter(|(_, nodes)| nodes.len() > 1);
    let each = twins.flat_map(|(hostname, nodes)| {
        let what = format!("{} all say that their hostname is {hostname}", listed(&nodes));
        let found = move |node: &NodeName| {
            Found::note(node, what.clone())
                .why("Ceph's daemons go by the inventory's names, but logs and metrics by these")
                .fix(format!("`hostnamectl hostname {node}`"))
        };
        nodes.into_iter().map(found)
    });
    each.collect()
}

pub(super) fn addresses(evidence: &Evidence) -> Vec<Found> {
    let mut found = Vec::new();
    for (node, facts) in evidence.seen().filter(|(n, f)| !f.addresses.contains(&n.address)) {
        let others = facts.addresses.iter().filter(|a| !a.is_loopback());
        found.push(
            Found::fail(
                &node.name,
                format!(
                    "none of its interfaces has the address {}; they have {}",
                    node.address,
                    listed(others)
                ),
            )
            .why("its daemons are to listen there")
            .fix(format!(
                "set `address` of {} in the inventory to the one it has in {}, and `ssh.host` where SSH uses another",
                node.name, evidence.want.cluster.public_network
            )),
        );
    }
    found
}

/// Two machines with one address, or one machine that is two nodes.
pub(super) fn taken(evidence: &Evidence) -> Vec<Found> {
    let mut found = Vec::new();
    for (node, _) in evidence.seen() {
        let has = |facts: &crate::facts::NodeFacts| facts.addresses.contains(&node.address);
        let others = evidence.seen().filter(|(other, facts)| other.name != node.name && has(facts));
        let others: Vec<&NodeName> = others.map(|(other, _)| &other.name).collect();
        if !others.is_empty() {
            found.push(
                Found::fail(
                    &node.name,
                    format!("its address {} is on an interface of {} too", node.address, listed(others)),
                )
                .why("either one of the two is cut off, or they are the same machine")
                .fix("give each machine an address of its own, and each node of the inventory a machine"),
            );
        }
    }
    found
}

pub(super) fn cluster_network(evidence: &Evidence) -> Vec<Found> {
    let Some(network) = evidence.want.cluster.cluster_network else { return Vec::new() };
    let lacks = evidence.seen().filter(|(node, facts)| {
        node.roles.osd && !facts.addresses.iter().any(|a| network.contains(a))
    });
    let found = lacks.map(|(node, _)| {
        Found::fail(
            &node.name,
            format!("it has OSDs and no address in the cluster network {network}"),
        )
        .why("an OSD does not start without one")
        .fix("give it one, correct `cluster_network` in the inventory, or leave that out")
    });
    found.collect()
}

/// The mons' ports have to be free, but for a mon of ours.
pub(super) fn ports(evidence: &Evidence) -> Vec<Found> {
    let mut found = Vec::new();
    for (node, facts) in evidence.seen().filter(|(node, _)| node.roles.mon) {
        let Some(survey) = evidence.survey(&node.name) else { continue };
        if !facts.running_mons().is_empty() {
            continue;
        }
        for port in MON_PORTS {
            let there = survey.listening.iter().find(|l| l.is_in_the_way(node.address, port));
            if let Some(there) = there {
                let who = there.program.as_deref().unwrap_or("somebody");
                found.push(
                    Found::fail(&node.name, format!("{who} listens on port {port} already"))
                        .why("the mon needs it, and cannot start without")
                        .fix(format!("`ss -ltnp 'sport = :{port}'` shows it: stop it, or have it use another port")),
                );
            }
        }
    }
    found
}
