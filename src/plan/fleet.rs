//! Which nodes can be worked on in this round, and what the others hold up.

use super::{Finding, Refusal, Waiting};
use crate::facts::{ClusterFacts, DockerFacts, Facts, NodeFacts, Seen};
use crate::identity::Identity;
use crate::inventory::{Inventory, Node, NodeName};

/// The nodes of the inventory, sorted.
pub(super) struct Fleet<'a> {
    pub want: &'a Inventory,
    pub seen: &'a Facts,
    /// Nodes that can be worked on.
    pub usable: Vec<Usable<'a>>,
    /// Nodes that cannot, with the reason.
    pub skipped: Vec<(&'a NodeName, String)>,
    /// The one node that is worked on, where it is not all of them.
    only: Option<&'a NodeName>,
}

/// A node that can be worked on.
#[derive(Clone, Copy)]
pub(super) struct Usable<'a> {
    pub node: &'a Node,
    pub facts: &'a NodeFacts,
    pub docker: &'a DockerFacts,
}

impl<'a> Fleet<'a> {
    /// Sorts the nodes. A new cluster is only begun, and one that was cut off at its beginning only taken up, with all
    /// its mons: whether another identity or store lies on a node that cannot be seen is unknown.
    pub(super) fn sort(
        want: &'a Inventory,
        seen: &'a Facts,
        id: &Identity,
    ) -> Result<Self, Refusal> {
        let mut fleet = Self { want, seen, usable: Vec::new(), skipped: Vec::new(), only: None };
        let mut blocked = Vec::new();
        for node in &want.nodes {
            let usable = usable(node, seen.nodes.get(&node.name))
                .and_then(|u| super::firewall::answers(want, u.node, u.facts).map(|()| u));
            match usable {
                Ok(usable) => fleet.usable.push(usable),
                Err((why, hint)) => {
                    if node.roles.mon && !id.established {
                        blocked.push(Finding { node: node.name.clone(), what: why.clone(), hint });
                    }
                    fleet.skipped.push((&node.name, why));
                }
            }
        }
        if blocked.is_empty() {
            Ok(fleet)
        } else {
            Err(Refusal { to_protect_data: false, findings: blocked })
        }
    }

    /// The same nodes, of which only one is worked on. The others are still what the cluster is made of.
    pub(super) fn only(mut self, node: &'a NodeName) -> Self {
        self.only = Some(node);
        self
    }

    /// Whether this node is worked on.
    pub(super) fn in_scope(&self, node: &NodeName) -> bool {
        self.only.is_none_or(|only| only == node)
    }

    /// Whether every other node's ceph.conf is kept right too: it names the mons, and the one node may hold a mon.
    pub(super) fn mons_may_change(&self) -> bool {
        self.only.and_then(|only| self.want.node(only)).is_some_and(|node| node.roles.mon)
    }

    /// The usable nodes that are worked on.
    pub(super) fn scope(&self) -> impl Iterator<Item = &Usable<'a>> {
        self.usable.iter().filter(|u| self.in_scope(&u.node.name))
    }

    /// What the mons say, if they answer.
    pub(super) fn cluster(&self) -> Option<&'a ClusterFacts> {
        self.seen.cluster.value()
    }

    /// The node through which the mons are asked: the first usable one whose mon runs, or else will run.
    pub(super) fn asker(&self) -> Option<&Usable<'a>> {
        let mons = || self.usable.iter().filter(|u| u.node.roles.mon);
        mons().find(|u| !u.facts.running_mons().is_empty()).or_else(|| mons().next())
    }

    pub(super) fn waiting(&self) -> Vec<Waiting> {
        let wait = |(node, why): &(&NodeName, String)| Waiting {
            node: Some((*node).clone()),
            what: format!("nothing is done on this node: {why}"),
            holds_up: true,
        };
        self.skipped.iter().filter(|(node, _)| self.in_scope(node)).map(wait).collect()
    }
}

fn usable<'a>(
    node: &'a Node,
    seen: Option<&'a Seen<NodeFacts>>,
) -> Result<Usable<'a>, (String, String)> {
    let facts = match seen {
        Some(Seen::Value(facts)) => facts,
        Some(Seen::Unknown(why)) => {
            let hint = format!("make {} reachable and run the same command again", node.name);
            return Err((why.clone(), hint));
        }
        Some(Seen::Absent) | None => {
            return Err(("it was not looked at".into(), "run the same command again".into()));
        }
    };
    if !facts.addresses.contains(&node.address) {
        let others: Vec<String> =
            facts.addresses.iter().filter(|a| !a.is_loopback()).map(ToString::to_string).collect();
        return Err((
            format!(
                "none of its interfaces has the address {} (they have {})",
                node.address,
                others.join(", ")
            ),
            format!(
                "set `address` of {} to the one it has in the public network, and `ssh.host` if SSH uses another",
                node.name
            ),
        ));
    }
    match &facts.docker {
        crate::facts::Docker::Up(docker) => Ok(Usable { node, facts, docker }),
        crate::facts::Docker::Down(why) => Err((
            format!("Docker cannot be used: {why}"),
            format!(
                "look at `systemctl status docker` on {}, then run the same command again",
                node.name
            ),
        )),
    }
}
